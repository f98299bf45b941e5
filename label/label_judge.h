/* SPDX-License-Identifier: Apache-2.0
 * What the kinds that judge share: the question for a score (kind_score.c) and for a comparison (kind_pairwise.c). */
#ifndef LABEL_JUDGE_H
#define LABEL_JUDGE_H
#include "label.h"
MUST_USE enum status judge_ask(struct label *l, struct row *row, uint32_t tag, struct span question, struct span answer, const char *aspect, struct err *e);
/* 0 when the judge gave no clear score. */
int judge_score(const struct label *l, struct span text, double *score);
extern const char label_think[]; /* kind_cot.c: asks for steps and a line "Answer:" */
/* label_samples.c: several answers to the row's question at once. */
struct sample {
  struct span text;      /* the whole output, row memory; {NULL,0} when it could not be used */
  struct span reasoning, final; /* after `cut` found them */
  double score;
  int scored;
};
struct samples {
  struct sample *s;
  size_t n, back, judged;
  const char *why;       /* of the last that could not be used */
  int teacher_failed;
  void *kind;
};
MUST_USE enum status samples_ask(struct label *l, struct row *row, const char *behind, struct samples **out, struct err *e);
/* Takes the answer with this tag (0 to n-1). *all = 1 with the last one. */
MUST_USE enum status samples_take(struct label *l, struct row *row, struct samples *s, uint32_t tag, const struct answer *a, int *all, struct err *e);
/* Warmth for kinds that need different answers: greedy ones would all be the same. */
void samples_warm(struct label *l);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * Measures models on a shard folder: loss of the tokens in the mask, true KL from the teacher and agreement of the greatest
 * logit. Several models share the teacher's pass: its hidden states and its logits are computed once. Used by `eval` and
 * by `train --eval-shards`. */
#ifndef TRAIN_EVALUATE_H
#define TRAIN_EVALUATE_H
#include "err.h"
#include "loss_driver.h"
#include "micro.h"
#include "model.h"
#include "target.h"

struct subject {
  struct model *model;      /* not owned */
  struct run *run;          /* plans for at least max_tok tokens; NULL = this is the online teacher itself */
  struct loss_sums sums;    /* out */
  struct loss_sums *doc;    /* out: (n_doc) per document, for intervals; NULL = not wanted */
  int64_t n_doc, cap_doc;
};
/* Where the samples come from. */
struct sample_source {
  int64_t n, tokens;        /* tokens: all of them together, for progress */
  int32_t vocab;
  enum status (*read)(void *ctx, int64_t i, struct arena *a, struct sample *s, struct err *e);
  void *ctx;
};
struct sample_source source_of_shards(struct shard_reader *r);

struct evaluation {
  struct sample_source data;
  struct target *target;
  struct loss_driver *driver; /* planned for the widest subject and the teacher */
  int64_t max_tok;            /* a forward pass */
  int64_t token_limit;        /* stop after this many input tokens, 0 = all; samples in stored order */
  int want_docs;
  void (*progress)(void *ctx, int64_t tokens); /* may be NULL */
  void *progress_ctx;
  int64_t tokens;           /* out: input tokens seen */
};
MUST_USE enum status evaluate(struct evaluation *v, struct subject *s, size_t n, struct err *e);
void subject_free_docs(struct subject *s);

/* 95 % interval of the mean of one field over documents, by 1,000 bootstrap samples. */
struct interval { double low, high; };
enum sums_field { SUMS_CE, SUMS_KL, SUMS_AGREE };
struct interval subject_interval(const struct subject *s, enum sums_field f, uint64_t seed);
#endif

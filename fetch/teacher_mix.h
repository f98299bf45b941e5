/* SPDX-License-Identifier: Apache-2.0
 * Several teachers as one (--teacher repeated, --mix HOW). teacher_mix.c is the dialect that gathers a window of questions and
 * asks the members in rounds; a way of mixing is one row of the table in teacher_mix_modes.c: it says whom to ask next about a
 * question and which answers are passed on. Stages see one struct teacher whose answers carry `by`. One thread. */
#ifndef FETCH_TEACHER_MIX_H
#define FETCH_TEACHER_MIX_H
#include "teacher_dialect.h"

#define MIX_MAX 32 /* members: a set of them is a uint32_t */

/* A question of the window, with one place for each member's answer. */
struct mix_slot {
  struct arena *a;        /* copies of the answers */
  struct question q;
  struct answer *answer;  /* (members) */
  uint32_t asked, wanted; /* sets of members */
  uint32_t pick;          /* answers to pass on; none = `why` */
  const char *why;
};

struct mix {
  struct teacher *t;      /* the mix as a teacher */
  struct teacher *member[MIX_MAX];
  size_t n;
  const struct mix_mode *mode;
  const char *name;       /* field of route, score of cascade */
  double min;             /* of cascade */
  double weight[MIX_MAX]; /* of weights, made cumulative and scaled to 1 */
  struct mix_slot *slot;
  size_t n_slots;
};

struct mix_mode {
  const char *name, *form; /* "route", "route:FIELD" */
  /* arg: what stands behind the first colon of --mix, or NULL. */
  enum status (*parse)(struct mix *m, const char *arg, struct err *e);
  /* Sets s->wanted to who is to be asked in this round; none = done with this question. Called again after they answered. */
  enum status (*next)(struct mix *m, struct mix_slot *s, struct err *e);
  /* Sets s->pick, and scores of those answers. */
  enum status (*choose)(struct mix *m, struct mix_slot *s, struct err *e);
};
extern const struct mix_mode mix_mode_table[]; /* ends with a NULL name */
#endif

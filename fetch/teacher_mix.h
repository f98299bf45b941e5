/* SPDX-License-Identifier: Apache-2.0
 * Several teachers as one (--teacher repeated, --mix HOW). teacher_mix.c opens the members, teacher_mix_run.c asks them all at the same time; a way of
 * mixing is one row of the table in teacher_mix_modes.c: it says whom to ask next about a question and which answers are passed on.
 * Stages see one struct teacher whose answers carry `by`. One thread, one event loop. */
#ifndef FETCH_TEACHER_MIX_H
#define FETCH_TEACHER_MIX_H
#include "teacher_dialect.h"

#define MIX_MAX 32 /* members: a set of them is a uint32_t */

/* An open question, with one place for each member's answer. */
struct mix_slot {
  struct arena *a;          /* copies of the answers */
  struct question q;
  struct answer *answer;    /* (members) */
  struct mix_slot **behind; /* (members) the next one in that member's line */
  uint32_t asked, wanted;   /* sets of members */
  uint32_t pick;            /* answers to pass on; none = `why` */
  uint32_t owed;            /* of wanted: those that have not answered */
  int decided;
  int judge;                /* the member whose answer is to be judged next, or -1 (set by the mode) */
  int judging;              /* it is being judged: judge_q is in the line */
  struct question judge_q;
  const char *why;
  struct mix_slot *next;    /* younger one; of spare ones the next */
};

/* Questions that wait for one member, oldest first, and how many it has in hand. */
struct mix_line {
  struct mix_slot *head, *tail;
  size_t n, in_hand;
};

struct mix {
  struct teacher *t;        /* the mix as a teacher */
  struct teacher *member[MIX_MAX];
  struct mix_line line[MIX_MAX];
  size_t n;
  const struct mix_mode *mode;
  const char *name;         /* field of route, score of cascade */
  double min;               /* of cascade */
  int judged;               /* the score of cascade is a judge's */
  double weight[MIX_MAX];   /* of weights, made cumulative and scaled to 1 */
  struct mix_slot *oldest, *youngest, *spare;
  size_t n_open, bytes;
  int ended, later;         /* the stage has no more; it has none before an answer is handed back */
  uint64_t events;          /* questions and answers that moved */
  double gathered_at;       /* when the last question came */
};
/* How many members answer; under cascade:judge the last one, with the label "judge", only judges. */
size_t mix_askable(const struct mix *m);
/* teacher_mix_judge.c: the question for slot->judge's answer, and reading what the judge said (unclear or failed = 0). */
size_t mix_judge_of(const struct mix *m, const struct mix_slot *s);
MUST_USE enum status mix_judge_ask(struct mix *m, struct mix_slot *s, struct err *e);
void mix_judge_take(struct mix_slot *s, const struct answer *a);
/* For struct dialect. */
MUST_USE enum status mix_begin(struct teacher *t, struct err *e);
MUST_USE enum status mix_step(struct teacher *t, struct step *n, struct err *e);
MUST_USE enum status mix_end(struct teacher *t, enum status st, struct err *e);
void mix_drop(struct mix *m); /* slots */

struct mix_mode {
  const char *name, *form; /* "route", "route:FIELD" */
  /* arg: what stands behind the first colon of --mix, or NULL. */
  enum status (*parse)(struct mix *m, const char *arg, struct err *e);
  /* Sets s->wanted to who is to be asked in this round; none = done with this question. Called again after they answered. */
  enum status (*next)(struct mix *m, struct mix_slot *s, struct err *e);
  /* Sets s->pick, and scores of those answers. */
  enum status (*choose)(struct mix *m, struct mix_slot *s, struct err *e);
  int in_turn; /* asks one after the other: a quote counts each of them as asked, at most */
};
extern const struct mix_mode mix_mode_table[]; /* ends with a NULL name */
#endif

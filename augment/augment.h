/* SPDX-License-Identifier: Apache-2.0
 * What the augment stage, its methods and chains share. A method says which chains there are (one file method_NAME.c and a row of
 * methods.def); a chain asks the recipe's steps one after the other and writes what comes of them (chain.c). */
#ifndef AUGMENT_AUGMENT_H
#define AUGMENT_AUGMENT_H
#include "recipe.h"
#include "teacher_rows.h"

struct augment_options {
  struct teacher_options t;
  const char *recipe, *rules, *vertical, *lang;
  int64_t per_row, count;
  int unordered;
};

#define MAX_REASONS 24

struct augment;
struct method {
  const char *name, *summary;
  int reads_all;    /* all rows are read before the first is asked about */
  enum status (*open)(struct augment *g, struct err *e); /* checks the recipe; may be NULL */
  enum status (*begin)(struct augment *g, struct row *row, struct err *e);
  enum status (*more)(struct augment *g, struct row *row, int *got, struct err *e); /* rows made of nothing; may be NULL */
  void (*finished)(struct augment *g, struct row *row); /* all chains of a row ended; may be NULL */
};
extern const struct method *const method_table[];

/* Good outputs that new ones are compared with: of a row, of a cell of a grid, of the whole pool. Stage memory or the row's. */
struct group {
  struct span *good;
  uint8_t *step;    /* which step made it */
  size_t n, cap;
  struct arena *a;
  int64_t wanted;   /* more than so many are "enough"; 0 = no bound */
  int64_t have;     /* finished chains */
  double novelty;   /* ROUGE-L to every good one must stay below; 0 = not asked */
};

struct slot {
  const char *name;
  struct span text;
  struct slot *next;
};

struct chain {
  int64_t nth;      /* of its row, from 0 */
  size_t step;
  int64_t turn, tries;
  struct slot *slots; /* newest first */
  struct buf dialog;  /* raw messages without brackets; freed with the row's unit */
  struct span transcript;
};

/* row->state. */
struct unit {
  struct augment *g;
  struct row *row;
  struct span id, text, user, assistant;
  size_t own;       /* number in the corpus */
  struct group *group;
  struct slot *presets;
  struct chain *chain;
  size_t n_chains, n_done, written, cell;
  const char *why;  /* of the last rejection */
  int any_rejected, any_good;
};

struct augment {
  struct ctx *c;
  const struct augment_options *o;
  struct recipe *recipe;
  const struct method *method;
  struct teacher *t;
  struct arena *a;           /* stage memory */
  int64_t per_row;
  struct bm25 *corpus;       /* with passages or a round trip; text of each row: */
  struct span *texts, *ids;
  size_t n_texts, cap_texts;
  void *state;               /* the method's own */
  struct buf line, task, b, messages;
  struct { const char *reason; uint64_t n; } rejected[MAX_REASONS];
  uint64_t made_rows, again;
};

/* ---- unit.c ---- */
/* Reads what the recipe's input needs out of the row; *ok = 0 when the row was decided. */
MUST_USE enum status unit_read(struct augment *g, struct row *row, struct unit **u, int *ok, struct err *e);
/* A unit for a made row. */
MUST_USE enum status unit_make(struct augment *g, struct row *row, const char *id, struct span text, struct unit **u, struct err *e);
MUST_USE enum status unit_preset(struct unit *u, const char *name, struct span text, struct err *e);
MUST_USE enum status unit_start(struct unit *u, size_t n_chains, struct err *e);
MUST_USE enum status group_add(struct group *k, struct span text, size_t step, struct err *e);
/* All texts are kept for retrieval (row order). */
MUST_USE enum status corpus_add(struct augment *g, struct unit *u, struct err *e);

/* ---- slots.c ---- */
struct slot_ctx { struct unit *u; struct chain *c; };
MUST_USE enum status slot_find(void *slot_ctx, struct span name, struct arena *a, struct span *out, int *found, struct err *e);

/* ---- chain.c ---- */
MUST_USE enum status chain_ask(struct unit *u, struct chain *c, struct err *e);
MUST_USE enum status chain_answer(struct augment *g, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, struct err *e);
/* Why an answer would not pass, by itself: the cascade of several teachers asks. */
MUST_USE enum status chain_wrong(struct augment *g, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, const char **why,
                                 struct err *e);
/* ---- child.c ---- */
MUST_USE enum status child_write(struct unit *u, struct chain *c, const struct answer *a, struct err *e);
#endif

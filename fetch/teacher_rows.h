/* SPDX-License-Identifier: Apache-2.0
 * Rows that a teacher is asked about, for augment and label: reads rows, lets a method ask any number of questions about each, one
 * after the other or several at once, and writes what became of them in the order of the rows (or as they finish, on request).
 * Every row ends kept, dropped with a reason or failed with one, in the ledger. Memory is bounded: while too many rows are open
 * none is read. A method is a struct rows_ops; its calls come from one thread. */
#ifndef FETCH_TEACHER_ROWS_H
#define FETCH_TEACHER_ROWS_H
#include "record.h"
#include "stage.h"
#include "teacher.h"

struct rows;
struct row {
  struct arena *a;      /* lives until the row is closed: what the method keeps of it goes here */
  struct record r;      /* of a made row (ops->more): no fields */
  unsigned long long number; /* of the line, for messages; 0 for a made row */
  void *state;          /* the method's own */
  /* the queue's: */
  struct rows *q;
  int outcome;
  const char *reason;
  size_t owed;          /* questions without an answer */
  struct row_line *first, *last;
  size_t held_bytes;
  struct row *next, *next_made;
};

struct rows_ops {
  /* A row came. Ask (rows_ask) or decide (rows_keep, rows_drop, rows_fail). STATUS_DATA fails the row as "bad row" with the message. */
  enum status (*begin)(void *ctx, struct row *row, struct err *e);
  /* An answer to one of its questions came (q->user is the row's, q->ordinal and *q as asked); tag as given to rows_ask. When no
   * question is open afterwards the row is closed and must have been decided. */
  enum status (*answer)(void *ctx, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, struct err *e);
  /* With read: all rows are read first, read() sees each of them (its record and arena stay), then begin() each in order. */
  enum status (*read)(void *ctx, struct row *row, struct err *e);
  /* After the last row: rows made of nothing. *got = 1: row is begun (as in begin); 0: no more; QUESTION_LATER: ask again after an
   * answer. They are not counted as rows in. May be NULL. */
  enum status (*more)(void *ctx, struct row *row, int *got, struct err *e);
  /* For several teachers (either may be NULL): why this answer would not do (--mix cascade:valid; *why NULL: it does), and what of it
   * counts in a vote ({NULL,0}: nothing). Asked at any time and in any order, so they change nothing and do not look at other answers. */
  enum status (*wrong)(void *ctx, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, const char **why, struct err *e);
  struct span (*said)(void *ctx, struct row *row, const struct answer *a);
};

/* q: messages, tools, ordinal, sampling, form as in teacher.h (copies of the texts are made; the seed becomes the question's own). tag
 * comes back with the answer, of several teachers (--mix all) with each of theirs. */
MUST_USE enum status rows_ask(struct row *row, uint32_t tag, const struct question *q, struct err *e);
/* The last decision counts. Reasons must live as long as the row (static text, or the row's arena). */
void rows_keep(struct row *row);
int rows_kept(const struct row *row);
void rows_drop(struct row *row, const char *reason);
void rows_fail(struct row *row, const char *reason);
/* The row itself is bad (why names what was found): failed, named on stderr, counted by the one rule of all stages (ctx_fail_row). */
void rows_fail_bad(struct row *row, const char *reason, const struct err *why);
/* The teacher failed for good: the reason is copied. */
MUST_USE enum status rows_fail_answer(struct row *row, const struct answer *a, struct err *e);
/* One line of output that belongs to the row, in its place; copied. Nothing is written of a row that fails or is dropped later. */
MUST_USE enum status rows_write(struct row *row, struct span line, struct err *e);

/* seed: the run's, of which every sampled question gets its own. */
MUST_USE enum status rows_run(struct ctx *c, struct teacher *t, const struct rows_ops *ops, void *ctx, uint64_t seed, int unordered, struct err *e);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * One run of a teacher: begin, steps, finish; by itself (teacher_run) or as one of several that somebody else steps (the mix). Whatever
 * went wrong, what was paid for is committed to the book. */
#include "log.h"
#include "teacher_dialect.h"

/* Asked for a price instead of answers; of several teachers each member is. */
static int quoted(const struct teacher *t)
{
  return t->o.dry_run && t->d != &dialect_mix;
}

enum status teacher_begin(struct teacher *t, question_next next, answer_done done, void *ctx, struct err *e)
{
  t->next = next;
  t->done = done;
  t->ctx = ctx;
  enum status st = teacher_window_start(t, e);
  if (st != STATUS_OK) {
    return st;
  }
  return t->d->begin != NULL && !quoted(t) ? t->d->begin(t, e) : STATUS_OK;
}

enum status teacher_step(struct teacher *t, struct step *n, struct err *e)
{
  return quoted(t) ? teacher_quote_step(t, n, e) : t->d->step(t, n, e);
}

enum status teacher_finish(struct teacher *t, enum status st, struct err *e)
{
  struct err own = { 0 };
  if (t->ring != NULL && t->bucket != NULL) { /* it did begin */
    st = quoted(t) ? teacher_quote_end(t, st, e) : t->d->end != NULL ? t->d->end(t, st, e) : st;
  }
  if (st == STATUS_OK) {
    st = teacher_turn(t, e);
    st = st == STATUS_OK && t->d->flush != NULL && !t->in_mix && !t->o.dry_run ? t->d->flush(t, e) : st;
  } else if (t->uncommitted > 0 && book_commit(t->book, &own) != STATUS_OK) { /* what was paid for is kept, whatever went wrong */
    log_error("answers of the last moment could not be kept: %s", own.msg);
  }
  teacher_window_drop(t);
  return st;
}

enum status teacher_run(struct teacher *t, question_next next, answer_done done, void *ctx, struct err *e)
{
  struct step n = { .alone = 1 };
  enum status st = teacher_begin(t, next, done, ctx, e);
  while (st == STATUS_OK && !n.done) {
    st = teacher_step(t, &n, e);
  }
  return teacher_finish(t, st, e);
}

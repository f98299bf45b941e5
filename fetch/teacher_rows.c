/* SPDX-License-Identifier: Apache-2.0
 * The queue of rows between stdin, a method and the teacher; see teacher_rows.h. Open rows stand in a list in their order; the
 * head is written as soon as it is closed. Questions wait in a second list until the teacher pulls them. */
#include "teacher_rows.h"
#include "ledger.h"
#include "log.h"

#define OPEN_ROWS 4096
#define OPEN_BYTES ((size_t)64 << 20) /* lines and questions of open rows */

enum { ROW_OPEN, ROW_KEPT, ROW_DROPPED, ROW_FAILED, ROW_COUNTED }; /* counted: by ctx_fail_row */

struct row_line {
  struct span text;
  struct row_line *next;
};

struct pending {
  struct row *row;
  struct question q;
  uint32_t tag;
  struct pending *next;
};

struct rows {
  struct ctx *c;
  const struct rows_ops *ops;
  void *ctx;
  int unordered;
  uint64_t seed;                   /* of the run */
  struct row *head, *tail;         /* open and closed rows that are not written yet */
  struct row *held, *held_tail;    /* read ahead for ops->read */
  struct row *spare, *made;
  struct pending *first, *last;    /* questions to be pulled */
  size_t open, bytes, owed;        /* owed: pulled and not answered */
  int read_all, at_end, no_more;
  uint64_t closed;
  struct progress *progress;
};

static enum status new_row(struct rows *q, struct row **out, struct err *e)
{
  struct row *r = q->spare;
  if (r != NULL) {
    struct row kept = { .a = r->a, .next_made = r->next_made };
    q->spare = r->next;
    arena_reset(r->a);
    *r = kept;
  } else {
    r = mem_calloc(1, sizeof *r);
    if (r == NULL || (r->a = arena_new_small(512)) == NULL) {
      mem_free(r);
      return err_nomem(e, sizeof *r);
    }
    r->next_made = q->made;
    q->made = r;
  }
  r->q = q;
  *out = r;
  return STATUS_OK;
}

static void keep_spare(struct rows *q, struct row *r)
{
  r->next = q->spare;
  q->spare = r;
}

/* ---- what a method calls ---- */

static enum status copy(struct row *row, struct span *s, struct err *e)
{
  if (s->n > 0) {
    s->p = arena_strndup(row->a, s->p, s->n);
    row->held_bytes += s->n;
    row->q->bytes += s->n;
  }
  return s->n > 0 && s->p == NULL ? err_nomem(e, s->n) : STATUS_OK;
}

enum status rows_ask(struct row *row, uint32_t tag, const struct question *question, struct err *e)
{
  enum status st = STATUS_OK;
  struct rows *q = row->q;
  struct pending *p = arena_calloc(row->a, 1, sizeof *p);
  if (p == NULL) {
    return err_nomem(e, sizeof *p);
  }
  p->row = row;
  p->tag = tag;
  p->q = *question;
  p->q.row = row->number > 0 ? &row->r : NULL;
  p->q.user = p;
  TRY(copy(row, &p->q.messages, e));
  TRY(copy(row, &p->q.tools, e));
  TRY(copy(row, &p->q.form.text, e));
  if (p->q.sampling.temperature > 0) { /* greedy answers do not depend on it, and stay one journal entry whatever the seed */
    p->q.sampling.seed = teacher_seed(q->seed, p->q.messages, p->q.ordinal);
  }
  if (q->last != NULL) {
    q->last->next = p;
  } else {
    q->first = p;
  }
  q->last = p;
  row->owed++;
out:
  return st;
}

static void decide(struct row *row, int outcome, const char *reason)
{
  if (row->outcome == ROW_COUNTED) {
    return;
  }
  row->outcome = outcome;
  row->reason = reason;
}

void rows_keep(struct row *row)
{
  decide(row, ROW_KEPT, NULL);
}

int rows_kept(const struct row *row)
{
  return row->outcome == ROW_KEPT;
}

void rows_drop(struct row *row, const char *reason)
{
  decide(row, ROW_DROPPED, reason);
}

void rows_fail(struct row *row, const char *reason)
{
  decide(row, ROW_FAILED, reason);
}

void rows_fail_bad(struct row *row, const char *reason, const struct err *why)
{
  if (row->number > 0 && row->outcome != ROW_COUNTED) {
    ctx_fail_row(row->q->c, row->number, reason, why);
  }
  row->outcome = ROW_COUNTED;
}

enum status rows_fail_answer(struct row *row, const struct answer *a, struct err *e)
{
  char *why = arena_strndup(row->a, a->reason, strlen(a->reason));
  if (why == NULL) {
    return err_nomem(e, 64);
  }
  decide(row, ROW_FAILED, why);
  return STATUS_OK;
}

enum status rows_write(struct row *row, struct span line, struct err *e)
{
  struct row_line *l = arena_calloc(row->a, 1, sizeof *l);
  char *copy = arena_strndup(row->a, line.p, line.n);
  if (l == NULL || copy == NULL) {
    return err_nomem(e, line.n);
  }
  l->text = (struct span){ copy, line.n };
  if (row->last != NULL) {
    row->last->next = l;
  } else {
    row->first = l;
  }
  row->last = l;
  row->held_bytes += line.n;
  row->q->bytes += line.n;
  return STATUS_OK;
}

/* ---- closing ---- */

/* A row that a method made came from no row, so it is no part of the sum; how it ended stands beside it. */
static void count_made_row(struct ledger *l, const struct row *r)
{
  char what[200];
  const char *reason = r->outcome == ROW_KEPT ? NULL : r->reason ? r->reason : "undecided";
  snprintf(what, sizeof what, "made row %s%s%s", r->outcome == ROW_KEPT ? "kept" : r->outcome == ROW_DROPPED ? "dropped" : "failed", reason ? ": " : "",
           reason ? reason : "");
  ledger_changed(l, what, 1);
}

static enum status put_out(struct rows *q, struct row *r, struct err *e)
{
  enum status st = STATUS_OK;
  struct ledger *l = ctx_ledger(q->c);
  for (const struct row_line *k = r->outcome == ROW_KEPT ? r->first : NULL; k != NULL; k = k->next) {
    TRY(ctx_write(q->c, k->text, e));
  }
  if (r->number == 0) {
    count_made_row(l, r);
    goto out;
  }
  if (r->outcome == ROW_KEPT) {
    ledger_kept(l);
  } else if (r->outcome == ROW_DROPPED) {
    ledger_dropped(l, r->reason);
  } else if (r->outcome != ROW_COUNTED) {
    ledger_failed(l, r->outcome == ROW_FAILED ? r->reason : "undecided");
  }
out:
  progress_set(q->progress, ++q->closed, NULL);
  q->open--;
  q->bytes -= r->held_bytes;
  keep_spare(q, r);
  return st;
}

static int is_closed(const struct row *r)
{
  return r->owed == 0;
}

static enum status flush(struct rows *q, struct err *e)
{
  enum status st = STATUS_OK;
  while (q->head != NULL && is_closed(q->head)) {
    struct row *r = q->head;
    q->head = r->next;
    if (q->head == NULL) {
      q->tail = NULL;
    }
    TRY(put_out(q, r, e));
  }
  if (!q->unordered) {
    return STATUS_OK;
  }
  for (struct row *r = q->head; r != NULL && r->next != NULL;) { /* the head is open here */
    struct row *k = r->next;
    if (!is_closed(k)) {
      r = k;
      continue;
    }
    r->next = k->next;
    if (q->tail == k) {
      q->tail = r;
    }
    TRY(put_out(q, k, e));
  }
out:
  return st;
}

/* ---- reading ---- */

static void open_row(struct rows *q, struct row *r)
{
  r->next = NULL;
  if (q->tail != NULL) {
    q->tail->next = r;
  } else {
    q->head = r;
  }
  q->tail = r;
  q->open++;
}

static enum status refuse(struct row *r, enum status st, const struct err *own, struct err *e)
{
  if (st != STATUS_DATA) {
    return st == STATUS_OK ? st : err_set(e, st, "%s", own->msg);
  }
  rows_fail_bad(r, "bad row", own);
  return STATUS_OK;
}

static enum status begin(struct rows *q, struct row *r, struct err *e)
{
  enum status st = STATUS_OK;
  struct err own = { 0 };
  open_row(q, r);
  TRY(refuse(r, q->ops->begin(q->ctx, r, &own), &own, e));
  if (r->owed == 0) {
    st = flush(q, e);
  }
out:
  return st;
}

/* *got: 1 a row was begun or held, 0 the end, -1 input would block. */
static enum status read_row(struct rows *q, int wait, int *got, struct err *e)
{
  enum status st = STATUS_OK;
  struct row *r = NULL;
  struct err own = { 0 };
  if (!wait && !ctx_ready(q->c)) {
    *got = -1;
    return STATUS_OK;
  }
  TRY(new_row(q, &r, e));
  st = ctx_next_in(q->c, r->a, &r->r, got, e);
  if (st != STATUS_OK || !*got) {
    keep_spare(q, r);
    return st;
  }
  r->number = ctx_row(q->c);
  if (q->ops->read == NULL) {
    return begin(q, r, e);
  }
  TRY(refuse(r, q->ops->read(q->ctx, r, &own), &own, e));
  if (q->held_tail != NULL) {
    q->held_tail->next = r;
  } else {
    q->held = r;
  }
  q->held_tail = r;
out:
  return st;
}

/* A held row's turn; those that read() refused or decided are closed as they are. */
static enum status begin_held(struct rows *q, struct err *e)
{
  struct row *r = q->held;
  q->held = r->next;
  if (r->outcome == ROW_OPEN) {
    return begin(q, r, e);
  }
  open_row(q, r);
  return flush(q, e);
}

static enum status make_row(struct rows *q, int *got, struct err *e)
{
  enum status st = STATUS_OK;
  struct row *r = NULL;
  *got = 0;
  if (q->ops->more == NULL) {
    return STATUS_OK;
  }
  TRY(new_row(q, &r, e));
  st = q->ops->more(q->ctx, r, got, e);
  if (st != STATUS_OK || *got != 1) {
    keep_spare(q, r);
    return st;
  }
  open_row(q, r);
  if (r->owed == 0) {
    st = flush(q, e);
  }
out:
  return st;
}

/* The next thing that may bring a question. *got as for question_next. */
static enum status advance(struct rows *q, int wait, int *got, struct err *e)
{
  enum status st = STATUS_OK;
  *got = 1;
  if (!q->at_end && (q->ops->read != NULL || (q->open < OPEN_ROWS && q->bytes < OPEN_BYTES))) {
    TRY(read_row(q, wait, got, e));
    if (*got == 0) {
      q->at_end = *got = 1;
    }
    return STATUS_OK;
  }
  if (q->open >= OPEN_ROWS || q->bytes >= OPEN_BYTES) {
    *got = q->owed > 0 ? QUESTION_LATER : 0;
    return *got == 0 ? err_set(e, STATUS_DATA, "rows without questions fill the window") : STATUS_OK;
  }
  if (q->held != NULL) {
    return begin_held(q, e);
  }
  if (!q->no_more) {
    TRY(make_row(q, got, e));
    q->no_more = *got == 0;
    *got = *got == 0 ? 1 : *got;
    if (*got == QUESTION_LATER && q->owed == 0) {
      st = err_set(e, STATUS_DATA, "a method waits for answers that nobody owes");
    }
    return st;
  }
  *got = q->owed > 0 ? QUESTION_LATER : 0;
out:
  return st;
}

static enum status next_question(void *ctx, int wait, struct question *out, int *got, struct err *e)
{
  enum status st = STATUS_OK;
  struct rows *q = ctx;
  while (q->first == NULL) {
    TRY(advance(q, wait, got, e));
    if (*got != 1) {
      return STATUS_OK;
    }
  }
  struct pending *p = q->first;
  q->first = p->next;
  if (q->first == NULL) {
    q->last = NULL;
  }
  *out = p->q;
  q->owed++;
  *got = 1;
out:
  return st;
}

static enum status got_answer(void *ctx, const struct question *question, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct rows *q = ctx;
  const struct pending *p = question->user;
  struct row *row = p->row;
  if (a->part + 1 >= a->parts) {
    q->owed--;
    row->owed--;
  }
  TRY(q->ops->answer(q->ctx, row, p->tag, question, a, e));
  if (row->owed == 0) {
    st = flush(q, e);
  }
out:
  return st;
}

static enum status valid_score(void *ctx, const struct question *q, struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct rows *r = ctx;
  const struct pending *p = q->user;
  const char *why = NULL;
  TRY(r->ops->wrong(r->ctx, p->row, p->tag, q, a, &why, e));
  answer_score(a, "valid", why == NULL);
  if (why != NULL) {
    log_debug("an answer of '%s' is not valid: %s", a->by ? teacher_name(a->by) : "the teacher", why);
  }
out:
  return st;
}

static struct span said(void *ctx, const struct question *q, const struct answer *a)
{
  struct rows *r = ctx;
  return r->ops->said(r->ctx, ((const struct pending *)q->user)->row, a);
}

enum status rows_run(struct ctx *c, struct teacher *t, const struct rows_ops *ops, void *ctx, uint64_t seed, int unordered, struct err *e)
{
  struct rows q = { .c = c, .ops = ops, .ctx = ctx, .unordered = unordered, .seed = seed };
  q.progress = progress_new("rows", "rows", 0);
  if (unordered) {
    teacher_unordered(t);
  }
  const struct teacher_judgement j = { ops->said ? said : NULL, ops->wrong ? valid_score : NULL, &q };
  teacher_judge_by(t, &j);
  enum status st = teacher_run(t, next_question, got_answer, &q, e);
  progress_free(q.progress);
  while (q.made != NULL) {
    struct row *next = q.made->next_made;
    arena_free(q.made->a);
    mem_free(q.made);
    q.made = next;
  }
  return st;
}

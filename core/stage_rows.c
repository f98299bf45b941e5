/* SPDX-License-Identifier: Apache-2.0
 * Rows in from stdin and out to stdout, counted in the ledger on their way. One thread only. */
#include <stdarg.h>
#include <unistd.h>
#include "file.h"
#include "log.h"
#include "stage_internal.h"

#define OUT_BYTES ((size_t)64 << 10)

enum status ctx_flush(struct ctx *c, struct err *e) {
  if (c->out.n == 0) return STATUS_OK;
  enum status st = file_write_all(STDOUT_FILENO, c->out.p, c->out.n, e);
  if (st == STATUS_STOPPED) c->out_broken = 1;
  else if (st != STATUS_OK) (void)err_prefix(e, "'stdout'");
  buf_clear(&c->out);
  return st;
}

/* Rows must not wait in our buffer while we sleep on an empty stdin. */
static enum status flush_if_idle(struct ctx *c, struct err *e) {
  if (c->out.n == 0) return STATUS_OK;
  return ctx_ready(c) ? STATUS_OK : ctx_flush(c, e);
}

enum status ctx_next_in(struct ctx *c, struct arena *a, struct record *r, int *got, struct err *e) {
  enum status st = STATUS_OK;
  struct span line;
  *got = 0;
  if (c->at_end) return STATUS_OK;
  if (c->lines == NULL) {
    if (isatty(STDIN_FILENO)) {
      return err_set(e, STATUS_USAGE, "stdin is a terminal: 'retort %s' reads record lines; pipe or redirect them (see -h)", c->stage->name);
    }
    c->lines = line_reader_new(STDIN_FILENO, "stdin", LINE_MAX_DEFAULT);
    if (c->lines == NULL) return err_nomem(e, 0);
  }
  for (;;) {
    struct arena_mark mark = arena_mark(a);
    struct err bad = { STATUS_OK, "" };
    TRY(flush_if_idle(c, e));
    TRY(line_next(c->lines, &line, got, e));
    if (!*got) {
      c->at_end = 1;
      TRY(ledger_check_upstream(c->ledger, e));
      goto out;
    }
    char *copy = arena_strndup(a, line.p, line.n);
    if (copy == NULL) {
      st = err_nomem(e, line.n);
      goto out;
    }
    line.p = copy;
    st = record_split(line, a, r, &bad);
    if (st == STATUS_OK || st == STATUS_DATA) ledger_in(c->ledger, line);
    if (st == STATUS_OK) goto out;
    if (st != STATUS_DATA) {
      st = err_set(e, st, "'stdin' row %llu: %s", (unsigned long long)line_number(c->lines), bad.msg);
      goto out;
    }
    ctx_fail_row(c, line_number(c->lines), "bad row", &bad);
    arena_rewind(a, mark);
  }
out:
  return st;
}

void ctx_fail_row(struct ctx *c, unsigned long long row, const char *reason, const struct err *why) {
  ledger_failed(c->ledger, reason);
  if (c->bad_rows++ < BAD_ROWS_NAMED || c->common.verbose) log_warn("'stdin' row %llu: %s", row, why->msg);
}

unsigned long long ctx_row(const struct ctx *c) { return c->lines != NULL ? line_number(c->lines) : 0; }

int ctx_ready(struct ctx *c) { return c->at_end || c->lines == NULL || line_ready(c->lines); }

enum status ctx_next(struct ctx *c, struct record *r, int *got, struct err *e) {
  arena_reset(c->row_arena);
  return ctx_next_in(c, c->row_arena, r, got, e);
}

enum status ctx_write(struct ctx *c, struct span line, struct err *e) {
  enum status st = STATUS_OK;
  if (c->out.n + line.n + 1 > OUT_BYTES) TRY(ctx_flush(c, e));
  TRY(buf_put(&c->out, line.p, line.n, e));
  TRY(buf_putc(&c->out, '\n', e));
  if (c->ledger) ledger_made(c->ledger, line);
  if (c->out.n > OUT_BYTES) TRY(ctx_flush(c, e));
out:
  return st;
}

enum status ctx_print(struct ctx *c, struct err *e, const char *fmt, ...) {
  va_list ap, again;
  va_start(ap, fmt);
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  enum status st = n < 0 ? err_set(e, STATUS_DATA, "text could not be formatted") : buf_reserve(&c->out, (size_t)n, e);
  if (st == STATUS_OK) {
    vsnprintf(c->out.p + c->out.n, (size_t)n + 1, fmt, again);
    c->out.n += (size_t)n;
    if (c->out.n > OUT_BYTES) st = ctx_flush(c, e);
  }
  va_end(again);
  return st;
}

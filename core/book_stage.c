/* SPDX-License-Identifier: Apache-2.0
 * `retort book ACTION`: upkeep of a book by hand. Each action is one row of the table below. */
#include <inttypes.h>
#include "book.h"
#include "log.h"
#include "stage.h"

struct book_options { int unused; };
static const struct opt_row rows[] = { OPT_END };

static const char *folder(struct ctx *c, const struct opt_list *args, size_t at) {
  if (args->n > at) return args->item[at];
  return ctx_common(c)->book ? ctx_common(c)->book : "retort.book";
}

static enum status do_verify(struct ctx *c, const struct opt_list *args, struct err *e) {
  struct buf report = { 0 };
  struct err why = { STATUS_OK, "" };
  enum status st = book_verify(folder(c, args, 1), &report, &why), printed = STATUS_OK;
  if (report.n) printed = ctx_print(c, e, "%s", report.p);
  buf_free(&report);
  if (st == STATUS_OK) return printed;
  *e = why;
  enum status flushed = ctx_flush(c, NULL); /* the report first, then the error */
  (void)flushed;
  return st;
}

static enum status do_index(struct ctx *c, const struct opt_list *args, struct err *e) {
  enum status st = book_reindex(folder(c, args, 1), e);
  if (st == STATUS_OK) log_info("'%s/index.sqlite' rebuilt", folder(c, args, 1));
  return st;
}

static enum status do_merge(struct ctx *c, const struct opt_list *args, struct err *e) {
  enum status st = STATUS_OK;
  uint64_t copied;
  (void)c;
  if (args->n < 3) return err_set(e, STATUS_USAGE, "'merge' takes the book to fill and the books to bring in: retort book merge INTO FROM...");
  for (size_t i = 2; i < args->n && st == STATUS_OK; i++) {
    st = book_merge(args->item[1], args->item[i], &copied, e);
    if (st == STATUS_OK) log_info("'%s': %" PRIu64 " segments brought into '%s'", args->item[i], copied, args->item[1]);
  }
  return st;
}

static enum status do_compact(struct ctx *c, const struct opt_list *args, struct err *e) {
  uint64_t kept, dropped;
  enum status st = book_compact(folder(c, args, 1), &kept, &dropped, e);
  if (st == STATUS_OK) log_info("'%s': %" PRIu64 " records kept, %" PRIu64 " dropped (twice or damaged)", folder(c, args, 1), kept, dropped);
  return st;
}

static const struct action {
  const char *name;
  enum status (*run)(struct ctx *c, const struct opt_list *args, struct err *e);
  size_t args_max;
} actions[] = {
  { "verify", do_verify, 2 },
  { "index", do_index, 2 },
  { "merge", do_merge, 1000 },
  { "compact", do_compact, 2 },
};
enum { N_ACTIONS = sizeof actions / sizeof *actions };

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  const char *names[N_ACTIONS];
  (void)options;
  for (size_t i = 0; i < N_ACTIONS; i++) names[i] = actions[i].name;
  if (args->n == 0) return err_set(e, STATUS_USAGE, "an action is missing: verify, index, merge or compact (see 'retort book -h')");
  for (size_t i = 0; i < N_ACTIONS; i++) {
    if (strcmp(args->item[0], names[i])) continue;
    if (args->n > actions[i].args_max) return err_set(e, STATUS_USAGE, "'%s': one argument too many", args->item[actions[i].args_max]);
    return actions[i].run(c, args, e);
  }
  const char *near = opt_nearest(args->item[0], names, N_ACTIONS);
  return err_set(e, STATUS_USAGE, "'%s' is not an action of book%s%s%s; there are verify, index, merge and compact", args->item[0],
                 near ? "; did you mean '" : "", near ? near : "", near ? "'" : "");
}

const struct stage stage_book = {
  .name = "book",
  .args = "verify|index|compact [DIR] | merge INTO FROM...",
  .summary = "look after a book of teacher answers",
  .details =
    "A book is a folder of segment files, one a process, that only ever grow. DIR is --book, RETORT_BOOK or ./retort.book.\n"
    "\n"
    "verify checks every record of every segment (exit 6 when one is damaged; a torn last record is what a killed process\n"
    "leaves and is fine). index rebuilds index.sqlite: opening a large book gets faster, and sqlite3 can query it. merge\n"
    "brings the segments of other books in; it may be repeated. compact rewrites everything as one segment without\n"
    "damaged records and second answers to the same question; nothing may be writing to the book meanwhile.\n"
    "\n"
    "  retort book verify my.book\n"
    "  retort book index && sqlite3 retort.book/index.sqlite 'select model, sum(settled)/1e6 from money group by model'",
  .flags = 0,
  .options = rows,
  .options_bytes = sizeof(struct book_options),
  .run = run,
};

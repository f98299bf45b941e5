/* SPDX-License-Identifier: Apache-2.0
 * `retort book ACTION`: upkeep of a book by hand. Each action is one row of the table below. */
#include <inttypes.h>
#include "book.h"
#include "book_retry.h"
#include "log.h"
#include "teacher_options.h"

struct book_options { int failed; struct teacher_options t; };
static const struct opt_row rows[] = {
  OPT_ROW(book_options, failed, "failed", 0, OPT_FLAG, NULL, NULL, NULL, "retry: the questions that failed (there is nothing else to retry)"),
  TEACHER_OPTION_ROWS(book_options, t, "0", "0..5", "512", "1..1000000"), /* of retry; the requests themselves are in the book */
  OPT_END
};

static const char *folder(struct ctx *c, const struct opt_list *args, size_t at) {
  if (args->n > at) return args->item[at];
  return ctx_common(c)->book ? ctx_common(c)->book : "retort.book";
}

static enum status do_verify(struct ctx *c, const struct book_options *o, const struct opt_list *args, struct err *e) {
  (void)o;
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

static enum status do_index(struct ctx *c, const struct book_options *o, const struct opt_list *args, struct err *e) {
  (void)o;
  enum status st = book_reindex(folder(c, args, 1), e);
  if (st == STATUS_OK) log_info("'%s/index.sqlite' rebuilt", folder(c, args, 1));
  return st;
}

static enum status do_merge(struct ctx *c, const struct book_options *o, const struct opt_list *args, struct err *e) {
  (void)o;
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

static enum status do_compact(struct ctx *c, const struct book_options *o, const struct opt_list *args, struct err *e) {
  (void)o;
  uint64_t kept, dropped;
  enum status st = book_compact(folder(c, args, 1), &kept, &dropped, e);
  if (st == STATUS_OK) log_info("'%s': %" PRIu64 " records kept, %" PRIu64 " dropped (twice or damaged)", folder(c, args, 1), kept, dropped);
  return st;
}

static enum status do_retry(struct ctx *c, const struct book_options *o, const struct opt_list *args, struct err *e) {
  if (!o->failed) return err_set(e, STATUS_USAGE, "'retry' wants --failed: only questions that failed can be asked again");
  return book_retry(c, folder(c, args, 1), &o->t, e);
}

static const struct action {
  const char *name;
  enum status (*run)(struct ctx *c, const struct book_options *o, const struct opt_list *args, struct err *e);
  size_t args_max;
} actions[] = {
  { "verify", do_verify, 2 },
  { "index", do_index, 2 },
  { "merge", do_merge, 1000 },
  { "compact", do_compact, 2 },
  { "retry", do_retry, 2 },
};
enum { N_ACTIONS = sizeof actions / sizeof *actions };

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  const char *names[N_ACTIONS];
  for (size_t i = 0; i < N_ACTIONS; i++) names[i] = actions[i].name;
  if (args->n == 0) return err_set(e, STATUS_USAGE, "an action is missing: verify, index, merge, compact or retry (see 'retort book -h')");
  for (size_t i = 0; i < N_ACTIONS; i++) {
    if (strcmp(args->item[0], names[i])) continue;
    if (args->n > actions[i].args_max) return err_set(e, STATUS_USAGE, "'%s': one argument too many", args->item[actions[i].args_max]);
    return actions[i].run(c, options, args, e);
  }
  const char *near = opt_nearest(args->item[0], names, N_ACTIONS);
  return err_set(e, STATUS_USAGE, "'%s' is not an action of book%s%s%s; there are verify, index, merge, compact and retry", args->item[0],
                 near ? "; did you mean '" : "", near ? near : "", near ? "'" : "");
}

const struct stage stage_book = {
  .name = "book",
  .args = "verify|index|compact [DIR] | merge INTO FROM... | retry --failed --teacher T [DIR]",
  .summary = "look after a book of teacher answers",
  .details =
    "A book is a folder of segment files, one a process, that only ever grow. DIR is --book, RETORT_BOOK or ./retort.book.\n"
    "\n"
    "verify checks every record of every segment (exit 6 when one is damaged; a torn last record is what a killed process\n"
    "leaves and is fine). index rebuilds index.sqlite: opening a large book gets faster, and sqlite3 can query it. merge\n"
    "brings the segments of other books in; it may be repeated. compact rewrites everything as one segment without\n"
    "damaged records and second answers to the same question; nothing may be writing to the book meanwhile.\n"
    "\n"
    "retry --failed asks the questions that failed once more (without their rows: the requests are in the book) and keeps the\n"
    "answers; the next run of the same command finds them. What has an answer is never asked. A run of the command itself asks\n"
    "failed questions again too; retry is for when that run is long, or its rows come from elsewhere. Each --teacher is asked its\n"
    "own questions, without one they are only listed. Exit 1 when some failed again. --dry-run, --max-usd and the limits hold.\n"
    "\n"
    "  retort book verify my.book\n"
    "  retort book retry --failed --teacher https://api.example.com/v1#m --teacher-terms apache-2.0 my.book\n"
    "  retort book index && sqlite3 retort.book/index.sqlite 'select model, sum(settled)/1e6 from money group by model'",
  .flags = 0,
  .options = rows,
  .options_bytes = sizeof(struct book_options),
  .run = run,
};

/* SPDX-License-Identifier: Apache-2.0
 * The frame around every subcommand: options, log, signals, book, ledger, stdin and stdout. A stage is one
 * `const struct stage` beside its code plus one row in core/stages.def. "Things to do to add a stage": (1) write
 * ROOM/NAME.c with its option rows and `const struct stage stage_NAME`; (2) add STAGE(NAME) to core/stages.def. */
#ifndef CORE_STAGE_H
#define CORE_STAGE_H
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "ledger.h"
#include "line.h"
#include "mem.h"
#include "opt.h"
#include "span.h"
#include "stop.h"

enum {
  STAGE_ROWS_IN = 1,   /* reads record lines from stdin (refuses a terminal on stdin with a hint) */
  STAGE_ROWS_OUT = 2,  /* writes record lines to stdout (refuses a terminal? no: prints) */
  STAGE_COMPUTE = 4,   /* uses the compute pool */
  STAGE_BOOK = 8,      /* opens the book when --book or RETORT_BOOK is given */
  STAGE_INSTRUMENT = 16 /* listed under `retort help instruments` */
};

/* Options that every stage has. */
struct common_options {
  int help, quiet, verbose, log_json, no_progress, force, strict;
  const char *config, *book;
  int64_t threads;
  const char *accept_terms; /* WHY */
};

struct ctx; /* one running stage */
struct stage {
  const char *name;
  const char *args;    /* "[FILE...]" for the usage line */
  const char *summary; /* one line */
  const char *details; /* paragraphs with two examples, shown by -h and in the man page */
  unsigned flags;
  const struct opt_row *options;
  size_t options_bytes;
  enum status (*run)(struct ctx *c, const void *options, const struct opt_list *args, struct err *e);
};

const struct common_options *ctx_common(const struct ctx *c);
struct arena *ctx_arena(struct ctx *c);   /* lives as long as the stage */
struct book *ctx_book(struct ctx *c);     /* NULL when none was asked for */
MUST_USE enum status ctx_book_require(struct ctx *c, struct book **b, struct err *e); /* opens ./retort.book and says so */
struct ledger *ctx_ledger(struct ctx *c); /* opened before run(), closed after it */
/* Canonical JSON of this run's options and arguments (for manifests and provenance). */
MUST_USE enum status ctx_options_json(struct ctx *c, struct buf *out, struct err *e);

/* Next record line from stdin, validated and counted in the ledger. *got = 0 at the end (upstream's closing line is
 * checked then). The record lives in a row arena until the next call. A line that is no record is a failed row: counted
 * and named (ctx_fail_row), and the next one is given; with --strict, or when no row was good, the frame ends with exit 1. */
MUST_USE enum status ctx_next(struct ctx *c, struct record *r, int *got, struct err *e);
/* The same without a row arena of its own, for stages that hold many rows: line copied into a. */
MUST_USE enum status ctx_next_in(struct ctx *c, struct arena *a, struct record *r, int *got, struct err *e);
/* Counts a row that cannot be used as failed(reason) in the ledger and names it on stderr ("'stdin' row 7: ..."); after the
 * first of them only the number, unless -v. The one rule for all stages: a bad row never ends the run. */
void ctx_fail_row(struct ctx *c, unsigned long long row, const char *reason, const struct err *why);
/* STATUS_DATA when failed rows end this run badly (--strict, or no row was good). The frame asks at the end; a stage that
 * puts a folder under its final name asks before that. */
MUST_USE enum status ctx_judge_failed(struct ctx *c, struct err *e);
/* Number of the row given last, 1-based, for messages; 0 before the first. */
unsigned long long ctx_row(const struct ctx *c);
/* 0 when ctx_next would wait for input: finish and write what is in flight first (workers_ops.ready). */
int ctx_ready(struct ctx *c);
/* Writes one line (a whole JSON object without newline) to stdout, counted as made. Buffered; flushed by ctx_flush, when
 * idle input would block, and at the end. A broken pipe gives STATUS_STOPPED, quiet, exit 141. */
MUST_USE enum status ctx_write(struct ctx *c, struct span line, struct err *e);
MUST_USE enum status ctx_flush(struct ctx *c, struct err *e);
/* Text output of instruments and queries (not rows of the ledger). */
MUST_USE enum status ctx_print(struct ctx *c, struct err *e, const char *fmt, ...) PRINTF_LIKE(3, 4);



extern const struct stage *const stage_table[]; /* ends with NULL */
const struct stage *stage_find(const char *name);
int stage_main(int argc, char **argv); /* used by main() and by tests */
#endif

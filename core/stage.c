/* SPDX-License-Identifier: Apache-2.0
 * The frame around a stage: what every subcommand needs done before and after its run. Rows in and out are in
 * stage_rows.c, help pages in stage_help.c. Order at the end matters: rows flushed, ledger closed, book closed, and only
 * then stdout, so that a reader that sees the end of the pipe finds the closing line. */
#include "stage.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
#include "book.h"
#include "json.h"
#include "log.h"
#include "pool.h"
#include "stage_internal.h"

#define COMMON(field, name, letter, type, dflt, range, arg, help) OPT_ROW(common_options, field, name, letter, type, dflt, range, arg, help)
const struct opt_row common_rows[] = {
  COMMON(config, "config", 'C', OPT_STR, NULL, NULL, "FILE", "read options from a YAML file; flags on the line win"),
  COMMON(book, "book", 0, OPT_STR, NULL, NULL, "DIR", "keep answers, money and the ledger in this book (or RETORT_BOOK)"),
  COMMON(threads, "threads", 0, OPT_INT, "0", "0..256", "N", "compute threads, 0 = all this process may use"),
  COMMON(strict, "strict", 0, OPT_FLAG, NULL, NULL, NULL, "exit 1 when any row or input failed (else only when all did)"),
  COMMON(force, "force", 0, OPT_FLAG, NULL, NULL, NULL, "replace an output that was made from other inputs or options"),
  COMMON(accept_terms, "accept-terms", 0, OPT_STR, NULL, NULL, "WHY", "go on although the terms are unknown or forbid; WHY is recorded"),
  COMMON(quiet, "quiet", 'q', OPT_FLAG, NULL, NULL, NULL, "only warnings and errors"),
  COMMON(verbose, "verbose", 'v', OPT_FLAG, NULL, NULL, NULL, "more detail"),
  COMMON(log_json, "log-json", 0, OPT_FLAG, NULL, NULL, NULL, "log lines as JSON objects"),
  COMMON(no_progress, "no-progress", 0, OPT_FLAG, NULL, NULL, NULL, "no progress bar"),
  COMMON(help, "help", 'h', OPT_FLAG, NULL, NULL, NULL, "this text"),
  OPT_END
};

const struct common_options *ctx_common(const struct ctx *c) { return &c->common; }
struct arena *ctx_arena(struct ctx *c) { return c->arena; }
struct book *ctx_book(struct ctx *c) { return c->book; }
struct ledger *ctx_ledger(struct ctx *c) { return c->ledger; }

enum status ctx_book_require(struct ctx *c, struct book **b, struct err *e) {
  enum status st = STATUS_OK;
  if (c->book == NULL) {
    st = book_open("retort.book", BOOK_CREATE, &c->book, e);
    if (st == STATUS_OK) book_spender(c->book, c->stage->name);
    if (st == STATUS_OK) log_info("no --book given: answers are kept in ./retort.book");
    if (st == STATUS_OK) st = ledger_attach(c->ledger, c->book, e);
  }
  *b = c->book;
  return st;
}

/* user:password@ in an address is overwritten: options go into books and manifests. */
static void hide_passwords(char *p) {
  while ((p = strstr(p, "://")) != NULL) {
    p += 3;
    size_t n = strcspn(p, "/?# \"\\");
    char *at = memchr(p, '@', n);
    for (char *q = p; at && q < at; q++) *q = '*';
    p += n;
  }
}

enum status ctx_options_json(struct ctx *c, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  size_t from = out->n;
  TRY(buf_printf(out, e, "{\"stage\":\"%s\",\"version\":\"%s\",\"options\":", c->stage->name, RETORT_VERSION));
  TRY(opt_canonical(c->stage->options, c->options, out, e));
  TRY(buf_puts(out, ",\"args\":[", e));
  for (size_t i = 0; i < c->args.n; i++) {
    if (i) TRY(buf_putc(out, ',', e));
    TRY(json_put_cstr(out, c->args.item[i], e));
  }
  TRY(buf_puts(out, "]}", e));
  hide_passwords(out->p + from);
out:
  return st;
}

static void on_signal(int number) {
  if (stop_requested()) _exit(128 + number); /* asked twice: leave now; books are made to survive that */
  stop_request(number);
}

static void setup_signals(void) {
  struct sigaction a;
  memset(&a, 0, sizeof a);
  a.sa_handler = on_signal; /* without SA_RESTART: a blocked read wakes up */
  sigaction(SIGINT, &a, NULL);
  sigaction(SIGTERM, &a, NULL);
  sigaction(SIGHUP, &a, NULL);
  a.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &a, NULL);
  sigaction(SIGXFSZ, &a, NULL); /* ulimit -f: an error of the write (EFBIG), with a message and exit 3 */
}

/* A program started with 0, 1 or 2 closed must not have its own files land there. The stand-ins go the wrong way on
 * purpose: a stage that reads rows from a closed stdin or writes them to a closed stdout must fail with EBADF, not find an
 * empty input or lose every row quietly. Messages to a closed stderr may get lost. */
static void secure_descriptors(void) {
  static const int wrong_way[3] = { O_WRONLY, O_RDONLY, O_RDWR };
  for (int fd = 0; fd <= 2; fd++) {
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) (void)!open("/dev/null", wrong_way[fd]);
  }
}

static void put_reasons(const struct json *o, struct buf *out) {
  void *it = NULL;
  struct span key;
  const struct json *v;
  struct err e;
  const char *open = " (";
  while (json_next(o, &it, &key, &v)) {
    if (buf_printf(out, &e, "%s%.*s %lld", open, (int)key.n, key.p, (long long)json_int(v, 0)) != STATUS_OK) return;
    open = ", ";
  }
  if (open[0] == ',') (void)!buf_putc(out, ')', &e);
}

static void log_summary(struct ctx *c) {
  struct buf text = { 0 }, out = { 0 };
  struct json *j = NULL;
  struct err e;
  struct ledger *l = c->ledger;
  if (ledger_json(l, &text, &e) != STATUS_OK) goto out;
  struct span s = { text.p, text.n };
  if (json_parse(s, "ledger", &j, &e) != STATUS_OK) goto out;
  if (buf_printf(&out, &e, "%llu in, %llu kept", (unsigned long long)ledger_count_in(l), (unsigned long long)ledger_count_kept(l)) != STATUS_OK) goto out;
  if (ledger_count_dropped(l)) {
    if (buf_printf(&out, &e, ", %llu dropped", (unsigned long long)ledger_count_dropped(l)) != STATUS_OK) goto out;
    put_reasons(json_get(j, "dropped"), &out);
  }
  if (ledger_count_failed(l)) {
    if (buf_printf(&out, &e, ", %llu failed", (unsigned long long)ledger_count_failed(l)) != STATUS_OK) goto out;
    put_reasons(json_get(j, "failed"), &out);
  }
  if (json_get(j, "changed")) {
    if (buf_puts(&out, ", changed", &e) != STATUS_OK) goto out;
    put_reasons(json_get(j, "changed"), &out);
  }
  log_info("%s, %llu made, %.1f s", out.p, (unsigned long long)ledger_count_made(l), clock_seconds() - c->start);
out:
  json_free(j);
  buf_free(&text);
  buf_free(&out);
}

static enum status open_ledger(struct ctx *c, struct err *e) {
  struct buf options = { 0 };
  enum status st = STATUS_OK;
  if (c->ledger == NULL) c->ledger = ledger_new(c->stage->name, NULL);
  if (c->ledger == NULL) return err_nomem(e, 0);
  if (c->book) TRY(ledger_attach(c->ledger, c->book, e));
  TRY(ctx_options_json(c, &options, e));
  struct span s = { options.p, options.n };
  int in = c->stage->flags & STAGE_ROWS_IN ? STDIN_FILENO : -1, out = c->stage->flags & STAGE_ROWS_OUT ? STDOUT_FILENO : -1;
  TRY(ledger_open(c->ledger, in, out, s, e));
out:
  buf_free(&options);
  return st;
}

enum status ctx_judge_failed(struct ctx *c, struct err *e) {
  uint64_t in = ledger_count_in(c->ledger), failed = ledger_count_failed(c->ledger);
  if (c->bad_rows > BAD_ROWS_NAMED && !c->common.verbose && !c->judged++)
    log_warn("%llu more bad rows were counted and not named (-v names all)", (unsigned long long)(c->bad_rows - BAD_ROWS_NAMED));
  if (failed == 0 || !c->common.strict) {
    if (c->bad_rows == 0 || c->bad_rows < in) return STATUS_OK;
    return err_set(e, STATUS_DATA, "none of %llu rows could be read (reasons above)", (unsigned long long)in);
  }
  return err_set(e, STATUS_DATA, "%llu of %llu rows failed (--strict)", (unsigned long long)failed, (unsigned long long)(in ? in : failed));
}

static enum status run_stage(struct ctx *c, struct err *e) {
  enum status st = STATUS_OK;
  unsigned rows = c->stage->flags & (STAGE_ROWS_IN | STAGE_ROWS_OUT);
  const char *env = getenv("RETORT_BOOK");
  if (c->common.book == NULL && env && env[0]) c->common.book = env;
  if ((c->stage->flags & STAGE_BOOK) && c->common.book) TRY(book_open(c->common.book, BOOK_CREATE, &c->book, e));
  if (c->book) book_spender(c->book, c->stage->name);
  if (rows) TRY(open_ledger(c, e));
  TRY(pool_setup((int)c->common.threads, e));
  TRY(c->stage->run(c, c->options, &c->args, e));
  TRY(ctx_flush(c, e));
  TRY(ctx_judge_failed(c, e));
  if (rows) {
    TRY(ledger_close(c->ledger, e));
    log_summary(c);
  }
out:
  if (st != STATUS_OK && !c->out_broken && c->out.n > 0) { /* rows before the bad one are good */
    struct err second;
    (void)!ctx_flush(c, &second);
  }
  if (st == STATUS_DATA && rows && ledger_count_in(c->ledger) > 0) log_summary(c); /* what happened to the rows so far says why */
  if (st != STATUS_OK && c->ledger) ledger_abort(c->ledger, c->out_broken ? "broken pipe" : status_name(st));
  if (c->book) {
    struct err second;
    enum status closed = book_close(c->book, &second);
    if (closed != STATUS_OK && st == STATUS_OK) {
      st = closed;
      if (e) *e = second;
    }
  }
  return st;
}

static int exit_number(struct ctx *c, enum status st, const struct err *e) {
  if (st == STATUS_OK) return 0;
  if (c->out_broken) return 141;
  if (st == STATUS_STOPPED && stop_signal() != 0) {
    log_warn("%s; run the same command again to go on", e->msg[0] ? e->msg : "stopped");
    return 128 + stop_signal();
  }
  log_error("%s", e->msg[0] ? e->msg : status_text(st));
  return (int)st;
}

static int frame(const struct stage *s, int argc, char **argv) {
  struct ctx c;
  struct err e = { STATUS_OK, "" };
  enum status st = STATUS_OK;
  memset(&c, 0, sizeof c);
  c.stage = s;
  c.start = clock_seconds();
  c.arena = arena_new(0);
  c.row_arena = arena_new(0);
  c.options = c.arena ? arena_calloc(c.arena, 1, s->options_bytes ? s->options_bytes : 1) : NULL;
  log_setup(s->name, LOG_INFO, 0, -1);
  if (c.row_arena == NULL || c.options == NULL) {
    st = err_nomem(&e, s->options_bytes);
    goto out;
  }
  if (s->flags & STAGE_ROWS_OUT) { /* known to the neighbour from here on, so that a usage error does not look like an empty input */
    c.ledger = ledger_new(s->name, NULL);
    if (c.ledger == NULL) {
      st = err_nomem(&e, 0);
      goto out;
    }
    ledger_announce(c.ledger, STDOUT_FILENO);
  }
  st = opt_parse(s->name, s->options, c.options, common_rows, &c.common, argc, argv, &c.args, c.arena, &e);
  log_setup(s->name, c.common.quiet ? LOG_WARN : c.common.verbose ? LOG_DEBUG : LOG_INFO, c.common.log_json, c.common.no_progress ? 0 : -1);
  if (st != STATUS_OK) goto out;
  if (c.common.help) {
    st = stage_help(s, &e);
    goto out;
  }
  setup_signals();
  st = run_stage(&c, &e);
out:
  if (c.out.n == 0 && fflush(stdout) != 0 && st == STATUS_OK) st = err_sys(&e, STATUS_IO, "output cannot be written");
  int number = exit_number(&c, st, &e);
  line_reader_free(c.lines);
  if (c.ledger) ledger_abort(c.ledger, number == 0 ? "broken pipe" : status_name(st)); /* announced and never opened */
  ledger_free(c.ledger);
  buf_free(&c.out);
  arena_free(c.row_arena);
  arena_free(c.arena);
  pool_close();
  if (close(STDOUT_FILENO) != 0 && number == 0) {
    log_error("output cannot be closed: %s", strerror(errno));
    number = STATUS_IO;
  }
  return number;
}

int stage_main(int argc, char **argv) {
  secure_descriptors();
  const char *fail_at = getenv("RETORT_FAIL_ALLOC"); /* tests/fault: the Nth allocation of this process fails */
  int64_t nth = 0;
  if (fail_at && opt_parse_int(fail_at, &nth, NULL) == STATUS_OK) mem_fail_at((long)nth);
  const char *name = argc > 1 ? argv[1] : "help";
  if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0) name = "help";
  if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) name = "version";
  if (strcmp(name, "help") == 0 || strcmp(name, "version") == 0) return stage_help_main(name, argc - 1, argv + 1);
  const struct stage *s = stage_find(name);
  if (s != NULL) return frame(s, argc - 1, argv + 1);
  log_setup("", LOG_INFO, 0, 0);
  if (name[0] == '-') {
    fprintf(stderr, "retort: '%s' stands before the stage: options come after it, as in 'retort ledger --book DIR'\n", name);
    return STATUS_USAGE;
  }
  const char *near = stage_nearest(name);
  if (near) fprintf(stderr, "retort: '%s' is not a stage; did you mean '%s'?\n", name, near);
  else fprintf(stderr, "retort: '%s' is not a stage; see 'retort help'\n", name);
  return STATUS_USAGE;
}

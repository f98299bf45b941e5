/* SPDX-License-Identifier: Apache-2.0
 * `retort report`: one self-contained HTML page about runs. What is not there is left out, and the page says so. */
#include <stdio.h>
#include "book.h"
#include "file.h"
#include "log.h"
#include "report_page.h"
#include "report_text.h"
#include "stage.h"

struct report_options { const char *output, *summary, *samples, *title; int text; };
static const struct opt_row rows[] = {
  OPT_ROW(report_options, output, "output", 'o', OPT_STR, NULL, NULL, "FILE", "the page to write (needed)"),
  OPT_ROW(report_options, summary, "summary", 0, OPT_STR, NULL, NULL, "FILE", "table of models: rows with params, bytes, loss, kl, agreement, text_loss, tok_s"),
  OPT_ROW(report_options, samples, "samples", 0, OPT_STR, NULL, NULL, "FILE", "JSON Lines {question, teacher, student}; without it samples.jsonl of the first run that has one"),
  OPT_ROW(report_options, title, "title", 0, OPT_STR, "retort report", NULL, "TEXT", "heading of the page"),
  OPT_ROW(report_options, text, "text", 0, OPT_FLAG, NULL, NULL, NULL, "print the --samples side by side on stdout instead of writing a page"),
  OPT_END
};

static enum status load(struct ctx *c, const struct report_options *o, const struct opt_list *args, struct report *r, struct err *e) {
  enum status st = STATUS_OK;
  struct arena *a = ctx_arena(c);
  struct book *book = NULL;
  struct report_run *run = arena_calloc(a, args->n + 1, sizeof *run);
  if (!run) return err_nomem(e, args->n * sizeof *run);
  r->run = run;
  r->a = a;
  r->title = o->title;
  r->summary = o->summary;
  r->samples = o->samples;
  r->book = ctx_common(c)->book;
  for (size_t i = 0; i < args->n; i++) {
    TRY(report_run_load(args->item[i], a, &run[i], e));
    r->n_run++;
    char *found = path_join(a, args->item[i], "samples.jsonl");
    if (!found) TRY(err_nomem(e, 0));
    if (!r->samples && file_exists(found)) r->samples = found;
  }
  if (r->summary) {
    struct report_row *list;
    TRY(report_summary_load(r->summary, a, &list, &r->n_row, e));
    r->row = list;
  }
  if (r->samples) {
    struct report_sample *list;
    TRY(report_samples_load(r->samples, a, &list, &r->n_sample, e));
    r->sample = list;
  }
  if (r->book) {
    struct flow_run *list;
    TRY(book_open(r->book, BOOK_READ, &book, e));
    TRY(flow_load(book, a, &list, &r->n_flow, e));
    r->flow = list;
    TRY(book_spent(book, &r->spent_micro_usd, e));
  }
out:
  if (book) {
    enum status closed = book_close(book, st == STATUS_OK ? e : NULL);
    if (st == STATUS_OK) st = closed;
  }
  return st;
}

/* Same bytes: left alone. Others: only with --force. */
static enum status write_page(struct ctx *c, const char *path, const struct buf *page, struct err *e) {
  enum status st = STATUS_OK;
  struct file_map old = { 0 };
  struct file_atomic f = { 0 };
  if (file_exists(path)) {
    TRY(file_map_open(path, &old, e));
    if (old.bytes == page->n && !memcmp(old.p, page->p, page->n)) {
      log_info("'%s' is up to date", path);
      goto out;
    }
    if (!ctx_common(c)->force) TRY(err_set(e, STATUS_USAGE, "'%s': exists with other contents; --force replaces it", path));
  }
  TRY(file_atomic_open(&f, path, e));
  if (fwrite(page->p, 1, page->n, f.fp) != page->n) TRY(err_sys(e, STATUS_IO, "'%s' cannot be written", path));
  TRY(file_atomic_commit(&f, e));
  log_info("'%s' written (%zu kB)", path, page->n / 1000);
out:
  file_atomic_abort(&f);
  file_map_close(&old);
  return st;
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  enum status st = STATUS_OK;
  const struct report_options *o = options;
  struct report r = { 0 };
  struct buf page = { 0 };
  if (o->text) {
    if (!o->samples && args->n == 0) return err_set(e, STATUS_USAGE, "'--text' shows samples: give --samples FILE or a run folder that has them");
    TRY(load(c, o, args, &r, e));
    TRY(report_text(r.sample, r.n_sample, &page, e));
    TRY(ctx_print(c, e, "%s", page.p ? page.p : ""));
    goto out;
  }
  if (!o->output) return err_set(e, STATUS_USAGE, "'-o FILE' is missing: where to write the page");
  if (args->n == 0 && !o->summary && !ctx_common(c)->book) return err_set(e, STATUS_USAGE, "nothing to report on: name run folders, --summary or --book");
  TRY(load(c, o, args, &r, e));
  TRY(report_page(&r, &page, e));
  TRY(write_page(c, o->output, &page, e));
out:
  buf_free(&page);
  return st;
}

const struct stage stage_report = {
  .name = "report",
  .args = "[RUN...] -o FILE",
  .summary = "one HTML page about runs: flow of rows, curves, size against quality, answers",
  .details =
    "RUN is a run folder of retort train (metrics.jsonl, manifest.json). With --book the page\n"
    "shows the flow of rows through the stages, with --summary the table of models that\n"
    "retort eval made, with --samples answers side by side. The page is one file without\n"
    "scripts and loads nothing; parts whose input is missing are left out, with a line that\n"
    "says so.\n"
    "\n"
    "  retort report run/ -o report.html --book my.book --summary summary.json\n"
    "  retort report distilled/ supervised/ --samples samples.jsonl -o compare.html",
  .flags = 0,
  .options = rows,
  .options_bytes = sizeof(struct report_options),
  .run = run,
};

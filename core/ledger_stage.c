/* SPDX-License-Identifier: Apache-2.0
 * `retort ledger`: what the book says about the flow of rows, as a table or JSON; exit 1 when it does not add up. */
#include <inttypes.h>
#include "flow.h"
#include "json.h"
#include "stage.h"

struct ledger_options { int json; };
static const struct opt_row rows[] = {
  OPT_ROW(ledger_options, json, "json", 0, OPT_FLAG, NULL, NULL, NULL, "one JSON object a run instead of the table"),
  OPT_END
};

static void count_text(char out[24], int shown, uint64_t v) {
  if (shown) snprintf(out, 24, "%" PRIu64, v);
  else snprintf(out, 24, "-");
}

static const char *end_text(const struct flow_run *r) {
  if (!r->outcome) return r->alive ? "running" : "NO CLOSING LINE";
  if (!strcmp(r->outcome, "done") && !strcmp(r->upstream, "outside retort")) return "done (rows from outside retort)";
  return r->outcome;
}

static int counts(const struct flow_run *r) { return r->problem && !r->superseded; }

static enum status print_reasons(struct ctx *c, const char *word, const struct flow_reason *list, size_t n, struct err *e) {
  enum status st = STATUS_OK;
  for (size_t i = 0; i < n; i++) TRY(ctx_print(c, e, "  %-12s %10s   %s: %" PRIu64 " %s\n", "", "", word, list[i].n, list[i].text));
out:
  return st;
}

/* Of one flow [from, to): what came in at its sources, what is left at its ends, and whether every run adds up. */
static enum status print_total(struct ctx *c, const struct flow_run *run, size_t from, size_t to, struct err *e) {
  uint64_t in = 0, dropped = 0, failed = 0, left = 0;
  int bad = 0;
  for (size_t i = from; i < to; i++) {
    const struct flow_run *r = &run[i];
    int read_on = 0;
    if (r->superseded) continue;
    for (size_t k = from; k < to; k++)
      for (size_t u = 0; u < run[k].n_up; u++) read_on |= run[k].up[u] == i;
    in += r->n_up == 0 ? r->in : 0;
    dropped += r->dropped, failed += r->failed;
    left += read_on ? 0 : strcmp(r->stdout_id, "none") != 0 ? r->made : r->kept;
    bad |= counts(r);
  }
  return ctx_print(c, e, "  %-12s %10" PRIu64 " %10s %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %9s  %s\n", "total", in, "", dropped, failed, left, "",
                   bad ? "DOES NOT ADD UP" : "adds up");
}

static enum status print_table(struct ctx *c, const struct flow_run *run, size_t n, struct err *e) {
  enum status st = STATUS_OK;
  for (size_t i = 0; i < n; i++) {
    const struct flow_run *r = &run[i];
    char in[24], kept[24], dropped[24], failed[24], made[24], day[32] = "", secs[24] = "-";
    int has_in = strcmp(r->stdin_id, "none") != 0 || r->in > 0, has_out = strcmp(r->stdout_id, "none") != 0;
    if (i == 0 || r->flow != run[i - 1].flow) {
      time_t t = (time_t)r->start;
      struct tm tm;
      if (gmtime_r(&t, &tm)) strftime(day, sizeof day, "%Y-%m-%d %H:%M:%S UTC", &tm);
      TRY(ctx_print(c, e, "%sflow %d, %s, on %s\n  %-12s %10s %10s %10s %10s %10s %9s  %s\n", i ? "\n" : "", r->flow + 1, day, r->host, "stage",
                    "in", "kept", "dropped", "failed", "made", "seconds", "end"));
    }
    count_text(in, has_in && r->outcome, r->in);
    count_text(kept, has_in && r->outcome, r->kept);
    count_text(dropped, has_in && r->outcome, r->dropped);
    count_text(failed, has_in && r->outcome, r->failed);
    count_text(made, has_out && r->outcome, r->made);
    if (r->end > 0) snprintf(secs, sizeof secs, "%.1f", r->end - r->start);
    TRY(ctx_print(c, e, "  %-12s %10s %10s %10s %10s %10s %9s  %s%s\n", r->stage, in, kept, dropped, failed, made, secs, end_text(r), r->superseded ? " (done later)" : ""));
    TRY(print_reasons(c, "dropped", r->dropped_why, r->n_dropped_why, e));
    TRY(print_reasons(c, "failed", r->failed_why, r->n_failed_why, e));
    TRY(print_reasons(c, "changed", r->changed_why, r->n_changed_why, e));
    if (counts(r)) TRY(ctx_print(c, e, "  %-12s %10s   ! %s\n", "", "", r->problem));
    if (i + 1 == n || run[i + 1].flow != r->flow) {
      size_t from = i;
      while (from > 0 && run[from - 1].flow == r->flow) from--;
      TRY(print_total(c, run, from, i + 1, e));
    }
  }
out:
  return st;
}

static enum status put_reasons(struct buf *b, const char *name, const struct flow_reason *list, size_t n, struct err *e) {
  enum status st = STATUS_OK;
  TRY(buf_printf(b, e, ",\"%s\":{", name));
  for (size_t i = 0; i < n; i++) {
    if (i) TRY(buf_putc(b, ',', e));
    TRY(json_put_cstr(b, list[i].text, e));
    TRY(buf_printf(b, e, ":%" PRIu64, list[i].n));
  }
  TRY(buf_putc(b, '}', e));
out:
  return st;
}

static enum status put_run(struct buf *b, const struct flow_run *run, const struct flow_run *r, struct err *e) {
  enum status st = STATUS_OK;
  const struct { const char *name, *value; } words[] = { { "run", r->run }, { "stage", r->stage }, { "host", r->host }, { "outcome", r->outcome },
                                                         { "upstream", r->upstream }, { "problem", r->problem } };
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    TRY(buf_printf(b, e, "%c\"%s\":", i ? ',' : '{', words[i].name));
    TRY(words[i].value ? json_put_cstr(b, words[i].value, e) : buf_puts(b, "null", e));
  }
  TRY(buf_printf(b, e, ",\"flow\":%d,\"pid\":%ld,\"start\":%.3f,\"end\":", r->flow + 1, r->pid, r->start));
  TRY(r->end > 0 ? buf_printf(b, e, "%.3f", r->end) : buf_puts(b, "null", e));
  TRY(buf_printf(b, e, ",\"in\":%" PRIu64 ",\"kept\":%" PRIu64 ",\"made\":%" PRIu64, r->in, r->kept, r->made));
  TRY(put_reasons(b, "dropped", r->dropped_why, r->n_dropped_why, e));
  TRY(put_reasons(b, "failed", r->failed_why, r->n_failed_why, e));
  TRY(put_reasons(b, "changed", r->changed_why, r->n_changed_why, e));
  TRY(buf_puts(b, ",\"reads\":[", e));
  for (size_t i = 0; i < r->n_up; i++) TRY(buf_printf(b, e, "%s\"%s\"", i ? "," : "", run[r->up[i]].run));
  TRY(buf_printf(b, e, "],\"superseded\":%s,\"options\":%s}", r->superseded ? "true" : "false", r->options));
out:
  return st;
}

/* What `retort forget` left a note of. */
static enum status print_forgotten(void *ctx, struct span note, struct err *e) {
  enum status st;
  struct json *j = NULL;
  TRY(json_parse(note, "note", &j, e));
  time_t t = (time_t)json_int(json_get(j, "time"), 0);
  struct tm tm;
  char day[32] = "";
  if (gmtime_r(&t, &tm)) strftime(day, sizeof day, "%Y-%m-%d %H:%M:%S UTC", &tm);
  for (size_t i = 0; i < json_size(json_get(j, "ids")); i++)
    TRY(ctx_print(ctx, e, "forgotten: %s, %s: %lld rows, %lld in shards, %lld answers; reason: %s\n", json_cstr(json_at(json_get(j, "ids"), i), "?"), day,
                  (long long)json_int(json_get(j, "rows"), 0), (long long)json_int(json_get(j, "shard_rows"), 0), (long long)json_int(json_get(j, "answers"), 0),
                  json_cstr(json_get(j, "why"), "")));
out:
  json_free(j);
  return st;
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  enum status st = STATUS_OK;
  const struct ledger_options *o = options;
  struct book *b = NULL;
  struct flow_run *list;
  size_t n, bad = 0, first = 0;
  struct buf line = { 0 };
  const char *path = args->n ? args->item[0] : ctx_common(c)->book ? ctx_common(c)->book : "retort.book";
  if (args->n > 1) return err_set(e, STATUS_USAGE, "'%s': one argument too many", args->item[1]);
  TRY(book_open(path, BOOK_READ, &b, e));
  TRY(flow_load(b, ctx_arena(c), &list, &n, e));
  for (size_t i = n; i-- > 0;)
    if (counts(&list[i])) bad++, first = i;
  if (!o->json) TRY(n ? print_table(c, list, n, e) : ctx_print(c, e, "'%s': no stage has run with this book yet\n", path));
  if (!o->json) TRY(book_notes(b, "forget", print_forgotten, c, e));
  for (size_t i = 0; o->json && i < n; i++) {
    buf_clear(&line);
    TRY(put_run(&line, list, &list[i], e));
    TRY(ctx_print(c, e, "%s\n", line.p));
  }
  if (bad) {
    TRY(ctx_flush(c, e));
    st = err_set(e, STATUS_DATA, "'%s': %zu of %zu runs do not add up; the first: '%s' (process %ld), %s", path, bad, n, list[first].stage,
                 list[first].pid, list[first].problem);
  }
out:
  buf_free(&line);
  if (b) {
    enum status closed = book_close(b, st == STATUS_OK ? e : NULL);
    if (st == STATUS_OK) st = closed;
  }
  return st;
}

const struct stage stage_ledger = {
  .name = "ledger",
  .args = "[BOOK]",
  .summary = "show the flow of rows through the stages, and whether it adds up",
  .details =
    "Every stage that ran with a book left an opening and a closing line there: rows in = kept + dropped + failed, rows\n"
    "made, and digests. Stages that fed each other through a pipe (or an unchanged file) are shown as one flow. Exit 1\n"
    "when a sum is wrong, rows got lost between two stages, or a run has no closing line and was not done again later.\n"
    "\n"
    "  retort ledger --book my.book\n"
    "  retort ledger --json | jq 'select(.problem)'",
  .flags = 0,
  .options = rows,
  .options_bytes = sizeof(struct ledger_options),
  .run = run,
};

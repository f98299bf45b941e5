/* SPDX-License-Identifier: Apache-2.0
 * The report's page. No scripts, nothing loaded from anywhere; light and dark by the reader's setting. */
#include "report_page.h"
#include <inttypes.h>
#include <math.h>
#include "svg.h"

enum { FLOWS_MAX = 6, POINTS_MAX = 400, RUNS_MAX = 24 };

static const char style[] =
  ":root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1b1f24;--faint:#5c6672;--grid:#e4e7eb;--line:#c3c9d1;--band:#b9cdf0;--box:#eef3fc;--bad:#c2255c;"
  "--c0:#2563c9;--c1:#d4581a;--c2:#158468;--c3:#8244c8;--c4:#b8264f;--c5:#7a6a12}\n"
  "@media(prefers-color-scheme:dark){:root{--bg:#14171b;--card:#1c2026;--ink:#e6e9ed;--faint:#98a2ae;--grid:#2b3138;--line:#454d57;--band:#2f4a78;--box:#232b38;--bad:#ff6b96;"
  "--c0:#6ea8fe;--c1:#ff9a5c;--c2:#4fd0ac;--c3:#c49bff;--c4:#ff7d9c;--c5:#d8c24a}}\n"
  "*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif}"
  "main{max-width:1180px;margin:0 auto;padding:28px 20px 60px}h1{font-size:26px;margin:0 0 2px}h2{font-size:18px;margin:34px 0 10px}p{margin:6px 0}.sub,.missing,.note{color:var(--faint)}"
  ".missing{border-left:3px solid var(--line);padding-left:10px}.card,figure{background:var(--card);border:1px solid var(--grid);border-radius:12px;padding:16px;margin:0}"
  ".card+.card{margin-top:14px}.tiles .card{margin-top:0}.grid{display:grid;gap:14px;grid-template-columns:repeat(auto-fit,minmax(min(100%,480px),1fr))}"
  ".tiles{display:grid;gap:14px;grid-template-columns:repeat(auto-fit,minmax(180px,1fr));margin-top:18px}.tile b{display:block;font-size:26px;line-height:1.2;font-variant-numeric:tabular-nums}"
  ".tile span{color:var(--faint);font-size:13px}figcaption{font-weight:600;margin-bottom:4px}.legend{display:flex;flex-wrap:wrap;gap:2px 18px;font-size:13px;color:var(--faint);min-height:20px}"
  ".legend b{color:var(--ink);font-variant-numeric:tabular-nums}.key{width:26px;height:10px;margin-right:6px}svg{width:100%;height:auto;display:block}.key{display:inline-block}svg.flow{margin:0 auto}"
  "text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:var(--faint)}.grid line,line.grid{stroke:var(--grid)}.axis{stroke:var(--line)}.line{fill:none;stroke-width:2;stroke-linejoin:round}"
  ".faint{opacity:.22;stroke-width:1.2}.dash{stroke-dasharray:6 4}.dot{stroke:var(--card);stroke-width:1.5}text.name{fill:var(--ink);font-weight:600}.value{fill:var(--faint);font-weight:400}"
  ".band{fill:var(--band)}.box{fill:var(--box);stroke:var(--c0);stroke-width:1.2}.box.bad{stroke:var(--bad);stroke-width:2}text.stage{font-size:15px;font-weight:650;fill:var(--ink)}"
  "text.rows{fill:var(--ink);font-weight:600;font-size:12px;paint-order:stroke;stroke:var(--card);stroke-width:3px;stroke-linejoin:round}text.lost{fill:var(--bad);font-size:11.5px}text.small{font-size:12.5px}"
  ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{text-align:right;padding:7px 10px;border-bottom:1px solid var(--grid);white-space:nowrap}"
  "th:first-child,td:first-child{text-align:left}th{color:var(--faint);font-weight:600;font-size:13px}tr:last-child td{border-bottom:0}td small{color:var(--faint)}"
  ".pair{display:grid;gap:14px;grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr));margin-top:8px}.answer{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--bg);border-radius:8px;padding:10px 12px}"
  ".who{font-size:13px;font-weight:600;color:var(--faint)}.q{font-weight:600;white-space:pre-wrap;overflow-wrap:anywhere}@media print{body{background:#fff}figure,.card{break-inside:avoid}}";

static enum status missing(struct buf *b, const char *what, struct err *e) {
  enum status st = STATUS_OK;
  TRY(buf_puts(b, "<p class=\"missing\">", e));
  TRY(html_puts(b, what, e));
  TRY(buf_puts(b, "</p>\n", e));
out:
  return st;
}

/* ---- key figures ---- */

static const struct report_row *row_named(const struct report *r, const char *name) {
  for (size_t i = 0; i < r->n_row; i++)
    if (!strcmp(r->row[i].name, name)) return &r->row[i];
  return NULL;
}

static enum status tile(struct buf *b, const char *value, const char *what, struct err *e) {
  enum status st = STATUS_OK;
  TRY(buf_puts(b, "<div class=\"card tile\"><b>", e));
  TRY(html_puts(b, value, e));
  TRY(buf_puts(b, "</b><span>", e));
  TRY(html_puts(b, what, e));
  TRY(buf_puts(b, "</span></div>\n", e));
out:
  return st;
}

static enum status tiles(const struct report *r, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  const struct report_row *t = row_named(r, "teacher"), *d = row_named(r, "distilled"), *p = row_named(r, "pruned"), *s = row_named(r, "supervised");
  char v[64], w[128], n[32];
  if (!d) return STATUS_OK;
  TRY(buf_puts(b, "<div class=\"tiles\" style=\"margin-bottom:14px\">\n", e));
  if (t && d->params > 0 && t->params > 0) {
    snprintf(v, sizeof v, "%.3g\xC3\x97 smaller", t->params / d->params);
    svg_si(n, d->params);
    snprintf(w, sizeof w, "%s parameters in the student", n);
    TRY(tile(b, v, w, e));
  }
  if (isfinite(d->kl)) {
    snprintf(v, sizeof v, "%.3g nat", d->kl);
    if (p && isfinite(p->kl)) snprintf(w, sizeof w, "KL to the teacher, held-out (%.3g before)", p->kl);
    else snprintf(w, sizeof w, "KL to the teacher, held-out");
    TRY(tile(b, v, w, e));
  }
  if (isfinite(d->agreement)) {
    snprintf(v, sizeof v, "%.1f %%", 100 * d->agreement);
    if (s && isfinite(s->agreement)) snprintf(w, sizeof w, "top-1 agreement (supervised alone: %.1f %%)", 100 * s->agreement);
    else snprintf(w, sizeof w, "top-1 agreement with the teacher");
    TRY(tile(b, v, w, e));
  }
  if (d->tok_s > 0) {
    snprintf(v, sizeof v, "%.3g tok/s", d->tok_s);
    if (t && t->tok_s > 0) snprintf(w, sizeof w, "decoding (teacher: %.3g tok/s)", t->tok_s);
    else snprintf(w, sizeof w, "decoding");
    TRY(tile(b, v, w, e));
  }
  TRY(buf_puts(b, "</div>\n", e));
out:
  return st;
}

/* ---- the pipe ---- */

static enum status flow_section(const struct report *r, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  TRY(buf_puts(b, "<h2>The pipe</h2>\n", e));
  if (!r->book) return missing(b, "No book was given (--book DIR), so there is no ledger of rows to show.", e);
  if (!r->n_flow) return missing(b, "The book holds no run of a row stage yet.", e);
  int last = r->flow[r->n_flow - 1].flow, first = last + 1 > FLOWS_MAX ? last + 1 - FLOWS_MAX : 0, bad = 0;
  for (size_t i = 0; i < r->n_flow; i++) bad += r->flow[i].problem && !r->flow[i].superseded;
  TRY(buf_printf(b, e, "<p class=\"note\">Rows through every stage, from the ledger of the book. %s", bad ? "<b>It does not add up; see the stages marked.</b>" : "Every sum adds up: in = kept + dropped + failed."));
  if (r->spent_micro_usd) TRY(buf_printf(b, e, " Spent on teachers: %.4f USD.", (double)r->spent_micro_usd / 1e6));
  if (first) TRY(buf_printf(b, e, " The latest %d of %d flows are shown.", FLOWS_MAX, last + 1));
  TRY(buf_puts(b, "</p>\n", e));
  for (size_t i = 0; i < r->n_flow;) {
    size_t n = 1;
    while (i + n < r->n_flow && r->flow[i + n].flow == r->flow[i].flow) n++;
    if (r->flow[i].flow >= first) {
      TRY(buf_puts(b, "<div class=\"card wide\">", e));
      TRY(svg_flow(b, r->flow + i, n, e));
      TRY(buf_puts(b, "</div>\n", e));
    }
    i += n;
  }
out:
  return st;
}

/* ---- training ---- */

static const struct curve *pick(const struct report_run *r, int k) {
  const struct curve *c[] = { &r->loss, &r->eval_loss, &r->kl, &r->eval_kl, &r->tok_s, &r->eval_agreement };
  return c[k];
}

struct chart { const char *title, *y_label; int train, held_out; /* pick() numbers, -1 = none */ };

static enum status chart(const struct report *r, const struct chart *c, struct buf *b, int *drawn, struct err *e) {
  enum status st = STATUS_OK;
  struct svg_series s[3 * RUNS_MAX];
  size_t n = 0;
  for (size_t i = 0; i < r->n_run && i < RUNS_MAX; i++) {
    const struct report_run *run = &r->run[i];
    struct curve thin;
    const char *which = c->train >= 0 && c->held_out >= 0 ? ", held-out" : "";
    if (c->train >= 0 && pick(run, c->train)->n) {
      int smooth = pick(run, c->train)->n > 30;
      if (smooth) {
        TRY(curve_thin(pick(run, c->train), POINTS_MAX, 0, r->a, &thin, e));
        s[n++] = (struct svg_series){ NULL, (int)i, SVG_FAINT, thin.x, thin.y, thin.n };
      }
      TRY(curve_thin(pick(run, c->train), POINTS_MAX, smooth ? 0.9 : 0, r->a, &thin, e));
      const char *loss = c->train == 0 && run->loss_name[0] ? run->loss_name : NULL;
      char *name = loss ? arena_printf(r->a, "%s (%s)", run->name, loss) : arena_printf(r->a, "%s%s", run->name, which[0] ? ", training" : "");
      if (!name) TRY(err_nomem(e, 0));
      s[n++] = (struct svg_series){ name, (int)i, SVG_LINE, thin.x, thin.y, thin.n };
    }
    if (c->held_out >= 0 && pick(run, c->held_out)->n) {
      TRY(curve_thin(pick(run, c->held_out), POINTS_MAX, 0, r->a, &thin, e));
      char *name = arena_printf(r->a, "%s%s", run->name, which);
      if (!name) TRY(err_nomem(e, 0));
      s[n++] = (struct svg_series){ name, (int)i, SVG_DOTS, thin.x, thin.y, thin.n };
    }
  }
  TRY(svg_plot(b, &(struct svg_plot){ c->title, "tokens seen", c->y_label, s, n }, drawn, e));
out:
  return st;
}

static enum status put_cell(struct buf *b, double v, int digits, struct err *e) {
  return isfinite(v) ? buf_printf(b, e, "<td>%.*f</td>", digits, v) : buf_puts(b, "<td>\xE2\x80\x93</td>", e);
}

static enum status put_si_cell(struct buf *b, double v, struct err *e) {
  char t[32] = "\xE2\x80\x93";
  if (isfinite(v)) svg_si(t, v);
  return buf_printf(b, e, "<td>%s</td>", t);
}

static enum status run_table(const struct report *r, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  TRY(buf_puts(b, "<div class=\"card wide\" style=\"margin-top:14px\"><table><tr><th>run</th><th>loss</th><th>learning rate</th><th>steps</th><th>tokens</th><th>seconds</th><th>tokens/s</th><th>peak memory GB</th></tr>\n", e));
  for (size_t i = 0; i < r->n_run; i++) {
    const struct report_run *x = &r->run[i];
    TRY(buf_puts(b, "<tr><td>", e));
    TRY(html_puts(b, x->name, e));
    TRY(buf_puts(b, "</td><td>", e));
    TRY(html_puts(b, x->loss_name[0] ? x->loss_name : "\xE2\x80\x93", e));
    TRY(buf_puts(b, "</td>", e));
    TRY(put_si_cell(b, x->lr, e));
    TRY(put_si_cell(b, x->steps, e));
    TRY(put_si_cell(b, x->tokens, e));
    TRY(put_cell(b, x->seconds, 0, e));
    TRY(put_cell(b, x->tokens / x->seconds, 0, e));
    TRY(put_cell(b, x->peak_bytes / 1e9, 2, e));
    TRY(buf_puts(b, "</tr>\n", e));
  }
  TRY(buf_puts(b, "</table></div>\n", e));
out:
  return st;
}

static enum status training_section(const struct report *r, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  static const struct chart charts[] = {
    { "Training objective", "nat per token", 0, -1 },
    { "Held-out loss (cross entropy)", "nat per token", -1, 1 },
    { "KL to the teacher", "nat per token", 2, 3 },
    { "Throughput", "tokens per second", 4, -1 },
    { "Held-out top-1 agreement", "share of tokens", -1, 5 },
  };
  static const char *const lacks[] = { "training loss", "held-out loss (train with --eval-shards)", "KL (train with teacher targets)", "throughput", NULL };
  char text[400] = "";
  TRY(buf_puts(b, "<h2>Training</h2>\n", e));
  if (!r->n_run) return missing(b, "No run folder was given.", e);
  TRY(buf_puts(b, "<div class=\"grid\">\n", e));
  for (size_t i = 0; i < sizeof charts / sizeof *charts; i++) {
    int drawn = 0;
    TRY(chart(r, &charts[i], b, &drawn, e));
    if (!drawn && lacks[i]) snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", text[0] ? ", " : "", lacks[i]);
  }
  TRY(buf_puts(b, "</div>\n", e));
  TRY(run_table(r, b, e));
  for (size_t i = 0; i < r->n_run; i++) {
    char line[600];
    snprintf(line, sizeof line, "'%.400s' holds no metrics.jsonl with values.", r->run[i].path);
    if (!r->run[i].n_metrics) TRY(missing(b, line, e));
  }
  if (text[0]) {
    char line[480];
    snprintf(line, sizeof line, "Not in the metrics: %s.", text);
    TRY(missing(b, line, e));
  }
  if (r->n_run > RUNS_MAX) TRY(missing(b, "Only the first 24 runs are plotted.", e));
out:
  return st;
}

/* ---- size and quality ---- */

static enum status scatter(const struct report *r, const char *title, const char *y_label, size_t offset, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  int drawn, bytes = 1;
  struct svg_point *p = mem_calloc(r->n_row + 1, sizeof *p);
  if (!p) return err_nomem(e, 0);
  for (size_t i = 0; i < r->n_row; i++) bytes &= isfinite(r->row[i].bytes);
  for (size_t i = 0; i < r->n_row; i++) {
    double y;
    memcpy(&y, (const char *)&r->row[i] + offset, sizeof y);
    p[i] = (struct svg_point){ r->row[i].name, bytes ? r->row[i].bytes / 1e6 : r->row[i].params / 1e6, y, (int)i };
  }
  TRY(svg_scatter(b, title, bytes ? "size, MB" : "parameters, millions", y_label, p, r->n_row, &drawn, e));
out:
  mem_free(p);
  return st;
}

static enum status quality_section(const struct report *r, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  TRY(buf_puts(b, "<h2>Size and quality</h2>\n", e));
  if (!r->summary) return missing(b, "No summary was given (--summary FILE, from retort eval).", e);
  if (!r->n_row) return missing(b, "The summary holds no rows.", e);
  TRY(buf_puts(b, "<div class=\"grid\">\n", e));
  TRY(scatter(r, "KL to the teacher on held-out answers", "nat per token", offsetof(struct report_row, kl), b, e));
  TRY(scatter(r, "Loss on held-out text", "nat per token", offsetof(struct report_row, text_loss), b, e));
  TRY(buf_puts(b, "</div>\n<div class=\"card wide\" style=\"margin-top:14px\"><table><tr><th>model</th><th>parameters</th><th>MB</th><th>loss</th><th>KL</th><th>agreement</th><th>text loss</th><th>tokens/s</th></tr>\n", e));
  for (size_t i = 0; i < r->n_row; i++) {
    const struct report_row *x = &r->row[i];
    TRY(buf_puts(b, "<tr><td>", e));
    TRY(html_puts(b, x->name, e));
    TRY(buf_puts(b, "</td>", e));
    TRY(put_si_cell(b, x->params, e));
    TRY(put_cell(b, x->bytes / 1e6, 1, e));
    TRY(put_cell(b, x->loss, 4, e));
    if (isfinite(x->kl) && isfinite(x->kl_low) && isfinite(x->kl_high)) TRY(buf_printf(b, e, "<td>%.4f <small>%.4f\xE2\x80\xA6%.4f</small></td>", x->kl, x->kl_low, x->kl_high));
    else TRY(put_cell(b, x->kl, 4, e));
    TRY(put_cell(b, x->agreement, 3, e));
    TRY(put_cell(b, x->text_loss, 4, e));
    TRY(put_cell(b, x->tok_s, 1, e));
    TRY(buf_puts(b, "</tr>\n", e));
  }
  TRY(buf_puts(b, "</table><p class=\"note\">Losses and KL are means in nat per token on held-out data; agreement is the share of tokens whose most likely next token is the teacher's.</p></div>\n", e));
out:
  return st;
}

/* ---- samples ---- */

static enum status answer(struct buf *b, const char *who, struct span text, struct err *e) {
  enum status st = STATUS_OK;
  TRY(buf_printf(b, e, "<div><div class=\"who\">%s</div><div class=\"answer\">", who));
  TRY(text.p ? html_put(b, text, e) : buf_puts(b, "<span class=\"note\">no answer in the file</span>", e));
  TRY(buf_puts(b, "</div></div>\n", e));
out:
  return st;
}

static enum status sample_section(const struct report *r, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  TRY(buf_puts(b, "<h2>Answers side by side</h2>\n", e));
  if (!r->samples) return missing(b, "No samples were given (--samples FILE, or samples.jsonl in a run folder; rows {question, teacher, student}).", e);
  if (!r->n_sample) return missing(b, "The samples file holds no rows.", e);
  for (size_t i = 0; i < r->n_sample; i++) {
    TRY(buf_puts(b, "<div class=\"card\"><div class=\"q\">", e));
    TRY(html_put(b, r->sample[i].question, e));
    TRY(buf_puts(b, "</div><div class=\"pair\">", e));
    TRY(answer(b, "teacher", r->sample[i].teacher, e));
    TRY(answer(b, "student", r->sample[i].student, e));
    TRY(buf_puts(b, "</div></div>\n", e));
  }
out:
  return st;
}

enum status report_page(const struct report *r, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  TRY(buf_puts(b, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                  "<meta name=\"generator\" content=\"retort " RETORT_VERSION "\"><title>", e));
  TRY(html_puts(b, r->title, e));
  TRY(buf_printf(b, e, "</title><style>\n%s\n</style></head><body><main>\n<h1>", style));
  TRY(html_puts(b, r->title, e));
  TRY(buf_puts(b, "</h1><p class=\"sub\">", e));
  for (size_t i = 0; i < r->n_run; i++) {
    if (i) TRY(buf_puts(b, ", ", e));
    TRY(html_puts(b, r->run[i].path, e));
  }
  TRY(buf_puts(b, "</p>\n", e));
  TRY(tiles(r, b, e));
  TRY(flow_section(r, b, e));
  TRY(training_section(r, b, e));
  TRY(quality_section(r, b, e));
  TRY(sample_section(r, b, e));
  TRY(buf_puts(b, "<p class=\"sub\" style=\"margin-top:34px\">retort " RETORT_VERSION "</p>\n</main></body></html>\n", e));
out:
  return st;
}

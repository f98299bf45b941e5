/* SPDX-License-Identifier: Apache-2.0
 * The flow of rows as a picture: a box a stage, a band between stages as wide as the rows in it, what was dropped or failed
 * below its stage. */
#include <inttypes.h>
#include <math.h>
#include "svg.h"

enum { BOX_W = 152, BOX_H = 78, GAP_X = 76, GAP_Y = 20, BAND_MAX = 34, REASONS = 5, MARGIN = 8 };

static uint64_t most_rows(const struct flow_run *r, size_t n) {
  uint64_t m = 1;
  for (size_t i = 0; i < n; i++) {
    if (r[i].in > m) m = r[i].in;
    if (r[i].made > m) m = r[i].made;
  }
  return m;
}

/* A band starts as wide as what left and ends as wide as what arrived. */
static enum status band(struct buf *out, double x0, double y0, double x1, double y1, uint64_t from, uint64_t to, uint64_t most, struct err *e) {
  double a = fmax(1.5, BAND_MAX * (double)from / (double)most / 2), b = fmax(1.5, BAND_MAX * (double)to / (double)most / 2), mid = (x0 + x1) / 2;
  enum status st = buf_printf(out, e, "<path class=\"band\" d=\"M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1fL%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1fZ\"/>", x0, y0 - a,
                              mid, y0 - a, mid, y1 - b, x1, y1 - b, x1, y1 + b, mid, y1 + b, mid, y0 + a, x0, y0 + a);
  if (st != STATUS_OK) return st;
  return buf_printf(out, e, "<text class=\"rows\" text-anchor=\"middle\" x=\"%.1f\" y=\"%.1f\">%" PRIu64 "</text>\n", mid, (y0 + y1) / 2 + 4, to);
}

static enum status reasons(struct buf *out, double x, double *y, const char *word, const struct flow_reason *r, size_t n, struct err *e) {
  enum status st = STATUS_OK;
  for (size_t i = 0; i < n; i++) {
    if (i == REASONS) {
      TRY(buf_printf(out, e, "<text class=\"lost\" x=\"%.1f\" y=\"%.1f\">and %zu more reasons</text>\n", x, *y, n - i));
      *y += 15;
      break;
    }
    char name[48];
    snprintf(name, sizeof name, "%.20s%s", r[i].text, strlen(r[i].text) > 20 ? "..." : "");
    TRY(buf_printf(out, e, "<text class=\"lost\" x=\"%.1f\" y=\"%.1f\">\xE2\x88\x92%" PRIu64 " ", x, *y, r[i].n));
    TRY(html_puts(out, name, e));
    TRY(buf_printf(out, e, "<title>%s: %" PRIu64 " ", word, r[i].n));
    TRY(html_puts(out, r[i].text, e));
    TRY(buf_puts(out, "</title></text>\n", e));
    *y += 15;
  }
out:
  return st;
}

static enum status box(struct buf *out, const struct flow_run *r, double x, double y, struct err *e) {
  enum status st = STATUS_OK;
  int bad = r->problem && !r->superseded, cut = r->outcome && strcmp(r->outcome, "done");
  double ty = y + BOX_H + 16;
  TRY(buf_printf(out, e, "<rect class=\"box%s\" x=\"%.1f\" y=\"%.1f\" width=\"%d\" height=\"%d\" rx=\"9\"/><text class=\"stage\" x=\"%.1f\" y=\"%.1f\">", bad ? " bad" : "", x, y,
                 BOX_W, BOX_H, x + 12, y + 24));
  TRY(html_puts(out, r->stage, e));
  TRY(buf_puts(out, "</text>", e));
  if (!r->outcome) TRY(buf_printf(out, e, "<text class=\"lost\" x=\"%.1f\" y=\"%.1f\">%s</text>", x + 12, y + 44, r->alive ? "still running" : "no closing line"));
  else if (strcmp(r->stdin_id, "none") && r->in) TRY(buf_printf(out, e, "<text class=\"small\" x=\"%.1f\" y=\"%.1f\">%" PRIu64 " of %" PRIu64 " kept</text>", x + 12, y + 44, r->kept, r->in));
  else if (strcmp(r->stdout_id, "none")) TRY(buf_printf(out, e, "<text class=\"small\" x=\"%.1f\" y=\"%.1f\">%" PRIu64 " made</text>", x + 12, y + 44, r->made));
  if (r->end > 0) TRY(buf_printf(out, e, "<text class=\"small\" x=\"%.1f\" y=\"%.1f\">%.1f s", x + 12, y + 62, r->end - r->start));
  if (r->end > 0 && cut) {
    TRY(buf_puts(out, ", ", e));
    TRY(html_puts(out, r->outcome, e));
  }
  if (r->end > 0) TRY(buf_puts(out, "</text>\n", e));
  TRY(reasons(out, x + 6, &ty, "dropped", r->dropped_why, r->n_dropped_why, e));
  TRY(reasons(out, x + 6, &ty, "failed", r->failed_why, r->n_failed_why, e));
  if (bad) {
    TRY(buf_printf(out, e, "<text class=\"lost\" x=\"%.1f\" y=\"%.1f\">! ", x + 6, ty));
    TRY(html_puts(out, r->problem, e));
    TRY(buf_puts(out, "</text>\n", e));
  }
out:
  return st;
}

static size_t lines_below(const struct flow_run *r) {
  size_t a = r->n_dropped_why, b = r->n_failed_why;
  return (a > REASONS ? REASONS + 1 : a) + (b > REASONS ? REASONS + 1 : b) + (r->problem && !r->superseded);
}

enum status svg_flow(struct buf *out, const struct flow_run *all, size_t n_all, struct err *e) {
  enum status st = STATUS_OK;
  double *x = mem_calloc(n_all + 1, sizeof *x), *y = mem_calloc(n_all + 1, sizeof *y);
  size_t lines = 0, row = 0, rows = 1;
  int depth_max = 0;
  uint64_t most = most_rows(all, n_all);
  if (!x || !y) TRY(err_nomem(e, n_all * sizeof *x));
  for (size_t i = 0; i < n_all; i++) {
    if (lines_below(&all[i]) > lines) lines = lines_below(&all[i]);
    if (all[i].depth > depth_max) depth_max = all[i].depth;
  }
  double row_h = BOX_H + GAP_Y + 15.0 * (double)lines, in_w = all[0].in && strcmp(all[0].stdin_id, "none") ? GAP_X : 0;
  for (size_t i = 0; i < n_all; i++) {
    row = i > 0 && all[i].depth == all[i - 1].depth ? row + 1 : 0;
    if (row + 1 > rows) rows = row + 1;
    x[i] = MARGIN + in_w + all[i].depth * (BOX_W + GAP_X);
    y[i] = MARGIN + (double)row * row_h;
  }
  double width = MARGIN * 2 + in_w + (depth_max + 1) * BOX_W + (depth_max + 1) * GAP_X, height = MARGIN * 2 + (double)rows * row_h - GAP_Y + 6;
  /* a picture of one or two boxes is not blown up to the width of the page */
  TRY(buf_printf(out, e, "<svg class=\"flow\" viewBox=\"0 0 %.0f %.0f\" style=\"max-width:%.0fpx\" role=\"img\" aria-label=\"flow of rows\">\n", width, height, width));
  for (size_t i = 0; i < n_all; i++) {
    const struct flow_run *r = &all[i];
    double cy = y[i] + BOX_H / 2.0;
    int linked = 0, read = 0;
    for (size_t k = 0; k < r->n_up; k++) {
      for (size_t u = 0; u < n_all; u++) {
        if (r->up[k] != all[u].index) continue;
        linked = 1;
        TRY(band(out, x[u] + BOX_W, y[u] + BOX_H / 2.0, x[i], cy, all[u].made, r->n_up > 1 ? all[u].made : r->in, most, e));
      }
    }
    if (!linked && r->in && strcmp(r->stdin_id, "none")) TRY(band(out, x[i] - GAP_X, cy, x[i], cy, r->in, r->in, most, e));
    for (size_t u = 0; u < n_all; u++)
      for (size_t k = 0; k < all[u].n_up; k++) read |= all[u].up[k] == r->index;
    if (!read && r->made && strcmp(r->stdout_id, "none")) TRY(band(out, x[i] + BOX_W, cy, x[i] + BOX_W + GAP_X, cy, r->made, r->made, most, e));
  }
  for (size_t i = 0; i < n_all; i++) TRY(box(out, &all[i], x[i], y[i], e));
  TRY(buf_puts(out, "</svg>\n", e));
out:
  mem_free(x);
  mem_free(y);
  return st;
}

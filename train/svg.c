/* SPDX-License-Identifier: Apache-2.0
 * Plots as SVG text: axes with round ticks, legends as HTML above the picture, tooltips through <title>. */
#include "svg.h"
#include <math.h>

enum { W = 640, H = 300, LEFT = 62, RIGHT = 18, TOP = 14, BOTTOM = 46, TICKS_MAX = 40 };

enum status html_put(struct buf *out, struct span s, struct err *e) {
  enum status st = STATUS_OK;
  const char *p = s.p, *end = p ? p + s.n : p;
  while (p < end) {
    size_t n = utf8_length(p, (size_t)(end - p));
    unsigned char c = (unsigned char)*p;
    if (n == 0 || (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) TRY(buf_puts(out, "\xEF\xBF\xBD", e));
    else if (c == '&') TRY(buf_puts(out, "&amp;", e));
    else if (c == '<') TRY(buf_puts(out, "&lt;", e));
    else if (c == '>') TRY(buf_puts(out, "&gt;", e));
    else if (c == '"') TRY(buf_puts(out, "&quot;", e));
    else if (c == '\'') TRY(buf_puts(out, "&#39;", e));
    else TRY(buf_put(out, p, n, e));
    p += n ? n : 1;
  }
out:
  return st;
}

enum status html_puts(struct buf *out, const char *text, struct err *e) { return html_put(out, (struct span){ text, text ? strlen(text) : 0 }, e); }

void svg_si(char out[32], double v) {
  static const struct { double at; const char *unit; } steps[] = { { 1e12, "T" }, { 1e9, "G" }, { 1e6, "M" }, { 1e3, "k" } };
  for (size_t i = 0; i < 4; i++) {
    if (fabs(v) < steps[i].at * 0.9999) continue;
    snprintf(out, 32, "%.3g%s", v / steps[i].at, steps[i].unit);
    return;
  }
  snprintf(out, 32, "%.4g", v);
}

/* ---- axes ---- */

struct axis { double lo, hi; int log; double from, to; /* pixels */ };

static double at(const struct axis *a, double v) {
  double lo = a->log ? log10(a->lo) : a->lo, hi = a->log ? log10(a->hi) : a->hi, x = a->log ? log10(v) : v;
  return a->from + (x - lo) / (hi - lo) * (a->to - a->from);
}

static double nice_step(double span, int want) {
  double raw = span / want, p = pow(10, floor(log10(raw))), f = raw / p;
  return (f <= 1 ? 1 : f <= 2 ? 2 : f <= 5 ? 5 : 10) * p;
}

/* Widens [lo, hi] so that points do not sit on the frame, and never to nothing. */
static void axis_fit(struct axis *a, double lo, double hi, double log_above, int pad) {
  a->log = lo > 0 && hi / lo > log_above;
  if (a->log) {
    double f = pad ? pow(hi / lo, 0.08) : 1;
    a->lo = lo / f;
    a->hi = hi * f;
  } else {
    double d = hi - lo;
    if (d <= 0) d = fabs(hi) > 0 ? fabs(hi) * 0.2 : 1;
    a->lo = pad ? lo - 0.07 * d : lo;
    a->hi = pad || hi == lo ? hi + 0.07 * d : hi;
    if (pad && lo >= 0 && a->lo < 0.25 * d) a->lo = 0; /* near zero: show zero */
  }
}

static size_t axis_ticks(const struct axis *a, double *t) {
  size_t n = 0;
  if (a->log) {
    static const double in_decade[] = { 1, 2, 5 };
    int k = log10(a->hi / a->lo) > 2.5 ? 1 : 3;
    for (int d = (int)floor(log10(a->lo)); d <= (int)ceil(log10(a->hi)); d++)
      for (int i = 0; i < k; i++) {
        double v = in_decade[i] * pow(10, d);
        if (v >= a->lo * 0.9999 && v <= a->hi * 1.0001 && n < TICKS_MAX) t[n++] = v;
      }
    if (n >= 2) return n;
    n = 0;
  }
  double step = nice_step(a->hi - a->lo, 5);
  for (double v = ceil(a->lo / step) * step; v <= a->hi + step * 1e-6 && n < TICKS_MAX; v += step) t[n++] = fabs(v) < step * 1e-6 ? 0 : v;
  return n;
}

static enum status frame(struct buf *out, const struct axis *x, const struct axis *y, const char *x_label, const char *y_label, struct err *e) {
  enum status st = STATUS_OK;
  double t[TICKS_MAX];
  char text[32];
  size_t n = axis_ticks(y, t);
  for (size_t i = 0; i < n; i++) {
    double py = at(y, t[i]);
    svg_si(text, t[i]);
    TRY(buf_printf(out, e, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text class=\"tick\" text-anchor=\"end\" x=\"%d\" y=\"%.1f\">%s</text>\n",
                   LEFT, W - RIGHT, py, py, LEFT - 8, py + 4, text));
  }
  n = axis_ticks(x, t);
  for (size_t i = 0; i < n; i++) {
    double px = at(x, t[i]);
    svg_si(text, t[i]);
    TRY(buf_printf(out, e, "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/><text class=\"tick\" text-anchor=\"middle\" x=\"%.1f\" y=\"%d\">%s</text>\n",
                   px, px, H - BOTTOM, H - BOTTOM + 4, px, H - BOTTOM + 18, text));
  }
  TRY(buf_printf(out, e, "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>\n", LEFT, W - RIGHT, H - BOTTOM, H - BOTTOM));
  TRY(buf_printf(out, e, "<text class=\"label\" text-anchor=\"middle\" x=\"%d\" y=\"%d\">", (LEFT + W - RIGHT) / 2, H - 8));
  TRY(html_puts(out, x_label, e));
  TRY(buf_printf(out, e, "%s</text><text class=\"label\" text-anchor=\"middle\" transform=\"translate(14 %d) rotate(-90)\">", x->log ? " (log scale)" : "", (TOP + H - BOTTOM) / 2));
  TRY(html_puts(out, y_label, e));
  TRY(buf_printf(out, e, "%s</text>\n", y->log ? " (log scale)" : ""));
out:
  return st;
}

static enum status figure_open(struct buf *out, const char *title, struct err *e) {
  enum status st = STATUS_OK;
  TRY(buf_puts(out, "<figure><figcaption>", e));
  TRY(html_puts(out, title, e));
  TRY(buf_puts(out, "</figcaption>\n", e));
out:
  return st;
}

static enum status svg_open(struct buf *out, int w, int h, const char *title, struct err *e) {
  enum status st = STATUS_OK;
  TRY(buf_printf(out, e, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", w, h));
  TRY(html_puts(out, title, e));
  TRY(buf_puts(out, "\">\n", e));
out:
  return st;
}

/* ---- lines ---- */

static enum status put_line(struct buf *out, const struct svg_series *s, const struct axis *x, const struct axis *y, struct err *e) {
  enum status st = STATUS_OK;
  int open = 0;
  static const char *const cls[] = { "line", "line faint", "line dash" };
  TRY(buf_printf(out, e, "<path class=\"%s\" stroke=\"var(--c%d)\" d=\"", cls[s->style], s->color % SVG_COLORS));
  for (size_t i = 0; i < s->n; i++) {
    if (!isfinite(s->y[i]) || (y->log && s->y[i] <= 0)) {
      open = 0;
      continue;
    }
    TRY(buf_printf(out, e, "%c%.1f %.1f", open ? 'L' : 'M', at(x, s->x[i]), at(y, s->y[i])));
    open = 1;
  }
  TRY(buf_puts(out, "\"/>\n", e));
  for (size_t i = 0; s->style == SVG_DOTS && i < s->n; i++) {
    char xt[32];
    if (!isfinite(s->y[i]) || (y->log && s->y[i] <= 0)) continue;
    svg_si(xt, s->x[i]);
    TRY(buf_printf(out, e, "<circle class=\"dot\" fill=\"var(--c%d)\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"><title>", s->color % SVG_COLORS, at(x, s->x[i]), at(y, s->y[i])));
    TRY(html_puts(out, s->name, e));
    TRY(buf_printf(out, e, ": %.4g at %s</title></circle>\n", s->y[i], xt));
  }
out:
  return st;
}

static enum status put_legend(struct buf *out, const struct svg_plot *p, struct err *e) {
  enum status st = STATUS_OK;
  TRY(buf_puts(out, "<div class=\"legend\">", e));
  for (size_t i = 0; i < p->n_series; i++) {
    const struct svg_series *s = &p->series[i];
    if (!s->name || s->n == 0) continue;
    TRY(buf_printf(out, e, "<span><svg class=\"key\" viewBox=\"0 0 26 10\"><path class=\"line%s\" stroke=\"var(--c%d)\" d=\"M1 5L25 5\"/>%s", s->style == SVG_DOTS ? " dash" : "",
                   s->color % SVG_COLORS, ""));
    if (s->style == SVG_DOTS) TRY(buf_printf(out, e, "<circle class=\"dot\" fill=\"var(--c%d)\" cx=\"13\" cy=\"5\" r=\"3.5\"/>", s->color % SVG_COLORS));
    TRY(buf_puts(out, "</svg>", e));
    TRY(html_puts(out, s->name, e));
    if (isfinite(s->y[s->n - 1])) TRY(buf_printf(out, e, " <b>%.4g</b>", s->y[s->n - 1]));
    TRY(buf_puts(out, "</span>", e));
  }
  TRY(buf_puts(out, "</div>\n", e));
out:
  return st;
}

enum status svg_plot(struct buf *out, const struct svg_plot *p, int *drawn, struct err *e) {
  enum status st = STATUS_OK;
  double x0 = INFINITY, x1 = -INFINITY, y0 = INFINITY, y1 = -INFINITY;
  *drawn = 0;
  for (size_t i = 0; i < p->n_series; i++)
    for (size_t k = 0; k < p->series[i].n; k++) {
      double x = p->series[i].x[k], y = p->series[i].y[k];
      if (!isfinite(x) || !isfinite(y)) continue;
      x0 = fmin(x0, x), x1 = fmax(x1, x), y0 = fmin(y0, y), y1 = fmax(y1, y);
    }
  if (!(x0 <= x1)) return STATUS_OK;
  struct axis x = { .from = LEFT, .to = W - RIGHT }, y = { .from = H - BOTTOM, .to = TOP };
  axis_fit(&x, fmin(x0, 0), x1, INFINITY, 0);
  axis_fit(&y, y0, y1, 20, 1);
  TRY(figure_open(out, p->title, e));
  TRY(put_legend(out, p, e));
  TRY(svg_open(out, W, H, p->title, e));
  TRY(frame(out, &x, &y, p->x_label, p->y_label, e));
  for (size_t i = 0; i < p->n_series; i++)
    if (p->series[i].n) TRY(put_line(out, &p->series[i], &x, &y, e));
  TRY(buf_puts(out, "</svg></figure>\n", e));
  *drawn = 1;
out:
  return st;
}

/* ---- points ---- */

struct place { const struct svg_point *pt; double px, py, ly; };

static int by_y(const void *a, const void *b) {
  double d = ((const struct place *)a)->py - ((const struct place *)b)->py;
  return d < 0 ? -1 : d > 0;
}

/* Labels of points that stand close in x are pushed down until 15 pixels apart, then the stack is moved back up by half. */
static void spread_labels(struct place *p, size_t n) {
  for (size_t i = 0; i < n; i++) p[i].ly = p[i].py;
  for (size_t i = 1; i < n; i++)
    for (size_t k = 0; k < i; k++)
      if (fabs(p[i].px - p[k].px) < 150 && p[i].ly < p[k].ly + 15) p[i].ly = p[k].ly + 15;
  double over = 0;
  for (size_t i = 0; i < n; i++) over = fmax(over, p[i].ly - (H - BOTTOM - 6));
  for (size_t i = 0; over > 0 && i < n; i++) p[i].ly -= over;
}

static enum status put_point(struct buf *out, const struct place *p, struct err *e) {
  enum status st = STATUS_OK;
  int left = p->px > W - 150; /* no room for the label on the right */
  double lx = p->px + (left ? -12 : 12);
  char xt[32];
  svg_si(xt, p->pt->x);
  if (fabs(p->ly - p->py) > 4)
    TRY(buf_printf(out, e, "<line class=\"axis\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", p->px, p->py, lx + (left ? 2 : -2), p->ly));
  TRY(buf_printf(out, e, "<circle class=\"dot\" fill=\"var(--c%d)\" cx=\"%.1f\" cy=\"%.1f\" r=\"6\"><title>", p->pt->color % SVG_COLORS, p->px, p->py));
  TRY(html_puts(out, p->pt->name, e));
  TRY(buf_printf(out, e, ": %s, %.4g</title></circle><text class=\"name\" text-anchor=\"%s\" x=\"%.1f\" y=\"%.1f\">", xt, p->pt->y, left ? "end" : "start", lx, p->ly + 4));
  TRY(html_puts(out, p->pt->name, e));
  TRY(buf_printf(out, e, " <tspan class=\"value\">%.3g</tspan></text>\n", p->pt->y));
out:
  return st;
}

enum status svg_scatter(struct buf *out, const char *title, const char *x_label, const char *y_label, const struct svg_point *pts, size_t n,
                        int *drawn, struct err *e) {
  enum status st = STATUS_OK;
  double x0 = INFINITY, x1 = -INFINITY, y0 = INFINITY, y1 = -INFINITY;
  size_t used = 0;
  struct place *p = mem_calloc(n + 1, sizeof *p);
  *drawn = 0;
  if (!p) return err_nomem(e, n * sizeof *p);
  for (size_t i = 0; i < n; i++) {
    if (!isfinite(pts[i].x) || !isfinite(pts[i].y)) continue;
    p[used++].pt = &pts[i];
    x0 = fmin(x0, pts[i].x), x1 = fmax(x1, pts[i].x), y0 = fmin(y0, pts[i].y), y1 = fmax(y1, pts[i].y);
  }
  if (used == 0) goto out;
  struct axis x = { .from = LEFT, .to = W - RIGHT }, y = { .from = H - BOTTOM, .to = TOP };
  axis_fit(&x, x0, x1, 4, 1);
  axis_fit(&y, y0, y1, 20, 1);
  for (size_t i = 0; i < used; i++) p[i].px = at(&x, p[i].pt->x), p[i].py = at(&y, p[i].pt->y);
  qsort(p, used, sizeof *p, by_y);
  spread_labels(p, used);
  TRY(figure_open(out, title, e));
  TRY(svg_open(out, W, H, title, e));
  TRY(frame(out, &x, &y, x_label, y_label, e));
  for (size_t i = 0; i < used; i++) TRY(put_point(out, &p[i], e));
  TRY(buf_puts(out, "</svg></figure>\n", e));
  *drawn = 1;
out:
  mem_free(p);
  return st;
}

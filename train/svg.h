/* SPDX-License-Identifier: Apache-2.0
 * Inline SVG for the report: line plots, scatter plots, and the flow of rows. Colours come from the page's CSS variables
 * (--c0 .. --c5, --ink, --faint, --grid), so light and dark need no second picture. All text is escaped here. */
#ifndef TRAIN_SVG_H
#define TRAIN_SVG_H
#include <stddef.h>
#include "err.h"
#include "flow.h"
#include "mem.h"
#include "span.h"

enum { SVG_COLORS = 6 };
enum svg_style { SVG_LINE, SVG_FAINT, SVG_DOTS }; /* DOTS: dashed line with a marker a point */
struct svg_series {
  const char *name; /* NULL: not in the legend */
  int color;        /* mod SVG_COLORS */
  enum svg_style style;
  const double *x, *y; /* NaN in y leaves a gap */
  size_t n;
};
struct svg_plot {
  const char *title, *x_label, *y_label;
  const struct svg_series *series;
  size_t n_series;
};
/* <figure> with title, legend (with each last value) and plot. The y axis is logarithmic when the values span more than a
 * factor of 20 above zero, and says so. Nothing is written when no series holds a finite point (*drawn = 0). */
MUST_USE enum status svg_plot(struct buf *out, const struct svg_plot *p, int *drawn, struct err *e);

struct svg_point { const char *name; double x, y; int color; };
/* Labelled points; logarithmic x when it spans more than a factor of 4. Labels that would overlap are moved apart. */
MUST_USE enum status svg_scatter(struct buf *out, const char *title, const char *x_label, const char *y_label,
                                 const struct svg_point *pts, size_t n, int *drawn, struct err *e);
/* One flow of the ledger (runs of the same flow number, sorted by depth) as boxes and bands as wide as their rows. */
MUST_USE enum status svg_flow(struct buf *out, const struct flow_run *runs, size_t n, struct err *e);

/* Text for HTML: & < > " ' escaped, invalid UTF-8 and control characters (but \n, \t) as U+FFFD. */
MUST_USE enum status html_put(struct buf *out, struct span text, struct err *e);
MUST_USE enum status html_puts(struct buf *out, const char *text, struct err *e);
/* 1234567 as "1.23M"; numbers below 1000 with at most 4 significant digits. */
void svg_si(char out[32], double v);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * What the report reads: metrics and manifest of runs, the summary table, sample answers. Files that are missing leave
 * their part empty; files that are there and unreadable are errors. All memory is the arena's. */
#ifndef TRAIN_REPORT_DATA_H
#define TRAIN_REPORT_DATA_H
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "mem.h"
#include "span.h"

struct curve { double *x, *y; size_t n, cap; }; /* x: tokens seen */
struct report_run {
  const char *path, *name, *loss_name; /* loss_name "" when the manifest is missing */
  struct curve loss, kl, tok_s;        /* training, one point a step */
  struct curve eval_loss, eval_kl, eval_agreement; /* held-out */
  double steps, tokens, seconds, peak_bytes, lr;   /* NaN = not known */
  size_t n_metrics;
};
MUST_USE enum status report_run_load(const char *path, struct arena *a, struct report_run *run, struct err *e);
/* At most `most` points, each the mean of its neighbours; y smoothed by an exponential mean with factor keep (0 = not). */
MUST_USE enum status curve_thin(const struct curve *c, size_t most, double keep, struct arena *a, struct curve *out, struct err *e);

struct report_row { const char *name; double params, bytes, loss, kl, kl_low, kl_high, agreement, text_loss, tok_s; }; /* NaN = not given */
/* Rows of a summary: an object name -> numbers, an array of objects with "name", {"rows":...} of either, or JSON Lines. */
MUST_USE enum status report_summary_load(const char *path, struct arena *a, struct report_row **rows, size_t *n, struct err *e);

struct report_sample { struct span question, teacher, student; };
MUST_USE enum status report_samples_load(const char *path, struct arena *a, struct report_sample **list, size_t *n, struct err *e);
#endif

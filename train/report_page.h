/* SPDX-License-Identifier: Apache-2.0
 * The report's page: one function a section, each appends HTML and says itself what is missing. */
#ifndef TRAIN_REPORT_PAGE_H
#define TRAIN_REPORT_PAGE_H
#include "flow.h"
#include "report_data.h"
struct report {
  const char *title;
  const struct report_run *run;
  size_t n_run;
  const struct report_row *row;
  size_t n_row;
  const struct report_sample *sample;
  size_t n_sample;
  const struct flow_run *flow;
  size_t n_flow;
  uint64_t spent_micro_usd;
  const char *book, *summary, *samples; /* what was asked for or looked for, NULL = nothing */
  struct arena *a;
};
MUST_USE enum status report_page(const struct report *r, struct buf *out, struct err *e);
#endif

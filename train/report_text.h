/* SPDX-License-Identifier: Apache-2.0
 * Samples as text for a terminal (report --text). */
#ifndef TRAIN_REPORT_TEXT_H
#define TRAIN_REPORT_TEXT_H
#include "report_data.h"
/* Appends each question and, below it, teacher's and student's answers in two columns. */
MUST_USE enum status report_text(const struct report_sample *sample, size_t n, struct buf *b, struct err *e);
#endif

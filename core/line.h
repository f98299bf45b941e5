/* SPDX-License-Identifier: Apache-2.0
 * Lines from a file descriptor: split on '\n' only, a missing final newline is fine, a trailing '\r' is kept out, empty
 * lines are skipped but counted. A line longer than max_bytes is an error that names its number. */
#ifndef CORE_LINE_H
#define CORE_LINE_H
#include <stdint.h>
#include "err.h"
#include "span.h"
#define LINE_MAX_DEFAULT ((size_t)256 << 20)
struct line_reader;
struct line_reader *line_reader_new(int fd, const char *name, size_t max_bytes); /* does not own fd; NULL = no memory */
/* *got = 0 at end of input. The span is valid until the next call. Interrupted by stop_requested(): STATUS_STOPPED. */
MUST_USE enum status line_next(struct line_reader *r, struct span *line, int *got, struct err *e);
/* 1 when line_next would not have to wait for input (a line is buffered, data is there, or the end): a caller that holds
 * output back flushes it before a call that waits. */
int line_ready(struct line_reader *r);
uint64_t line_number(const struct line_reader *r); /* 1-based number of the line given last */
void line_reader_free(struct line_reader *r);
#endif

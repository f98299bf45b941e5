/* SPDX-License-Identifier: Apache-2.0
 * Logging and progress, on stderr only. On a terminal: one bar with rate and time left; else a line a minute.
 * `--log-json` makes every line one JSON object {"time","level","stage","msg",...}. Thread safe. */
#ifndef CORE_LOG_H
#define CORE_LOG_H
#include <stdint.h>
#include "err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
void log_setup(const char *stage, enum log_level max, int json, int progress); /* progress: -1 auto, 0 never, 1 always */
void log_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_info(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_debug(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Progress of one activity. total 0 = unknown. `note` is a short text beside the bar, such as "loss 2.31". */
struct progress;
struct progress *progress_new(const char *what, const char *unit, uint64_t total);
void progress_set(struct progress *p, uint64_t done, const char *note);
void progress_from(struct progress *p, uint64_t done); /* done by an earlier process: no part of the rate */
void progress_total(struct progress *p, uint64_t total);
void progress_free(struct progress *p); /* draws the last state; accepts NULL */

double clock_seconds(void); /* monotonic */

#endif

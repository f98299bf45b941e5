/* SPDX-License-Identifier: Apache-2.0
 * `retort book retry --failed`: asks the questions of a book that failed once more, word for word, so that the next run of the same
 * command finds their answers. Used by book_stage.c. */
#ifndef FETCH_BOOK_RETRY_H
#define FETCH_BOOK_RETRY_H
#include "stage.h"
#include "teacher.h"
/* Of every teacher of o its own failed questions are asked; without a teacher they are listed and it is a usage error. A question
 * that was answered since is not asked. STATUS_DATA when some failed again. */
MUST_USE enum status book_retry(struct ctx *c, const char *path, const struct teacher_options *o, struct err *e);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * Rows of a named file, one after the other, for stages whose stdin is taken. Used by data_card.c, review.c. */
#ifndef CORPORA_DATA_ROWS_H
#define CORPORA_DATA_ROWS_H
#include "err.h"
#include "mem.h"
#include "span.h"
/* f gets each row and an arena that is reset before the next one. Messages name the file and the row. */
MUST_USE enum status rows_of_file(const char *path, enum status (*f)(void *ctx, const struct record *r, struct arena *a, struct err *e), void *ctx, struct err *e);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * A file of record lines, read row by row for a question about it (why, forget): a row that is no record ends the walk with an
 * error that names file and row. The pipe's own rows come through core/stage.h. */
#ifndef CORPORA_ROW_FILE_H
#define CORPORA_ROW_FILE_H
#include "err.h"
#include "mem.h"
#include "span.h"

/* line and id live until f returns; a is reset between rows. */
typedef enum status (*row_file_do)(void *ctx, struct span line, struct span id, unsigned long long row, struct arena *a, struct err *e);
MUST_USE enum status row_file_each(const char *path, row_file_do f, void *ctx, struct err *e);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * Evaluation items: the rows of the files of --against, read once when a filter opens. Their text is that of any row; of one
 * that has neither text nor messages (benchmarks name their fields as they like) all strings but the id. */
#ifndef CORPORA_FILTER_ITEMS_H
#define CORPORA_FILTER_ITEMS_H
#include "err.h"
#include "mem.h"
#include "opt.h"
#include "span.h"
/* Calls `take` with each item; id, text and a live until it returns. Messages of errors begin with file and row. */
MUST_USE enum status items_read(const struct opt_list *files, enum status (*take)(void *ctx, struct span id, struct span text, struct arena *a, struct err *e), void *ctx, struct err *e);
#endif

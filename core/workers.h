/* SPDX-License-Identifier: Apache-2.0
 * Ordered worker pipeline: read -> work on N threads -> write in input order, with a reorder window bounded in bytes.
 * For record stages whose work per row is CPU-bound (scan, filters, tokenising). Read and write run on the caller's thread;
 * work runs on others (on the caller's when there is one thread only) and must only touch its item. Waiting is passive. */
#ifndef CORE_WORKERS_H
#define CORE_WORKERS_H
#include <stddef.h>
#include "err.h"
struct work_item {
  void *user;      /* owned by the callbacks */
  size_t bytes;    /* counted against the window */
};
struct workers_ops {
  /* Fills it; *got = 0 at the end. */
  enum status (*read)(void *ctx, struct work_item *it, int *got, struct err *e);
  enum status (*work)(void *ctx, struct work_item *it, int worker, struct err *e);
  enum status (*write)(void *ctx, struct work_item *it, struct err *e); /* in input order; frees it->user */
  void (*drop)(void *ctx, struct work_item *it);                        /* after an error: free it->user */
  /* May be NULL. 0 = read would wait (line_ready): finished items are written before the next read then. */
  int (*ready)(void *ctx);
};
/* Runs until the end of input or the first error of the earliest item: everything before it is written, nothing behind
 * it; every item that was read goes to write or to drop. A read error comes behind all items that were read. At least
 * one item is always in the window, however large. work may change it->bytes. threads 0 = pool_threads(). */
MUST_USE enum status workers_run(const struct workers_ops *ops, void *ctx, int threads, size_t window_bytes, struct err *e);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * What the dialect `batch` (teacher_batch.c: asking and submitting) and batch_collect.c (what came back) share. */
#ifndef FETCH_TEACHER_BATCH_H
#define FETCH_TEACHER_BATCH_H
#include "batch_book.h"
#include "batch_http.h"
#include "price.h"

struct batch {
  struct teacher *t;
  struct batch_book b;
  struct batch_http h;
  struct buf lines;        /* of the part that is being filled */
  uint64_t part_micro;     /* what it costs at most */
  struct price price;      /* of batches */
  uint64_t limit_micro;    /* of the book, UINT64_MAX = none */
  size_t n_lines, waiting;
  char says[400];          /* how the open batches stand, for the last message */
};

/* Looks at every open part; of those that ended the answers go into the journal. A batch that the server refused as a whole is an
 * error once all others were looked at. */
MUST_USE enum status batch_collect(struct batch *s, struct err *e);
#endif

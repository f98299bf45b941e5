/* SPDX-License-Identifier: Apache-2.0
 * Packing documents into samples: best fit over a bounded number of open samples. The result depends on the order of the
 * documents only. Used by shard_stage.c. */
#ifndef CORPORA_SHARD_PACK_H
#define CORPORA_SHARD_PACK_H
#include "mem.h"
#include "shard.h"

#define PACK_OPEN 256 /* samples that may still take a document */
struct pack;
/* full(ctx, sample): called for each finished sample; the sample is the pack's memory until it returns. */
typedef enum status (*pack_full)(void *ctx, struct sample *s, struct err *e);
MUST_USE enum status pack_new(int32_t context, int one_each, pack_full full, void *ctx, struct pack **p, struct err *e);
/* n is at most context. */
MUST_USE enum status pack_add(struct pack *p, const int32_t *ids, const unsigned char *mask, size_t n, const char *row_id, const char *about /* or NULL */, float weight,
                              struct err *e);
MUST_USE enum status pack_finish(struct pack *p, struct err *e); /* hands out what is open, oldest first */
void pack_free(struct pack *p);
#endif

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
struct piece {
  const int32_t *ids;          /* (n), at most context */
  const unsigned char *mask;   /* (n) */
  size_t n;
  const char *row_id, *about;  /* about: or NULL */
  float weight;
  int32_t k;                   /* targets that are known already, of each token in the mask but the first; 0 = none (then of no piece) */
  size_t n_target;
  const int32_t *top_id;       /* (n_target, k) */
  const float *top_logprob, *rest; /* (n_target, k), (n_target) */
};
MUST_USE enum status pack_add(struct pack *p, const struct piece *x, struct err *e);
MUST_USE enum status pack_finish(struct pack *p, struct err *e); /* hands out what is open, oldest first */
void pack_free(struct pack *p);
#endif

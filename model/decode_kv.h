/* SPDX-License-Identifier: Apache-2.0
 * Keys and values of the sequences being decoded. One block a sequence that holds every layer and grows by half when full, so
 * memory follows what was really generated. Float32: answers stay exact. */
#ifndef MODEL_DECODE_KV_H
#define MODEL_DECODE_KV_H
#include "device.h"
#include "model.h"

enum { KV_STEP = 16 }; /* blocks have room for a multiple of so many tokens */

struct kv_layout {
  const struct device *dev; /* where the caches lie */
  int32_t n_layer;
  int64_t *at;       /* (n_layer) floats a token before the layer's k; v follows k */
  int64_t *width;    /* (n_layer) floats a token of k (and of v) */
  int64_t total;     /* floats a token of all layers */
};
MUST_USE enum status kv_layout_new(const struct model *m, struct kv_layout *l, struct err *e);
void kv_layout_free(struct kv_layout *l);

struct kv_cache {
  const struct kv_layout *layout;
  int32_t len, cap;  /* tokens */
  float *block;      /* per layer k(cap, width) then v(cap, width) */
  size_t bytes;
};
uint64_t kv_bytes(const struct kv_layout *l, int32_t tokens); /* of a block made for so many tokens at once */
MUST_USE enum status kv_reserve(struct kv_cache *c, int32_t tokens, struct err *e); /* len stays */
/* The first `tokens` rows of another cache of the same layout become all of this one, which gets room for `room` tokens. */
MUST_USE enum status kv_copy(struct kv_cache *to, const struct kv_cache *from, int32_t tokens, int32_t room, struct err *e);
void kv_free(struct kv_cache *c);

/* Caches of one run: sequence s of the packed tokens continues cache[s]; view has one slot a sequence. */
struct kv_batch {
  struct kv_cache *const *cache;
  struct kv_view *view;
};
/* Puts the new rows k, v behind the cached ones (room was reserved); then every row of q attends over its sequence's cache up to itself. */
void kv_batch_attend(const struct kv_batch *b, const struct kernels *kern, struct kdev *d, int32_t layer, const struct seqs *s,
                     const struct attn_shape *a, const float *q, const float *k, const float *v, float *out);
#endif

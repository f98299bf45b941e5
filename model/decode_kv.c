/* SPDX-License-Identifier: Apache-2.0
 * The key-value cache of one sequence and what attention does with it (decode_kv.h). */
#include "decode_kv.h"
#include "mem.h"

enum { FIRST_TOKENS = 64 };

enum status kv_layout_new(const struct model *m, struct kv_layout *l, struct err *e) {
  const struct model_config *c = model_config(m);
  size_t n = (size_t)c->n_layer;
  l->at = mem_alloc(2 * n * sizeof *l->at);
  if (!l->at) {
    return err_nomem(e, 2 * n * sizeof *l->at);
  }
  l->width = l->at + n;
  l->dev = model_device(m);
  l->n_layer = c->n_layer;
  l->total = 0;
  for (int32_t i = 0; i < c->n_layer; i++) {
    l->at[i] = l->total;
    l->width[i] = (int64_t)c->n_kv_head[i] * c->head_dim;
    l->total += 2 * l->width[i];
  }
  return STATUS_OK;
}

void kv_layout_free(struct kv_layout *l) {
  mem_free(l->at);
  l->at = l->width = NULL;
}

static float *layer_k(const struct kv_cache *c, int32_t layer) { return c->block + c->layout->at[layer] * c->cap; }
static float *layer_v(const struct kv_cache *c, int32_t layer) { return layer_k(c, layer) + c->layout->width[layer] * c->cap; }

static int64_t whole_steps(int64_t tokens) {
  return tokens < FIRST_TOKENS ? FIRST_TOKENS : (tokens + KV_STEP - 1) / KV_STEP * KV_STEP;
}

uint64_t kv_bytes(const struct kv_layout *l, int32_t tokens) {
  return (uint64_t)whole_steps(tokens) * (uint64_t)l->total * sizeof(float);
}

enum status kv_reserve(struct kv_cache *c, int32_t tokens, struct err *e) {
  if (tokens <= c->cap) {
    return STATUS_OK;
  }
  const struct kv_layout *l = c->layout;
  int64_t cap = c->cap + (int64_t)c->cap / 2;
  cap = whole_steps(cap < tokens ? tokens : cap);
  struct kv_cache n = {l, c->len, (int32_t)cap, NULL, 0};
  if (cap > INT32_MAX || __builtin_mul_overflow((size_t)cap * sizeof(float), (size_t)l->total, &n.bytes)) {
    return err_set(e, STATUS_LIMIT, "a cache of %d tokens is too big", tokens);
  }
  void *block;
  enum status st = device_block(l->dev, n.bytes, "keys and values of the answers", &block, e);
  if (st != STATUS_OK) {
    return st;
  }
  n.block = block;
  for (int32_t i = 0; c->block && i < l->n_layer; i++) {
    size_t used = (size_t)c->len * (size_t)l->width[i] * sizeof(float);
    l->dev->k->copy(l->dev->d, layer_k(&n, i), layer_k(c, i), used);
    l->dev->k->copy(l->dev->d, layer_v(&n, i), layer_v(c, i), used);
  }
  kv_free(c);
  *c = n;
  return STATUS_OK;
}

void kv_free(struct kv_cache *c) {
  if (c->block) {
    device_block_free(c->layout->dev, c->block, c->bytes);
  }
  c->block = NULL;
  c->cap = 0;
  c->bytes = 0;
}

enum status kv_copy(struct kv_cache *to, const struct kv_cache *from, int32_t tokens, int32_t room, struct err *e) {
  const struct kv_layout *l = from->layout;
  enum status st = kv_reserve(to, room > tokens ? room : tokens, e);
  for (int32_t i = 0; st == STATUS_OK && i < l->n_layer; i++) {
    size_t bytes = (size_t)tokens * (size_t)l->width[i] * sizeof(float);
    l->dev->k->copy(l->dev->d, layer_k(to, i), layer_k(from, i), bytes);
    l->dev->k->copy(l->dev->d, layer_v(to, i), layer_v(from, i), bytes);
  }
  to->len = st == STATUS_OK ? tokens : to->len;
  return st;
}

void kv_batch_attend(const struct kv_batch *b, const struct kernels *kern, struct kdev *d, int32_t layer, const struct seqs *s,
                     const struct attn_shape *a, const float *q, const float *k, const float *v, float *out) {
  for (int32_t i = 0; i < s->n_seq; i++) {
    const struct kv_cache *c = b->cache[i];
    b->view[i] = (struct kv_view){layer_k(c, layer), layer_v(c, layer), c->len + s->start[i + 1] - s->start[i]};
  }
  kern->kv_store(d, s, b->cache[0]->layout->width[layer], b->view, k, v);
  kern->attention_decode(d, s, a, q, b->view, out);
}

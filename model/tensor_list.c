/* SPDX-License-Identifier: Apache-2.0
 * The tensors that a configuration must have, in file order, and the parameter count that follows from them. */
#include "weights.h"

struct list {
  struct arena *a;
  struct tensor_out *t; /* NULL while only counting */
  size_t n;
  uint64_t values;
  enum dtype type;
  int failed;
};

static void put(struct list *x, const char *name, int layer, int64_t d0, int64_t d1) {
  x->values += (uint64_t)d0 * (uint64_t)(d1 ? d1 : 1);
  if (x->t != NULL) {
    struct tensor_out *t = &x->t[x->n];
    t->name = layer < 0 ? name : arena_printf(x->a, "model.layers.%d.%s", layer, name);
    if (t->name == NULL) x->failed = 1;
    t->n_dim = d1 ? 2 : 1;
    t->dim[0] = d0, t->dim[1] = d1, t->dim[2] = t->dim[3] = 0;
    t->type = x->type;
  }
  x->n++;
}

static void walk(struct list *x, const struct model_config *c) {
  int64_t d = c->hidden, dh = c->head_dim;
  put(x, "model.embed_tokens.weight", -1, c->vocab, d);
  for (int l = 0; l < c->n_layer; l++) {
    int64_t q = c->n_head[l] * dh, kv = c->n_kv_head[l] * dh, f = c->ffn[l];
    put(x, "input_layernorm.weight", l, d, 0);
    put(x, "self_attn.q_proj.weight", l, q, d);
    if (c->qkv_bias) put(x, "self_attn.q_proj.bias", l, q, 0);
    put(x, "self_attn.k_proj.weight", l, kv, d);
    if (c->qkv_bias) put(x, "self_attn.k_proj.bias", l, kv, 0);
    put(x, "self_attn.v_proj.weight", l, kv, d);
    if (c->qkv_bias) put(x, "self_attn.v_proj.bias", l, kv, 0);
    if (c->qk_norm) {
      put(x, "self_attn.q_norm.weight", l, dh, 0);
      put(x, "self_attn.k_norm.weight", l, dh, 0);
    }
    put(x, "self_attn.o_proj.weight", l, d, q);
    put(x, "post_attention_layernorm.weight", l, d, 0);
    put(x, "mlp.gate_proj.weight", l, f, d);
    put(x, "mlp.up_proj.weight", l, f, d);
    put(x, "mlp.down_proj.weight", l, d, f);
  }
  put(x, "model.norm.weight", -1, d, 0);
  if (!c->tied) put(x, "lm_head.weight", -1, c->vocab, d);
}

enum status model_tensor_list(const struct model_config *c, enum dtype dtype, struct arena *a, struct tensor_out **t, size_t *n, struct err *e) {
  struct list x = { a, NULL, 0, 0, dtype, 0 };
  walk(&x, c);
  size_t bytes = x.n * sizeof **t;
  x.t = arena_alloc(a, bytes);
  if (x.t == NULL) return err_nomem(e, bytes);
  x.n = 0;
  walk(&x, c);
  if (x.failed) return err_nomem(e, bytes);
  *t = x.t, *n = x.n;
  return STATUS_OK;
}

uint64_t model_param_count(const struct model_config *c) {
  struct list x = { 0 };
  walk(&x, c);
  return x.values;
}

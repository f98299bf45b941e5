/* SPDX-License-Identifier: Apache-2.0
 * The table of architectures and the pieces their lists are made of. */
#include "arch.h"

static const struct arch *const table[] = {&arch_llama, &arch_mistral, &arch_qwen2, &arch_qwen3};

const struct arch *arch_find(const char *name) {
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    if (!strcmp(table[i]->name, name)) {
      return table[i];
    }
  }
  return NULL;
}

enum status arch_build(const struct model_config *c, const struct param *param, size_t n_param, struct arena *a, struct op_list *list,
                       struct err *e) {
  const struct arch *arch = arch_find(c->arch);
  if (!arch) {
    return err_set(e, STATUS_DATA, "architecture '%s' is not known; known: llama, mistral, qwen2, qwen3", c->arch);
  }
  struct arch_builder b = {c, param, n_param, a, list, 24 * c->n_layer + 16, 24 * c->n_layer + 16, STATUS_OK, e};
  memset(list, 0, sizeof *list);
  list->op = arena_calloc(a, (size_t)b.op_cap, sizeof *list->op);
  list->value = arena_calloc(a, (size_t)b.value_cap, sizeof *list->value);
  list->residual = arena_calloc(a, (size_t)c->n_layer + 1, sizeof *list->residual);
  if (!list->op || !list->value || !list->residual) {
    return err_nomem(e, (unsigned long long)b.op_cap * sizeof *list->op);
  }
  arch->build(&b);
  return b.st;
}

int32_t arch_value(struct arch_builder *b, int64_t width, int32_t layer) {
  if (b->st != STATUS_OK) {
    return -1;
  }
  if (b->list->n_value == b->value_cap || width < 1) {
    b->st = err_set(b->e, STATUS_DATA, "layer %d: width %lld is not usable", layer, (long long)width);
    return -1;
  }
  b->list->value[b->list->n_value] = (struct value){width, layer};
  return b->list->n_value++;
}

int32_t arch_param(struct arch_builder *b, int32_t layer, const char *suffix) {
  char name[160];
  if (b->st != STATUS_OK) {
    return -1;
  }
  if (layer >= 0) {
    snprintf(name, sizeof name, "model.layers.%d.%s", layer, suffix);
  } else {
    snprintf(name, sizeof name, "%s", suffix);
  }
  /* Parameters are listed in the order they are used, but a search from the start is cheap next to reading them. */
  for (size_t i = 0; i < b->n_param; i++) {
    if (!strcmp(b->param[i].name, name)) {
      return (int32_t)i;
    }
  }
  b->st = err_set(b->e, STATUS_DATA, "'%s': the model has no such parameter, architecture %s needs it", name, b->config->arch);
  return -1;
}

struct op *arch_op(struct arch_builder *b, const struct op_kind *kind, int32_t layer) {
  if (b->st != STATUS_OK) {
    return NULL;
  }
  if (b->list->n_op == b->op_cap) {
    b->st = err_set(b->e, STATUS_DATA, "layer %d: too many operations", layer);
    return NULL;
  }
  struct op *op = &b->list->op[b->list->n_op++];
  *op = (struct op){.kind = kind, .layer = layer, .in = {-1, -1, -1}, .out = -1, .aux = -1, .weight = -1, .bias = -1, .tap = -1};
  return op;
}

static void set_aux(struct arch_builder *b, struct op *op) {
  if (op && op->kind->aux_width) {
    op->aux = arch_value(b, op->kind->aux_width(op), op->layer);
  }
}

static int32_t norm(struct arch_builder *b, int32_t layer, int32_t x, const char *weight, int32_t tap) {
  struct op *op = arch_op(b, &op_rmsnorm, layer);
  int32_t out = arch_value(b, b->config->hidden, layer), w = arch_param(b, layer, weight);
  if (op) {
    op->n_in = 1;
    op->in[0] = x;
    op->out = out;
    op->weight = w;
    op->tap = tap;
    set_aux(b, op);
  }
  return out;
}

static int32_t linear(struct arch_builder *b, int32_t layer, int32_t x, int64_t width, const char *weight, const char *bias,
                      int32_t residual) {
  struct op *op = arch_op(b, &op_linear, layer);
  int32_t out = arch_value(b, width, layer), w = arch_param(b, layer, weight), bb = bias ? arch_param(b, layer, bias) : -1;
  if (op) {
    op->n_in = residual >= 0 ? 2 : 1;
    op->in[0] = x;
    op->in[1] = residual;
    op->out = out;
    op->weight = w;
    op->bias = bb;
  }
  return out;
}

static int32_t heads_of(struct arch_builder *b, int32_t layer, int32_t x, int32_t heads, const char *norm_weight, int rotate) {
  const struct model_config *c = b->config;
  if (norm_weight) {
    struct op *op = arch_op(b, &op_headnorm, layer);
    int32_t out = arch_value(b, (int64_t)heads * c->head_dim, layer), w = arch_param(b, layer, norm_weight);
    if (op) {
      op->n_in = 1;
      op->in[0] = x;
      op->out = out;
      op->weight = w;
      op->heads = heads;
      op->head_dim = c->head_dim;
      set_aux(b, op);
    }
    x = out;
  }
  if (rotate) {
    struct op *op = arch_op(b, &op_rope, layer);
    if (op) {
      op->n_in = 1;
      op->in[0] = op->out = x;
      op->heads = heads;
      op->head_dim = c->head_dim;
    }
  }
  return x;
}

static int32_t attention(struct arch_builder *b, int32_t layer, int32_t q, int32_t k, int32_t v) {
  const struct model_config *c = b->config;
  struct op *op = arch_op(b, &op_attention, layer);
  int32_t out = arch_value(b, (int64_t)c->n_head[layer] * c->head_dim, layer);
  if (op) {
    op->n_in = 3;
    op->in[0] = q;
    op->in[1] = k;
    op->in[2] = v;
    op->out = out;
    op->heads = c->n_head[layer];
    op->kv_heads = c->n_kv_head[layer];
    op->head_dim = c->head_dim;
    op->tap = TAP_HEADS;
    set_aux(b, op);
  }
  return out;
}

static int32_t swiglu(struct arch_builder *b, int32_t layer, int32_t gate, int32_t up, int64_t width) {
  struct op *op = arch_op(b, &op_swiglu, layer);
  int32_t out = arch_value(b, width, layer);
  if (op) {
    op->n_in = 2;
    op->in[0] = gate;
    op->in[1] = up;
    op->out = out;
    op->tap = TAP_FFN;
  }
  return out;
}

static int32_t layer_of(struct arch_builder *b, int32_t l, int32_t x, unsigned flags) {
  const struct model_config *c = b->config;
  int bias = (flags & ARCH_QKV_BIAS) != 0, qk = (flags & ARCH_QK_NORM) != 0;
  int64_t dh = c->head_dim, hq = c->n_head[l], hk = c->n_kv_head[l], ffn = c->ffn[l];
  int32_t a = norm(b, l, x, "input_layernorm.weight", TAP_ATTN_NORM);
  int32_t q = linear(b, l, a, hq * dh, "self_attn.q_proj.weight", bias ? "self_attn.q_proj.bias" : NULL, -1);
  int32_t k = linear(b, l, a, hk * dh, "self_attn.k_proj.weight", bias ? "self_attn.k_proj.bias" : NULL, -1);
  int32_t v = linear(b, l, a, hk * dh, "self_attn.v_proj.weight", bias ? "self_attn.v_proj.bias" : NULL, -1);
  q = heads_of(b, l, q, c->n_head[l], qk ? "self_attn.q_norm.weight" : NULL, 1);
  k = heads_of(b, l, k, c->n_kv_head[l], qk ? "self_attn.k_norm.weight" : NULL, 1);
  int32_t heads = attention(b, l, q, k, v);
  x = linear(b, l, heads, c->hidden, "self_attn.o_proj.weight", NULL, x);
  int32_t f = norm(b, l, x, "post_attention_layernorm.weight", TAP_FFN_NORM);
  int32_t gate = linear(b, l, f, ffn, "mlp.gate_proj.weight", NULL, -1);
  int32_t up = linear(b, l, f, ffn, "mlp.up_proj.weight", NULL, -1);
  int32_t h = swiglu(b, l, gate, up, ffn);
  x = linear(b, l, h, c->hidden, "mlp.down_proj.weight", NULL, x);
  if (b->st == STATUS_OK) {
    b->list->op[b->list->n_op - 1].tap = TAP_RESIDUAL;
  }
  return x;
}

void arch_decoder(struct arch_builder *b, unsigned flags) {
  const struct model_config *c = b->config;
  struct op *op = arch_op(b, &op_embed, -1);
  int32_t x = arch_value(b, c->hidden, -1), w = arch_param(b, -1, "model.embed_tokens.weight");
  if (op) {
    op->out = x;
    op->weight = w;
    op->tap = TAP_EMBED;
  }
  b->list->residual[0] = x;
  for (int32_t l = 0; l < c->n_layer; l++) {
    x = layer_of(b, l, x, flags);
    b->list->residual[l + 1] = x;
  }
  b->list->final = norm(b, -1, x, "model.norm.weight", -1);
}

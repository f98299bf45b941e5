/* SPDX-License-Identifier: Apache-2.0
 * Grouped-query attention, causal inside each packed sequence: in = q, k, v; aux = log-sum-exp(n, heads).
 * While decoding the new k and v rows are put into each sequence's cache first, and a row attends over its cache. */
#include "op.h"
#include <math.h>
#include "decode_kv.h"
#include "model_private.h"

static struct attn_shape shape_of(const struct op_call *c) {
  const struct op *op = c->op;
  struct attn_shape a = {op->heads, op->kv_heads, op->head_dim, c->m->config.window, 1.0f / sqrtf((float)op->head_dim)};
  return a;
}

static int64_t aux_width(const struct op *op) { return op->heads; }

static size_t scratch_bytes(const struct op_call *c) {
  struct attn_shape a = shape_of(c);
  return c->k->attention_backward_scratch_bytes(c->seqs, &a);
}

static void forward(const struct op_call *c) {
  struct attn_shape a = shape_of(c);
  int64_t ldq = (int64_t)a.n_head * a.head_dim, ldkv = (int64_t)a.n_kv_head * a.head_dim;
  if (c->kv) {
    kv_batch_attend(c->kv, c->k, c->d, c->op->layer, c->seqs, &a, c->in[0], c->in[1], c->in[2], c->out);
    return;
  }
  c->k->attention_forward(c->d, c->seqs, &a, c->in[0], ldq, c->in[1], c->in[2], ldkv, c->out, ldq, c->aux);
}

static void backward(const struct op_call *c) {
  struct attn_shape a = shape_of(c);
  int64_t ldq = (int64_t)a.n_head * a.head_dim, ldkv = (int64_t)a.n_kv_head * a.head_dim;
  c->k->attention_backward(c->d, c->seqs, &a, c->in[0], ldq, c->in[1], c->in[2], ldkv, c->out, c->dout, ldq, c->aux, c->din[0],
                           c->din[1], c->din[2], c->scratch);
}

/* q, k and v have no other reader, so their gradients are always stored, never added to. */
const struct op_kind op_attention = {"attention", 0, 7, 1, 1, aux_width, scratch_bytes, forward, backward};

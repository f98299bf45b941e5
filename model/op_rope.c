/* SPDX-License-Identifier: Apache-2.0
 * Rotary position embedding (half-split, HF) in place on q or k; the backward pass rotates the gradient back in place. */
#include "op.h"

static void forward(const struct op_call *c) {
  const struct op *op = c->op;
  c->k->rope(c->d, c->n, op->heads, op->head_dim, c->cos_sin, c->out, (int64_t)op->heads * op->head_dim, 0);
}

static void backward(const struct op_call *c) {
  const struct op *op = c->op;
  c->k->rope(c->d, c->n, op->heads, op->head_dim, c->cos_sin, c->dout, (int64_t)op->heads * op->head_dim, 1);
}

const struct op_kind op_rope = {"rope", OP_IN_PLACE, 0, 0, 0, NULL, NULL, forward, backward};

/* SPDX-License-Identifier: Apache-2.0
 * out = silu(gate) * up. Cheap: training keeps gate and up and computes the product again. */
#include "op.h"
#include "model_private.h"

static int64_t values_of(const struct op_call *c) { return c->n * c->m->ops.value[c->op->out].width; }

static void forward(const struct op_call *c) { c->k->swiglu_forward(c->d, values_of(c), c->in[0], c->in[1], c->out); }

static void backward(const struct op_call *c) {
  c->k->swiglu_backward(c->d, values_of(c), c->in[0], c->in[1], c->dout, c->din[0], c->din[1]);
}

const struct op_kind op_swiglu = {"swiglu", OP_CHEAP, 3, 0, 0, NULL, NULL, forward, backward};

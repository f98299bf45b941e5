/* SPDX-License-Identifier: Apache-2.0
 * RMS norm of every head of q or k (Qwen3): in(n, heads, head_dim), one gamma(head_dim) for all heads; aux = rstd(n, heads).
 * Not cheap: its output is rotated in place by rope, so the plan keeps input and output. */
#include "op.h"
#include "model_private.h"

static int64_t aux_width(const struct op *op) { return op->heads; }

static void forward(const struct op_call *c) {
  const struct op *op = c->op;
  c->k->rmsnorm_forward(c->d, c->n * op->heads, op->head_dim, c->in[0], model_param(c->m, op->weight), c->m->config.norm_eps, c->out,
                        c->aux);
}

static void backward(const struct op_call *c) {
  const struct op *op = c->op;
  c->k->rmsnorm_backward(c->d, c->n * op->heads, op->head_dim, c->in[0], model_param(c->m, op->weight), c->aux, c->dout, c->din[0],
                         c->accumulate[0], grads_of(c->m, c->grads, op->weight));
}

const struct op_kind op_headnorm = {"headnorm", 0, 1, 0, 1, aux_width, NULL, forward, backward};

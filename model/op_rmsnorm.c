/* SPDX-License-Identifier: Apache-2.0
 * RMS norm over the hidden width; aux = rstd(n). Cheap: training keeps the input only and computes the output again. */
#include "op.h"
#include "model_private.h"

static int64_t aux_width(const struct op *op) {
  (void)op;
  return 1;
}

static void forward(const struct op_call *c) {
  c->k->rmsnorm_forward(c->d, c->n, c->m->config.hidden, c->in[0], model_param(c->m, c->op->weight), c->m->config.norm_eps,
                        c->out, c->aux);
}

static void backward(const struct op_call *c) {
  c->k->rmsnorm_backward(c->d, c->n, c->m->config.hidden, c->in[0], model_param(c->m, c->op->weight), c->aux, c->dout, c->din[0],
                         c->accumulate[0], grads_of(c->m, c->grads, c->op->weight));
}

const struct op_kind op_rmsnorm = {"rmsnorm", OP_CHEAP, 1, 0, 1, aux_width, NULL, forward, backward};

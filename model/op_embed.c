/* SPDX-License-Identifier: Apache-2.0
 * Token embedding: out(n, hidden) = table rows of the ids. The table may also be the output projection (tied); both add
 * into the same gradient. Ids are checked by run_forward. */
#include "op.h"
#include "model_private.h"

static void forward(const struct op_call *c) {
  enum dtype type;
  const void *table = model_stored(c->m, c->op->weight, &type);
  c->k->embed_forward(c->d, c->n, c->m->config.hidden, c->ids, type, table, c->out);
}

static void backward(const struct op_call *c) {
  c->k->embed_backward(c->d, c->n, c->m->config.hidden, c->ids, c->dout, grads_of(c->m, c->grads, c->op->weight));
}

const struct op_kind op_embed = {"embed", 0, 0, 0, 0, NULL, NULL, forward, backward};

/* SPDX-License-Identifier: Apache-2.0
 * Token embedding: out(n, hidden) = table rows of the ids. The table may also be the output projection (tied); both add
 * into the same gradient. Ids are checked by run_forward. */
#include "op.h"
#include "model_private.h"

static void forward(const struct op_call *c) {
  enum dtype type;
  const char *stored = model_stored(c->m, c->op->weight, &type);
  int64_t width = c->m->config.hidden;
  if (c->m->param[c->op->weight].offset < 0) { /* the table stays in the file: decode the rows that are asked for */
    for (int64_t i = 0; i < c->n; i++) {
      c->k->decode(NULL, type, width, stored + (size_t)c->ids[i] * dtype_bytes(type, width), c->out + i * width);
    }
    return;
  }
  c->k->embed_forward(NULL, c->n, c->m->config.hidden, c->ids, model_param(c->m, c->op->weight), c->out);
}

static void backward(const struct op_call *c) {
  c->k->embed_backward(NULL, c->n, c->m->config.hidden, c->ids, c->dout, grads_of(c->m, c->grads, c->op->weight));
}

const struct op_kind op_embed = {"embed", 0, 0, 0, 0, NULL, NULL, forward, backward};

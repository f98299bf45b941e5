/* SPDX-License-Identifier: Apache-2.0
 * out(n, rows) = in[0](n, cols) W(rows, cols)^T [+ bias] [+ in[1], the residual stream].
 * When the plan lets out share the residual's memory the product is added where it lies; the gradient of the residual is
 * the gradient of the output, and shares its memory too. */
#include "op.h"
#include "model_private.h"

enum { FEW_ROWS_MAX = 64 }; /* kernels->gemv takes that many rows a call; its numbers do not depend on the split */

static void few_rows(const struct op_call *c, const struct param *w, float *y) {
  enum dtype type;
  const void *stored = model_stored(c->m, c->op->weight, &type);
  for (int64_t i = 0; i < c->n; i += FEW_ROWS_MAX) {
    int64_t rows = c->n - i < FEW_ROWS_MAX ? c->n - i : FEW_ROWS_MAX;
    c->k->gemv(c->d, rows, w->rows, w->cols, c->in[0] + i * w->cols, w->cols, type, stored, y + i * w->rows, w->rows);
  }
}

static void forward(const struct op_call *c) {
  const struct op *op = c->op;
  const struct param *w = &c->m->param[op->weight];
  if (op->n_in > 1 && c->few_rows) {
    few_rows(c, w, c->out); /* gemv stores, so plans for few rows never let out share the residual's memory */
    c->k->add(c->d, c->n * w->rows, c->out, c->in[1], c->out);
  } else if (op->n_in > 1) {
    if (c->out != c->in[1]) {
      c->k->copy(c->d, c->out, c->in[1], (size_t)(c->n * w->rows) * sizeof(float));
    }
    c->k->gemm_nt(c->d, c->n, w->rows, w->cols, c->in[0], w->cols, model_matrix(c->m, op->weight, c->matrix), w->cols, c->out,
                  w->rows, 1);
  } else if (c->few_rows) {
    few_rows(c, w, c->out);
  } else {
    c->k->gemm_nt(c->d, c->n, w->rows, w->cols, c->in[0], w->cols, model_matrix(c->m, op->weight, c->matrix), w->cols, c->out,
                  w->rows, 0);
  }
  if (op->bias >= 0) {
    c->k->bias_forward(c->d, c->n, w->rows, model_param(c->m, op->bias), c->out);
  }
}

static void backward(const struct op_call *c) {
  const struct op *op = c->op;
  const struct param *w = &c->m->param[op->weight];
  c->k->gemm_nn(c->d, c->n, w->rows, w->cols, c->dout, w->rows, model_param(c->m, op->weight), w->cols, c->din[0], w->cols,
                c->accumulate[0]);
  c->k->gemm_tn(c->d, c->n, w->rows, w->cols, c->dout, w->rows, c->in[0], w->cols, grads_of(c->m, c->grads, op->weight), w->cols, 1);
  if (op->bias >= 0) {
    c->k->bias_backward(c->d, c->n, w->rows, c->dout, grads_of(c->m, c->grads, op->bias));
  }
  if (op->n_in > 1 && c->din[1] != c->dout) {
    if (c->accumulate[1]) {
      c->k->add(c->d, c->n * w->rows, c->din[1], c->dout, c->din[1]);
    } else {
      c->k->copy(c->d, c->din[1], c->dout, (size_t)(c->n * w->rows) * sizeof(float));
    }
  }
}

const struct op_kind op_linear = {"linear", OP_RESIDUAL, 1, 0, 0, NULL, NULL, forward, backward};

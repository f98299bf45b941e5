/* SPDX-License-Identifier: Apache-2.0
 * A plan: the order of forward, recomputation and backward steps over a list of operations, and one offset for every
 * activation and gradient, so that a run is one allocation. Values whose lives do not overlap share memory: inference lives in
 * two or three activations whatever the depth, training keeps what backward reads and nothing else.
 * Adding a new kind of plan means another order of steps; lives and offsets follow by themselves. */
#ifndef MODEL_PLAN_H
#define MODEL_PLAN_H
#include "op.h"

enum step_kind { STEP_FORWARD, STEP_AGAIN /* recomputation */, STEP_BACKWARD };
enum { PLAN_NONE = -1, PLAN_EXTERNAL = -2 /* the caller's dhidden */ };
struct plan_step {
  enum step_kind kind;
  int32_t op;
  /* buffer numbers */
  int32_t in[OP_MAX_IN], out, aux, din[OP_MAX_IN], dout;
  int32_t accumulate[OP_MAX_IN];
};
struct plan_buffer {
  int64_t width;      /* floats a token */
  int32_t first, last; /* steps during which it lives */
  int64_t offset;     /* floats a token from the start of the block: offset * max_tok is its place */
};
struct plan {
  struct plan_step *step;
  int32_t n_step, n_forward;
  struct plan_buffer *buffer;
  int32_t n_buffer;
  int32_t *residual; /* (n_layer + 1) buffers; alive to the end under RUN_HIDDEN_ALL */
  int32_t final;
  int64_t width;     /* floats a token of the whole plan */
};
enum { PLAN_FEW_ROWS = 1 << 16 }; /* beside RUN_*: no shared residuals, for decoding */
MUST_USE enum status plan_build(const struct op_list *l, int32_t n_layer, int flags, struct arena *a, struct plan *p, struct err *e);
#endif

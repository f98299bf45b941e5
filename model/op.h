/* SPDX-License-Identifier: Apache-2.0
 * Coarse operations: a model is a list of `struct op` over values (activations of so many floats a token), built by an
 * architecture file; a plan (plan.h) gives every value its memory. To add an operation: (1) write model/op_NAME.c with a
 * `const struct op_kind op_NAME`, (2) add OP(NAME) to model/ops.def, (3) use it in an architecture's list.
 * Operations know pointers and kernels only; they never allocate and never see a file. */
#ifndef MODEL_OP_H
#define MODEL_OP_H
#include <stddef.h>
#include <stdint.h>
#include "kernel.h"
#include "model.h"

enum { OP_MAX_IN = 3 };
struct op {
  const struct op_kind *kind;
  int32_t layer;           /* -1 before the first and after the last */
  int32_t n_in;
  int32_t in[OP_MAX_IN];   /* value numbers */
  int32_t out, aux;        /* value numbers; aux = small side result (rstd, lse), -1 = none */
  int32_t weight, bias;    /* parameter numbers, -1 = none */
  int32_t tap;             /* enum tap that sees `out`, -1 = none */
  int32_t heads, kv_heads, head_dim;
};

struct value { int64_t width; int32_t layer; }; /* floats a token */

/* Everything one call of an operation may touch. Rows are tokens; every value is contiguous (n, width). */
struct kv_batch;
struct op_call {
  const struct model *m;
  const struct op *op;
  const struct kernels *k;
  struct kdev *d;
  int64_t n;                 /* tokens */
  const int32_t *ids;        /* (n) */
  const struct seqs *seqs;
  const float *cos_sin;      /* (n, head_dim) */
  const struct kv_batch *kv; /* decoding: caches of the sequences; NULL in plain runs */
  int few_rows;              /* decoding: products go through kernels->gemv with weights in their stored type */
  float *in[OP_MAX_IN], *out, *aux;
  /* backward only */
  float *din[OP_MAX_IN];     /* gradient of in[i]; accumulate[i] = 0: store, 1: add */
  int accumulate[OP_MAX_IN];
  float *dout;               /* may be din[i] for OP_IN_PLACE and OP_RESIDUAL kinds */
  float *grads;              /* block laid out like the parameters */
  void *scratch;
  float *matrix;             /* room for the largest matrix when weights stay in the file, else NULL */
};

enum {
  OP_CHEAP = 1,    /* the backward pass computes `out` again instead of keeping it */
  OP_IN_PLACE = 2, /* out is in[0], changed in place */
  OP_RESIDUAL = 4  /* in[1], when there is one, is added to the result and may share its memory */
};
struct op_kind {
  const char *name;
  unsigned flags;
  unsigned keep_in;        /* bit i: backward reads in[i] */
  int keep_out, keep_aux;  /* backward reads them */
  int64_t (*aux_width)(const struct op *op); /* NULL = no side result */
  size_t (*scratch_bytes)(const struct op_call *c); /* of backward; NULL = none. Reads seqs, n, op and k only */
  void (*forward)(const struct op_call *c);
  void (*backward)(const struct op_call *c);
};
#define OP(name) extern const struct op_kind op_##name;
#include "ops.def"
#undef OP

/* The operations of one model. */
struct op_list {
  struct op *op;
  int32_t n_op;
  struct value *value;
  int32_t n_value;
  int32_t *residual;  /* (n_layer + 1) value numbers: embedding, then after each layer */
  int32_t final;      /* final normed hidden state */
};

/* Pointer helpers (model.c). model_param: vectors, and matrices of models opened with MODEL_TRAIN. */
const float *model_param(const struct model *m, int32_t param);
float *grads_of(const struct model *m, float *grads, int32_t param);
/* Rows of a weight in the type they are stored in: what kernels->gemv reads. */
const void *model_stored(const struct model *m, int32_t param, enum dtype *type);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * The six small models of tests/golden/data/model (from shared golden data: float64 references of an independent forward
 * and backward pass): reading a case, and cross entropy over a packed run with the gradient of every parameter. */
#ifndef TESTS_GOLDEN_MODEL_CASE_H
#define TESTS_GOLDEN_MODEL_CASE_H
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "json.h"
#include "mem.h"
#include "model.h"
#include "pool.h"

#define CASE_DATA TEST_SOURCE "/tests/golden/data/model/"
static const char *const case_names[] = {"llama_tied", "llama_untied_rope3", "mistral", "mistral_window", "qwen2", "qwen3"};
enum { CASE_N = 6, CASE_TOK = 50, CASE_SEQ = 3 };

#define MUST(call)                                        \
  do {                                                    \
    struct err must_err = {0};                            \
    struct err *E = &must_err;                            \
    if ((call) != STATUS_OK) {                            \
      print_message("%s: %s\n", #call, must_err.msg);     \
      fail();                                             \
    }                                                     \
  } while (0)

struct golden_case {
  const char *name;
  struct model *m;
  struct weights *io;
  int32_t ids[CASE_TOK], positions[CASE_TOK], start[CASE_SEQ + 1], labels[CASE_TOK];
  int64_t vocab, hidden;
};

static inline const void *case_tensor(const struct weights *w, const char *name, enum dtype type, int64_t count) {
  const struct tensor *t = weights_find(w, name);
  assert_non_null(t);
  assert_int_equal(t->type, type);
  assert_true(t->bytes == dtype_bytes(type, count));
  return t->data;
}

static inline void case_open(const char *name, int flags, struct golden_case *c) {
  char path[1024];
  memset(c, 0, sizeof *c);
  c->name = name;
  snprintf(path, sizeof path, CASE_DATA "%s", name);
  MUST(model_open(path, flags, &c->m, E));
  snprintf(path, sizeof path, CASE_DATA "%s/io.safetensors", name);
  MUST(weights_open(path, &c->io, E));
  memcpy(c->ids, case_tensor(c->io, "input_ids", DT_I32, CASE_TOK), sizeof c->ids);
  memcpy(c->positions, case_tensor(c->io, "positions", DT_I32, CASE_TOK), sizeof c->positions);
  memcpy(c->start, case_tensor(c->io, "cu_seqlens", DT_I32, CASE_SEQ + 1), sizeof c->start);
  memcpy(c->labels, case_tensor(c->io, "labels", DT_I32, CASE_TOK), sizeof c->labels);
  c->vocab = model_config(c->m)->vocab;
  c->hidden = model_config(c->m)->hidden;
}

static inline void case_close(struct golden_case *c) {
  model_close(c->m);
  weights_close(c->io);
}

/* Largest |x - reference| over n values against a float64 tensor. */
static inline double case_worst(const struct weights *w, const char *name, const float *x, int64_t n) {
  const unsigned char *p = case_tensor(w, name, DT_F64, n);
  double worst = 0;
  for (int64_t i = 0; i < n; i++) {
    double ref;
    memcpy(&ref, p + i * 8, 8);
    double d = fabs((double)x[i] - ref);
    worst = d > worst || isnan(d) ? d : worst;
  }
  return worst;
}

/* A bound with the value seen beside it, printed when it fails. NaN fails. */
static inline void case_bound(const char *name, const char *what, double observed, double bound) {
  if (!(observed <= bound)) {
    print_message("%s: %s off by %g, allowed %g\n", name, what, observed, bound);
    fail();
  }
}

/* Cross entropy summed over labels >= 0, divided by `over`; adds gradients to grads. */
static inline double case_loss(struct run *r, struct model *m, const struct packed *p, const int32_t *labels, double over, float *grads) {
  const struct kernels *k = model_kernels(m);
  int64_t n = p->seqs.n_tok, v = model_config(m)->vocab, d = model_config(m)->hidden;
  const float *hidden;
  MUST(run_forward(r, p, &hidden, E));
  float *z = mem_alloc((size_t)(n * v) * sizeof *z), *dh = mem_alloc((size_t)(n * d) * sizeof *dh);
  assert_true(z && dh);
  model_logits(m, hidden, n, z);
  double loss = 0;
  for (int64_t i = 0; i < n; i++) {
    float *row = z + i * v;
    double max = row[0], sum = 0;
    for (int64_t j = 1; j < v; j++) {
      max = row[j] > max ? row[j] : max;
    }
    for (int64_t j = 0; j < v; j++) {
      sum += exp(row[j] - max);
    }
    double lse = max + log(sum);
    loss += labels[i] >= 0 ? (lse - row[labels[i]]) / over : 0;
    for (int64_t j = 0; j < v; j++) {
      row[j] = labels[i] >= 0 ? (float)((exp(row[j] - lse) - (j == labels[i])) / over) : 0.0f;
    }
  }
  if (grads) {
    k->gemm_nn(NULL, n, v, d, z, v, model_head(m), d, dh, d, 0);
    k->gemm_tn(NULL, n, v, d, z, v, hidden, d, grads + model_head_offset(m), d, 1);
    MUST(run_backward(r, dh, grads, E));
  }
  mem_free(z);
  mem_free(dh);
  return loss;
}
#endif

/* SPDX-License-Identifier: Apache-2.0
 * Loops over spans that need exp: the readable reference, with libm. */
#include <math.h>

#include "cpu.h"

static float max_span(int64_t n, const float *x) {
  float most = -INFINITY;
  for (int64_t i = 0; i < n; i++) {
    most = x[i] > most ? x[i] : most;
  }
  return most;
}

static double exp_sum(int64_t n, const float *x, float scale, float shift) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) {
    sum += (double)expf(x[i] * scale - shift);
  }
  return sum;
}

static float exp_store(int64_t n, const float *x, float scale, float shift, float *out) {
  float sum = 0;
  for (int64_t i = 0; i < n; i++) {
    out[i] = expf(x[i] * scale - shift);
    sum += out[i];
  }
  return sum;
}

static void swiglu_forward(int64_t n, const float *gate, const float *up, float *out) {
  for (int64_t i = 0; i < n; i++) {
    float s = 1.0f / (1.0f + expf(-gate[i]));
    out[i] = gate[i] * s * up[i];
  }
}

static void swiglu_backward(int64_t n, const float *gate, const float *up, const float *dout, float *dgate, float *dup) {
  for (int64_t i = 0; i < n; i++) {
    float g = gate[i], u = up[i], d = dout[i]; /* read first: dgate or dup may be one of the inputs */
    float s = 1.0f / (1.0f + expf(-g));
    dup[i] = d * (g * s);
    dgate[i] = d * u * s * (1.0f + g * (1.0f - s));
  }
}

void cpu_spans_use_generic(struct cpu_isa *isa) {
  isa->max_span = max_span;
  isa->exp_sum = exp_sum;
  isa->exp_store = exp_store;
  isa->swiglu_forward = swiglu_forward;
  isa->swiglu_backward = swiglu_backward;
}

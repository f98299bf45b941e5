/* SPDX-License-Identifier: Apache-2.0
 * Loops over spans that need exp, in vectors: the body of spans_avx2.c and spans_avx512.c (see cpu.h for what each does).
 * A value's bits never depend on its place in the span. x * scale - shift is not fused: with shift = max * scale the largest
 * value then gives exactly exp(0), however large it is. */
#include <math.h>

#include "cpu.h"
#include "vec.h"

static float max_span(int64_t n, const float *x) {
  vf most[4] = {v_set(-HUGE_VALF), v_set(-HUGE_VALF), v_set(-HUGE_VALF), v_set(-HUGE_VALF)};
  int64_t i = 0;
  for (; i + 4 * VL <= n; i += 4 * VL) {
    UNROLL
    for (int l = 0; l < 4; l++) {
      most[l] = v_max(v_load(x + i + l * VL), most[l]);
    }
  }
  for (; i + VL <= n; i += VL) {
    most[0] = v_max(v_load(x + i), most[0]);
  }
  if (i < n) {
    most[0] = v_max(v_load_head(x + i, n - i, -HUGE_VALF), most[0]);
  }
  return v_most(v_max(v_max(most[0], most[1]), v_max(most[2], most[3])));
}

static double exp_sum(int64_t n, const float *x, float scale, float shift) {
  vf s = v_set(scale), t = v_set(shift);
  double total = 0;
  int64_t i = 0;
  while (i < n) { /* in float for 1,024 values, then on in double */
    int64_t end = cpu_min(i + 1024, n);
    vf a = v_zero(), b = v_zero();
    for (; i + 2 * VL <= end; i += 2 * VL) {
      a = v_add(a, v_exp(v_sub(v_mul(v_load(x + i), s), t)));
      b = v_add(b, v_exp(v_sub(v_mul(v_load(x + i + VL), s), t)));
    }
    for (; i < end; i += VL) {
      a = v_add(a, v_exp(v_sub(v_mul(end - i >= VL ? v_load(x + i) : v_load_head(x + i, end - i, -HUGE_VALF), s), t)));
    }
    i = end;
    total += (double)v_sum(v_add(a, b));
  }
  return total;
}

static float exp_store(int64_t n, const float *x, float scale, float shift, float *out) {
  vf s = v_set(scale), t = v_set(shift), sum = v_zero();
  int64_t i = 0;
  for (; i + VL <= n; i += VL) {
    vf e = v_exp(v_sub(v_mul(v_load(x + i), s), t));
    sum = v_add(sum, e);
    v_store(out + i, e);
  }
  if (i < n) {
    vf e = v_exp(v_sub(v_mul(v_load_head(x + i, n - i, -HUGE_VALF), s), t));
    sum = v_add(sum, e);
    v_store_head(out + i, n - i, e);
  }
  return v_sum(sum);
}

static inline vf silu_parts(vf g, vf *s) {
  vf one = v_set(1.0f);
  *s = v_div(one, v_add(one, v_exp(v_sub(v_zero(), g))));
  return v_mul(g, *s);
}

static void swiglu_forward(int64_t n, const float *gate, const float *up, float *out) {
  int64_t i = 0;
  vf s;
  for (; i + VL <= n; i += VL) {
    v_store(out + i, v_mul(silu_parts(v_load(gate + i), &s), v_load(up + i)));
  }
  if (i < n) {
    v_store_head(out + i, n - i, v_mul(silu_parts(v_load_head(gate + i, n - i, 0), &s), v_load_head(up + i, n - i, 0)));
  }
}

static inline void swiglu_gradient(vf g, vf u, vf d, vf *dgate, vf *dup) {
  vf s, one = v_set(1.0f), silu = silu_parts(g, &s);
  *dup = v_mul(d, silu);
  *dgate = v_mul(v_mul(v_mul(d, u), s), v_fma(g, v_sub(one, s), one));
}

static void swiglu_backward(int64_t n, const float *gate, const float *up, const float *dout, float *dgate, float *dup) {
  int64_t i = 0;
  vf dg, du;
  for (; i + VL <= n; i += VL) {
    swiglu_gradient(v_load(gate + i), v_load(up + i), v_load(dout + i), &dg, &du);
    v_store(dgate + i, dg);
    v_store(dup + i, du);
  }
  if (i < n) {
    int64_t m = n - i;
    swiglu_gradient(v_load_head(gate + i, m, 0), v_load_head(up + i, m, 0), v_load_head(dout + i, m, 0), &dg, &du);
    v_store_head(dgate + i, m, dg);
    v_store_head(dup + i, m, du);
  }
}

static void use_spans(struct cpu_isa *isa) {
  isa->max_span = max_span;
  isa->exp_sum = exp_sum;
  isa->exp_store = exp_store;
  isa->swiglu_forward = swiglu_forward;
  isa->swiglu_backward = swiglu_backward;
}

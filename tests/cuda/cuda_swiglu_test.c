/* SPDX-License-Identifier: Apache-2.0
 * kernels/cuda/swiglu.cu against kernels/cpu/swiglu.c. The exponentials are two different ones of 1 to 2 units in the last place. */
#include "cuda/rows.h"

static const int64_t sizes[] = {1, 255, 256, 257, 5001};

static float *gates(int64_t n) {
  static const float ends[] = {0, -0.0f, 88, -88, 104, -104, 1e4f, -1e4f, 3e38f, -3e38f};
  float *g = host_filled(n, 1);
  for (int64_t i = 0; i < n; i++) {
    g[i] = i % 3 == 0 && n > 200 ? ends[i / 3 % 10] : g[i] * 12;
  }
  return g;
}

static void swiglu_forward(void **state) {
  (void)state;
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    int64_t n = sizes[s];
    float *g = gates(n), *u = host_filled(n, 2), *want = host_floats(n), *out = junk_floats(n), *dg = up_floats(g, n), *du = up_floats(u, n);
    kernels_cpu()->swiglu_forward(NULL, n, g, u, want);
    for (int twice = 0; twice < 2; twice++) {
      K->swiglu_forward(D, n, dg, du, out);
      CLOSE(down_floats(out, n), want, n, 1e-30, 1e-6); /* observed 2.8e-7 */
    }
    rows_done();
  }
}

static void swiglu_backward(void **state) {
  (void)state;
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    int64_t n = sizes[s];
    float *g = gates(n), *u = host_filled(n, 2), *dout = host_filled(n, 3), *dgate = host_floats(n), *dup = host_floats(n);
    float *gg = up_floats(g, n), *gu = up_floats(u, n), *go = up_floats(dout, n), *ggate = junk_floats(n), *gup = junk_floats(n);
    kernels_cpu()->swiglu_backward(NULL, n, g, u, dout, dgate, dup);
    for (int twice = 0; twice < 2; twice++) {
      K->swiglu_backward(D, n, gg, gu, go, ggate, gup);
      CLOSE(down_floats(ggate, n), dgate, n, 1, 1e-6); /* observed 7.3e-8 */
      CLOSE(down_floats(gup, n), dup, n, 1e-30, 1e-6); /* observed 2.5e-7 */
    }
    rows_done();
  }
}

ROWS_MAIN(cmocka_unit_test(swiglu_forward), cmocka_unit_test(swiglu_backward))

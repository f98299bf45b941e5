/* SPDX-License-Identifier: Apache-2.0
 * kernels/cuda/adamw.cu against kernels/cpu/adamw.c: the same bits, over steps that go on from each other. */
#include "cuda/rows.h"

static void adamw(void **state) {
  static const int64_t sizes[] = {1, 255, 256, 257, 40001};
  (void)state;
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    int64_t n = sizes[s];
    float *p = host_filled(n, 1), *g = host_floats(n), *m = host_floats(n), *v = host_floats(n);
    float *dp = up_floats(p, n), *dm = up_floats(m, n), *dv = up_floats(v, n);
    for (int step = 1; step <= 3; step++) {
      fill(g, n, (uint32_t)step + 10);
      for (int64_t i = 0; i < n; i += 3) {
        g[i] *= 1e-7f; /* eps matters */
      }
      if (n > 1) {
        g[1] = 0;
      }
      kernels_cpu()->adamw(NULL, n, p, g, m, v, 3e-3, 0.9, 0.95, 1e-8, 0.1, 0.25, step);
      K->adamw(D, n, dp, up_floats(g, n), dm, dv, 3e-3, 0.9, 0.95, 1e-8, 0.1, 0.25, step);
      SAME_BITS(down_floats(dm, n), m, n);
      SAME_BITS(down_floats(dv, n), v, n);
      SAME_BITS(down_floats(dp, n), p, n);
    }
    rows_done();
  }
}

ROWS_MAIN(cmocka_unit_test(adamw))

/* SPDX-License-Identifier: Apache-2.0
 * kernels/cuda/rope.cu against kernels/cpu/rope.c. */
#include "cuda/rows.h"

static const int32_t dims[] = {2, 10, 64, 128, 256};

static void frequencies(int32_t dh, double *f) {
  for (int32_t c = 0; c < dh / 2; c++) {
    f[c] = pow(10000, -2.0 * c / dh);
  }
}

static void rotary_table(void **state) {
  enum { N = 37 };
  (void)state;
  for (int i = 0; i < 5; i++) {
    int32_t dh = dims[i], *positions = host(N * sizeof *positions);
    double *f = host((size_t)dh / 2 * sizeof *f);
    float *want = host_floats(N * dh), *got = junk_floats(N * dh);
    frequencies(dh, f);
    for (int t = 0; t < N; t++) {
      positions[t] = t < 30 ? t : 100000 * t; /* far out: the angle has to be a double */
    }
    kernels_cpu()->rotary_table(NULL, N, dh, positions, f, want);
    K->rotary_table(D, N, dh, up(positions, N * sizeof *positions), up(f, (size_t)dh / 2 * sizeof *f), got);
    CLOSE(down_floats(got, N * dh), want, N * dh, 1, 1.2e-7); /* observed 0 */
    rows_done();
  }
}

static void rope(void **state) {
  (void)state;
  for (int i = 0; i < 5; i++) {
    int32_t dh = dims[i], heads = 3, *positions;
    int64_t n = i % 2 ? 70 : 9, ld = heads * dh + 5;
    double *f = host((size_t)dh / 2 * sizeof *f);
    float *x = host_filled(n * ld, 1), *cs = host_floats(n * dh), *dcs, *dx = up_floats(x, n * ld), *x0 = host_copy(x, (size_t)(n * ld) * sizeof *x);
    positions = host((size_t)n * sizeof *positions);
    for (int64_t t = 0; t < n; t++) {
      positions[t] = (int32_t)(t * 13 % 101);
    }
    frequencies(dh, f);
    kernels_cpu()->rotary_table(NULL, n, dh, positions, f, cs);
    dcs = up_floats(cs, n * dh);
    kernels_cpu()->rope(NULL, n, heads, dh, cs, x, ld, 0);
    K->rope(D, n, heads, dh, dcs, dx, ld, 0);
    SAME_BITS(down_floats(dx, n * ld), x, n * ld);
    kernels_cpu()->rope(NULL, n, heads, dh, cs, x, ld, 1);
    K->rope(D, n, heads, dh, dcs, dx, ld, 1);
    SAME_BITS(down_floats(dx, n * ld), x, n * ld);
    CLOSE(down_floats(dx, n * ld), x0, n * ld, 1, 3e-7); /* observed 1.0e-7: turned back */
    rows_done();
  }
}

ROWS_MAIN(cmocka_unit_test(rotary_table), cmocka_unit_test(rope))

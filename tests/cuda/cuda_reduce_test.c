/* SPDX-License-Identifier: Apache-2.0
 * kernels/cuda/reduce.cu and columns.cuh against kernels/cpu/reduce.c. Both sum in double, in another order. */
#include "cuda/rows.h"

static void bias_backward(void **state) {
  static const int64_t shapes[][2] = {{1, 1}, {7, 33}, {8, 32}, {9, 31}, {256, 40}, {257, 129}, {1000, 65}, {2049, 129}};
  (void)state;
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    int64_t n = shapes[s][0], width = shapes[s][1];
    float *dy = host_filled(n * width, 1), *want = host_filled(width, 2), *ddy = up_floats(dy, n * width), *db = up_floats(want, width), *again = up_floats(want, width);
    kernels_cpu()->bias_backward(NULL, n, width, dy, want); /* adds to what is there */
    K->bias_backward(D, n, width, ddy, db);
    K->bias_backward(D, n, width, ddy, again);
    CLOSE(down_floats(db, width), want, width, 1, 1.2e-7); /* observed 0: one rounding of a double sum */
    SAME_BITS(down_floats(again, width), down_floats(db, width), width);
    rows_done();
  }
}

static void sum_squares(void **state) {
  static const int64_t sizes[] = {1, 33, 1023, 1024, 1025, 100003, 1500001};
  (void)state;
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    int64_t n = sizes[s];
    float *x = host_filled(n, 3), *dx;
    x[n - 1] = 1e19f; /* its square is no float */
    dx = up_floats(x, n);
    double want = kernels_cpu()->sum_squares(NULL, n, x), got = K->sum_squares(D, n, dx);
    assert_true(fabs(got - want) <= 1e-14 * want); /* observed 0 */
    assert_true(K->sum_squares(D, n, dx) == got);
    x[n - 1] = 0.5f;
    dx = up_floats(x, n);
    want = kernels_cpu()->sum_squares(NULL, n, x), got = K->sum_squares(D, n, dx);
    if (!(fabs(got - want) <= 1e-13 * want)) { /* observed 5e-15 */
      fail_msg("sum_squares of %lld values: %.17g, wanted %.17g", (long long)n, got, want);
    }
    rows_done();
  }
}

ROWS_MAIN(cmocka_unit_test(bias_backward), cmocka_unit_test(sum_squares))

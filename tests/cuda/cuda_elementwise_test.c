/* SPDX-License-Identifier: Apache-2.0
 * kernels/cuda/elementwise.cu against kernels/cpu/elementwise.c: the same bits. */
#include "cuda/rows.h"

static const int64_t sizes[] = {1, 31, 255, 256, 257, 1000, 70001};

static void add(void **state) {
  (void)state;
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    int64_t n = sizes[s];
    float *a = host_filled(n, 1), *b = host_filled(n, 2), *want = host_floats(n), *da = up_floats(a, n), *db = up_floats(b, n), *out = junk_floats(n);
    a[0] = 3e38f;
    b[0] = 3e38f; /* infinity */
    K->upload(D, da, a, sizeof *a);
    K->upload(D, db, b, sizeof *b);
    kernels_cpu()->add(NULL, n, a, b, want);
    K->add(D, n, da, db, out);
    SAME_BITS(down_floats(out, n), want, n);
    K->add(D, n, da, db, da); /* out may be a */
    SAME_BITS(down_floats(da, n), want, n);
    SAME_BITS(down_floats(db, n), b, n);
    rows_done();
  }
}

static void scale(void **state) {
  (void)state;
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    int64_t n = sizes[s];
    float *x = host_filled(n, 3), *dx = up_floats(x, n);
    K->scale(D, n, -0.37f, dx);
    kernels_cpu()->scale(NULL, n, -0.37f, x);
    SAME_BITS(down_floats(dx, n), x, n);
    rows_done();
  }
}

static void bias_forward(void **state) {
  static const int64_t shapes[][2] = {{1, 1}, {3, 17}, {130, 256}, {5, 257}, {2, 1100}};
  (void)state;
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    int64_t n = shapes[s][0], width = shapes[s][1];
    float *bias = host_filled(width, 4), *y = host_filled(n * width, 5), *db = up_floats(bias, width), *dy = up_floats(y, n * width);
    K->bias_forward(D, n, width, db, dy);
    kernels_cpu()->bias_forward(NULL, n, width, bias, y);
    SAME_BITS(down_floats(dy, n * width), y, n * width);
    SAME_BITS(down_floats(db, width), bias, width);
    rows_done();
  }
}

ROWS_MAIN(cmocka_unit_test(add), cmocka_unit_test(scale), cmocka_unit_test(bias_forward))

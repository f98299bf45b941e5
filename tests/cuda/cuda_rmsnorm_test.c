/* SPDX-License-Identifier: Apache-2.0
 * kernels/cuda/rmsnorm.cu against kernels/cpu/rmsnorm.c. */
#include "cuda/rows.h"

static const int64_t shapes[][2] = {{1, 1}, {3, 17}, {17, 64}, {5, 128}, {4, 257}, {300, 33}, {2, 1100}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* Rows of very different size, one of zeros. */
static float *rows_of_all_sizes(int64_t n, int64_t width) {
  float *x = host_filled(n * width, 1);
  for (int64_t i = 0; i < n * width; i++) {
    int64_t row = i / width;
    x[i] *= row % 4 == 0 ? 1e15f : row % 4 == 1 ? 1e-12f : row % 4 == 2 ? 0.0f : 1.0f;
  }
  return x;
}

static void rmsnorm_forward(void **state) {
  (void)state;
  for (int s = 0; s < N_SHAPES; s++) {
    int64_t n = shapes[s][0], width = shapes[s][1], all = n * width;
    float *x = rows_of_all_sizes(n, width), *gamma = host_filled(width, 2), *out = host_floats(all), *rstd = host_floats(n);
    float *dx = up_floats(x, all), *dg = up_floats(gamma, width), *dout = junk_floats(all), *dr = junk_floats(n);
    kernels_cpu()->rmsnorm_forward(NULL, n, width, x, gamma, 1e-5f, out, rstd);
    for (int twice = 0; twice < 2; twice++) {
      K->rmsnorm_forward(D, n, width, dx, dg, 1e-5f, dout, dr);
      CLOSE(down_floats(dr, n), rstd, n, 0, 1.2e-7);      /* observed 0 */
      CLOSE(down_floats(dout, all), out, all, 0, 2.4e-7); /* observed 0 */
    }
    float *plain = junk_floats(all);
    K->rmsnorm_forward(D, n, width, dx, dg, 1e-5f, plain, NULL); /* nobody wants rstd */
    SAME_BITS(down_floats(plain, all), down_floats(dout, all), all);
    rows_done();
  }
}

static void rmsnorm_backward(void **state) {
  (void)state;
  for (int s = 0; s < N_SHAPES; s++) {
    int64_t n = shapes[s][0], width = shapes[s][1], all = n * width;
    float *x = host_filled(all, 1), *gamma = host_filled(width, 2), *out = host_floats(all), *rstd = host_floats(n), *dout = host_filled(all, 3);
    float *dx = host_filled(all, 4), *dgamma = host_filled(width, 5), *gx = up_floats(x, all), *gg = up_floats(gamma, width), *go = up_floats(dout, all), *gr;
    kernels_cpu()->rmsnorm_forward(NULL, n, width, x, gamma, 1e-5f, out, rstd);
    gr = up_floats(rstd, n);
    for (int add = 1; add >= 0; add--) {
      float *gdx = add ? up_floats(dx, all) : junk_floats(all), *gdg = up_floats(dgamma, width), *again = up_floats(dx, all);
      kernels_cpu()->rmsnorm_backward(NULL, n, width, x, gamma, rstd, dout, dx, add, add ? dgamma : NULL);
      K->rmsnorm_backward(D, n, width, gx, gg, gr, go, gdx, add, add ? gdg : NULL);
      K->rmsnorm_backward(D, n, width, gx, gg, gr, go, again, 0, NULL);
      CLOSE(down_floats(gdx, all), dx, all, 1, 4e-7); /* observed 0 */
      CLOSE(down_floats(gdg, width), dgamma, width, 1, 2.4e-7); /* observed 0 */
      if (!add) {
        SAME_BITS(down_floats(again, all), down_floats(gdx, all), all);
      }
    }
    rows_done();
  }
}

ROWS_MAIN(cmocka_unit_test(rmsnorm_forward), cmocka_unit_test(rmsnorm_backward))

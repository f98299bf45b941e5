/* SPDX-License-Identifier: Apache-2.0
 * Matrix products against a double-precision reference, and their two promises: the same bits for 1, 2 and 3 threads, and
 * a row's bits independent of how many rows there are and where it stands. */
#include "kernel_check.h"

static const int64_t sizes[][3] = {{1, 1, 1},      {3, 17, 10},     {17, 37, 577},   {128, 64, 64},  {130, 193, 37}, {300, 577, 70},
                                   {37, 4099, 33}, {157, 192, 576}, {13, 1536, 576}, {5, 576, 1536}, {2, 3, 4100}};

static void reference(int64_t m, int64_t n, int64_t k, const float *a, int64_t ra, int64_t ca, const float *b, int64_t rb, int64_t cb,
                      const float *c0, double *c) {
  for (int64_t i = 0; i < m; i++) {
    for (int64_t j = 0; j < n; j++) {
      double s = c0 ? (double)c0[i * n + j] : 0;
      for (int64_t l = 0; l < k; l++) {
        s += (double)a[i * ra + l * ca] * (double)b[l * rb + j * cb];
      }
      c[i * n + j] = s;
    }
  }
}

/* which: 0 nt, 1 nn, 2 tn; y(m,n) with a reduction over k in each */
static void product(const struct kernels *t, int which, int64_t m, int64_t n, int64_t k, const float *a, const float *b, float *y,
                    int accumulate) {
  if (which == 0) {
    t->gemm_nt(NULL, m, n, k, a, k, b, k, y, n, accumulate);
  } else if (which == 1) {
    t->gemm_nn(NULL, m, k, n, a, k, b, n, y, n, accumulate);
  } else {
    t->gemm_tn(NULL, k, m, n, a, m, b, n, y, n, accumulate);
  }
}

static void matches_reference(void **state) {
  const struct kernels *t = kernels_cpu();
  (void)state;
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    int64_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2];
    float *a = filled(m * k, 1), *b = filled(n * k, 2), *y0 = filled(m * n, 3), *y = floats(m * n), *y2 = floats(m * n);
    double *want = doubles(m * n);
    for (int which = 0; which < 3; which++) {
      for (int accumulate = 0; accumulate < 2; accumulate++) {
        reference(m, n, k, a, which == 2 ? 1 : k, which == 2 ? m : 1, b, which == 0 ? 1 : n, which == 0 ? k : 1, accumulate ? y0 : NULL,
                  want);
        for (int threads = 1; threads <= 3; threads++) {
          float *to = threads == 1 ? y : y2;
          use_threads(threads);
          memcpy(to, y0, (size_t)(m * n) * sizeof *y);
          product(t, which, m, n, k, a, b, to, accumulate);
          if (threads > 1) {
            CHECK_SAME(y, y2, m * n);
          }
        }
        CHECK_CLOSE(y, want, m * n, sqrt((double)k), 3e-6); /* observed 1.04e-6 */
      }
    }
    mem_free(a), mem_free(b), mem_free(y0), mem_free(y), mem_free(y2), mem_free(want);
  }
}

/* Row i of a product of m rows has the bits of row i of the full product, for all m; also when it stands elsewhere. */
static void rows_stand_alone(void **state) {
  static const int64_t shape[][2] = {{64, 64}, {577, 37}, {192, 576}, {130, 1180}, {1000, 70}};
  static const int64_t few[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 24, 25, 47, 64, 100, 127, 128, 129, 192, 299};
  const struct kernels *t = kernels_cpu();
  enum { MOST = 300 };
  (void)state;
  use_threads(2);
  for (size_t s = 0; s < sizeof shape / sizeof *shape; s++) {
    int64_t n = shape[s][0], k = shape[s][1];
    float *a = filled(MOST * k, 4), *b = filled(n * k, 5), *all = floats(MOST * n), *some = floats(MOST * n);
    for (int which = 0; which < 2; which++) {
      product(t, which, MOST, n, k, a, b, all, 0);
      for (size_t f = 0; f < sizeof few / sizeof *few; f++) {
        int64_t m = few[f], at = MOST - m;
        product(t, which, m, n, k, a, b, some, 0);
        CHECK_SAME(all, some, m * n);
        product(t, which, m, n, k, a + at * k, b, some, 0);
        CHECK_SAME(all + at * n, some, m * n);
      }
    }
    mem_free(a), mem_free(b), mem_free(all), mem_free(some);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(matches_reference), cmocka_unit_test(rows_stand_alone)};
  return run_each_isa(tests, sizeof tests / sizeof *tests);
}

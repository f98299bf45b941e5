/* SPDX-License-Identifier: Apache-2.0
 * The losses' loops against libm in float64, in every variant this processor can run; remainders, extremes, NaN. */
#include "golden_file.h"
#include <math.h>
#include "loss_loops.h"
#include "rng.h"

static const struct loss_loops *variants[4];

static int find_variants(void **state) {
  (void)state;
  int n = 0;
  variants[n++] = &loss_loops_generic;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    variants[n++] = &loss_loops_avx2;
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    variants[n++] = &loss_loops_avx512;
  }
#endif
  return 0;
}

static void exp_is_exact_enough(void **state) {
  (void)state;
  enum { N = 100003 };
  float *x = mem_alloc(N * sizeof *x), *y = mem_alloc(N * sizeof *y);
  for (int i = 0; i < N; i++) {
    x[i] = -86.9f * (float)i / N;
  }
  for (int v = 0; variants[v] != NULL; v++) {
    double worst = 0;
    variants[v]->softmax(N, x, 1, 0, 1, y);
    for (int i = 0; i < N; i++) {
      worst = fmax(worst, fabs((double)y[i] / exp((double)x[i]) - 1));
    }
    print_message("%s: worst relative error of exp %.3g\n", variants[v]->isa, worst);
    assert_true(worst < 1.2e-7); /* observed 8.6e-8 */
  }
  mem_free(x);
  mem_free(y);
}

static void sums_match_libm(void **state) {
  (void)state;
  static const int64_t sizes[] = { 1, 2, 15, 16, 17, 97, 1023, 1024, 1025, 4099, 151936 };
  struct rng r = { 7, 1, 0 };
  float *z = mem_alloc(151936 * sizeof *z), *y = mem_alloc(151936 * sizeof *y), *dz = mem_alloc(151936 * sizeof *dz);
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    int64_t n = sizes[s];
    double zl = 0, yl = 0, kl = 0;
    for (int64_t i = 0; i < n; i++) {
      z[i] = (float)(5 * rng_normal(&r));
      y[i] = (float)(z[i] + rng_normal(&r));
      zl += exp((double)z[i] / 2);
      yl += exp((double)y[i] / 2);
    }
    zl = log(zl);
    yl = log(yl);
    for (int64_t i = 0; i < n; i++) {
      kl += exp((double)y[i] / 2 - yl) * (((double)y[i] / 2 - yl) - ((double)z[i] / 2 - zl));
    }
    for (int v = 0; variants[v] != NULL; v++) {
      assert_true(fabs(variants[v]->lse(n, z, 0.5f) - zl) < 2e-7); /* observed 5e-8 */
      double got = variants[v]->fkl(n, z, y, 0.5f, zl, yl, 2, dz);
      assert_true(fabs(got - kl) < 5e-7); /* observed 1e-7 */
      for (int64_t i = 0; i < n; i++) {
        double want = 2 * (exp((double)z[i] / 2 - zl) - exp((double)y[i] / 2 - yl));
        assert_true(fabs((double)dz[i] - want) < 1e-6);
      }
      assert_true(variants[v]->fkl(n, z, y, 0.5f, zl, yl, 2, NULL) == got);
    }
  }
  mem_free(z);
  mem_free(y);
  mem_free(dz);
}

static void extremes(void **state) {
  (void)state;
  float z[40], out[40];
  for (int v = 0; variants[v] != NULL; v++) {
    for (int i = 0; i < 40; i++) {
      z[i] = -INFINITY;
    }
    z[33] = 400;
    assert_true(variants[v]->lse(40, z, 1) == 400);
    assert_true(variants[v]->lse(20, z, 1) == -INFINITY);
    variants[v]->softmax(40, z, 1, 400, 1, out);
    assert_true(out[33] == 1 && out[0] == 0 && out[39] == 0);
    assert_int_equal(variants[v]->argmax(40, z), 33);
    z[3] = 400;
    assert_int_equal(variants[v]->argmax(40, z), 3);
    z[20] = NAN;
    assert_true(isnan(variants[v]->lse(40, z, 1)));
    z[20] = INFINITY;
    assert_false(isfinite(variants[v]->lse(40, z, 1)));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(exp_is_exact_enough),
    cmocka_unit_test(sums_match_libm),
    cmocka_unit_test(extremes),
  };
  return cmocka_run_group_tests(tests, find_variants, NULL);
}

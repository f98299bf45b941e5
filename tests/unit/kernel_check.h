/* SPDX-License-Identifier: Apache-2.0
 * Shared by test_kernel_*.c: test data, comparison with a double-precision reference, runs under 1, 2 and 3 threads. */
#ifndef TESTS_KERNEL_CHECK_H
#define TESTS_KERNEL_CHECK_H
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kernel.h"
#include "mem.h"
#include "pool.h"

static inline float *floats(int64_t n) { return mem_calloc((size_t)(n > 0 ? n : 1), sizeof(float)); }
static inline double *doubles(int64_t n) { return mem_calloc((size_t)(n > 0 ? n : 1), sizeof(double)); }

/* Uniform in [-1, 1), a fixed stream per seed. */
static inline void fill(float *x, int64_t n, uint32_t seed) {
  uint32_t s = seed * 2654435761u + 12345u;
  for (int64_t i = 0; i < n; i++) {
    s = s * 1664525u + 1013904223u;
    x[i] = (float)((int32_t)(s >> 8) - (1 << 23)) / (float)(1 << 23);
  }
}

static inline float *filled(int64_t n, uint32_t seed) {
  float *x = floats(n);
  fill(x, n, seed);
  return x;
}

/* Largest |got - want| / (floor + |want|). NaN counts as infinite. */
static inline double worst(const float *got, const double *want, int64_t n, double floor) {
  double most = 0;
  for (int64_t i = 0; i < n; i++) {
    double err = fabs((double)got[i] - want[i]) / (floor + fabs(want[i]));
    if (!(err <= most)) {
      most = isnan(err) ? INFINITY : err;
    }
  }
  return most;
}

#define CHECK_CLOSE(got, want, n, floor, tolerance)                                                         \
  do {                                                                                                      \
    double worst_ = worst(got, want, n, floor);                                                             \
    if (!(worst_ <= (tolerance))) {                                                                         \
      fail_msg("%s: error %.3g above %.3g (n = %lld)", #got, worst_, (double)(tolerance), (long long)(n));  \
    }                                                                                                       \
  } while (0)

#define CHECK_SAME(a, b, n)                                    \
  do {                                                         \
    if (memcmp(a, b, (size_t)(n) * sizeof *(a)) != 0) {        \
      fail_msg("%s and %s differ in bits", #a, #b);            \
    }                                                          \
  } while (0)

/* The group once for each instruction set this processor has. */
static inline int run_each_isa(const struct CMUnitTest *tests, size_t n) {
  static const char *const isa[] = {"generic", "avx2", "avx512"};
  int failed = 0;
  kernels_cpu();
  for (size_t i = 0; i < sizeof isa / sizeof *isa; i++) {
    if (kernels_cpu_select(isa[i])) {
      printf("== %s\n", isa[i]);
      failed += _cmocka_run_group_tests(isa[i], tests, n, NULL, NULL);
    }
  }
  return failed;
}

static inline void use_threads(int n) {
  struct err e;
  assert_int_equal(pool_setup(n, &e), STATUS_OK);
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 * Shared by cuda_*_test.c: each row of the CUDA table against its CPU twin. cuda_X_test.c tests kernels/cuda/X.cu; a test has the
 * name of its row, and its tolerance stands in it with the value observed under the shim. Runs on the device that RETORT_CUDA's
 * plugin gives: the execution shim (every tree with tests), or a real one (ctest -L gpu). Every device call is made twice and has
 * to give the same bits: the shim runs blocks, warps and lanes in another order each time. */
#ifndef TESTS_CUDA_ROWS_H
#define TESTS_CUDA_ROWS_H
#include "unit/kernel_check.h"

#include <stdlib.h>

#include "device.h"

static struct device *dev;
#define K (dev->k)
#define D (dev->d)

enum { ROWS_MAX = 256 };
static struct { void *p; size_t bytes; int on_device; } rows_held[ROWS_MAX];
static int rows_n;

static inline void *rows_hold(void *p, size_t bytes, int on_device) {
  assert_true(rows_n < ROWS_MAX);
  rows_held[rows_n].p = p;
  rows_held[rows_n].bytes = bytes;
  rows_held[rows_n++].on_device = on_device;
  return p;
}

/* Everything below is held until the shape is done with. */
static inline void rows_done(void) {
  struct err e;
  if (device_check(dev, &e) != STATUS_OK) {
    fail_msg("%s", e.msg);
  }
  while (rows_n > 0) {
    rows_n--;
    if (rows_held[rows_n].on_device) {
      device_block_free(dev, rows_held[rows_n].p, rows_held[rows_n].bytes);
    } else {
      mem_free(rows_held[rows_n].p);
    }
  }
}

static inline void *host(size_t bytes) { return rows_hold(mem_calloc(1, bytes > 0 ? bytes : 1), bytes, 0); }
static inline float *host_floats(int64_t n) { return host((size_t)n * sizeof(float)); }
static inline float *host_filled(int64_t n, uint32_t seed) {
  float *x = host_floats(n);
  fill(x, n, seed);
  return x;
}
static inline void *host_copy(const void *from, size_t bytes) { return memcpy(host(bytes), from, bytes); }

/* A copy on the device, as long as the original to the byte. */
static inline void *up(const void *from, size_t bytes) {
  struct err e;
  void *p = NULL;
  if (device_block(dev, bytes, "test data", &p, &e) != STATUS_OK) {
    fail_msg("%s", e.msg);
  }
  K->upload(D, p, from, bytes);
  return rows_hold(p, bytes, 1);
}
static inline float *up_floats(const float *from, int64_t n) { return up(from, (size_t)n * sizeof *from); }
/* An output on the device: NaN until it is written. */
static inline void *up_junk(size_t bytes) { return up(memset(host(bytes), 0xff, bytes), bytes); }
static inline float *junk_floats(int64_t n) { return up_junk((size_t)n * sizeof(float)); }
static inline void *down(const void *p, size_t bytes) {
  struct err e;
  void *to = host(bytes);
  K->download(D, to, p, bytes);
  if (device_check(dev, &e) != STATUS_OK) {
    fail_msg("%s", e.msg);
  }
  return to;
}
static inline float *down_floats(const float *p, int64_t n) { return down(p, (size_t)n * sizeof *p); }

static inline void rows_same(const char *what, const void *got, const void *want, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i++) {
    if (((const unsigned char *)got)[i] != ((const unsigned char *)want)[i]) {
      float g, w;
      memcpy(&g, (const char *)got + i / 4 * 4, i / 4 * 4 + 4 <= bytes ? 4 : 1);
      memcpy(&w, (const char *)want + i / 4 * 4, i / 4 * 4 + 4 <= bytes ? 4 : 1);
      fail_msg("%s: byte %lld of %lld differs (as float32 %g, wanted %g)", what, (long long)i, (long long)bytes, (double)g, (double)w);
    }
  }
}
#define SAME_BITS(got, want, n) rows_same(#got, got, want, (int64_t)((size_t)(n) * sizeof *(got)))

/* |got - want| <= tolerance * (floor + |want|) everywhere; infinities and NaN have to be equal. ROWS_SHOW=1 prints the worst. */
static inline void rows_close(const char *what, const float *got, const float *want, int64_t n, double floor, double tolerance) {
  double most = 0;
  for (int64_t i = 0; i < n; i++) {
    double g = (double)got[i], w = (double)want[i], err = g == w || (isnan(g) && isnan(w)) ? 0 : fabs(g - w) / (floor + fabs(w));
    if (!(err <= tolerance)) {
      fail_msg("%s: value %lld of %lld is %.9g, wanted %.9g (error %.3g, tolerance %.3g)", what, (long long)i, (long long)n, g, w, err, tolerance);
    }
    most = err > most ? err : most;
  }
  if (getenv("ROWS_SHOW") != NULL) {
    printf("%s: %.3g of %.3g\n", what, most, tolerance);
  }
}
#define CLOSE(got, want, n, floor, tolerance) rows_close(#got, got, want, n, floor, tolerance)

static inline int rows_main(const struct CMUnitTest *tests, size_t n) {
  struct err e;
  const char *plugin = getenv("RETORT_CUDA");
  if (plugin == NULL || plugin[0] == '\0') {
    printf("skipped: RETORT_CUDA names no plugin\n");
    return 77;
  }
  if (device_open("cuda", "f32", &dev, &e) != STATUS_OK) {
    printf("%s\n", e.msg);
    return 1;
  }
  printf("%s\n", dev->said);
  struct kdev_about before = {0}, after = {0};
  dev->plugin->describe(D, &before);
  int failed = _cmocka_run_group_tests("rows", tests, n, NULL, NULL);
  dev->plugin->describe(D, &after);
  if (failed == 0 && after.free_bytes != before.free_bytes && strncmp(dev->about.name, "cudasim", 7) == 0) { /* a device's allocator keeps some */
    printf("%lld bytes of the device were not given back\n", (long long)(before.free_bytes - after.free_bytes));
    failed = 1;
  }
  device_close(dev);
  return failed;
}
#define ROWS_MAIN(...)                                        \
  int main(void) {                                            \
    const struct CMUnitTest tests[] = {__VA_ARGS__};          \
    return rows_main(tests, sizeof tests / sizeof *tests);    \
  }
#endif

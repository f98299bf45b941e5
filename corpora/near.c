/* SPDX-License-Identifier: Apache-2.0
 * Signatures by the fastest loop the processor has, and the choice of bands. */
#include "near.h"
#include <math.h>
#include <pthread.h>
#include "near_loop.h"
#include "rng.h"

static struct near_factors factors;
static pthread_once_t drawn = PTHREAD_ONCE_INIT;

static void draw(void) {
  for (int i = 0; i < NEAR_HASHES; i++) {
    uint32_t r[4];
    rng_philox(0x6E656172, 1, (uint64_t)i, r);
    factors.a[i] = r[0] | 1;
    factors.b[i] = r[1];
  }
}

const struct near_factors *near_factors(void) {
  pthread_once(&drawn, draw);
  return &factors;
}

void near_minima_generic(const uint64_t *shingle, size_t n, uint32_t sig[NEAR_HASHES]) { near_loop(shingle, n, sig); }

#if !(defined(__x86_64__) || defined(__i386__))
void near_minima_avx2(const uint64_t *shingle, size_t n, uint32_t sig[NEAR_HASHES]) { near_minima_generic(shingle, n, sig); }
#endif

void near_signature(const uint64_t *shingle, size_t n, uint32_t sig[NEAR_HASHES]) {
#if defined(__x86_64__) || defined(__i386__)
  if (__builtin_cpu_supports("avx2")) {
    near_minima_avx2(shingle, n, sig);
    return;
  }
#endif
  near_minima_generic(shingle, n, sig);
}

void near_bands(double t, int *rows, int *bands) {
  *rows = 1;
  for (int r = 1; r <= 16; r++) { /* the longest band that still finds a pair at t */
    int b = NEAR_HASHES / r;
    if (pow(1 - pow(t, r), b) < 1e-3) *rows = r;
  }
  *bands = NEAR_HASHES / *rows;
}

/* SPDX-License-Identifier: Apache-2.0
 * The MinHash loop, compiled once for each instruction set (near.c, near_avx2.c). Value i of a signature is the minimum over
 * the shingles of (a_i * x + b_i) mod 2^32 with odd a_i; x are the upper bits of an XXH3, already well mixed. */
#ifndef CORPORA_NEAR_LOOP_H
#define CORPORA_NEAR_LOOP_H
#include <stdint.h>
#include <string.h>
#include "near.h"

struct near_factors { uint32_t a[NEAR_HASHES], b[NEAR_HASHES]; };
const struct near_factors *near_factors(void); /* near.c: drawn once */

static inline void near_loop(const uint64_t *shingle, size_t n, uint32_t sig[NEAR_HASHES]) {
  uint32_t a[NEAR_HASHES], b[NEAR_HASHES], best[NEAR_HASHES];
  memcpy(a, near_factors()->a, sizeof a);
  memcpy(b, near_factors()->b, sizeof b);
  for (int i = 0; i < NEAR_HASHES; i++) best[i] = UINT32_MAX;
  for (size_t k = 0; k < n; k++) {
    uint32_t x = (uint32_t)(shingle[k] >> 32), y = (uint32_t)shingle[k];
    for (int i = 0; i < NEAR_HASHES; i++) {
      uint32_t v = a[i] * (x ^ (y & b[i])) + b[i];
      best[i] = v < best[i] ? v : best[i];
    }
  }
  for (int i = 0; i < NEAR_HASHES; i++) sig[i] = best[i];
}
#endif

/* SPDX-License-Identifier: Apache-2.0
 * Philox4x32-10: J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 4.3. */
#include "rng.h"
#include <math.h>

void rng_philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]) {
  uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32), c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  for (int round = 0; round < 10; round++) {
    uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
    uint32_t n0 = (uint32_t)(b >> 32) ^ c1 ^ k0, n2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
    c1 = (uint32_t)b, c3 = (uint32_t)a, c0 = n0, c2 = n2;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

uint64_t rng_u64(struct rng *r) {
  uint32_t w[4];
  rng_philox(r->seed, r->stream, r->counter++, w);
  return (uint64_t)w[0] << 32 | w[1];
}

double rng_uniform(struct rng *r) { return (double)(rng_u64(r) >> 11) * 0x1p-53; }

uint64_t rng_below(struct rng *r, uint64_t n) {
  uint64_t limit = -n % n; /* values below it would make the low residues likelier */
  uint64_t x;
  do x = rng_u64(r);
  while (x < limit);
  return x % n;
}

double rng_normal(struct rng *r) {
  uint32_t w[4];
  rng_philox(r->seed, r->stream, r->counter++, w);
  double u = ((double)((uint64_t)w[0] << 21 ^ w[1] >> 11) + 1.0) * 0x1p-53; /* (0, 1] */
  double v = (double)((uint64_t)w[2] << 21 ^ w[3] >> 11) * 0x1p-53;
  return sqrt(-2.0 * log(u)) * cos(6.283185307179586476925 * v);
}

void rng_permutation(struct rng *r, uint64_t n, uint64_t *out) {
  for (uint64_t i = 0; i < n; i++) out[i] = i;
  for (uint64_t i = n; i > 1; i--) {
    uint64_t j = rng_below(r, i), t = out[i - 1];
    out[i - 1] = out[j];
    out[j] = t;
  }
}

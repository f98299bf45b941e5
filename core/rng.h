/* SPDX-License-Identifier: Apache-2.0
 * Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011). A value depends on (seed, stream, counter)
 * only, so any order of evaluation, any number of threads and any resume give the same numbers. */
#ifndef CORE_RNG_H
#define CORE_RNG_H
#include <stdint.h>
struct rng { uint64_t seed, stream, counter; };
void rng_philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]);
uint64_t rng_u64(struct rng *r);                  /* advances counter by one */
double rng_uniform(struct rng *r);                /* [0, 1), 53 bits */
uint64_t rng_below(struct rng *r, uint64_t n);    /* unbiased; n > 0 */
double rng_normal(struct rng *r);                 /* Box-Muller, one value a call */
void rng_permutation(struct rng *r, uint64_t n, uint64_t *out); /* Fisher-Yates */
#endif

/* SPDX-License-Identifier: Apache-2.0
 * The MinHash loop for AVX2 (integers: the same bits as the generic one). */
#include "near_loop.h"

void near_minima_avx2(const uint64_t *shingle, size_t n, uint32_t sig[NEAR_HASHES]) { near_loop(shingle, n, sig); }

/* SPDX-License-Identifier: Apache-2.0
 * MinHash signatures of word 5-grams and how they are cut into LSH bands (Broder 1997; Leskovec et al., Mining of Massive
 * Datasets, 3.4). Results depend on the sets only, not on the processor. dedup.h uses them. */
#ifndef CORPORA_NEAR_H
#define CORPORA_NEAR_H
#include <stdint.h>
#include <stddef.h>

#define NEAR_WORDS 5
#define NEAR_HASHES 128
void near_signature(const uint64_t *shingle, size_t n, uint32_t sig[NEAR_HASHES]);
/* The loop behind it, by instruction set; the same numbers from each. */
void near_minima_generic(const uint64_t *shingle, size_t n, uint32_t sig[NEAR_HASHES]);
void near_minima_avx2(const uint64_t *shingle, size_t n, uint32_t sig[NEAR_HASHES]);
void near_bands(double threshold, int *rows, int *bands);

/* Rows of a band and number of bands for a threshold: a pair at it is missed with probability below 1e-3. */
void near_bands(double threshold, int *rows, int *bands);
#endif

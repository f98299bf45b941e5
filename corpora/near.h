/* SPDX-License-Identifier: Apache-2.0
 * Near-duplicate search: MinHash signatures of word 5-grams in LSH bands give candidates, true Jaccard decides. The number
 * of rows a band is chosen from the threshold so that a pair at the threshold is missed with probability below 1e-3
 * (Broder 1997; Leskovec et al., Mining of Massive Datasets, 3.4). Results depend on the sets only, not on the processor. */
#ifndef CORPORA_NEAR_H
#define CORPORA_NEAR_H
#include <stdint.h>
#include "err.h"
#include "mem.h"

#define NEAR_WORDS 5
#define NEAR_HASHES 128
void near_signature(const uint64_t *shingle, size_t n, uint32_t sig[NEAR_HASHES]);
/* The loop behind it, by instruction set; the same numbers from each. */
void near_minima_generic(const uint64_t *shingle, size_t n, uint32_t sig[NEAR_HASHES]);
void near_minima_avx2(const uint64_t *shingle, size_t n, uint32_t sig[NEAR_HASHES]);
void near_bands(double threshold, int *rows, int *bands);

struct near_set { /* one row; the pointers must stay as long as the index */
  const uint64_t *shingle;
  size_t n;
  const uint32_t *sig;
};
struct near_index;
MUST_USE enum status near_new(double threshold, struct near_index **x, struct err *e);
MUST_USE enum status near_add(struct near_index *x, const struct near_set *s, uint32_t *number, struct err *e); /* numbers count from 0 */
/* Calls f for every added row with Jaccard >= threshold to s, each once, in order of number. skip (may be NULL) can leave a row
 * out before the comparison. */
typedef void (*near_found)(void *ctx, uint32_t number, double jaccard);
typedef int (*near_skip)(void *ctx, uint32_t number);
MUST_USE enum status near_query(struct near_index *x, const struct near_set *s, near_skip skip, near_found f, void *ctx, struct err *e);
uint64_t near_compared(const struct near_index *x); /* pairs verified so far */
void near_free(struct near_index *x);
#endif

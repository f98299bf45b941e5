/* SPDX-License-Identifier: Apache-2.0
 * Words of a text for the filters: runs of letters and digits after lower-casing; a character of a script written without
 * blanks (Han, kana, Hangul, Thai, Lao, Khmer) is a word of its own. Invalid UTF-8 separates words. ASCII text gives exactly
 * the runs of [a-z0-9]. Word n-grams are known by 64-bit hashes. */
#ifndef CORPORA_WORDS_H
#define CORPORA_WORDS_H
#include <stdint.h>
#include "err.h"
#include "mem.h"
#include "span.h"

struct words {
  size_t n;
  uint64_t *hash;  /* (n) of the lower-cased word */
  uint32_t *start; /* (n) first byte in the text */
  uint32_t *end;   /* (n) behind the last byte */
  uint64_t normal; /* hash of what exact duplicates share: words, and operators beside digits (2+3 is not 2-3) */
};
MUST_USE enum status words_scan(struct span text, struct arena *a, struct words *w, struct err *e);
/* Hash of words [i, i + n): a polynomial over the words' hashes mod 2^64 (they are 64 random bits, so two grams meet by chance
 * only), mixed at the end. words_roll gives that of [i, i + n) from the sum of [i - 1, i - 1 + n). */
uint64_t words_gram(const struct words *w, size_t i, size_t n);
struct words_roll { uint64_t sum, top; }; /* top: factor of the word that leaves */
struct words_roll words_roll_start(const struct words *w, size_t n); /* before the first gram; n <= w->n */
static inline uint64_t words_mix(uint64_t x) {
  x = (x ^ x >> 32) * 0xD6E8FEB86659FD93ull;
  x = (x ^ x >> 32) * 0xD6E8FEB86659FD93ull;
  return x ^ x >> 32;
}
#define WORDS_BASE 0x9E3779B97F4A7C15ull
/* The gram that begins at i; call for i = 0, 1, 2, ... in order. */
static inline uint64_t words_roll(struct words_roll *r, const struct words *w, size_t i, size_t n) {
  r->sum = r->sum * WORDS_BASE + w->hash[i + n - 1];
  if (i > 0) r->sum -= w->hash[i - 1] * r->top;
  return words_mix(r->sum);
}
/* The set of n-grams as sorted distinct hashes (arena memory); a text shorter than n words is one gram; no words: none. */
MUST_USE enum status words_shingles(const struct words *w, size_t n, struct arena *a, uint64_t **out, size_t *n_out, struct err *e);
/* |A and B| / |A or B| of two sorted sets; 0 when both are empty. */
double words_jaccard(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b);
/* The same when it is at least t; else something below t, found early: the elements that only one set has say so. */
double words_jaccard_from(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b, double t);
#endif

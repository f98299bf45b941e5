/* SPDX-License-Identifier: Apache-2.0
 * Words of a text for the filters: runs of letters and digits after lower-casing; a character of a script written without
 * blanks (Han, kana, Hangul, Thai, Lao, Khmer) is a word of its own. Invalid UTF-8 separates words. ASCII text gives exactly
 * the runs of [a-z0-9]. Word n-grams are known by 64-bit hashes (XXH3 over the words' hashes). */
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
/* Hash of words [i, i + n). */
uint64_t words_gram(const struct words *w, size_t i, size_t n);
/* The set of n-grams as sorted distinct hashes (arena memory); a text shorter than n words is one gram; no words: none. */
MUST_USE enum status words_shingles(const struct words *w, size_t n, struct arena *a, uint64_t **out, size_t *n_out, struct err *e);
/* |A and B| / |A or B| of two sorted sets; 0 when both are empty. */
double words_jaccard(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b);
#endif

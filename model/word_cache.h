/* SPDX-License-Identifier: Apache-2.0
 * Pieces of text whose ids are known already: what makes encoding fast, as few distinct words make up most of a text. Bounded (about
 * 6 MB) and verified by the bytes, so a hit is exact. One thread at a time; a tokenizer keeps some between calls. Short pieces with
 * few ids stand in lines of two (one cache line of the processor; the older one goes), all others in a table with a store of bytes
 * and ids that is emptied when it is full. Only tokenizer files use it. */
#ifndef MODEL_WORD_CACHE_H
#define MODEL_WORD_CACHE_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "err.h"
#include "span.h"

enum { WORD_SHORT = 15, WORD_IDS = 4, WORD_LINE_BITS = 16, WORD_COUNT_SHIFT = 24 };
struct word_key { uint64_t lo, hi, line; }; /* bytes padded with 0, the length behind them; all 0 = none */
struct word_entry {
  uint64_t lo, hi;
  int32_t id[WORD_IDS]; /* the count stands above the first one: WORD_COUNT_SHIFT */
};
struct word_line { struct word_entry e[2]; };
struct word_cache {
  struct word_line *line; /* (1 << WORD_LINE_BITS) */
  struct word_store *store;
};
MUST_USE enum status word_cache_new(struct word_cache **c, struct err *e);
void word_cache_free(struct word_cache *c);
void word_cache_put(struct word_cache *c, struct span w, const struct word_key *k, const int32_t *id, size_t n); /* not when too long */
/* Pieces that word_cache_short does not find: their ids, NULL when unknown. */
const int32_t *word_cache_long(const struct word_cache *c, struct span w, size_t *n);

/* w.n in 1..WORD_SHORT; limit = end of the readable text. */
static inline struct word_key word_key_of(struct span w, const char *limit) {
  static const unsigned char ones[32] = { 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255 };
  uint64_t v[2] = { 0, 0 }, mask[2];
  if (limit - w.p >= 16) {
    memcpy(v, w.p, 16);
    memcpy(mask, ones + 16 - w.n, 16);
    v[0] &= mask[0], v[1] &= mask[1];
  } else {
    memcpy(v, w.p, w.n);
  }
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  v[1] |= (uint64_t)w.n;
#else
  v[1] |= (uint64_t)w.n << 56; /* byte 15, which is free */
#endif
  uint64_t h = v[0] * 0x9e3779b97f4a7c15u ^ v[1] * 0xc2b2ae3d27d4eb4fu;
  h = (h ^ h >> 32) * 0xff51afd7ed558ccdu;
  return (struct word_key){ v[0], v[1], h >> (64 - WORD_LINE_BITS) };
}

static inline const struct word_entry *word_cache_short(const struct word_cache *c, const struct word_key *k) {
  const struct word_entry *e = c->line[k->line].e;
  if (e[0].lo == k->lo && e[0].hi == k->hi) return e;
  return e[1].lo == k->lo && e[1].hi == k->hi ? e + 1 : NULL;
}
#endif

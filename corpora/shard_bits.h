/* SPDX-License-Identifier: Apache-2.0
 * Masks as bits (least significant first) and ids of 2 or 4 bytes: the loops that reading and writing a sample spend their time
 * in, written so that compilers make vectors of them. Used by shard_block.c. */
#ifndef CORPORA_SHARD_BITS_H
#define CORPORA_SHARD_BITS_H
#include <stdint.h>
#include <string.h>

static inline int bit_at(const unsigned char *p, uint64_t i) { return p[i / 8] >> (i % 8) & 1; }

/* 1-bits of [from, to). */
static inline uint64_t bits_count(const unsigned char *p, uint64_t from, uint64_t to) {
  uint64_t n = 0;
  for (; from < to && from % 8; from++) n += (uint64_t)bit_at(p, from);
  for (; from + 64 <= to; from += 64) {
    uint64_t w;
    memcpy(&w, p + from / 8, 8);
    n += (uint64_t)__builtin_popcountll(w);
  }
  for (; from < to; from++) n += (uint64_t)bit_at(p, from);
  return n;
}

/* n bits from `from` on as bytes 0 or 1. */
static inline void bits_expand(const unsigned char *p, uint64_t from, uint64_t n, unsigned char *out) {
  uint64_t i = 0;
  for (; i < n && (from + i) % 8; i++) out[i] = (unsigned char)bit_at(p, from + i);
  for (; i + 8 <= n; i += 8) {
    uint64_t w = (uint64_t)p[(from + i) / 8] * 0x0101010101010101ull & 0x8040201008040201ull; /* byte k keeps bit k */
    w = (w + 0x7f7f7f7f7f7f7f7full) >> 7 & 0x0101010101010101ull;
    memcpy(out + i, &w, 8);
  }
  for (; i < n; i++) out[i] = (unsigned char)bit_at(p, from + i);
}

/* Appends n bytes (0 = 0, else 1) as bits behind bit `at`; bits from `at` on are 0 and have room. */
static inline void bits_pack(unsigned char *p, uint64_t at, const unsigned char *in, uint64_t n) {
  uint64_t i = 0;
  for (; i < n && (at + i) % 8; i++) p[(at + i) / 8] = (unsigned char)(p[(at + i) / 8] | (in[i] != 0) << (at + i) % 8);
  for (; i + 8 <= n; i += 8) {
    unsigned b = 0;
    for (unsigned k = 0; k < 8; k++) b |= (unsigned)(in[i + k] != 0) << k;
    p[(at + i) / 8] = (unsigned char)b;
  }
  for (; i < n; i++) p[(at + i) / 8] = (unsigned char)(p[(at + i) / 8] | (in[i] != 0) << (at + i) % 8);
}

/* i - 1 for each i in [from, to) with mask[i] != 0; out has room for to - from + 1. Returns how many. */
static inline int64_t mask_places(const unsigned char *mask, int32_t from, int32_t to, int32_t *out) {
  int64_t n = 0;
  int32_t i = from;
  for (; i + 8 <= to; i += 8) {
    uint64_t w;
    memcpy(&w, mask + i, 8);
    if (w == 0) continue;
    if (w == 0x0101010101010101ull) {
      for (int32_t k = 0; k < 8; k++) out[n + k] = i - 1 + k;
      n += 8;
      continue;
    }
    for (int32_t k = i; k < i + 8; k++) {
      out[n] = k - 1; /* stays when the token is in the loss */
      n += mask[k] != 0;
    }
  }
  for (; i < to; i++) {
    out[n] = i - 1;
    n += mask[i] != 0;
  }
  return n;
}

static inline void ids_narrow(const int32_t *id, uint64_t n, char *out) {
  for (uint64_t i = 0; i < n; i++) {
    uint16_t v = (uint16_t)id[i];
    memcpy(out + 2 * i, &v, 2);
  }
}

static inline void ids_widen(const unsigned char *p, uint64_t n, int32_t *out) {
  for (uint64_t i = 0; i < n; i++) {
    uint16_t v;
    memcpy(&v, p + 2 * i, 2);
    out[i] = v;
  }
}

/* 1 when every id is in [0, vocab). */
static inline int ids_below(const int32_t *id, uint64_t n, int32_t vocab) {
  uint32_t bad = 0;
  for (uint64_t i = 0; i < n; i++) bad |= (uint32_t)id[i] >= (uint32_t)vocab;
  return bad == 0;
}
#endif

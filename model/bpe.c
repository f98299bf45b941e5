/* SPDX-License-Identifier: Apache-2.0
 * Byte-pair merging. See bpe.h. */
#include "bpe.h"
#include "hash.h"
#include "tokenizer_utf8.h"

/* ---------------------------------------------------------------------------------------------------------- alphabet */

/* Printable Latin-1 stands for itself; the 68 other bytes take U+0100 upwards in order. */
static int byte_is_plain(unsigned b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; }

uint32_t bpe_byte_char(unsigned char b) {
  if (byte_is_plain(b)) return b;
  if (b <= 32) return 0x100u + b;
  if (b <= 160) return 0x100u + 33 + (b - 127u); /* 127 to 160 come after the 33 of 0 to 32 */
  return 0x100u + 67;                            /* 173, the soft hyphen */
}

int bpe_char_byte(uint32_t c) {
  if (c < 0x100) return byte_is_plain(c) ? (int)c : -1;
  if (c <= 0x120) return (int)(c - 0x100);
  if (c <= 0x142) return (int)(c - 0x121 + 127);
  return c == 0x143 ? 173 : -1;
}

int bpe_text_bytes(struct span s, char *out, size_t *n) {
  size_t k = 0;
  for (size_t i = 0; i < s.n;) {
    int len, b = bpe_char_byte(utf8_decode(s.p + i, &len));
    if (b < 0) return 0;
    out[k++] = (char)b;
    i += (size_t)len;
  }
  *n = k;
  return 1;
}

enum status bpe_bytes_text(struct span bytes, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  for (size_t i = 0; i < bytes.n; i++) {
    char u[4];
    TRY(buf_put(out, u, (size_t)utf8_encode(bpe_byte_char((unsigned char)bytes.p[i]), u), e));
  }
out:
  return st;
}

/* -------------------------------------------------------------------------------------------------------------- pairs */

struct bpe_slot {
  uint64_t pair; /* a << 32 | b; PAIR_EMPTY */
  uint32_t rank;
  int32_t to;
};
#define PAIR_EMPTY UINT64_MAX
#define NO_RANK UINT32_MAX

static uint64_t pair_of(int32_t a, int32_t b) { return (uint64_t)(uint32_t)a << 32 | (uint32_t)b; }
static uint64_t pair_hash(uint64_t k) {
  k *= 0x9e3779b97f4a7c15u;
  return k ^ k >> 29;
}

static uint64_t table_size(size_t n) {
  uint64_t size = 16;
  while (size < (uint64_t)n * 2) size *= 2;
  return size;
}

enum status bpe_index(struct bpe *b, struct err *e) {
  uint64_t size = table_size(b->n_merge);
  b->slot = mem_alloc(size * sizeof *b->slot);
  if (!b->slot) return err_nomem(e, size * sizeof *b->slot);
  for (uint64_t i = 0; i < size; i++) b->slot[i].pair = PAIR_EMPTY;
  b->mask = size - 1;
  for (size_t r = 0; r < b->n_merge; r++) {
    uint64_t k = pair_of(b->merge[r].a, b->merge[r].b), i = pair_hash(k) & b->mask;
    while (b->slot[i].pair != PAIR_EMPTY && b->slot[i].pair != k) i = (i + 1) & b->mask;
    b->slot[i] = (struct bpe_slot){ k, (uint32_t)r, b->merge[r].to };
  }
  return STATUS_OK;
}

void bpe_free(struct bpe *b) {
  mem_free(b->merge);
  mem_free(b->slot);
  b->merge = NULL, b->slot = NULL;
}

static uint32_t pair_rank(const struct bpe *b, int32_t x, int32_t y, int32_t *to) {
  uint64_t k = pair_of(x, y);
  for (uint64_t i = pair_hash(k) & b->mask;; i = (i + 1) & b->mask) {
    if (b->slot[i].pair == k) return *to = b->slot[i].to, b->slot[i].rank;
    if (b->slot[i].pair == PAIR_EMPTY) return NO_RANK;
  }
}

/* ------------------------------------------------------------------------------------------------------------ merging */

#define SHORT_WORD 48 /* symbols; below, scanning beats the heap */

static size_t merge_short(const struct bpe *b, int32_t *id, uint32_t *len, size_t n) {
  uint32_t rank[SHORT_WORD];
  int32_t to[SHORT_WORD];
  for (size_t i = 0; i + 1 < n; i++) rank[i] = pair_rank(b, id[i], id[i + 1], &to[i]);
  while (n > 1) {
    size_t at = 0;
    uint32_t low = NO_RANK;
    for (size_t i = 0; i + 1 < n; i++)
      if (rank[i] < low) low = rank[i], at = i;
    if (low == NO_RANK) break;
    id[at] = to[at];
    if (len) len[at] += len[at + 1];
    n--;
    for (size_t i = at + 1; i < n; i++) {
      id[i] = id[i + 1];
      if (len) len[i] = len[i + 1];
      rank[i] = rank[i + 1], to[i] = to[i + 1]; /* the last one read is stale and lies past the new last pair */
    }
    if (at > 0) rank[at - 1] = pair_rank(b, id[at - 1], id[at], &to[at - 1]);
    if (at + 1 < n) rank[at] = pair_rank(b, id[at], id[at + 1], &to[at]);
  }
  return n;
}

/* A pair waiting to be merged. It is stale when either symbol changed since: then the pair's rank no longer matches. */
struct waiting { uint32_t rank, at; };

static int sooner(struct waiting x, struct waiting y) { return x.rank < y.rank || (x.rank == y.rank && x.at < y.at); }

static void heap_push(struct waiting *h, size_t *n, struct waiting w) {
  size_t i = (*n)++;
  for (; i > 0 && sooner(w, h[(i - 1) / 2]); i = (i - 1) / 2) h[i] = h[(i - 1) / 2];
  h[i] = w;
}

static struct waiting heap_pop(struct waiting *h, size_t *n) {
  struct waiting top = h[0], w = h[--*n];
  size_t i = 0;
  for (;;) {
    size_t k = 2 * i + 1;
    if (k >= *n) break;
    if (k + 1 < *n && sooner(h[k + 1], h[k])) k++;
    if (!sooner(h[k], w)) break;
    h[i] = h[k];
    i = k;
  }
  if (*n) h[i] = w;
  return top;
}

static void wait_for(const struct bpe *b, const int32_t *id, uint32_t at, uint32_t next, struct waiting *h, size_t *n) {
  int32_t to;
  uint32_t r = pair_rank(b, id[at], id[next], &to);
  if (r != NO_RANK) heap_push(h, n, (struct waiting){ r, at });
}

/* Linked list over positions; next[i] = n ends it; a symbol merged into its left neighbour has id -1. Every merge adds at
 * most two pairs and ends one symbol, so the heap holds at most 3n. */
static size_t merge_long(const struct bpe *b, int32_t *id, uint32_t *len, uint32_t n, uint32_t *prev, uint32_t *next, struct waiting *h) {
  size_t n_heap = 0;
  for (uint32_t i = 0; i < n; i++) prev[i] = i - 1, next[i] = i + 1;
  for (uint32_t i = 0; i + 1 < n; i++) wait_for(b, id, i, i + 1, h, &n_heap);
  while (n_heap) {
    struct waiting w = heap_pop(h, &n_heap);
    uint32_t right = next[w.at];
    int32_t to = -1;
    if (id[w.at] < 0 || right >= n || pair_rank(b, id[w.at], id[right], &to) != w.rank) continue;
    id[w.at] = to, id[right] = -1;
    if (len) len[w.at] += len[right];
    next[w.at] = next[right];
    if (next[w.at] < n) {
      prev[next[w.at]] = w.at;
      wait_for(b, id, w.at, next[w.at], h, &n_heap);
    }
    if (w.at > 0) wait_for(b, id, prev[w.at], w.at, h, &n_heap);
  }
  size_t k = 0;
  for (uint32_t i = 0; i < n; i = next[i]) {
    id[k] = id[i];
    if (len) len[k] = len[i];
    k++;
  }
  return k;
}

enum status bpe_apply(const struct bpe *b, int32_t *ids, uint32_t *len, size_t *n, struct bpe_scratch *s, struct arena *a, struct err *e) {
  if (*n <= SHORT_WORD) {
    *n = merge_short(b, ids, len, *n);
    return STATUS_OK;
  }
  if (*n > UINT32_MAX / 4) return err_set(e, STATUS_LIMIT, "one word of %zu bytes: at most %u can be tokenised", *n, UINT32_MAX / 4);
  size_t need = *n * (2 * sizeof(uint32_t) + 3 * sizeof(struct waiting));
  if (s->bytes < need) {
    s->p = arena_alloc(a, need * 2);
    if (!s->p) return s->bytes = 0, err_nomem(e, need * 2);
    s->bytes = need * 2;
  }
  struct waiting *h = s->p;
  uint32_t *prev = (uint32_t *)(h + *n * 3), *next = prev + *n;
  *n = merge_long(b, ids, len, (uint32_t)*n, prev, next, h);
  return STATUS_OK;
}

/* ---------------------------------------------------------------------------------------------------------- word -> id */

struct word_slot {
  const char *p; /* NULL = free */
  uint32_t n, hash;
  int32_t id;
};

enum status word_map_new(struct word_map *m, size_t n, struct err *e) {
  uint64_t size = table_size(n);
  m->slot = mem_calloc(size, sizeof *m->slot);
  if (!m->slot) return err_nomem(e, size * sizeof *m->slot);
  m->mask = size - 1;
  return STATUS_OK;
}

/* Place of w, or the free place where it belongs. */
static struct word_slot *word_place(const struct word_map *m, struct span w, uint32_t *hash) {
  uint64_t h = xxh3(w.p, w.n);
  *hash = (uint32_t)(h >> 32);
  for (uint64_t i = h & m->mask;; i = (i + 1) & m->mask) {
    struct word_slot *s = &m->slot[i];
    if (!s->p || (s->hash == *hash && s->n == w.n && memcmp(s->p, w.p, w.n) == 0)) return s;
  }
}

void word_map_put(struct word_map *m, struct span w, int32_t id) {
  uint32_t hash;
  struct word_slot *s = word_place(m, w, &hash);
  if (!s->p) *s = (struct word_slot){ w.p, (uint32_t)w.n, hash, id };
}

int32_t word_map_get(const struct word_map *m, struct span w) {
  uint32_t hash;
  struct word_slot *s = word_place(m, w, &hash);
  return s->p ? s->id : -1;
}

void word_map_free(struct word_map *m) {
  mem_free(m->slot);
  m->slot = NULL;
}

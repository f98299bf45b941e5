/* SPDX-License-Identifier: Apache-2.0
 * See word_cache.h. */
#include "word_cache.h"
#include "hash.h"
#include "mem.h"

enum { LONG_SLOTS = 1 << 14, LONG_BYTES = 1 << 19, LONG_IDS = 1 << 17, LONG_WORD = 512, LONG_PROBES = 4 };

struct long_slot { uint32_t hash, at, id_at, n_id, n; }; /* n = bytes, 0 = free */
struct word_store {
  struct long_slot slot[LONG_SLOTS];
  size_t n_byte, n_id;
  char byte[LONG_BYTES];
  int32_t id[LONG_IDS];
};

enum status word_cache_new(struct word_cache **out, struct err *e) {
  struct word_cache *c = mem_calloc(1, sizeof *c);
  *out = NULL;
  if (c) c->line = mem_calloc((size_t)1 << WORD_LINE_BITS, sizeof *c->line);
  if (c) c->store = mem_calloc(1, sizeof *c->store);
  if (!c || !c->line || !c->store) {
    word_cache_free(c);
    return err_nomem(e, ((uint64_t)sizeof *c->line << WORD_LINE_BITS) + sizeof *c->store);
  }
  *out = c;
  return STATUS_OK;
}

void word_cache_free(struct word_cache *c) {
  if (!c) return;
  mem_free(c->line);
  mem_free(c->store);
  mem_free(c);
}

/* Slot of w or, with found = 0, the one it belongs into. */
static uint32_t long_find(const struct word_store *s, struct span w, uint32_t *hash, int *found) {
  uint64_t h = xxh3(w.p, w.n);
  uint32_t first = (uint32_t)h % LONG_SLOTS, free_slot = first;
  *hash = (uint32_t)(h >> 32), *found = 0;
  for (uint32_t k = 0; k < LONG_PROBES; k++) {
    uint32_t i = (first + k) % LONG_SLOTS;
    const struct long_slot *l = &s->slot[i];
    if (!l->n) return i;
    if (l->hash == *hash && l->n == w.n && memcmp(s->byte + l->at, w.p, w.n) == 0) return *found = 1, i;
  }
  return free_slot;
}

const int32_t *word_cache_long(const struct word_cache *c, struct span w, size_t *n) {
  uint32_t hash;
  int found;
  if (w.n > LONG_WORD) return NULL;
  const struct long_slot *l = &c->store->slot[long_find(c->store, w, &hash, &found)];
  return found ? *n = l->n_id, c->store->id + l->id_at : NULL;
}

static void long_put(struct word_store *s, struct span w, const int32_t *id, size_t n) {
  uint32_t hash;
  int found;
  if (s->n_byte + w.n > LONG_BYTES || s->n_id + n > LONG_IDS) {
    memset(s->slot, 0, sizeof s->slot);
    s->n_byte = s->n_id = 0;
  }
  uint32_t i = long_find(s, w, &hash, &found);
  if (found) return;
  s->slot[i] = (struct long_slot){ hash, (uint32_t)s->n_byte, (uint32_t)s->n_id, (uint32_t)n, (uint32_t)w.n };
  memcpy(s->byte + s->n_byte, w.p, w.n);
  if (n) memcpy(s->id + s->n_id, id, n * sizeof *id);
  s->n_byte += w.n, s->n_id += n;
}

void word_cache_put(struct word_cache *c, struct span w, const struct word_key *k, const int32_t *id, size_t n) {
  if (w.n > LONG_WORD) return;
  if (w.n > WORD_SHORT || n > WORD_IDS) {
    long_put(c->store, w, id, n);
    return;
  }
  struct word_entry *e = c->line[k->line].e, new = { k->lo, k->hi, { 0 } };
  for (size_t i = 0; i < n; i++) new.id[i] = id[i];
  new.id[0] = (int32_t)((uint32_t)new.id[0] | (uint32_t)n << WORD_COUNT_SHIFT);
  e[1] = e[0], e[0] = new;
}

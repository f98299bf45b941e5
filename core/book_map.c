/* SPDX-License-Identifier: Apache-2.0
 * The book's map in memory, key to answer: 8 bytes a slot, verified against the record itself. Keys are SHA-256 already, so their
 * bytes are the hash: the first names the part, the next three stand in the slot. */
#include "book_internal.h"

enum { CHUNK_BITS = 19, ADDRESS_BITS = 40, PRINT_BITS = 24 }; /* addresses count 8 bytes: records stand on multiples of 8 */
#define ADDRESS_MASK (((uint64_t)1 << ADDRESS_BITS) - 1)
#define CHUNKS_MAX ((size_t)1 << (ADDRESS_BITS - CHUNK_BITS))

static uint32_t print_of(const unsigned char *key) { return (uint32_t)key[1] | (uint32_t)key[2] << 8 | (uint32_t)key[3] << 16; }

static uint32_t home_of(uint32_t print, uint32_t cap) { return (uint32_t)((uint64_t)print * cap >> PRINT_BITS); }

static uint32_t after(const struct map_part *p, uint32_t i) { return i + 1 < p->cap ? i + 1 : 0; }

/* ---- addresses: 4 MiB of a segment at a time get a place in one space of 8 TiB ---- */

static enum status chunk_new(struct book *b, uint32_t seg, size_t at, struct err *e) {
  if (b->n_chunk >= b->cap_chunk) {
    size_t cap = b->cap_chunk ? b->cap_chunk * 2 : 64;
    struct map_chunk *c = mem_realloc(b->chunk, cap * sizeof *c);
    if (!c) return err_nomem(e, cap * sizeof *c);
    b->chunk = c;
    b->cap_chunk = cap;
  }
  if (b->n_chunk == 0) b->chunk[b->n_chunk++] = (struct map_chunk){ 0, 0 };
  if (b->n_chunk >= CHUNKS_MAX) return err_set(e, STATUS_LIMIT, "'%s': a book of more than 8 TiB; begin another one", b->path);
  b->chunk[b->n_chunk] = (struct map_chunk){ seg, (uint32_t)at };
  b->seg[seg].chunk[at] = (uint32_t)b->n_chunk++;
  return STATUS_OK;
}

static enum status address_of(struct book *b, uint32_t seg, uint64_t offset, uint64_t *address, struct err *e) {
  struct seg *s = &b->seg[seg];
  size_t at = (size_t)(offset >> (CHUNK_BITS + 3));
  if (at >= s->n_chunk) {
    size_t n = at + 1;
    uint32_t *c = mem_realloc(s->chunk, n * sizeof *c);
    if (!c) return err_nomem(e, n * sizeof *c);
    memset(c + s->n_chunk, 0, (n - s->n_chunk) * sizeof *c);
    s->chunk = c;
    s->n_chunk = n;
  }
  if (!s->chunk[at]) {
    enum status st = chunk_new(b, seg, at, e);
    if (st != STATUS_OK) return st;
  }
  *address = (uint64_t)s->chunk[at] << CHUNK_BITS | (offset >> 3 & (((uint64_t)1 << CHUNK_BITS) - 1));
  return STATUS_OK;
}

/* What stands at a slot's address; also for what is not written to our own segment yet. */
static enum status entry_at(struct book *b, uint64_t slot, struct entry *en, struct err *e) {
  enum status st = STATUS_OK;
  uint64_t address = slot & ADDRESS_MASK, before = 0;
  struct map_chunk c = b->chunk[address >> CHUNK_BITS];
  struct seg_source src;
  struct seg_record r;
  en->seg = c.seg;
  en->offset = ((uint64_t)c.at << CHUNK_BITS | (address & (((uint64_t)1 << CHUNK_BITS) - 1))) << 3;
  if (b->seg[c.seg].own && en->offset >= b->flushed) {
    src = (struct seg_source){ -1, (const unsigned char *)b->out.p, b->out.n, b->seg[c.seg].path };
    before = b->flushed;
  } else {
    TRY(book_source(b, c.seg, &src, e));
  }
  TRY(seg_record_at(&src, en->offset - before, &r, en->key, SEG_KEY, e));
  en->time_ns = r.time_ns;
  en->length = r.length;
  en->xxh3 = r.xxh3;
out:
  return st;
}

/* ---- slots ---- */

static enum status grow(struct map_part *p, struct err *e) {
  struct map_part big = { NULL, p->n, p->cap < 16 ? 16 : p->cap + p->cap / 4 };
  big.slot = mem_calloc(big.cap, sizeof *big.slot);
  if (!big.slot) return err_nomem(e, big.cap * sizeof *big.slot);
  for (uint32_t k = 0; k < p->cap; k++) {
    if (!p->slot[k]) continue;
    uint32_t i = home_of((uint32_t)(p->slot[k] >> ADDRESS_BITS), big.cap);
    while (big.slot[i]) i = after(&big, i);
    big.slot[i] = p->slot[k];
  }
  mem_free(p->slot);
  *p = big;
  return STATUS_OK;
}

enum status book_map_add(struct book *b, const struct entry *en, struct err *e) {
  enum status st = STATUS_OK;
  struct map_part *p = &b->part[en->key[0]];
  struct entry old;
  uint32_t print = print_of(en->key);
  uint64_t address = 0;
  TRY(address_of(b, en->seg, en->offset, &address, e));
  if ((uint64_t)p->n * 8 >= (uint64_t)p->cap * 7) TRY(grow(p, e));
  uint32_t i = home_of(print, p->cap);
  for (; p->slot[i]; i = after(p, i)) {
    if (p->slot[i] >> ADDRESS_BITS != print) continue;
    if ((p->slot[i] & ADDRESS_MASK) == address) goto out; /* read twice after a scan that was cut short */
    st = entry_at(b, p->slot[i], &old, e);
    if (st == STATUS_CHECKSUM) { /* what stood there is gone: the whole one counts */
      st = STATUS_OK;
      break;
    }
    if (st != STATUS_OK) goto out;
    if (memcmp(old.key, en->key, SEG_KEY)) continue; /* another key with the same print */
    if (old.time_ns <= en->time_ns) goto out; /* one answer for all, whatever the order of reading */
    break;
  }
  if (!p->slot[i]) p->n++;
  p->slot[i] = (uint64_t)print << ADDRESS_BITS | address;
out:
  return st;
}

enum status book_map_get(struct book *b, const unsigned char key[SEG_KEY], struct entry *en, int *found, struct err *e) {
  enum status st = STATUS_OK;
  const struct map_part *p = &b->part[key[0]];
  uint32_t print = print_of(key);
  *found = 0;
  for (uint32_t i = p->cap ? home_of(print, p->cap) : 0; p->cap && p->slot[i]; i = after(p, i)) {
    if (p->slot[i] >> ADDRESS_BITS != print) continue;
    TRY(entry_at(b, p->slot[i], en, e));
    if (memcmp(en->key, key, SEG_KEY)) continue;
    *found = 1;
    break;
  }
out:
  return st;
}

void book_map_free(struct book *b) {
  for (size_t i = 0; i < BOOK_MAP_PARTS; i++) mem_free(b->part[i].slot);
  mem_free(b->chunk);
}

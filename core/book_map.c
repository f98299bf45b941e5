/* SPDX-License-Identifier: Apache-2.0
 * The book's tables in memory: key to answer, reservations. Keys are SHA-256 already, so their first bytes are the hash. */
#include "book_internal.h"
#include "book_index.h"

static size_t slot_of(const struct book *b, const unsigned char *key) {
  size_t i = (size_t)seg_u64(key) & (b->cap_table - 1);
  while (b->table[i].offset && memcmp(b->table[i].key, key, SEG_KEY)) i = (i + 1) & (b->cap_table - 1);
  return i;
}

static enum status grow(struct book *b, struct err *e) {
  struct entry *old = b->table;
  size_t n = b->cap_table, cap = n ? n * 2 : 256;
  struct entry *t = mem_calloc(cap, sizeof *t);
  if (!t) return err_nomem(e, cap * sizeof *t);
  b->table = t;
  b->cap_table = cap;
  for (size_t i = 0; i < n; i++)
    if (old[i].offset) t[slot_of(b, old[i].key)] = old[i];
  mem_free(old);
  return STATUS_OK;
}

enum status book_map_add(struct book *b, const struct entry *en, struct err *e) {
  if (b->n_table * 4 >= b->cap_table * 3) {
    enum status st = grow(b, e);
    if (st != STATUS_OK) return st;
  }
  struct entry *at = &b->table[slot_of(b, en->key)];
  if (!at->offset) b->n_table++;
  else if (at->time_ns <= en->time_ns) return STATUS_OK; /* one answer for all, whatever the order of reading */
  *at = *en;
  return STATUS_OK;
}

const struct entry *book_map_get(const struct book *b, const unsigned char key[SEG_KEY]) {
  if (!b->cap_table) return NULL;
  const struct entry *en = &b->table[slot_of(b, key)];
  return en->offset ? en : NULL;
}

static size_t money_slot(const struct book *b, uint64_t id) {
  size_t i = (size_t)(id * 0x9E3779B97F4A7C15u >> 20) & (b->cap_money - 1);
  while (b->money[i].id && b->money[i].id != id) i = (i + 1) & (b->cap_money - 1);
  return i;
}

enum status book_money_add(struct book *b, uint32_t type, uint64_t id, uint64_t micro_usd, struct err *e) {
  if (id == 0) return STATUS_OK; /* never given out */
  if (b->n_money * 4 >= b->cap_money * 3) {
    struct money_row *old = b->money;
    size_t n = b->cap_money, cap = n ? n * 2 : 256;
    struct money_row *t = mem_calloc(cap, sizeof *t);
    if (!t) return err_nomem(e, cap * sizeof *t);
    b->money = t;
    b->cap_money = cap;
    for (size_t i = 0; i < n; i++)
      if (old[i].id) t[money_slot(b, old[i].id)] = old[i];
    mem_free(old);
  }
  struct money_row *row = &b->money[money_slot(b, id)];
  if (!row->id) {
    enum status st = book_index_money(b, id, row, e); /* what the index knows is in b->spent already */
    if (st != STATUS_OK) return st;
    b->n_money++;
  }
  row->id = id;
  /* Spent is what was settled, else what was reserved; either record may be read first, each counts once. */
  if (type == SEG_RESERVE && !row->has_reserve) {
    row->has_reserve = 1;
    row->reserved = micro_usd;
    if (!row->has_settle) b->spent += micro_usd;
  } else if (type == SEG_SETTLE && !row->has_settle) {
    if (row->has_reserve) b->spent -= row->reserved;
    row->has_settle = 1;
    row->settled = micro_usd;
    b->spent += micro_usd;
  }
  return STATUS_OK;
}

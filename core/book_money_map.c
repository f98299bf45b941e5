/* SPDX-License-Identifier: Apache-2.0
 * Reservations in memory: the open ones, and how far each writer's ids were read. */
#include "book_internal.h"

static size_t money_home(const struct book *b, uint64_t id) { return (size_t)(id * 0x9E3779B97F4A7C15u >> 20) & (b->cap_money - 1); }

static struct money_row *money_find(struct book *b, uint64_t id) {
  if (!b->cap_money) return NULL;
  size_t i = money_home(b, id);
  while (b->money[i].id && b->money[i].id != id) i = (i + 1) & (b->cap_money - 1);
  return b->money[i].id ? &b->money[i] : NULL;
}

static enum status money_open(struct book *b, uint64_t id, uint64_t micro_usd, struct err *e) {
  if (b->n_money * 4 >= b->cap_money * 3) {
    struct money_row *old = b->money;
    size_t n = b->cap_money, cap = n ? n * 2 : 256;
    struct money_row *t = mem_calloc(cap, sizeof *t);
    if (!t) return err_nomem(e, cap * sizeof *t);
    b->money = t;
    b->cap_money = cap;
    for (size_t k = 0; k < n; k++) {
      if (!old[k].id) continue;
      size_t i = money_home(b, old[k].id);
      while (t[i].id) i = (i + 1) & (cap - 1);
      t[i] = old[k];
    }
    mem_free(old);
  }
  size_t i = money_home(b, id);
  while (b->money[i].id) i = (i + 1) & (b->cap_money - 1);
  b->money[i] = (struct money_row){ id, micro_usd };
  b->n_money++;
  return STATUS_OK;
}

static void money_close(struct book *b, struct money_row *row) {
  size_t mask = b->cap_money - 1, i = (size_t)(row - b->money);
  for (size_t j = (i + 1) & mask; b->money[j].id; j = (j + 1) & mask) { /* no search may meet a hole before its end */
    if (((j - money_home(b, b->money[j].id)) & mask) < ((j - i) & mask)) continue;
    b->money[i] = b->money[j];
    i = j;
  }
  b->money[i].id = 0;
  b->n_money--;
}

static enum status tag_of(struct book *b, uint64_t tag, struct money_tag **out, struct err *e) {
  if (b->last_tag < b->n_tag && b->tag[b->last_tag].tag == tag) { /* a segment's records stand together */
    *out = &b->tag[b->last_tag];
    return STATUS_OK;
  }
  for (b->last_tag = 0; b->last_tag < b->n_tag && b->tag[b->last_tag].tag != tag; b->last_tag++) continue;
  if (b->last_tag == b->n_tag) {
    if (b->n_tag == b->cap_tag) {
      size_t cap = b->cap_tag ? b->cap_tag * 2 : 16;
      struct money_tag *t = mem_realloc(b->tag, cap * sizeof *t);
      if (!t) return err_nomem(e, cap * sizeof *t);
      b->tag = t;
      b->cap_tag = cap;
    }
    b->tag[b->n_tag++] = (struct money_tag){ tag, 0 };
  }
  *out = &b->tag[b->last_tag];
  return STATUS_OK;
}

/* Spent is what was settled, else what was reserved. */
enum status book_money_add(struct book *b, uint32_t type, uint64_t id, uint64_t micro_usd, struct err *e) {
  struct money_tag *t = NULL;
  uint64_t count = id & BOOK_MONEY_COUNT;
  if (id == 0) return STATUS_OK; /* never given out */
  enum status st = tag_of(b, id & ~(uint64_t)BOOK_MONEY_COUNT, &t, e);
  if (st != STATUS_OK) return st;
  struct money_row *row = money_find(b, id);
  if (type == SEG_SETTLE && row) {
    b->spent -= row->reserved;
    b->spent += micro_usd;
    money_close(b, row);
    return STATUS_OK;
  }
  if (count < t->next) return STATUS_OK; /* read before */
  t->next = count + 1;
  b->spent += micro_usd;
  return type == SEG_RESERVE ? money_open(b, id, micro_usd, e) : STATUS_OK; /* a settlement alone: its reservation was damaged */
}

/* The highest reservation of a writer that something else than its records knows (the index). */
enum status book_money_seen(struct book *b, uint64_t id, struct err *e) {
  struct money_tag *t = NULL;
  enum status st = tag_of(b, id & ~(uint64_t)BOOK_MONEY_COUNT, &t, e);
  if (st == STATUS_OK && t->next <= (id & BOOK_MONEY_COUNT)) t->next = (id & BOOK_MONEY_COUNT) + 1;
  return st;
}

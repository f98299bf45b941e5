/* SPDX-License-Identifier: Apache-2.0
 * Candidates: ranks from the sorted order, then pairs and large groups from rows that share a text or a band. And the groups of
 * the split as connected components over rows of one key and verified pairs. */
#include <string.h>
#include "dedup_impl.h"

static enum status rank_rows(struct dedup *d, struct err *e) {
  enum status st;
  const unsigned char *p;
  size_t n;
  int got = 1;
  d->rank_of = mem_calloc(d->n ? d->n : 1, sizeof *d->rank_of);
  if (!d->rank_of) return err_nomem(e, (size_t)d->n * sizeof *d->rank_of);
  TRY(sorter_rewind(d->rank, e));
  for (uint32_t rank = 0;; rank++) {
    TRY(sorter_next(d->rank, &p, &n, &got, e));
    if (!got) break;
    d->rank_of[sorter_get32(p + n - 4)] = rank;
  }
out:
  return st;
}

static enum status add_pair(struct dedup *d, uint32_t late, int type, uint32_t a, uint32_t b, struct err *e) {
  unsigned char k[RECORD_PAIR];
  sorter_put32(k, late);
  k[4] = (unsigned char)type;
  sorter_put32(k + 5, a);
  sorter_put32(k + 9, b);
  d->counts.pairs++;
  return sorter_add(d->pairs, k, sizeof k, e);
}

/* Rows of one normalised text: all are tried against the first by rank. When that one was dropped for a near duplicate, the
 * others have the same words and the same fate. */
static enum status same_group(struct dedup *d, const uint32_t *row, size_t n, struct err *e) {
  size_t first = 0;
  for (size_t i = 1; i < n; i++)
    if (d->rank_of[row[i]] < d->rank_of[row[first]]) first = i;
  for (size_t i = 0; i < n; i++) {
    if (i == first) continue;
    enum status st = add_pair(d, d->rank_of[row[i]], TYPE_EXACT, d->rank_of[row[first]], row[first], e);
    if (st != STATUS_OK) return st;
  }
  return STATUS_OK;
}

static enum status band_group(struct dedup *d, const uint32_t *row, size_t n, struct err *e) {
  enum status st = STATUS_OK;
  if (n > DEDUP_GROUP) {
    TRY(dedup_grow(&d->big, &d->cap_big, (size_t)d->n_big + 1, sizeof *d->big, e));
    d->big[d->n_big].head = 0;
    for (size_t i = 0; i < n; i++) TRY(add_pair(d, d->rank_of[row[i]], TYPE_BIG, d->n_big, row[i], e));
    d->n_big++;
    d->counts.big_groups++;
    return st;
  }
  for (size_t i = 0; i < n; i++)
    for (size_t k = 0; k < i; k++) {
      uint32_t a = d->rank_of[row[i]], b = d->rank_of[row[k]];
      TRY(a > b ? add_pair(d, a, TYPE_PAIR, b, row[k], e) : add_pair(d, b, TYPE_PAIR, a, row[i], e));
    }
out:
  return st;
}

/* Calls f for every stretch of at least two records whose first `key` bytes are equal; the row stands in the last four. */
static enum status groups(struct dedup *d, struct sorter *s, size_t key, enum status (*f)(struct dedup *, const uint32_t *, size_t, struct err *), struct err *e) {
  enum status st;
  const unsigned char *p;
  size_t n;
  int got;
  unsigned char last[16] = { 0 };
  uint32_t *row = NULL, cap = 0, n_row = 0;
  TRY(sorter_rewind(s, e));
  for (;;) {
    TRY(sorter_next(s, &p, &n, &got, e));
    if (!got || n_row == 0 || memcmp(last, p, key) != 0) {
      if (n_row > 1) TRY(f(d, row, n_row, e));
      n_row = 0;
      if (!got) break;
      memcpy(last, p, key);
    }
    TRY(dedup_grow(&row, &cap, (size_t)n_row + 1, sizeof *row, e));
    row[n_row++] = sorter_get32(p + n - 4);
  }
out:
  mem_free(row);
  return st;
}

enum status dedup_find_pairs(struct dedup *d, struct err *e) {
  enum status st;
  TRY(rank_rows(d, e));
  TRY(groups(d, d->same, 16, same_group, e));
  sorter_free(d->same);
  d->same = NULL;
  TRY(groups(d, d->band, 8, band_group, e));
  sorter_free(d->band);
  d->band = NULL;
  TRY(sorter_rewind(d->pairs, e));
out:
  return st;
}

/* ---- groups of the split ---- */
static uint32_t root(uint32_t *parent, uint32_t i) {
  while (parent[i] != i) i = parent[i] = parent[parent[i]];
  return i;
}

static void join(uint32_t *parent, uint32_t a, uint32_t b) {
  a = root(parent, a), b = root(parent, b);
  if (a < b) parent[b] = a;
  else parent[a] = b;
}

static enum status join_pair(struct dedup *d, uint32_t row, uint32_t other, const uint64_t **s, size_t *n, struct err *e) {
  enum status st = STATUS_OK;
  double j;
  if (root(d->parent, row) == root(d->parent, other)) return st;
  if (!*s) TRY(dedup_shingles(d, row, &d->scratch[0], s, n, e));
  TRY(dedup_compare(d, *s, *n, other, d->s.join, &j, e));
  if (j >= d->s.join) join(d->parent, row, other);
out:
  return st;
}

enum status dedup_list_add(struct dedup *d, uint32_t group, uint32_t rank, uint32_t row, struct err *e) {
  enum status st = dedup_grow(&d->node, &d->cap_node, (size_t)d->n_node + 1, sizeof *d->node, e);
  if (st != STATUS_OK) return st;
  d->node[d->n_node] = (struct node){ rank, row, d->big[group].head };
  d->big[group].head = ++d->n_node;
  return STATUS_OK;
}

/* Every verified pair, of all rows: dropped ones may link two kept ones. */
static enum status join_near(struct dedup *d, struct err *e) {
  enum status st;
  const unsigned char *p, *order;
  size_t n, n_s = 0, m;
  int got, got_order;
  uint32_t rank = UINT32_MAX, row = 0, at = 0;
  const uint64_t *s = NULL;
  TRY(sorter_rewind(d->pairs, e));
  TRY(sorter_rewind(d->rank, e));
  TRY(sorter_next(d->rank, &order, &m, &got_order, e));
  for (;;) {
    TRY(sorter_next(d->pairs, &p, &n, &got, e));
    if (!got) break;
    if (sorter_get32(p) != rank) {
      rank = sorter_get32(p);
      for (; at < rank; at++) TRY(sorter_next(d->rank, &order, &m, &got_order, e));
      row = sorter_get32(order + m - 4);
      s = NULL;
    }
    if (p[4] == TYPE_PAIR) {
      TRY(join_pair(d, row, sorter_get32(p + 9), &s, &n_s, e));
    } else if (p[4] == TYPE_BIG) {
      uint32_t group = sorter_get32(p + 5);
      for (uint32_t k = d->big[group].head; k; k = d->node[k - 1].next) TRY(join_pair(d, row, d->node[k - 1].row, &s, &n_s, e));
      TRY(dedup_list_add(d, group, rank, row, e));
    }
  }
  for (uint32_t i = 0; i < d->n_big; i++) d->big[i].head = 0;
  d->n_node = 0;
out:
  return st;
}

/* A group with rows that brought their side takes that of the first of them in walk order. */
static enum status take_fixed(struct dedup *d, struct err *e) {
  enum status st;
  const unsigned char *p;
  size_t n;
  int got;
  TRY(sorter_rewind(d->rank, e));
  for (;;) {
    TRY(sorter_next(d->rank, &p, &n, &got, e));
    if (!got) break;
    uint32_t row = sorter_get32(p + n - 4), r = root(d->parent, row);
    if (d->state[row] & STATE_FIXED && d->side[r] == DEDUP_SIDE_NONE) d->side[r] = d->side[row];
  }
out:
  return st;
}

/* In order of key; pass 0 joins rows of one key, 1 gives groups without a side theirs, by their smallest key. */
static enum status by_key(struct dedup *d, int pass, struct err *e) {
  enum status st;
  const unsigned char *p;
  size_t n;
  int got;
  struct buf *last = &d->scratch[0];
  uint32_t first = UINT32_MAX;
  buf_clear(last);
  TRY(sorter_rewind(d->keys, e));
  for (;;) {
    TRY(sorter_next(d->keys, &p, &n, &got, e));
    if (!got) break;
    uint32_t row = sorter_get32(p + n - 4), r = root(d->parent, row);
    if (pass == 1 && d->side[r] == DEDUP_SIDE_NONE) {
      size_t k = 0; /* the key without its escapes */
      buf_clear(last);
      for (size_t i = 0; i + 6 < n; i++) {
        TRY(buf_putc(last, (char)p[i], e));
        k++;
        if (p[i] == 0) i++;
      }
      d->side[r] = d->s.side_of(d->s.ctx, (struct span){ last->p ? last->p : "", k });
      d->counts.groups++;
    }
    if (pass == 0) {
      if (first != UINT32_MAX && last->n == n - 4 && memcmp(last->p, p, n - 4) == 0) {
        join(d->parent, first, row);
      } else {
        buf_clear(last);
        TRY(buf_put(last, p, n - 4, e));
        first = row;
      }
    }
  }
out:
  return st;
}

enum status dedup_join_groups(struct dedup *d, struct err *e) {
  enum status st;
  d->parent = mem_calloc(d->n ? d->n : 1, sizeof *d->parent);
  if (!d->parent) return err_nomem(e, (size_t)d->n * sizeof *d->parent);
  for (uint32_t i = 0; i < d->n; i++) {
    d->parent[i] = i;
    if (!(d->state[i] & STATE_FIXED)) d->side[i] = DEDUP_SIDE_NONE;
  }
  TRY(by_key(d, 0, e));
  TRY(join_near(d, e));
  TRY(take_fixed(d, e));
  TRY(by_key(d, 1, e));
  for (uint32_t i = 0; i < d->n; i++)
    if (!(d->state[i] & STATE_FIXED)) d->side[i] = d->side[root(d->parent, i)];
out:
  mem_free(d->parent);
  d->parent = NULL;
  return st;
}

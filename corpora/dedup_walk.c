/* SPDX-License-Identifier: Apache-2.0
 * The walk by rank: each row against the kept ones among its candidates. */
#include <string.h>
#include "dedup_impl.h"

/* Rows stand in several groups at once: each counts once. seen: a table of rows, as large as needed, cleared per walk step. */
static enum status grow_seen(struct dedup *d, struct err *e) {
  size_t slots = d->seen_slots ? 2 * d->seen_slots : 256;
  uint32_t *t = mem_calloc(slots, sizeof *t);
  if (!t) return err_nomem(e, slots * sizeof *t);
  mem_free(d->seen);
  d->seen = t;
  d->seen_slots = slots;
  for (size_t i = 0; i < d->n_cand; i++) {
    size_t k = d->cand[i].row * 0x9E3779B1u & (slots - 1);
    while (t[k]) k = (k + 1) & (slots - 1);
    t[k] = d->cand[i].row + 1;
  }
  return STATUS_OK;
}

static void clear_cands(struct dedup *d) {
  if (d->n_cand > d->seen_slots / 16) memset(d->seen, 0, d->seen_slots * sizeof *d->seen);
  else
    for (size_t i = 0; i < d->n_cand; i++)
      for (size_t k = d->cand[i].row * 0x9E3779B1u & (d->seen_slots - 1); d->seen[k]; k = (k + 1) & (d->seen_slots - 1)) d->seen[k] = 0;
  d->n_cand = 0;
}

static enum status add_cand(struct dedup *d, uint32_t rank, uint32_t row, struct err *e) {
  if (2 * (d->n_cand + 1) > d->seen_slots) {
    enum status grown = grow_seen(d, e);
    if (grown != STATUS_OK) return grown;
  }
  size_t k = row * 0x9E3779B1u & (d->seen_slots - 1);
  for (; d->seen[k]; k = (k + 1) & (d->seen_slots - 1))
    if (d->seen[k] == row + 1) return STATUS_OK;
  d->seen[k] = row + 1;
  uint32_t cap = (uint32_t)d->cap_cand;
  enum status st = dedup_grow(&d->cand, &cap, d->n_cand + 1, sizeof *d->cand, e);
  d->cap_cand = cap;
  if (st == STATUS_OK) d->cand[d->n_cand++] = (struct cand){ rank, row };
  return st;
}

static int kept(const struct dedup *d, uint32_t row) { return (d->state[row] & STATE_VERDICT) == DEDUP_KEPT; }

struct verdict {
  enum dedup_verdict v;
  double score;
  uint32_t witness;
};

/* The kept row with the highest Jaccard, the earlier one of equals. Near duplicates come before leaks. */
static enum status compare_all(struct dedup *d, uint32_t row, struct verdict *v, struct err *e) {
  enum status st = STATUS_OK;
  const uint64_t *s = NULL;
  size_t n = 0;
  double near = -1, leak = -1;
  uint32_t near_row = 0, leak_row = 0, near_rank = 0, leak_rank = 0;
  for (size_t i = 0; i < d->n_cand; i++) {
    const struct cand *c = &d->cand[i];
    double j;
    if (!kept(d, c->row)) continue;
    int other = d->s.leak > 0 && d->side[c->row] != d->side[row] && d->side[c->row] != DEDUP_SIDE_NONE && d->side[row] != DEDUP_SIDE_NONE;
    double t = other ? (d->s.near > 0 && d->s.near < d->s.leak ? d->s.near : d->s.leak) : d->s.near;
    if (t <= 0) continue;
    if (!s) TRY(dedup_shingles(d, row, &d->scratch[0], &s, &n, e));
    TRY(dedup_compare(d, s, n, c->row, t, &j, e));
    if (d->s.near > 0 && j >= d->s.near && (j > near || (j == near && c->rank < near_rank))) near = j, near_row = c->row, near_rank = c->rank;
    if (other && j >= d->s.leak && (j > leak || (j == leak && c->rank < leak_rank))) leak = j, leak_row = c->row, leak_rank = c->rank;
  }
  if (near >= 0) *v = (struct verdict){ DEDUP_NEAR, near, near_row };
  else if (leak >= 0) *v = (struct verdict){ DEDUP_LEAK, leak, leak_row };
out:
  return st;
}

static enum status show(struct dedup *d, uint32_t row, const struct verdict *v, dedup_see see, void *ctx, struct err *e) {
  enum status st;
  const struct entry *x;
  const void *p;
  TRY(dedup_entry(d, row, &x, e));
  struct dedup_row r = { .line = x->line, .priority = x->priority, .normal = { x->normal[0], x->normal[1] }, .n_shingle = x->n_shingle,
                         .side = d->side[row], .fixed_side = (d->state[row] & STATE_FIXED) != 0, .verdict = v->v, .score = v->score };
  struct entry own = *x;
  TRY(spool_view(d->ids, own.id_at, own.id_n, &d->scratch[0], &p, e));
  r.id = (struct span){ p, own.id_n };
  TRY(spool_view(d->shingles, own.shingle_at, own.n_shingle * sizeof *r.shingle, &d->scratch[1], &p, e));
  r.shingle = p;
  if (v->v != DEDUP_KEPT && v->witness != UINT32_MAX) {
    TRY(dedup_entry(d, v->witness, &x, e));
    own = *x;
    TRY(spool_view(d->ids, own.id_at, own.id_n, &d->scratch[2], &p, e));
    r.witness = (struct span){ p, own.id_n };
  }
  TRY(see(ctx, &r, e));
out:
  return st;
}

enum status dedup_decide_walk(struct dedup *d, dedup_see see, void *ctx, struct err *e) {
  enum status st;
  const unsigned char *p, *order;
  size_t n, m;
  int got, got_order;
  TRY(sorter_rewind(d->pairs, e));
  TRY(sorter_rewind(d->rank, e));
  TRY(sorter_next(d->pairs, &p, &n, &got, e));
  for (uint32_t rank = 0; rank < d->n; rank++) {
    struct verdict v = { DEDUP_KEPT, 0, UINT32_MAX };
    uint32_t groups[256], n_groups = 0;
    TRY(sorter_next(d->rank, &order, &m, &got_order, e));
    uint32_t row = sorter_get32(order + m - 4);
    int preset = (d->state[row] & STATE_PRESET) != 0;
    if (preset) v.v = (enum dedup_verdict)(d->state[row] & STATE_VERDICT);
    clear_cands(d);
    for (; got && sorter_get32(p) == rank; ) {
      uint32_t a = sorter_get32(p + 5), b = sorter_get32(p + 9);
      if (p[4] == TYPE_EXACT && !preset && kept(d, b)) v = (struct verdict){ DEDUP_EXACT, 1, b };
      if (p[4] == TYPE_PAIR && v.v == DEDUP_KEPT && !preset) TRY(add_cand(d, a, b, e));
      if (p[4] == TYPE_BIG) {
        for (uint32_t k = d->big[a].head; k && v.v == DEDUP_KEPT && !preset; k = d->node[k - 1].next) TRY(add_cand(d, d->node[k - 1].rank, d->node[k - 1].row, e));
        if (n_groups < 256) groups[n_groups++] = a;
      }
      TRY(sorter_next(d->pairs, &p, &n, &got, e));
    }
    if (v.v == DEDUP_KEPT && !preset && d->n_cand) TRY(compare_all(d, row, &v, e));
    if (!preset) d->state[row] = (unsigned char)(d->state[row] | v.v);
    if (v.v == DEDUP_KEPT)
      for (uint32_t i = 0; i < n_groups; i++) TRY(dedup_list_add(d, groups[i], rank, row, e));
    else if (!preset) TRY(dedup_add_drop(d, row, v.v, v.witness, v.score, 0, 0, e));
    if (see && !preset) TRY(show(d, row, &v, see, ctx, e));
  }
out:
  return st;
}

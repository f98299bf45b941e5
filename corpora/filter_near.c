/* SPDX-License-Identifier: Apache-2.0
 * Filter "near": a row is dropped if and only if a kept row before it (in priority order) has Jaccard >= --near over word
 * 5-grams. The witness is the kept row with the highest Jaccard, the earlier one of equals. */
#include "curate.h"

struct near_state {
  struct near_index *index;
  const struct row **row; /* (number) */
  size_t n, cap;
};

static int enabled(const struct curate_options *o) { return o->near > 0; }

static enum status open_near(const struct curate_options *o, void **state, struct err *e) {
  struct near_state *s = mem_calloc(1, sizeof *s);
  *state = s;
  return s ? near_new(o->near, &s->index, e) : err_nomem(e, sizeof *s);
}

struct best {
  uint32_t number;
  double jaccard;
};

static void found(void *ctx, uint32_t number, double jaccard) {
  struct best *b = ctx;
  if (jaccard > b->jaccard) *b = (struct best){ number, jaccard };
}

static enum status admit(void *state, const struct curate_options *o, struct row *r, struct err *e) {
  (void)o;
  struct near_state *s = state;
  struct near_set set = { r->shingle, r->n_shingle, r->sig };
  struct best b = { 0, -1 };
  enum status st;
  uint32_t number;
  if (r->n_shingle == 0) return STATUS_OK;
  if ((st = near_query(s->index, &set, NULL, found, &b, e)) != STATUS_OK) return st;
  if (b.jaccard >= 0) return curate_drop(r, "near_duplicate", b.jaccard, (struct span){ "", 0 }, s->row[b.number]->id, e);
  if (s->n == s->cap) {
    size_t cap = s->cap ? 2 * s->cap : 1024;
    const struct row **p = mem_realloc(s->row, cap * sizeof *p);
    if (!p) return err_nomem(e, cap * sizeof *p);
    s->row = p;
    s->cap = cap;
  }
  if ((st = near_add(s->index, &set, &number, e)) != STATUS_OK) return st;
  s->row[s->n++] = r;
  return STATUS_OK;
}

static void close_near(void *state) {
  struct near_state *s = state;
  if (!s) return;
  near_free(s->index);
  mem_free(s->row);
  mem_free(s);
}

const struct filter filter_near = { "near", "rows with Jaccard >= --near to a kept row (word 5-grams)", enabled, open_near, NULL, admit, close_near };

/* SPDX-License-Identifier: Apache-2.0
 * Filter "exact": rows whose normalised text (words in lower case, operators beside digits) equals that of a kept row. */
#include "curate.h"

struct slot {
  uint64_t key[2];
  const struct row *row;
};
struct exact {
  struct slot *slot;
  size_t n, slots;
};

static int enabled(const struct curate_options *o) { return o->exact; }

static enum status open_exact(const struct curate_options *o, void **state, struct err *e) {
  (void)o;
  *state = mem_calloc(1, sizeof(struct exact));
  return *state ? STATUS_OK : err_nomem(e, sizeof(struct exact));
}

static struct slot *find(const struct exact *x, const uint64_t key[2]) {
  size_t i = key[0] & (x->slots - 1);
  while (x->slot[i].row && (x->slot[i].key[0] != key[0] || x->slot[i].key[1] != key[1])) i = (i + 1) & (x->slots - 1);
  return &x->slot[i];
}

static enum status grow(struct exact *x, struct err *e) {
  struct exact y = { NULL, x->n, x->slots ? 2 * x->slots : 4096 };
  y.slot = mem_calloc(y.slots, sizeof *y.slot);
  if (!y.slot) return err_nomem(e, y.slots * sizeof *y.slot);
  for (size_t i = 0; i < x->slots; i++)
    if (x->slot[i].row) *find(&y, x->slot[i].key) = x->slot[i];
  mem_free(x->slot);
  *x = y;
  return STATUS_OK;
}

static enum status admit(void *state, const struct curate_options *o, struct row *r, struct err *e) {
  (void)o;
  struct exact *x = state;
  enum status st;
  if (2 * (x->n + 1) > x->slots && (st = grow(x, e)) != STATUS_OK) return st;
  struct slot *s = find(x, r->normal);
  if (s->row) return curate_drop(r, "exact_duplicate", 1, (struct span){ "", 0 }, s->row->id, e);
  *s = (struct slot){ { r->normal[0], r->normal[1] }, r };
  x->n++;
  return STATUS_OK;
}

static void close_exact(void *state) {
  struct exact *x = state;
  if (x) mem_free(x->slot);
  mem_free(x);
}

const struct filter filter_exact = { "exact", "rows with the same normalised text as a kept row", enabled, open_exact, NULL, admit, close_exact };

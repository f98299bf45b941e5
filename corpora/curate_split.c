/* SPDX-License-Identifier: Apache-2.0
 * Split of `curate`: rows of one group go to one side, by a stable hash of the group's key. Groups are rows with the same
 * field, joined through near duplicates on request, so that no test row has a near twin in train. */
#include "curate.h"
#include "hash.h"

enum status curate_split_parse(const struct curate_options *o, struct arena *a, struct split_spec *s, struct err *e) {
  *s = (struct split_spec){ NULL, 0 };
  for (const char *p = o->split; p;) {
    const char *comma = strchr(p, ',');
    size_t n = comma ? (size_t)(comma - p) : strlen(p);
    char *part = arena_strndup(a, p, n);
    if (!part) return err_nomem(e, n);
    if (strncmp(part, "group:", 6) == 0) part += 6;
    if (strcmp(part, "near") == 0) s->near = 1;
    else if (!*part || s->field) return err_set(e, STATUS_USAGE, "'--split %s': expected one field, near, or FIELD,near", o->split);
    else if (strcmp(part, "id") != 0) s->field = part;
    p = comma ? comma + 1 : NULL;
  }
  return STATUS_OK;
}

enum status curate_split_group(const struct split_spec *s, struct row *r, struct err *e) {
  enum status st;
  struct span v = { NULL, 0 };
  if (s->field) {
    TRY(record_path(&r->rec, s->field, r->a, &v, e));
    if (span_type(v) == 's') TRY(span_string(v, r->a, &v, e));
  }
  if (v.p == NULL) { /* by the document it came from: children are PARENT#n */
    const char *hash = r->id.n ? memchr(r->id.p, '#', r->id.n) : NULL;
    v = (struct span){ r->id.p, hash ? (size_t)(hash - r->id.p) : r->id.n };
  }
  r->group = v;
  return STATUS_OK;
out:
  return st;
}

const char *curate_split_of(const struct curate_options *o, struct span key) {
  uint64_t h = xxh3_seed(key.p, key.n, 0x53504C4954ull + (uint64_t)o->split_seed);
  double u = (double)(h >> 11) * 0x1p-53;
  if (u < o->split_fraction) return "test";
  return u < o->split_fraction + o->valid_fraction ? "valid" : "train";
}

/* ---- groups as connected components ---- */
struct join {
  uint32_t *parent;
  uint32_t now;
  const uint32_t *of; /* row number of each number in the index */
};

static uint32_t root(uint32_t *parent, uint32_t i) {
  while (parent[i] != i) i = parent[i] = parent[parent[i]];
  return i;
}

static void join(uint32_t *parent, uint32_t a, uint32_t b) {
  a = root(parent, a), b = root(parent, b);
  if (a < b) parent[b] = a;
  else parent[a] = b;
}

static int same_already(void *ctx, uint32_t number) {
  struct join *j = ctx;
  return root(j->parent, j->of[number]) == root(j->parent, j->now);
}

static void near_pair(void *ctx, uint32_t number, double jaccard) {
  struct join *j = ctx;
  (void)jaccard;
  join(j->parent, j->of[number], j->now);
}

static enum status join_near(const struct curate_options *o, struct row **row, size_t n, uint32_t *parent, struct err *e) {
  enum status st;
  struct near_index *x = NULL;
  uint32_t *of = mem_calloc(n ? n : 1, sizeof *of), number;
  struct join j = { parent, 0, of };
  if (!of) return err_nomem(e, n * sizeof *of);
  TRY(near_new(o->split_near > 0 ? o->split_near : o->near > 0 ? o->near : 0.8, &x, e));
  for (size_t i = 0; i < n; i++) {
    struct near_set s = { row[i]->shingle, row[i]->n_shingle, row[i]->sig };
    if (s.n == 0) continue;
    j.now = (uint32_t)i;
    TRY(near_query(x, &s, same_already, near_pair, &j, e));
    TRY(near_add(x, &s, &number, e));
    of[number] = (uint32_t)i;
  }
out:
  near_free(x);
  mem_free(of);
  return st;
}

static int by_key(const void *a, const void *b) {
  const struct row *x = *(struct row *const *)a, *y = *(struct row *const *)b;
  size_t n = x->group.n < y->group.n ? x->group.n : y->group.n;
  int d = n ? memcmp(x->group.p, y->group.p, n) : 0;
  return d ? d : (x->group.n > y->group.n) - (x->group.n < y->group.n);
}

static enum status join_keys(struct row **row, size_t n, uint32_t *parent, struct err *e) {
  struct numbered { struct row *r; uint32_t i; } *v = mem_calloc(n ? n : 1, sizeof *v);
  if (!v) return err_nomem(e, n * sizeof *v);
  for (size_t i = 0; i < n; i++) v[i] = (struct numbered){ row[i], (uint32_t)i };
  qsort(v, n, sizeof *v, by_key); /* struct numbered begins with the pointer by_key compares */
  for (size_t i = 1; i < n; i++)
    if (by_key(&v[i - 1], &v[i]) == 0) join(parent, v[i - 1].i, v[i].i);
  mem_free(v);
  return STATUS_OK;
}

enum status curate_split_assign(const struct curate_options *o, const struct split_spec *s, struct row **row, size_t n, uint64_t *groups, struct err *e) {
  enum status st = STATUS_OK;
  uint32_t *parent = mem_calloc(n ? n : 1, sizeof *parent);
  struct row **least = mem_calloc(n ? n : 1, sizeof *least); /* per root: the row with the smallest key names the group */
  *groups = 0;
  if (!parent || !least) {
    st = err_nomem(e, n * 12);
    goto out;
  }
  for (size_t i = 0; i < n; i++) parent[i] = (uint32_t)i;
  TRY(join_keys(row, n, parent, e));
  if (s->near) TRY(join_near(o, row, n, parent, e));
  for (size_t i = 0; i < n; i++) {
    struct row **l = &least[root(parent, (uint32_t)i)];
    *groups += *l == NULL;
    if (!*l || by_key(&row[i], l) < 0) *l = row[i];
  }
  for (size_t i = 0; i < n; i++) row[i]->split = curate_split_of(o, least[root(parent, (uint32_t)i)]->group);
out:
  mem_free(parent);
  mem_free(least);
  return st;
}

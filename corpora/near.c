/* SPDX-License-Identifier: Apache-2.0
 * LSH index in memory: a hash table from (band, hash of its rows) to chains of row numbers. Issue C puts sorted runs on disk
 * behind the same calls. */
#include "near.h"
#include <math.h>
#include "hash.h"
#include "near_loop.h"
#include "words.h"

void near_minima_generic(const uint64_t *shingle, size_t n, uint32_t sig[NEAR_HASHES]) { near_loop(shingle, n, sig); }

#if !(defined(__x86_64__) || defined(__i386__))
void near_minima_avx2(const uint64_t *shingle, size_t n, uint32_t sig[NEAR_HASHES]) { near_minima_generic(shingle, n, sig); }
#endif

void near_signature(const uint64_t *shingle, size_t n, uint32_t sig[NEAR_HASHES]) {
#if defined(__x86_64__) || defined(__i386__)
  if (__builtin_cpu_supports("avx2")) {
    near_minima_avx2(shingle, n, sig);
    return;
  }
#endif
  near_minima_generic(shingle, n, sig);
}

void near_bands(double t, int *rows, int *bands) {
  *rows = 1;
  for (int r = 1; r <= 16; r++) { /* the longest band that still finds a pair at t */
    int b = NEAR_HASHES / r;
    if (pow(1 - pow(t, r), b) < 1e-3) *rows = r;
  }
  *bands = NEAR_HASHES / *rows;
}

struct node {
  uint32_t row, next; /* next: node number + 1, 0 = end */
};
struct near_index {
  double threshold;
  int rows, bands;
  struct near_set *set;
  uint32_t *stamp; /* last query that met the row */
  uint32_t n, cap, query;
  uint64_t *key; /* 0 = free */
  uint32_t *head;
  size_t slots, used;
  struct node *node;
  size_t n_node, cap_node;
  uint32_t *hit;
  size_t cap_hit;
  uint64_t compared;
};

enum status near_new(double threshold, struct near_index **out, struct err *e) {
  struct near_index *x = mem_calloc(1, sizeof *x);
  *out = x;
  if (!x) return err_nomem(e, sizeof *x);
  x->threshold = threshold;
  near_bands(threshold, &x->rows, &x->bands);
  return STATUS_OK;
}

void near_free(struct near_index *x) {
  if (!x) return;
  mem_free(x->set);
  mem_free(x->stamp);
  mem_free(x->key);
  mem_free(x->head);
  mem_free(x->node);
  mem_free(x->hit);
  mem_free(x);
}

uint64_t near_compared(const struct near_index *x) { return x->compared; }

static uint64_t band_key(const struct near_index *x, const struct near_set *s, int band) {
  uint64_t k = xxh3_seed(s->sig + band * x->rows, (size_t)x->rows * 4, (uint64_t)band + 1);
  return k ? k : 1;
}

static size_t find_slot(const struct near_index *x, uint64_t key) {
  size_t i = key & (x->slots - 1);
  while (x->key[i] && x->key[i] != key) i = (i + 1) & (x->slots - 1);
  return i;
}

static enum status grow_table(struct near_index *x, struct err *e) {
  size_t old = x->slots;
  uint64_t *key = x->key;
  uint32_t *head = x->head;
  x->slots = old ? 2 * old : 4096;
  x->key = mem_calloc(x->slots, sizeof *x->key);
  x->head = mem_calloc(x->slots, sizeof *x->head);
  if (!x->key || !x->head) {
    mem_free(x->key);
    mem_free(x->head);
    x->key = key, x->head = head, x->slots = old;
    return err_nomem(e, 24 * old);
  }
  for (size_t i = 0; i < old; i++) {
    if (!key[i]) continue;
    size_t s = find_slot(x, key[i]);
    x->key[s] = key[i];
    x->head[s] = head[i];
  }
  mem_free(key);
  mem_free(head);
  return STATUS_OK;
}

static enum status grow(void *array, size_t *cap, size_t need, size_t size, struct err *e) {
  void **p = array;
  if (need <= *cap) return STATUS_OK;
  size_t n = *cap ? 2 * *cap : 1024;
  while (n < need) n *= 2;
  void *q = mem_realloc(*p, n * size);
  if (!q) return err_nomem(e, n * size);
  *p = q;
  *cap = n;
  return STATUS_OK;
}

enum status near_add(struct near_index *x, const struct near_set *s, uint32_t *number, struct err *e) {
  enum status st;
  size_t cap = x->cap, cap_stamp = x->cap;
  TRY(grow(&x->set, &cap, (size_t)x->n + 1, sizeof *x->set, e));
  TRY(grow(&x->stamp, &cap_stamp, (size_t)x->n + 1, sizeof *x->stamp, e));
  x->cap = (uint32_t)cap;
  TRY(grow(&x->node, &x->cap_node, x->n_node + (size_t)x->bands, sizeof *x->node, e));
  *number = x->n;
  x->set[x->n] = *s;
  x->stamp[x->n] = 0;
  for (int b = 0; b < x->bands && s->n > 0; b++) {
    if (2 * (x->used + 1) > x->slots) TRY(grow_table(x, e));
    uint64_t key = band_key(x, s, b);
    size_t i = find_slot(x, key);
    x->used += x->key[i] == 0;
    x->key[i] = key;
    x->node[x->n_node] = (struct node){ x->n, x->head[i] };
    x->head[i] = (uint32_t)++x->n_node;
  }
  x->n++;
out:
  return st;
}

static int by_number(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

enum status near_query(struct near_index *x, const struct near_set *s, near_skip skip, near_found f, void *ctx, struct err *e) {
  size_t n = 0;
  if (s->n == 0 || x->slots == 0) return STATUS_OK;
  if (++x->query == 0) { /* numbers of queries wrapped around */
    memset(x->stamp, 0, (size_t)x->n * sizeof *x->stamp);
    x->query = 1;
  }
  for (int b = 0; b < x->bands; b++) {
    size_t i = find_slot(x, band_key(x, s, b));
    for (uint32_t k = x->key[i] ? x->head[i] : 0; k; k = x->node[k - 1].next) {
      uint32_t row = x->node[k - 1].row;
      if (x->stamp[row] == x->query) continue;
      x->stamp[row] = x->query;
      size_t small = x->set[row].n < s->n ? x->set[row].n : s->n, large = x->set[row].n < s->n ? s->n : x->set[row].n;
      if ((double)small < x->threshold * (double)large) continue; /* Jaccard is at most small / large */
      enum status st = grow(&x->hit, &x->cap_hit, n + 1, sizeof *x->hit, e);
      if (st != STATUS_OK) return st;
      x->hit[n++] = row;
    }
  }
  if (n > 1) qsort(x->hit, n, sizeof *x->hit, by_number);
  for (size_t i = 0; i < n; i++) {
    const struct near_set *o = &x->set[x->hit[i]];
    if (skip && skip(ctx, x->hit[i])) continue;
    x->compared++;
    double j = words_jaccard(o->shingle, o->n, s->shingle, s->n);
    if (j >= x->threshold) f(ctx, x->hit[i], j);
  }
  return STATUS_OK;
}

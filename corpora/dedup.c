/* SPDX-License-Identifier: Apache-2.0
 * Rows in, results out. See dedup.h for the rule. */
#include "dedup_impl.h"
#include <string.h>
#include "near.h"
#include "words.h"

enum { DROP_BYTES = 33 };

static double smaller(double a, double b) { return a > 0 && (b <= 0 || a < b) ? a : b; }

enum status dedup_new(const struct dedup_settings *s, struct dedup **out, struct err *e) {
  enum status st;
  struct dedup *d = *out = mem_calloc(1, sizeof *d);
  uint64_t m = s->memory_bytes;
  if (!d) return err_nomem(e, sizeof *d);
  d->s = *s;
  d->least = smaller(s->near, smaller(s->join, s->leak));
  if (d->least > 0) near_bands(d->least, &d->rows, &d->bands);
  TRY(spool_new(m / 32, &d->table, e));
  TRY(spool_new(m / 32, &d->ids, e));
  TRY(spool_new(m / 64, &d->texts, e));
  TRY(spool_new(m / 4, &d->shingles, e));
  TRY(sorter_new(m / 16, &d->rank, e));
  TRY(sorter_new(m / 16, &d->same, e));
  TRY(sorter_new(m / 6, &d->band, e));
  TRY(sorter_new(m / 32, &d->known, e));
  TRY(sorter_new(m / 8, &d->pairs, e));
  TRY(sorter_new(m / 32, &d->drops, e));
  TRY(sorter_new(m / 32, &d->keys, e));
out:
  return st;
}

void dedup_free(struct dedup *d) {
  if (!d) return;
  struct spool *spools[] = { d->table, d->ids, d->texts, d->shingles };
  struct sorter *sorters[] = { d->rank, d->same, d->band, d->known, d->pairs, d->drops, d->keys };
  for (size_t i = 0; i < sizeof spools / sizeof *spools; i++) spool_free(spools[i]);
  for (size_t i = 0; i < sizeof sorters / sizeof *sorters; i++) sorter_free(sorters[i]);
  for (size_t i = 0; i < sizeof d->scratch / sizeof *d->scratch; i++) buf_free(&d->scratch[i]);
  mem_free(d->state);
  mem_free(d->side);
  mem_free(d->rank_of);
  mem_free(d->parent);
  mem_free(d->big);
  mem_free(d->node);
  mem_free(d->cand);
  mem_free(d->seen);
  mem_free(d);
}

void dedup_counts(const struct dedup *d, struct dedup_counts *c) {
  const struct spool *spools[] = { d->table, d->ids, d->texts, d->shingles };
  *c = d->counts;
  c->rows = d->n;
  for (size_t i = 0; i < sizeof spools / sizeof *spools; i++) c->spilled_bytes += spool_spilled(spools[i]);
}

enum status dedup_grow(void *array, uint32_t *cap, size_t need, size_t size, struct err *e) {
  void **p = array;
  if (need <= *cap) return STATUS_OK;
  if (need >= UINT32_MAX) return err_set(e, STATUS_LIMIT, "more than 4,294,967,294 rows in one run: split the input and merge signature files");
  size_t n = *cap ? 2 * (size_t)*cap : 1024;
  if (n < need) n = need;
  if (n > UINT32_MAX) n = UINT32_MAX;
  void *q = mem_realloc(*p, n * size);
  if (!q) return err_nomem(e, n * size);
  *p = q;
  *cap = (uint32_t)n;
  return STATUS_OK;
}

/* ---- keys that sort as bytes ---- */
static void put_double_down(unsigned char *p, double v) { /* the highest first */
  uint64_t u;
  if (v == 0) v = 0; /* -0 */
  memcpy(&u, &v, sizeof u);
  u = u >> 63 ? u : ~u ^ (1ull << 63);
  sorter_put64(p, u);
}

/* Bytes with an end that sorts before every continuation: 0 becomes 0 1, the end is 0 0. */
static enum status put_escaped(struct buf *b, struct span s, struct err *e) {
  enum status st = STATUS_OK;
  for (size_t at = 0; at < s.n;) {
    const char *zero = memchr(s.p + at, 0, s.n - at);
    size_t n = zero ? (size_t)(zero - s.p) - at : s.n - at;
    TRY(buf_put(b, s.p + at, n, e));
    at += n;
    if (zero) TRY(buf_put(b, "\0\1", 2, e));
    at += zero != NULL;
  }
  TRY(buf_put(b, "\0\0", 2, e));
out:
  return st;
}

static enum status add_rank(struct dedup *d, const struct dedup_row *r, uint32_t row, struct err *e) {
  enum status st;
  struct buf *b = &d->scratch[0];
  unsigned char head[9] = { r->known ? 0 : r->fixed_side && !r->merged ? 1 : 2 }, tail[20]; /* old rows first */
  buf_clear(b);
  if (!d->s.arrival) put_double_down(head + 1, r->priority);
  TRY(buf_put(b, head, d->s.arrival ? 1 : 9, e));
  if (!d->s.arrival) {
    TRY(put_escaped(b, r->id, e));
    sorter_put64(tail, r->line.hi);
    sorter_put64(tail + 8, r->line.lo);
    TRY(buf_put(b, tail, 16, e));
  }
  sorter_put32(tail, row);
  TRY(buf_put(b, tail, 4, e));
  if (b->n > SORTER_RECORD_MAX) return err_set(e, STATUS_DATA, "the id has %zu bytes, at most 65,000", r->id.n);
  TRY(sorter_add(d->rank, b->p, b->n, e));
out:
  return st;
}

static enum status add_bands(struct dedup *d, const struct dedup_row *r, uint32_t row, struct err *e) {
  unsigned char k[12];
  sorter_put32(k + 8, row);
  for (int b = 0; b < d->bands; b++) {
    sorter_put64(k, xxh3_seed(r->sig + b * d->rows, (size_t)d->rows * sizeof *r->sig, (uint64_t)b + 1));
    enum status st = sorter_add(d->band, k, sizeof k, e);
    if (st != STATUS_OK) return st;
  }
  return STATUS_OK;
}

static enum status add_known(struct dedup *d, const struct dedup_row *r, uint32_t row, uint64_t text_at, struct err *e) {
  unsigned char k[16 + 1 + 4 + 1 + 8 + 8 + 4];
  struct hash128 id = xxh3_128(r->id.p, r->id.n);
  sorter_put64(k, r->line.hi ^ id.hi);
  sorter_put64(k + 8, r->line.lo ^ id.lo);
  k[16] = !r->known;
  sorter_put32(k + 17, row);
  k[21] = (unsigned char)r->verdict;
  memcpy(k + 22, &r->score, 8);
  memcpy(k + 30, &text_at, 8);
  sorter_put32(k + 38, (uint32_t)r->witness.n);
  return sorter_add(d->known, k, sizeof k, e);
}

enum status dedup_add(struct dedup *d, const struct dedup_row *r, struct err *e) {
  enum status st;
  uint32_t row = d->n, cap = d->cap;
  uint64_t text_at = 0;
  struct entry x = { .normal = { r->normal[0], r->normal[1] }, .line = r->line, .priority = r->priority, .id_n = (uint32_t)r->id.n, .n_shingle = (uint32_t)r->n_shingle };
  TRY(dedup_grow(&d->state, &cap, (size_t)row + 1, 1, e));
  cap = d->cap;
  TRY(dedup_grow(&d->side, &cap, (size_t)row + 1, 1, e));
  d->cap = cap;
  d->state[row] = (unsigned char)((r->known ? STATE_PRESET | r->verdict : 0) | (r->fixed_side ? STATE_FIXED : 0) | (r->known || r->merged ? 0 : STATE_INPUT));
  d->side[row] = r->side;
  TRY(spool_add(d->ids, r->id.p, r->id.n, &x.id_at, e));
  if (d->least > 0 && r->shingle) TRY(spool_add(d->shingles, r->shingle, r->n_shingle * sizeof *r->shingle, &x.shingle_at, e));
  TRY(spool_add(d->table, &x, sizeof x, NULL, e));
  if (r->witness.n) TRY(spool_add(d->texts, r->witness.p, r->witness.n, &text_at, e));
  if (r->known || !r->merged) TRY(add_known(d, r, row, text_at, e));
  TRY(add_rank(d, r, row, e));
  if (d->s.join > 0 && !r->known) { /* known rows have their side */
    unsigned char tail[4];
    buf_clear(&d->scratch[0]);
    TRY(put_escaped(&d->scratch[0], r->group, e));
    sorter_put32(tail, row);
    TRY(buf_put(&d->scratch[0], tail, 4, e));
    TRY(sorter_add(d->keys, d->scratch[0].p, d->scratch[0].n, e));
  }
  d->n++; /* from here on the row exists */
  if (r->known && r->verdict != DEDUP_KEPT) goto out; /* nothing is compared with it */
  if (d->s.exact) {
    unsigned char k[20];
    sorter_put64(k, r->normal[0]);
    sorter_put64(k + 8, r->normal[1]);
    sorter_put32(k + 16, row);
    TRY(sorter_add(d->same, k, sizeof k, e));
  }
  if (d->least > 0 && r->n_shingle) TRY(add_bands(d, r, row, e));
out:
  return st;
}

enum status dedup_entry(struct dedup *d, uint32_t row, const struct entry **x, struct err *e) {
  const void *p;
  enum status st = spool_view(d->table, (uint64_t)row * sizeof **x, sizeof **x, &d->scratch[3], &p, e);
  *x = p;
  return st;
}

enum status dedup_shingles(struct dedup *d, uint32_t row, struct buf *scratch, const uint64_t **s, size_t *n, struct err *e) {
  const struct entry *x;
  const void *p;
  enum status st = dedup_entry(d, row, &x, e);
  if (st != STATUS_OK) return st;
  *n = x->n_shingle;
  st = spool_view(d->shingles, x->shingle_at, *n * sizeof **s, scratch, &p, e);
  *s = p;
  return st;
}

enum status dedup_compare(struct dedup *d, const uint64_t *sa, size_t n_a, uint32_t b, double t, double *jaccard, struct err *e) {
  const struct entry *x;
  const void *p;
  enum status st = dedup_entry(d, b, &x, e);
  *jaccard = -1;
  if (st != STATUS_OK) return st;
  size_t n = x->n_shingle, small = n < n_a ? n : n_a, large = n < n_a ? n_a : n;
  if ((double)small < t * (double)large || small == 0) return STATUS_OK; /* Jaccard is at most small / large */
  st = spool_view(d->shingles, x->shingle_at, n * sizeof *sa, &d->scratch[1], &p, e);
  if (st != STATUS_OK) return st;
  d->counts.compared++;
  *jaccard = words_jaccard_from(sa, n_a, p, n, t);
  return STATUS_OK;
}

/* ---- results ---- */
enum status dedup_add_drop(struct dedup *d, uint32_t row, enum dedup_verdict v, uint32_t witness, double score, uint64_t text_at, uint32_t text_n, struct err *e) {
  unsigned char k[DROP_BYTES] = { 0 };
  sorter_put32(k, row);
  k[4] = (unsigned char)v;
  sorter_put32(k + 5, witness);
  memcpy(k + 9, &score, 8);
  memcpy(k + 17, &text_at, 8);
  sorter_put32(k + 25, text_n);
  return sorter_add(d->drops, k, sizeof k, e);
}

static enum status next_drop(struct dedup *d, struct err *e) {
  size_t n;
  return sorter_next(d->drops, &d->drop, &n, &d->drop_got, e);
}


enum status dedup_next(struct dedup *d, struct dedup_result *r, struct err *e) {
  enum status st = STATUS_OK;
  const void *p;
  while (d->next < d->n && !(d->state[d->next] & STATE_INPUT)) d->next++;
  if (d->next >= d->n) return err_set(e, STATUS_DATA, "more results asked for than rows were given");
  uint32_t row = d->next++;
  *r = (struct dedup_result){ (enum dedup_verdict)(d->state[row] & STATE_VERDICT), 0, { "", 0 }, d->side[row] };
  if (r->verdict == DEDUP_KEPT) return st;
  while (d->drop_got && sorter_get32(d->drop) < row) TRY(next_drop(d, e));
  if (!d->drop_got || sorter_get32(d->drop) != row) return err_set(e, STATUS_DATA, "row %u was dropped without a witness", row);
  memcpy(&r->score, d->drop + 9, 8);
  uint32_t witness = sorter_get32(d->drop + 5), n = sorter_get32(d->drop + 25);
  uint64_t at;
  memcpy(&at, d->drop + 17, 8);
  if (witness != UINT32_MAX) {
    const struct entry *x;
    TRY(dedup_entry(d, witness, &x, e));
    n = x->id_n;
    TRY(spool_view(d->ids, x->id_at, n, &d->scratch[0], &p, e));
  } else {
    TRY(spool_view(d->texts, at, n, &d->scratch[0], &p, e));
  }
  r->witness = (struct span){ p, n };
out:
  return st;
}

/* Rows of the input that stand in a signature file as well: the verdict there is theirs. */
static enum status join_known(struct dedup *d, struct err *e) {
  enum status st;
  const unsigned char *p;
  size_t n;
  int got;
  unsigned char file[42];
  int have = 0;
  TRY(sorter_rewind(d->known, e));
  for (;;) {
    TRY(sorter_next(d->known, &p, &n, &got, e));
    if (!got) break;
    if (p[16] == 0) { /* several files may hold it: the first kept one, else the first */
      if (!have || memcmp(file, p, 16) != 0 || (file[21] != DEDUP_KEPT && p[21] == DEDUP_KEPT)) memcpy(file, p, sizeof file);
      have = 1;
      continue;
    }
    if (!have || memcmp(file, p, 16) != 0) continue;
    uint32_t row = sorter_get32(p + 17), text_n = sorter_get32(file + 38);
    enum dedup_verdict v = (enum dedup_verdict)file[21];
    double score;
    uint64_t at;
    memcpy(&score, file + 22, 8);
    memcpy(&at, file + 30, 8);
    d->state[row] = (unsigned char)((d->state[row] & ~STATE_VERDICT) | STATE_PRESET | v);
    if (v != DEDUP_KEPT) TRY(dedup_add_drop(d, row, v, UINT32_MAX, score, at, text_n, e));
  }
out:
  return st;
}

enum status dedup_decide(struct dedup *d, dedup_see see, void *ctx, struct err *e) {
  enum status st;
  TRY(join_known(d, e));
  sorter_free(d->known);
  d->known = NULL;
  TRY(dedup_find_pairs(d, e));
  if (d->s.join > 0) TRY(dedup_join_groups(d, e));
  TRY(dedup_decide_walk(d, see, ctx, e));
  sorter_free(d->pairs);
  d->pairs = NULL;
  TRY(sorter_rewind(d->drops, e));
  TRY(next_drop(d, e));
out:
  return st;
}

/* SPDX-License-Identifier: Apache-2.0
 * Questions that failed and have no answer, for `retort book retry`. Read from the segments themselves: a failure is rare, so opening
 * a book keeps nothing of it in memory. */
#include "book_index.h"
#include "book_internal.h"

struct failed_ref { unsigned char key[SEG_KEY]; uint32_t seg; struct seg_record rec; };

struct book_failed { struct failed_ref *ref; size_t n, cap; };

struct gather {
  struct book *b;
  uint32_t seg;
  struct seg_source src;
  struct book_failed *list;
};

static enum status gather(void *ctx, const struct seg_record *r, struct err *e) {
  struct gather *g = ctx;
  struct book_failed *l = g->list;
  struct failed_ref ref = { .seg = g->seg, .rec = *r };
  struct entry en;
  int answered;
  if (r->type != SEG_FAILED || r->length < SEG_KEY) return STATUS_OK;
  enum status st = seg_payload_start(&g->src, r, ref.key, SEG_KEY, e);
  if (st != STATUS_OK) return st;
  st = book_map_get(g->b, ref.key, &en, &answered, e);
  if (st == STATUS_OK && !answered) st = book_index_find(g->b, ref.key, &en, &answered, e);
  if (st != STATUS_OK || answered) return st;
  if (l->n == l->cap) {
    size_t cap = l->cap ? l->cap * 2 : 64;
    struct failed_ref *p = mem_realloc(l->ref, cap * sizeof *p);
    if (!p) return err_nomem(e, cap * sizeof *p);
    l->ref = p;
    l->cap = cap;
  }
  l->ref[l->n++] = ref;
  return STATUS_OK;
}

static int by_key(const void *x, const void *y) {
  const struct failed_ref *a = x, *b = y;
  int c = memcmp(a->key, b->key, SEG_KEY);
  return c ? c : a->rec.time_ns < b->rec.time_ns ? -1 : a->rec.time_ns > b->rec.time_ns;
}

static int by_time(const void *x, const void *y) {
  const struct failed_ref *a = x, *b = y;
  return a->rec.time_ns < b->rec.time_ns ? -1 : a->rec.time_ns > b->rec.time_ns ? 1 : memcmp(a->key, b->key, SEG_KEY);
}

enum status book_failed_list(struct book *b, struct book_failed **out, size_t *n, struct err *e) {
  enum status st = STATUS_OK;
  struct seg_report rep;
  struct book_failed *l = mem_calloc(1, sizeof *l);
  *out = NULL;
  *n = 0;
  if (!l) return err_nomem(e, sizeof *l);
  pthread_mutex_lock(&b->mu);
  TRY(book_flush(b, e));
  TRY(book_scan_all(b, e)); /* every answer is known before a failure is judged */
  for (size_t i = 0; i < b->n_seg; i++) {
    struct gather g = { .b = b, .seg = (uint32_t)i, .list = l };
    if (b->seg[i].bad) continue;
    TRY(book_source(b, i, &g.src, e));
    if (g.src.bytes > b->seg[i].scanned) g.src.bytes = b->seg[i].scanned;
    b->fd_kept = i + 1;
    TRY(seg_scan(&g.src, 0, gather, &g, &rep, e));
  }
  if (l->n) qsort(l->ref, l->n, sizeof *l->ref, by_key);
  size_t kept = 0; /* of several failures of one question the last one tells why */
  for (size_t i = 0; i < l->n; i++)
    if (i + 1 == l->n || memcmp(l->ref[i].key, l->ref[i + 1].key, SEG_KEY)) l->ref[kept++] = l->ref[i];
  l->n = *n = kept;
  if (l->n) qsort(l->ref, l->n, sizeof *l->ref, by_time);
out:
  b->fd_kept = 0;
  pthread_mutex_unlock(&b->mu);
  if (st != STATUS_OK) book_failed_free(l);
  else *out = l;
  return st;
}

enum status book_failed_at(struct book *b, const struct book_failed *l, size_t i, unsigned char key[32], struct arena *a, struct book_answer *ans,
                           struct err *e) {
  enum status st = STATUS_OK;
  const struct failed_ref *ref = &l->ref[i];
  struct seg_source src;
  struct span payload;
  struct seg_answer sa;
  pthread_mutex_lock(&b->mu);
  TRY(book_source(b, ref->seg, &src, e));
  TRY(seg_payload(&src, &ref->rec, a, &payload, e));
  TRY(seg_answer_parse(payload, &sa, e));
  memcpy(key, sa.key, SEG_KEY);
  *ans = (struct book_answer){ sa.body, sa.answer, sa.meta };
out:
  pthread_mutex_unlock(&b->mu);
  return st;
}

void book_failed_free(struct book_failed *l) {
  if (!l) return;
  mem_free(l->ref);
  mem_free(l);
}

/* SPDX-License-Identifier: Apache-2.0
 * Notes: small JSON objects of a kind (the ledger's lines, provenance), durable when book_note returns. */
#include "book_internal.h"

enum status book_note(struct book *b, const char *kind, struct span json, struct err *e) {
  unsigned char n[4];
  seg_put_u32(n, (uint32_t)strlen(kind));
  struct span parts[] = { { (const char *)n, 4 }, { kind, strlen(kind) }, json };
  pthread_mutex_lock(&b->mu);
  enum status st = book_append(b, SEG_NOTE, parts, 3, e);
  if (st == STATUS_OK) st = book_sync(b, e);
  pthread_mutex_unlock(&b->mu);
  return st;
}

struct sorted { struct note_ref ref; const char *name; };

static int by_time(const void *x, const void *y) {
  const struct sorted *a = x, *b = y;
  if (a->ref.rec.time_ns != b->ref.rec.time_ns) return a->ref.rec.time_ns < b->ref.rec.time_ns ? -1 : 1;
  int c = strcmp(a->name, b->name);
  if (c) return c;
  return a->ref.rec.offset < b->ref.rec.offset ? -1 : a->ref.rec.offset > b->ref.rec.offset;
}

static enum status load(struct book *b, const struct sorted *s, const char *kind, struct arena *a, struct span *json, struct err *e) {
  enum status st = STATUS_OK;
  struct seg_source src;
  struct span payload, k;
  *json = (struct span){ NULL, 0 };
  if (b->seg[s->ref.seg].own) TRY(book_flush(b, e));
  TRY(book_source(b, s->ref.seg, &src, e));
  st = seg_payload(&src, &s->ref.rec, a, &payload, e);
  if (st == STATUS_DATA) return STATUS_OK; /* never committed */
  if (st != STATUS_OK) goto out;
  TRY(seg_note_parse(payload, &k, json, e));
  if (!span_is(k, kind)) *json = (struct span){ NULL, 0 };
out:
  return st;
}

enum status book_notes(struct book *b, const char *kind, enum status (*f)(void *ctx, struct span json, struct err *e), void *ctx,
                       struct err *e) {
  enum status st = STATUS_OK;
  struct sorted *list = NULL;
  struct arena *a = arena_new(0);
  if (!a) return err_nomem(e, 0);
  pthread_mutex_lock(&b->mu);
  st = book_scan_all(b, e);
  size_t n = b->n_note;
  if (st == STATUS_OK && n) {
    list = mem_alloc(n * sizeof *list);
    if (!list) st = err_nomem(e, n * sizeof *list);
  }
  for (size_t i = 0; list && i < n; i++) list[i] = (struct sorted){ b->note[i], b->seg[b->note[i].seg].name };
  if (list) qsort(list, n, sizeof *list, by_time);
  for (size_t i = 0; st == STATUS_OK && list && i < n; i++) {
    struct span json;
    arena_reset(a);
    st = load(b, &list[i], kind, a, &json, e);
    if (st == STATUS_OK && json.p) {
      pthread_mutex_unlock(&b->mu); /* f may write notes itself */
      st = f(ctx, json, e);
      pthread_mutex_lock(&b->mu);
    }
  }
  pthread_mutex_unlock(&b->mu);
  mem_free(list);
  arena_free(a);
  return st;
}

/* SPDX-License-Identifier: Apache-2.0
 * Open samples in order of opening; a document goes where it leaves least room. When too many are open the fullest goes out. */
#include "shard_pack.h"

#define CLOSE_BELOW 8 /* tokens of room that no document will use */

struct bin {
  struct buf ids, mask, names; /* names: NUL-terminated row ids */
  struct buf start, weight, name_at;
  struct buf top_id, top_logprob, rest;
  int32_t n_tok, n_doc, k;
};
struct pack {
  int32_t context;
  int one_each;
  pack_full full;
  void *ctx;
  struct bin *open[PACK_OPEN], *spare;
  int n_open;
  struct arena *a;
};

enum status pack_new(int32_t context, int one_each, pack_full full, void *ctx, struct pack **out, struct err *e) {
  struct pack *p = mem_calloc(1, sizeof *p);
  *out = p;
  if (!p) return err_nomem(e, sizeof *p);
  p->context = context, p->one_each = one_each, p->full = full, p->ctx = ctx;
  p->a = arena_new(0);
  return p->a ? STATUS_OK : err_nomem(e, 0);
}

static void bin_each(struct bin *b, void (*f)(struct buf *)) {
  struct buf *all[] = { &b->ids, &b->mask, &b->names, &b->start, &b->weight, &b->name_at, &b->top_id, &b->top_logprob, &b->rest };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) f(all[i]);
}

static void bin_free(struct bin *b) {
  if (!b) return;
  bin_each(b, buf_free);
  mem_free(b);
}

void pack_free(struct pack *p) {
  if (!p) return;
  for (int i = 0; i < p->n_open; i++) bin_free(p->open[i]);
  bin_free(p->spare);
  arena_free(p->a);
  mem_free(p);
}

static enum status close_bin(struct pack *p, int i, struct err *e) {
  enum status st;
  struct bin *b = p->open[i];
  struct sample s = { .n_tok = b->n_tok, .n_doc = b->n_doc };
  arena_reset(p->a);
  TRY(buf_put(&b->start, &b->n_tok, sizeof b->n_tok, e));
  s.ids = (int32_t *)(void *)b->ids.p;
  s.mask = (unsigned char *)b->mask.p;
  s.doc_start = (int32_t *)(void *)b->start.p;
  s.weight = (float *)(void *)b->weight.p;
  s.row_id = arena_alloc(p->a, (size_t)b->n_doc * sizeof *s.row_id);
  s.about = arena_alloc(p->a, (size_t)b->n_doc * sizeof *s.about);
  if (!s.row_id || !s.about) {
    st = err_nomem(e, (size_t)b->n_doc * 2 * sizeof *s.row_id);
    goto out;
  }
  for (int32_t d = 0; d < b->n_doc; d++) {
    size_t at;
    memcpy(&at, b->name_at.p + (size_t)d * sizeof at, sizeof at);
    s.row_id[d] = b->names.p + at;
    s.about[d] = s.row_id[d] + strlen(s.row_id[d]) + 1;
  }
  TRY(sample_targets(&s, p->a, e));
  if (b->k > 0) {
    s.k = b->k;
    s.top_id = (int32_t *)(void *)b->top_id.p;
    s.top_logprob = (float *)(void *)b->top_logprob.p;
    s.rest = (float *)(void *)b->rest.p;
    if (b->rest.n != (size_t)s.n_target * sizeof *s.rest) {
      st = err_set(e, STATUS_DATA, "%zu targets for %d tokens in the loss", b->rest.n / sizeof *s.rest, s.n_target);
      goto out;
    }
  }
  TRY(p->full(p->ctx, &s, e));
out:
  memmove(p->open + i, p->open + i + 1, (size_t)(p->n_open - i - 1) * sizeof *p->open);
  p->n_open--;
  if (p->spare) bin_free(b);
  else {
    bin_each(b, buf_clear);
    b->n_tok = b->n_doc = 0;
    p->spare = b;
  }
  return st;
}

/* The open sample that the document fills best, or -1. */
static int best_fit(const struct pack *p, int32_t n) {
  int best = -1;
  for (int i = 0; i < p->n_open; i++) {
    int32_t room = p->context - p->open[i]->n_tok;
    if (room >= n && (best < 0 || room < p->context - p->open[best]->n_tok)) best = i;
  }
  return best;
}

static enum status open_bin(struct pack *p, int *at, struct err *e) {
  if (p->n_open == PACK_OPEN) {
    int fullest = 0;
    for (int i = 1; i < p->n_open; i++)
      if (p->open[i]->n_tok > p->open[fullest]->n_tok) fullest = i;
    enum status st = close_bin(p, fullest, e);
    if (st != STATUS_OK) return st;
  }
  struct bin *b = p->spare ? p->spare : mem_calloc(1, sizeof *b);
  if (!b) return err_nomem(e, sizeof *b);
  p->spare = NULL;
  *at = p->n_open;
  p->open[p->n_open++] = b;
  return STATUS_OK;
}

enum status pack_add(struct pack *p, const struct piece *x, struct err *e) {
  enum status st = STATUS_OK;
  int i = p->one_each ? -1 : best_fit(p, (int32_t)x->n);
  if (i < 0) TRY(open_bin(p, &i, e));
  struct bin *b = p->open[i];
  size_t name = b->names.n, k = (size_t)x->k;
  TRY(buf_put(&b->start, &b->n_tok, sizeof b->n_tok, e));
  TRY(buf_put(&b->ids, x->ids, x->n * sizeof *x->ids, e));
  TRY(buf_put(&b->mask, x->mask, x->n, e));
  TRY(buf_put(&b->weight, &x->weight, sizeof x->weight, e));
  TRY(buf_put(&b->name_at, &name, sizeof name, e));
  TRY(buf_put(&b->names, x->row_id, strlen(x->row_id) + 1, e));
  TRY(buf_put(&b->names, x->about ? x->about : "", x->about ? strlen(x->about) + 1 : 1, e)); /* behind its row id */
  if (k > 0) {
    TRY(buf_put(&b->top_id, x->top_id, x->n_target * k * sizeof *x->top_id, e));
    TRY(buf_put(&b->top_logprob, x->top_logprob, x->n_target * k * sizeof *x->top_logprob, e));
    TRY(buf_put(&b->rest, x->rest, x->n_target * sizeof *x->rest, e));
  }
  b->k = x->k;
  b->n_tok += (int32_t)x->n;
  b->n_doc++;
  if (p->one_each || p->context - b->n_tok < CLOSE_BELOW) TRY(close_bin(p, i, e));
out:
  return st;
}

enum status pack_finish(struct pack *p, struct err *e) {
  enum status st = STATUS_OK;
  while (p->n_open && st == STATUS_OK) st = close_bin(p, 0, e);
  return st;
}

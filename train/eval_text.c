/* SPDX-License-Identifier: Apache-2.0
 * Text files as samples. */
#include "eval_text.h"
#include <string.h>
#include "file.h"
#include "record.h"

enum { TEXT_MAX = 1 << 30 };

static enum status add_window(struct text_source *t, const int32_t *id, int32_t n, struct err *e) {
  if (t->n == t->cap) {
    int64_t cap = t->cap > 0 ? t->cap * 2 : 256;
    struct sample *more = mem_realloc(t->s, (size_t)cap * sizeof *more);
    if (more == NULL) {
      return err_nomem(e, (unsigned long long)cap * sizeof *more);
    }
    t->s = more;
    t->cap = cap;
  }
  struct sample *s = &t->s[t->n];
  memset(s, 0, sizeof *s);
  s->n_tok = n;
  s->n_doc = 1;
  s->n_target = n - 1;
  s->ids = arena_calloc(t->a, (size_t)n, sizeof *s->ids);
  s->mask = arena_calloc(t->a, (size_t)n, 1);
  s->doc_start = arena_calloc(t->a, 2, sizeof *s->doc_start);
  s->target_pos = arena_calloc(t->a, (size_t)n, sizeof *s->target_pos);
  if (s->ids == NULL || s->mask == NULL || s->doc_start == NULL || s->target_pos == NULL) {
    return err_nomem(e, (unsigned long long)n * 9);
  }
  memcpy(s->ids, id, (size_t)n * sizeof *id);
  memset(s->mask, 1, (size_t)n);
  s->doc_start[1] = n;
  for (int32_t i = 0; i < n - 1; i++) {
    s->target_pos[i] = i;
  }
  t->n++;
  t->tokens += n;
  return STATUS_OK;
}

static enum status add_document(struct text_source *t, struct span text, const struct tokenizer *k, int64_t context, struct arena *a, struct err *e) {
  enum status st = STATUS_OK;
  struct tokens ids;
  TRY(tokenizer_encode(k, text, 0, a, &ids, e));
  int bos = tokenizer_add_bos(k) && tokenizer_bos(k) >= 0;
  int32_t *id = arena_calloc(a, ids.n + 1, sizeof *id);
  if (id == NULL) {
    st = err_nomem(e, ids.n * sizeof *id);
    goto out;
  }
  id[0] = tokenizer_bos(k);
  if (ids.n > 0) {
    memcpy(id + bos, ids.id, ids.n * sizeof *id);
  }
  int64_t n = (int64_t)ids.n + bos;
  for (int64_t at = 0; n - at >= 2; at += context) {
    TRY(add_window(t, id + at, (int32_t)(n - at < context ? n - at : context), e));
  }
out:
  return st;
}

enum status text_source_add(struct text_source *t, const char *path, const struct tokenizer *k, int64_t context, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  struct arena *a = arena_new(0);
  if (t->a == NULL) {
    t->a = arena_new(0);
    t->vocab = tokenizer_vocab(k);
  }
  if (a == NULL || t->a == NULL) {
    st = err_nomem(e, 0);
    goto out;
  }
  TRY(file_read(path, TEXT_MAX, &b, e));
  if (b.n == 0 || b.p[0] != '{') {
    TRY(add_document(t, (struct span){ b.p, b.n }, k, context, a, e));
    goto out;
  }
  unsigned long long row = 0;
  for (size_t at = 0; at < b.n;) {
    const char *end = memchr(b.p + at, '\n', b.n - at);
    size_t n = end != NULL ? (size_t)(end - (b.p + at)) : b.n - at;
    struct record r;
    struct span text;
    row++;
    arena_reset(a);
    if (n > 0) {
      st = record_split((struct span){ b.p + at, n }, a, &r, e);
      if (st == STATUS_OK) {
        st = record_text(&r, a, &text, e);
      }
      if (st != STATUS_OK) {
        (void)err_prefix(e, "'%s' row %llu", path, row);
        goto out;
      }
      TRY(add_document(t, text, k, context, a, e));
    }
    at += n + 1;
  }
out:
  buf_free(&b);
  arena_free(a);
  return st;
}

static enum status read_text(void *ctx, int64_t i, struct arena *a, struct sample *s, struct err *e) {
  (void)a;
  (void)e;
  *s = ((struct text_source *)ctx)->s[i];
  return STATUS_OK;
}

struct sample_source source_of_text(struct text_source *t) {
  return (struct sample_source){ t->n, t->tokens, t->vocab, read_text, t };
}

void text_source_free(struct text_source *t) {
  mem_free(t->s);
  arena_free(t->a);
  memset(t, 0, sizeof *t);
}

/* SPDX-License-Identifier: Apache-2.0
 * BM25 and ROUGE-L; see similar.h. */
#include "similar.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "words.h"

#define K1 1.2
#define B 0.75
#define MAX_ROUGE_WORDS 4096 /* the table of the subsequence is two rows of this */

struct posting {
  uint64_t word;
  uint32_t doc, tf;
};

struct bm25 {
  struct posting *p;
  size_t n, cap;
  uint32_t *length; /* words of each text */
  size_t n_doc, cap_doc;
  double total;
  int sorted;
  struct arena *a;
};

struct bm25 *bm25_new(void)
{
  struct bm25 *b = mem_calloc(1, sizeof *b);
  if (b != NULL && (b->a = arena_new(0)) == NULL) {
    mem_free(b);
    b = NULL;
  }
  return b;
}

void bm25_free(struct bm25 *b)
{
  if (b != NULL) {
    mem_free(b->p);
    mem_free(b->length);
    arena_free(b->a);
    mem_free(b);
  }
}

size_t bm25_size(const struct bm25 *b)
{
  return b->n_doc;
}

static int by_hash(const void *x, const void *y)
{
  uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
  return (a > b) - (a < b);
}

static int by_word(const void *x, const void *y)
{
  const struct posting *a = x, *b = y;
  if (a->word != b->word) {
    return a->word < b->word ? -1 : 1;
  }
  return (a->doc > b->doc) - (a->doc < b->doc);
}

static int by_score(const void *x, const void *y)
{
  const struct bm25_hit *a = x, *b = y;
  if (a->score > b->score || a->score < b->score) {
    return a->score > b->score ? -1 : 1;
  }
  return (a->n > b->n) - (a->n < b->n);
}

enum status bm25_add(struct bm25 *b, struct span text, struct err *e)
{
  enum status st = STATUS_OK;
  struct words w;
  arena_reset(b->a);
  TRY(words_scan(text, b->a, &w, e));
  if (b->n + w.n > b->cap) {
    size_t cap = (b->n + w.n) * 2;
    struct posting *p = mem_realloc(b->p, cap * sizeof *p);
    if (p == NULL) {
      return err_nomem(e, cap * sizeof *p);
    }
    b->p = p;
    b->cap = cap;
  }
  if (b->n_doc == b->cap_doc) {
    size_t cap = b->cap_doc ? b->cap_doc * 2 : 64;
    uint32_t *l = mem_realloc(b->length, cap * sizeof *l);
    if (l == NULL) {
      return err_nomem(e, cap * sizeof *l);
    }
    b->length = l;
    b->cap_doc = cap;
  }
  if (w.n > 0) {
    qsort(w.hash, w.n, sizeof *w.hash, by_hash);
  }
  for (size_t i = 0; i < w.n; i++) {
    if (i > 0 && w.hash[i] == w.hash[i - 1]) {
      b->p[b->n - 1].tf++;
    } else {
      b->p[b->n++] = (struct posting){ w.hash[i], (uint32_t)b->n_doc, 1 };
    }
  }
  b->length[b->n_doc++] = (uint32_t)w.n;
  b->total += (double)w.n;
  b->sorted = 0;
out:
  return st;
}

static size_t first_of(const struct bm25 *b, uint64_t word)
{
  size_t lo = 0, hi = b->n;
  while (lo < hi) {
    size_t mid = lo + (hi - lo) / 2;
    if (b->p[mid].word < word) {
      lo = mid + 1;
    } else {
      hi = mid;
    }
  }
  return lo;
}

enum status bm25_top(struct bm25 *b, struct span query, size_t k, struct arena *a, struct bm25_hit **hit, size_t *n_hit, struct err *e)
{
  enum status st = STATUS_OK;
  struct words w;
  *hit = NULL;
  *n_hit = 0;
  if (!b->sorted && b->n > 0) {
    qsort(b->p, b->n, sizeof *b->p, by_word);
    b->sorted = 1;
  }
  TRY(words_scan(query, a, &w, e));
  struct bm25_hit *all = arena_calloc(a, b->n_doc + 1, sizeof *all);
  if (all == NULL) {
    return err_nomem(e, b->n_doc * sizeof *all);
  }
  if (w.n > 0) {
    qsort(w.hash, w.n, sizeof *w.hash, by_hash); /* a stated order of the sum */
  }
  double mean = b->n_doc > 0 && b->total > 0 ? b->total / (double)b->n_doc : 1;
  for (size_t i = 0; i < w.n; i++) {
    size_t from = first_of(b, w.hash[i]), to = from;
    while (to < b->n && b->p[to].word == w.hash[i]) {
      to++;
    }
    double df = (double)(to - from), idf = log(1 + ((double)b->n_doc - df + 0.5) / (df + 0.5));
    for (size_t j = from; j < to; j++) {
      double tf = b->p[j].tf, norm = K1 * (1 - B + B * b->length[b->p[j].doc] / mean);
      all[b->p[j].doc].score += idf * tf * (K1 + 1) / (tf + norm);
    }
  }
  size_t n = 0;
  for (size_t d = 0; d < b->n_doc; d++) {
    if (all[d].score > 0) {
      all[n++] = (struct bm25_hit){ d, all[d].score };
    }
  }
  if (n > 0) {
    qsort(all, n, sizeof *all, by_score);
  }
  *hit = all;
  *n_hit = n < k ? n : k;
out:
  return st;
}

enum status rouge_l(struct span x, struct span y, struct arena *a, double *f1, struct err *e)
{
  enum status st = STATUS_OK;
  struct words p, q;
  *f1 = 0;
  TRY(words_scan(x, a, &p, e));
  TRY(words_scan(y, a, &q, e));
  if (p.n == 0 || q.n == 0) {
    return STATUS_OK;
  }
  size_t n = p.n < MAX_ROUGE_WORDS ? p.n : MAX_ROUGE_WORDS, m = q.n < MAX_ROUGE_WORDS ? q.n : MAX_ROUGE_WORDS;
  uint32_t *row = arena_calloc(a, m + 1, sizeof *row);
  if (row == NULL) {
    return err_nomem(e, m * sizeof *row);
  }
  for (size_t i = 0; i < n; i++) {
    uint32_t diagonal = 0;
    for (size_t j = 1; j <= m; j++) {
      uint32_t above = row[j];
      row[j] = p.hash[i] == q.hash[j - 1] ? diagonal + 1 : above > row[j - 1] ? above : row[j - 1];
      diagonal = above;
    }
  }
  double lcs = row[m], precision = lcs / (double)n, recall = lcs / (double)m;
  *f1 = lcs > 0 ? 2 * precision * recall / (precision + recall) : 0;
out:
  return st;
}

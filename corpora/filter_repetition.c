/* SPDX-License-Identifier: Apache-2.0
 * Filter "repetition": Gopher's repetition rules (Rae et al. 2021, table A1) under the names and by the definitions of datatrove:
 * shares of paragraphs and lines that stood there before (in number and in characters), of the most frequent 2-, 3- and 4-gram,
 * and of 5- to 10-grams that stood there before. Words are those of words.h. Expected values: tests/golden/data/curate/web_rules.jsonl.
 * A gram of n words is at most as frequent as its pairs or as a bucket of a small table, and longer runs repeat only where runs of
 * five do, so most texts are decided without counting exactly. */
#include "curate.h"
#include "filter_text.h"
#include "hash.h"

static int enabled(const struct curate_options *o) { return o->repetition; }

static void clear(struct text_table *t, size_t keys) {
  t->slots = text_table_slots(keys);
  memset(t->cell, 0, t->slots * sizeof *t->cell);
}

static size_t word_chars(const struct row *r, size_t i, int ascii) {
  size_t n = r->words.end[i] - r->words.start[i];
  return ascii ? n : text_chars((struct span){ r->text.p + r->words.start[i], n });
}
static struct span gram_text(const struct row *r, size_t at, size_t n) {
  return (struct span){ r->text.p + r->words.start[at], r->words.end[at + n - 1] - r->words.start[at] };
}

/* Pieces between runs of at least `newlines` newlines. */
static enum status pieces(struct row *r, struct span s, size_t newlines, size_t chars, double most, double most_chars, const char *name, const char *name_chars, struct text_table *t, struct err *e) {
  size_t n = 0, again = 0, again_chars = 0, at = 0;
  struct span first = { "", 0 };
  const struct span none = { "", 0 };
  if (most <= 0 && most_chars <= 0) return STATUS_OK;
  size_t count = 1;
  for (const char *p = s.p, *end = s.p + s.n; p < end && (p = memchr(p, '\n', (size_t)(end - p))); p++) count++;
  if (count == 1) return STATUS_OK; /* one piece */
  if (count * 2 + 2 > t->slots) { /* the table was made for the words: texts of newlines only have more pieces */
    t->slots = text_table_slots(count);
    t->cell = arena_alloc(r->a, t->slots * sizeof *t->cell);
    if (!t->cell) return err_nomem(e, t->slots * sizeof *t->cell);
  }
  clear(t, count);
  for (;;) {
    size_t end = at, run = 0;
    for (;;) { /* to the next run that parts */
      const char *nl = memchr(s.p + end, '\n', s.n - end);
      end = nl ? (size_t)(nl - s.p) : s.n;
      for (run = 0; end + run < s.n && s.p[end + run] == '\n'; run++) {}
      if (run >= newlines || end == s.n) break;
      end += run;
    }
    n++;
    if (text_count(t, xxh3_seed(s.p + at, end - at, 1), 0)->count > 1) {
      if (!again && end > at) first = (struct span){ s.p + at, end - at };
      again++;
      again_chars += text_chars((struct span){ s.p + at, end - at });
    }
    if (end == s.n) break;
    at = end + run;
    if (newlines > 1 && at == s.n) break; /* stripped text does not end so */
  }
  double share = (double)again / (double)n, share_chars = (double)again_chars / (double)chars;
  if (most > 0 && share > most) return curate_drop(r, name, share, first, none, e);
  if (most_chars > 0 && share_chars > most_chars) return curate_drop(r, name_chars, share_chars, first, none, e);
  return STATUS_OK;
}

/* No gram of n words is more frequent than the fullest of these buckets. */
static size_t bucket_bound(const struct words *w, size_t n) {
  uint32_t bucket[2048], most = 0;
  size_t slots = 64;
  while (slots < 2048 && slots < 4 * w->n) slots *= 2;
  memset(bucket, 0, slots * sizeof *bucket); /* short texts are many: no more than they need */
  struct words_roll roll = words_roll_start(w, n);
  for (size_t i = 0; i + n <= w->n; i++) {
    uint32_t c = ++bucket[words_roll(&roll, w, i, n) & (slots - 1)];
    most = c > most ? c : most;
  }
  return most;
}

static enum status top_grams(struct row *r, const struct curate_options *o, size_t chars, int ascii, struct text_table *t, struct err *e) {
  const double most[] = { o->top_2, o->top_3, o->top_4 };
  static const char *const names[] = { "top_2_gram", "top_3_gram", "top_4_gram" };
  const struct words *w = &r->words;
  size_t bound = w->n;
  for (size_t k = 0; k < 3; k++) {
    size_t n = k + 2, longest = 0, length = 0;
    if (most[k] <= 0 || w->n < n) continue;
    for (size_t i = 0; i + n <= w->n; i++)
      if (w->end[i + n - 1] - w->start[i] > longest) longest = w->end[i + n - 1] - w->start[i];
    if ((double)bound * (double)longest <= most[k] * (double)chars) continue; /* cannot be reached */
    size_t bucket = bucket_bound(w, n);
    if (bucket < bound) bound = bucket;
    if ((double)bound * (double)longest <= most[k] * (double)chars) continue;
    struct text_cell best = { 0, 0, UINT32_MAX };
    struct words_roll roll = words_roll_start(w, n);
    clear(t, w->n);
    for (size_t i = 0; i + n <= w->n; i++) {
      const struct text_cell *c = text_count(t, words_roll(&roll, w, i, n), i);
      if (c->count > best.count || (c->count == best.count && c->at < best.at)) best = *c;
    }
    if (best.count < bound) bound = best.count;
    for (size_t i = 0; i < n; i++) length += word_chars(r, best.at + i, ascii) + (i > 0);
    double share = (double)(length * best.count) / (double)chars;
    if (share > most[k]) return curate_drop(r, names[k], share, gram_text(r, best.at, n), (struct span){ "", 0 }, e);
  }
  return STATUS_OK;
}

/* Bytes of words in any run of five that stood there before: no longer run that repeats has a word outside them. */
static size_t covered_bytes(const struct words *w, struct text_table *t) {
  size_t bytes = 0, done = 0;
  struct words_roll roll = words_roll_start(w, 5);
  clear(t, w->n);
  for (size_t i = 0; i + 5 <= w->n; i++) {
    if (text_count(t, words_roll(&roll, w, i, 5), i)->count == 1) continue;
    for (done = done > i ? done : i; done < i + 5; done++) bytes += w->end[done] - w->start[done];
  }
  return bytes;
}

static enum status repeated_grams(struct row *r, const struct curate_options *o, size_t chars, int ascii, struct text_table *t, struct err *e) {
  const double most[] = { o->dup_5, o->dup_6, o->dup_7, o->dup_8, o->dup_9, o->dup_10 };
  static const char *const names[] = { "duplicated_5_n_grams", "duplicated_6_n_grams", "duplicated_7_n_grams", "duplicated_8_n_grams", "duplicated_9_n_grams", "duplicated_10_n_grams" };
  const struct words *w = &r->words;
  double least = 1;
  size_t longest = 0;
  if (w->n < 5) return STATUS_OK;
  for (size_t k = 0; k < 6; k++) least = most[k] > 0 && most[k] < least ? most[k] : least;
  for (size_t i = 0; r->shingle && i < w->n; i++) longest = w->end[i] - w->start[i] > longest ? w->end[i] - w->start[i] : longest;
  if (r->shingle && (double)(5 * (w->n - 4 - r->n_shingle) * longest) <= least * (double)chars) return STATUS_OK; /* too few of them repeat */
  size_t covered = covered_bytes(w, t);
  uint64_t *gram = NULL;
  for (size_t k = 0; k < 6; k++) {
    size_t n = k + 5, again = 0, first = 0;
    if (most[k] <= 0 || w->n < n) continue;
    if ((double)covered <= most[k] * (double)chars) continue; /* cannot be reached */
    if (!gram && !(gram = arena_alloc(r->a, w->n * sizeof *gram))) return err_nomem(e, w->n * sizeof *gram);
    struct words_roll roll = words_roll_start(w, n);
    for (size_t i = 0; i + n <= w->n; i++) gram[i] = words_roll(&roll, w, i, n);
    clear(t, w->n);
    for (size_t i = 0; i + n <= w->n;) {
      if (text_count(t, gram[i], i)->count == 1) {
        i++;
        continue;
      }
      if (!again) first = i;
      for (size_t m = 0; m < n; m++) again += word_chars(r, i + m, ascii);
      i += n;
    }
    if (again == 0) return STATUS_OK; /* longer grams do not repeat either */
    double share = (double)again / (double)chars;
    if (share > most[k]) return curate_drop(r, names[k], share, gram_text(r, first, n), (struct span){ "", 0 }, e);
  }
  return STATUS_OK;
}

static enum status scan(const void *state, const struct curate_options *o, struct row *r, struct err *e) {
  (void)state;
  enum status st = STATUS_OK;
  if ((int64_t)r->words.n < o->repetition_min_words || r->text.n == 0) return STATUS_OK;
  size_t chars = text_chars(r->text);
  int ascii = chars == r->text.n;
  struct text_table t = { NULL, text_table_slots(r->words.n) };
  t.cell = arena_alloc(r->a, t.slots * sizeof *t.cell);
  if (!t.cell) return err_nomem(e, t.slots * sizeof *t.cell);
  struct span stripped = r->text;
  while (stripped.n && (unsigned char)stripped.p[0] <= ' ') stripped.p++, stripped.n--;
  while (stripped.n && (unsigned char)stripped.p[stripped.n - 1] <= ' ') stripped.n--;
  st = pieces(r, stripped, 2, chars, o->dup_para, o->dup_para_chars, "dup_para_frac", "dup_para_char_frac", &t, e);
  if (st == STATUS_OK && !r->v.reason) st = pieces(r, r->text, 1, chars, o->dup_line, o->dup_line_chars, "dup_line_frac", "dup_line_char_frac", &t, e);
  if (st == STATUS_OK && !r->v.reason) st = top_grams(r, o, chars, ascii, &t, e);
  if (st == STATUS_OK && !r->v.reason) st = repeated_grams(r, o, chars, ascii, &t, e);
  return st;
}

const struct filter filter_repetition = { "repetition", "repeated lines, paragraphs and n-grams by Gopher's shares", 0, enabled, NULL, scan, NULL };

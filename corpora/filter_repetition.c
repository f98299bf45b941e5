/* SPDX-License-Identifier: Apache-2.0
 * Filter "repetition", after Gopher (Rae et al. 2021, table A1): the share of a text's bytes in its most frequent 2-, 3- and
 * 4-gram (0.20, 0.18, 0.16), and the share of lines and of bytes in lines that stood there before (0.30, 0.20). Texts below
 * 50 words are left alone, as in the paper. */
#include "curate.h"
#include "hash.h"

#define MIN_WORDS 50
static const struct { int n; double most; const char *reason; } tops[] = {
  { 2, 0.20, "repeated_2gram" }, { 3, 0.18, "repeated_3gram" }, { 4, 0.16, "repeated_4gram" } };

static int enabled(const struct curate_options *o) { return o->repetition; }

struct cell {
  uint64_t key;
  uint32_t count, at;
};

/* Counts `key` in an open table of `slots` (power of two, larger than the number of keys). */
static struct cell *bump(struct cell *t, size_t slots, uint64_t key, uint32_t at) {
  if (key == 0) key = 1;
  size_t i = key & (slots - 1);
  while (t[i].key && t[i].key != key) i = (i + 1) & (slots - 1);
  if (!t[i].key) t[i].key = key, t[i].at = at;
  t[i].count++;
  return &t[i];
}

static enum status grams(struct row *r, struct cell *t, size_t slots, struct err *e) {
  const struct words *w = &r->words;
  for (size_t k = 0; k < sizeof tops / sizeof *tops; k++) {
    size_t n = (size_t)tops[k].n;
    const struct cell *best = NULL;
    size_t most = 0;
    memset(t, 0, slots * sizeof *t);
    for (size_t i = 0; i + n <= w->n; i++) {
      const struct cell *c = bump(t, slots, words_gram(w, i, n), (uint32_t)i);
      size_t bytes = (size_t)(w->end[c->at + n - 1] - w->start[c->at]) * c->count;
      if (c->count > 1 && bytes > most) most = bytes, best = c;
    }
    double share = (double)most / (double)(r->text.n ? r->text.n : 1);
    if (!best || share <= tops[k].most) continue;
    struct span words = { r->text.p + w->start[best->at], w->end[best->at + n - 1] - w->start[best->at] };
    return curate_drop(r, tops[k].reason, share, words, (struct span){ "", 0 }, e);
  }
  return STATUS_OK;
}

static enum status lines(struct row *r, struct cell *t, size_t slots, struct err *e) {
  size_t n = 0, again = 0, again_bytes = 0, at = 0;
  struct span first = { "", 0 };
  memset(t, 0, slots * sizeof *t);
  while (at < r->text.n) {
    const char *nl = memchr(r->text.p + at, '\n', r->text.n - at);
    size_t end = nl ? (size_t)(nl - r->text.p) : r->text.n, l = at, m = end;
    while (l < m && (unsigned char)r->text.p[l] <= ' ') l++;
    while (m > l && (unsigned char)r->text.p[m - 1] <= ' ') m--;
    if (m > l) {
      n++;
      if (n > slots / 2) break; /* more lines than words: only signs; the n-grams have spoken */
      if (bump(t, slots, xxh3(r->text.p + l, m - l), 0)->count > 1) {
        if (!again) first = (struct span){ r->text.p + l, m - l };
        again++;
        again_bytes += m - l;
      }
    }
    at = end + 1;
  }
  double share = n ? (double)again / (double)n : 0, bytes = (double)again_bytes / (double)(r->text.n ? r->text.n : 1);
  if (share > 0.30) return curate_drop(r, "repeated_lines", share, first, (struct span){ "", 0 }, e);
  if (bytes > 0.20) return curate_drop(r, "repeated_line_bytes", bytes, first, (struct span){ "", 0 }, e);
  return STATUS_OK;
}

static enum status scan(const void *state, const struct curate_options *o, struct row *r, struct err *e) {
  (void)state;
  (void)o;
  if (r->words.n < MIN_WORDS) return STATUS_OK;
  size_t slots = 256;
  while (slots < 2 * r->words.n) slots *= 2;
  struct cell *t = arena_alloc(r->a, slots * sizeof *t);
  if (!t) return err_nomem(e, slots * sizeof *t);
  enum status st = lines(r, t, slots, e);
  return st == STATUS_OK && !r->v.reason ? grams(r, t, slots, e) : st;
}

const struct filter filter_repetition = { "repetition", "repeated n-grams and lines by Gopher's shares", enabled, NULL, scan, NULL };

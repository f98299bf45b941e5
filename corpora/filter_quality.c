/* SPDX-License-Identifier: Apache-2.0
 * Filter "quality": Gopher's quality rules (Rae et al. 2021, A1.1) under datatrove's reasons and thresholds. Words are what
 * stands between blanks, as in the paper; punctuation alone is no word where words are counted or measured, but one in the
 * ratios (datatrove). Rules for languages with blanks: stop words of another one by --stop-words. */
#include "curate.h"
#include "filter_text.h"

static int enabled(const struct curate_options *o) { return o->quality; }

struct counts {
  size_t words, real, real_chars, alpha;
  uint64_t stops; /* bit i: word i of the list was seen */
  int n_stops;
};

/* Number of the word in the list (at most 64 count), -1. */
static int stop_word(const char *list, struct span word) {
  for (int i = 0; i < 64 && list && *list; i++) {
    size_t n = strcspn(list, ",");
    if (n == word.n && memcmp(list, word.p, n) == 0) return i;
    list += n + (list[n] == ',');
  }
  return -1;
}

static void count_words(struct span text, const char *stops, struct counts *c) {
  struct span w;
  for (size_t at = 0; text_word(text, &at, &w);) {
    int real = 0, alpha = 0;
    size_t chars = 0, k;
    for (size_t i = 0; i < w.n; i += k, chars++) {
      int32_t ch = text_char(w.p + i, w.n - i, &k);
      real |= !text_is_punct(ch);
      alpha |= text_is_alpha(ch);
    }
    c->words++;
    c->real += (size_t)real;
    c->real_chars += real ? chars : 0;
    c->alpha += (size_t)alpha;
    int s = stop_word(stops, w);
    if (s >= 0 && !(c->stops >> s & 1)) c->stops |= (uint64_t)1 << s, c->n_stops++;
  }
}

static size_t count_of(struct span text, const char *what) {
  size_t n = strlen(what), found = 0;
  for (size_t i = 0; i + n <= text.n;) {
    const char *p = memchr(text.p + i, what[0], text.n - i - n + 1);
    if (!p) break;
    i = (size_t)(p - text.p);
    int hit = memcmp(p, what, n) == 0;
    found += (size_t)hit;
    i += hit ? n : 1;
  }
  return found;
}

static enum status lines(struct row *r, const struct curate_options *o, struct err *e) {
  static const char dots[] = "\xE2\x80\xA6", bullet[] = "\xE2\x80\xA2";
  const struct span none = { "", 0 };
  size_t n = 0, bullets = 0, ellipses = 0;
  struct span line;
  for (size_t at = 0; text_splitline(r->text, &at, &line); n++) {
    line = text_strip(line);
    bullets += line.n > 0 && (line.p[0] == '-' || (line.n >= 3 && memcmp(line.p, bullet, 3) == 0));
    ellipses += (size_t)(text_ends(line, "...") || text_ends(line, dots));
  }
  double b = n ? (double)bullets / (double)n : 0, l = n ? (double)ellipses / (double)n : 0;
  if (o->max_bullet_lines_ratio > 0 && b > o->max_bullet_lines_ratio) return curate_drop(r, "gopher_too_many_bullets", b, none, none, e);
  if (o->max_ellipsis_lines_ratio > 0 && l > o->max_ellipsis_lines_ratio) return curate_drop(r, "gopher_too_many_end_ellipsis", l, none, none, e);
  return STATUS_OK;
}

static enum status scan(const void *state, const struct curate_options *o, struct row *r, struct err *e) {
  (void)state;
  const struct span none = { "", 0 };
  struct counts c = { 0 };
  count_words(r->text, o->stop_words, &c);
  double real = (double)c.real, words = c.words ? (double)c.words : 1, mean = c.real ? (double)c.real_chars / real : 0, ratio;
  if (o->min_doc_words > 0 && (int64_t)c.real < o->min_doc_words) return curate_drop(r, "gopher_short_doc", real, none, none, e);
  if (o->max_doc_words > 0 && (int64_t)c.real > o->max_doc_words) return curate_drop(r, "gopher_long_doc", real, none, none, e);
  if (o->min_avg_word_length > 0 && mean < (double)o->min_avg_word_length) return curate_drop(r, "gopher_below_avg_threshold", mean, none, none, e);
  if (o->max_avg_word_length > 0 && mean > (double)o->max_avg_word_length) return curate_drop(r, "gopher_above_avg_threshold", mean, none, none, e);
  if (o->max_symbol_word_ratio > 0) {
    ratio = (double)count_of(r->text, "#") / words;
    if (ratio > o->max_symbol_word_ratio) return curate_drop(r, "gopher_too_many_hashes", ratio, none, none, e);
    ratio = (double)(count_of(r->text, "...") + count_of(r->text, "\xE2\x80\xA6")) / words;
    if (ratio > o->max_symbol_word_ratio) return curate_drop(r, "gopher_too_many_ellipsis", ratio, none, none, e);
  }
  enum status st = lines(r, o, e);
  if (st != STATUS_OK || r->v.reason) return st;
  ratio = (double)c.alpha / words;
  if (o->min_alpha_words_ratio > 0 && ratio < o->min_alpha_words_ratio) return curate_drop(r, "gopher_below_alpha_threshold", ratio, none, none, e);
  if (o->min_stop_words > 0 && c.n_stops < o->min_stop_words) return curate_drop(r, "gopher_enough_stop_words", c.n_stops, none, none, e);
  return STATUS_OK;
}

const struct filter filter_quality = { "quality", "texts outside Gopher's quality rules", 0, enabled, NULL, scan, NULL };

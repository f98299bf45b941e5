/* SPDX-License-Identifier: Apache-2.0
 * Filter "gibberish": letters that nobody speaks (words of the Latin script without a vowel, or with five consonants in a row,
 * are more than a share of the words of at least four letters), and mojibake: UTF-8 read as Latin-1 or cp1252 once too often,
 * and U+FFFD, as a share of the characters. */
#include "curate.h"
#include "filter_text.h"

static int enabled(const struct curate_options *o) { return o->gibberish > 0 || o->mojibake > 0; }

static int is_vowel(char c) { return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u' || c == 'y'; }

/* Words of ASCII letters in lower or title case; capitals are acronyms, letters with marks belong to a language. */
static enum status unspeakable(struct row *r, double most, struct err *e) {
  size_t words = 0, bad = 0;
  struct span first = { "", 0 };
  for (size_t i = 0; i < r->words.n; i++) {
    struct span w = { r->text.p + r->words.start[i], r->words.end[i] - r->words.start[i] };
    size_t run = 0, longest = 0, vowels = 0, k = 0;
    for (; k < w.n; k++) {
      char c = w.p[k];
      if (k == 0 && c >= 'A' && c <= 'Z') c = (char)(c + 32);
      if (c < 'a' || c > 'z') break;
      run = is_vowel(c) ? 0 : run + 1;
      vowels += (size_t)is_vowel(c);
      longest = run > longest ? run : longest;
    }
    if (k < w.n || w.n < 4) continue;
    words++;
    if (vowels && longest < 5) continue;
    if (bad++ == 0) first = w;
  }
  double share = words ? (double)bad / (double)words : 0;
  return words >= 5 && share > most ? curate_drop(r, "gibberish", share, first, (struct span){ "", 0 }, e) : STATUS_OK;
}

/* What cp1252 makes of the byte b (0x80 to 0xBF): the character itself, or one of its own above U+00FF. */
static int is_tail(int32_t c) {
  static const int32_t cp1252[] = { 0x20AC, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0x017D, 0x2018,
                                    0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x017E, 0x0178 };
  if (c >= 0x80 && c <= 0xBF) return 1;
  for (size_t i = 0; i < sizeof cp1252 / sizeof *cp1252; i++)
    if (cp1252[i] == c) return 1;
  return 0;
}

static enum status mojibake(struct row *r, double most, struct err *e) {
  size_t chars = 0, bad = 0, at = 0, k;
  struct span s = r->text;
  for (size_t i = 0; i < s.n; chars++) {
    int32_t c = text_char(s.p + i, s.n - i, &k);
    size_t start = i, tails = c >= 0xC2 && c <= 0xDF ? 1 : c >= 0xE0 && c <= 0xEF ? 2 : c >= 0xF0 && c <= 0xF4 ? 3 : 0, got = 0;
    i += k;
    if (c == 0xFFFD) {
      bad++;
      continue;
    }
    for (size_t j = i; tails && got < tails && j < s.n && is_tail(text_char(s.p + j, s.n - j, &k)); got++) j += k;
    if (tails == 0 || got < tails) continue;
    if (bad == 0) at = start;
    bad += 1 + tails;
    for (; got > 0; got--, chars++) {
      (void)text_char(s.p + i, s.n - i, &k);
      i += k;
    }
  }
  double share = chars ? (double)bad / (double)chars : 0;
  return share > most ? curate_drop(r, "mojibake", share, (struct span){ s.p + at, s.n - at > 60 ? 60 : s.n - at }, (struct span){ "", 0 }, e) : STATUS_OK;
}

static enum status scan(const void *state, const struct curate_options *o, struct row *r, struct err *e) {
  (void)state;
  enum status st = STATUS_OK;
  if (o->mojibake > 0) st = mojibake(r, o->mojibake, e);
  if (st == STATUS_OK && !r->v.reason && o->gibberish > 0) st = unspeakable(r, o->gibberish, e);
  return st;
}

const struct filter filter_gibberish = { "gibberish", "letters nobody speaks and text decoded wrongly", 0, enabled, NULL, scan, NULL };

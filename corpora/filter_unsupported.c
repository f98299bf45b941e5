/* SPDX-License-Identifier: Apache-2.0
 * Filter "unsupported": an answer that its own `passages` do not carry, by words: the share of the answer's content words
 * (numbers, and words of at least four letters or a letter of a script without blanks) that stand in the passages or in the
 * question. Inflected forms count when their first five letters agree. It sees foreign names and numbers, not wrong
 * relations between known ones: that is a judge's work (label --kind score). Rows without passages or answer pass. */
#include "curate.h"
#include "hash.h"

static int enabled(const struct curate_options *o) { return o->support > 0; }

struct set {
  uint64_t *key;
  size_t slots;
};
static int has(const struct set *s, uint64_t key) {
  size_t i = key & (s->slots - 1);
  while (s->key[i] && s->key[i] != key) i = (i + 1) & (s->slots - 1);
  return s->key[i] == key;
}
static void put(struct set *s, uint64_t key) {
  size_t i = key & (s->slots - 1);
  while (s->key[i] && s->key[i] != key) i = (i + 1) & (s->slots - 1);
  s->key[i] = key;
}

static int is_letter(unsigned char c) { return c >= 0x80 || ((c | 32) >= 'a' && (c | 32) <= 'z'); }

/* 0: carries no content. */
static uint64_t key_of(struct span word) {
  char low[8];
  size_t chars = 0, n = 0;
  int digits = 0, high = 0;
  for (size_t i = 0; i < word.n; i++) {
    unsigned char c = (unsigned char)word.p[i];
    chars += (c & 0xC0) != 0x80;
    digits |= !is_letter(c);
    high |= c >= 0x80;
  }
  if (digits || high) return xxh3(word.p, word.n) | 1; /* numbers and other scripts as they are */
  if (chars < 4) return 0;
  for (; n < 5 && n < word.n; n++) low[n] = (char)(word.p[n] | 32);
  return xxh3_seed(low, n, 5) | 1;
}

static enum status add_words(struct row *r, struct span text, struct set *s, struct err *e) {
  struct words w;
  enum status st = words_scan(text, r->a, &w, e);
  for (size_t i = 0; st == STATUS_OK && i < w.n; i++) put(s, key_of((struct span){ text.p + w.start[i], w.end[i] - w.start[i] }) | 1);
  return st;
}

/* All strings inside the field `passages`, and what was asked. */
static enum status sources(struct row *r, struct span passages, struct set *s, struct err *e) {
  enum status st;
  struct record_string *t;
  size_t n, bytes = 0;
  TRY(record_strings(&r->rec, r->a, &t, &n, e));
  for (size_t i = 0; i < n; i++) bytes += t[i].text.n;
  for (s->slots = 256; s->slots < bytes + 2;) s->slots *= 2; /* at most a word a byte and a blank: more than twice the words */
  s->key = arena_calloc(r->a, s->slots, sizeof *s->key);
  if (!s->key) {
    st = err_nomem(e, s->slots * sizeof *s->key);
    goto out;
  }
  for (size_t i = 0; i < n; i++)
    if ((t[i].who & (RECORD_USER | RECORD_SYSTEM)) || (t[i].raw.p >= passages.p && t[i].raw.p < passages.p + passages.n)) TRY(add_words(r, t[i].text, s, e));
out:
  return st;
}

static enum status scan(const void *state, const struct curate_options *o, struct row *r, struct err *e) {
  (void)state;
  enum status st = STATUS_OK;
  struct span passages = record_get(&r->rec, "passages"), first = { "", 0 };
  struct set s;
  struct words w;
  size_t content = 0, found = 0;
  if (!r->answer.n || span_type(passages) != '[') return STATUS_OK;
  TRY(sources(r, passages, &s, e));
  TRY(words_scan(r->answer, r->a, &w, e));
  for (size_t i = 0; i < w.n; i++) {
    struct span word = { r->answer.p + w.start[i], w.end[i] - w.start[i] };
    uint64_t key = key_of(word);
    if (!key) continue;
    content++;
    if (has(&s, key)) found++;
    else if (!first.n) first = word;
  }
  double share = content ? (double)found / (double)content : 1;
  if (share < o->support) st = curate_drop(r, "unsupported", share, first, (struct span){ "", 0 }, e);
out:
  return st;
}

const struct filter filter_unsupported = { "unsupported", "answers that their passages do not carry", 0, enabled, NULL, scan, NULL };

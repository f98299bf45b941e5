/* SPDX-License-Identifier: Apache-2.0
 * What rules over the text of a row share: characters, blanks and lines as Python counts them (the published rules are Python),
 * datatrove's sets of punctuation, and a table that counts keys. Text is valid UTF-8. */
#ifndef CORPORA_FILTER_TEXT_H
#define CORPORA_FILTER_TEXT_H
#include <stdint.h>
#include <string.h>
#include "span.h"

/* The character at p (n > 0 bytes left) and its length; a byte that is none is U+FFFD of length 1. */
static inline int32_t text_char(const char *p, size_t n, size_t *length) {
  unsigned char c = (unsigned char)*p;
  size_t k = c < 0x80 ? 1 : utf8_length(p, n);
  *length = k ? k : 1;
  if (k == 1) return c;
  if (k == 0) return 0xFFFD;
  int32_t v = c & (0xFF >> (k + 1));
  for (size_t i = 1; i < k; i++) v = v << 6 | ((unsigned char)p[i] & 0x3F);
  return v;
}
static inline size_t text_chars(struct span s) {
  size_t n = 0;
  for (size_t i = 0; i < s.n; i++) n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
  return n;
}
int text_is_space(int32_t c);    /* str.isspace */
int text_is_alpha(int32_t c);    /* str.isalpha */
int text_is_terminal(int32_t c); /* ends a sentence in some script */
int text_is_punct(int32_t c);    /* punctuation and controls, terminal ones among them */
struct span text_strip(struct span s);
int text_ends(struct span s, const char *end);
int32_t text_last(struct span s); /* the last character, 0 of an empty text */
/* Next line from *at: by '\n' (split('\n'): "a\n" has two), or by every line end Unicode knows (splitlines: "a\n" has one).
 * 0 behind the last one. Start with *at = 0. */
int text_line(struct span s, size_t *at, struct span *line);
int text_splitline(struct span s, size_t *at, struct span *line);
/* Next word from *at: what stands between blanks (split()). */
int text_word(struct span s, size_t *at, struct span *word);
/* Position of an ASCII phrase in lower case, upper case in s counting as lower; s.n when it is not there. */
size_t text_find_lower(struct span s, const char *phrase);

/* ---- counting ---- */
struct text_cell {
  uint64_t key;
  uint32_t count, at; /* at: of its first sight */
};
struct text_table {
  struct text_cell *cell;
  size_t slots; /* a power of two, more than twice the keys */
};
static inline size_t text_table_slots(size_t keys) {
  size_t slots = 64;
  while (slots < 2 * keys + 2) slots *= 2;
  return slots;
}
static inline struct text_cell *text_count(struct text_table *t, uint64_t key, size_t at) {
  if (key == 0) key = 1;
  size_t i = key & (t->slots - 1);
  while (t->cell[i].key && t->cell[i].key != key) i = (i + 1) & (t->slots - 1);
  if (!t->cell[i].key) t->cell[i].key = key, t->cell[i].at = (uint32_t)at;
  t->cell[i].count++;
  return &t->cell[i];
}
#endif

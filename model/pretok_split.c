/* SPDX-License-Identifier: Apache-2.0
 * Hand-written splitters. See pretok_split.h. One function follows the alternatives of a pattern in their order; what differs
 * between the four patterns is a constant struct, so the compiler makes four of it. Words of ASCII letters, most of any text, are
 * found by 16 bytes at a time; everything else goes character by character through the table of classes. */
#include "pretok_split.h"
#include <string.h>
#include "tokenizer_utf8.h"
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

struct style {
  int any_front;    /* contractions in any case; one character that is no end of line stands in front of letters (else a blank
                       only); ends of lines stay with the punctuation before them and close a run of white space */
  int numbers;      /* digits in a piece: 1, 3, or 0 = any number, with a blank in front */
  int number_ends;  /* white space keeps its last character in front of a digit */
};

static unsigned class_at(const unsigned char *p, size_t i, size_t *len) {
  int k;
  uint32_t c = utf8_decode((const char *)p + i, &k);
  *len = (size_t)k;
  return pretok_class_block[pretok_class_index[c >> 8]][c & 0xff];
}

/* Bit i: p[i] is an ASCII letter; 16 of them. */
static unsigned letter_bits(const unsigned char *p) {
#if defined(__SSE2__)
  __m128i x = _mm_or_si128(_mm_loadu_si128((const __m128i *)(const void *)p), _mm_set1_epi8(0x20));
  /* 'a'..'z' become -128..-103, so that one signed comparison is left */
  __m128i shifted = _mm_sub_epi8(x, _mm_set1_epi8((char)('a' + 128)));
  return (unsigned)_mm_movemask_epi8(_mm_cmplt_epi8(shifted, _mm_set1_epi8(-128 + 26)));
#else
  unsigned bits = 0;
  for (unsigned i = 0; i < 16; i++) bits |= (unsigned)((p[i] | 0x20u) - 'a' < 26u) << i;
  return bits;
#endif
}

static size_t run_end(const unsigned char *p, size_t n, size_t i, unsigned class) {
  size_t len;
  while (i < n && class_at(p, i, &len) == class) i += len;
  return i;
}

/* End of the run of letters that goes on at i. */
static size_t letters_end(const unsigned char *p, size_t n, size_t i) {
  size_t len;
  for (;;) {
    while (n - i >= 16) {
      unsigned bits = ~letter_bits(p + i);
      unsigned k = (unsigned)__builtin_ctz(bits | 0x10000);
      i += k;
      if (k < 16) break;
    }
    if (i >= n || class_at(p, i, &len) != CLASS_LETTER) return i;
    i += len;
  }
}

/* Bytes of the letters of a contraction behind an apostrophe, 0 when there is none. In any case means in any case of Unicode:
 * U+017F is an s. */
static size_t contraction(const unsigned char *p, size_t left, int any_case) {
  if (!left) return 0;
  unsigned a = p[0], b = left > 1 ? p[1] : 0;
  if (any_case && a == 0xc5 && b == 0xbf) return 2;
  if (any_case && a >= 'A' && a <= 'Z') a |= 0x20;
  if (any_case && b >= 'A' && b <= 'Z') b |= 0x20;
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 1;
  return ((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l') ? 2 : 0;
}

static size_t others_end(const unsigned char *p, size_t n, size_t i, struct style s) {
  i = run_end(p, n, i, CLASS_OTHER);
  while (s.any_front && i < n && (p[i] == '\r' || p[i] == '\n')) i++;
  return i;
}

static size_t spaces_end(const unsigned char *p, size_t n, size_t from, struct style s) {
  size_t i = from, last = from, line = 0, len;
  unsigned class = CLASS_SPACE;
  while (i < n && (class = class_at(p, i, &len)) == CLASS_SPACE) {
    last = i, i += len;
    if (p[last] == '\r' || p[last] == '\n') line = i;
  }
  if (s.any_front && line) return line;
  if (i == n || last == from || (s.number_ends && class == CLASS_NUMBER)) return i;
  return last;
}

/* What the fast path in split() leaves: p[i] is not followed by a plain word. */
static inline __attribute__((always_inline)) size_t other_piece(const unsigned char *p, size_t n, size_t i, struct style s) {
  size_t len, next_len = 0;
  unsigned class = class_at(p, i, &len), next = CLASS_SPACE;
  int line = p[i] == '\r' || p[i] == '\n';
  if (class == CLASS_LETTER) return letters_end(p, n, i + len);
  if (i + len < n) next = class_at(p, i + len, &next_len);
  if (next == CLASS_LETTER && (s.any_front ? class != CLASS_NUMBER && !line : p[i] == ' ')) return letters_end(p, n, i + len + next_len);
  if (class == CLASS_NUMBER && s.numbers) {
    size_t end = i + len;
    for (int k = 1; k < s.numbers && end < n && class_at(p, end, &len) == CLASS_NUMBER; k++) end += len;
    return end;
  }
  if (class == CLASS_NUMBER) return run_end(p, n, i + len, CLASS_NUMBER);
  if (class == CLASS_OTHER) return others_end(p, n, i + len, s);
  if (p[i] == ' ' && next == CLASS_OTHER) return others_end(p, n, i + 1 + next_len, s);
  if (p[i] == ' ' && next == CLASS_NUMBER && !s.numbers) return run_end(p, n, i + 1 + next_len, CLASS_NUMBER);
  return spaces_end(p, n, i, s);
}

static inline __attribute__((always_inline)) size_t split(const char *text, size_t n, size_t at, size_t *end, size_t cap, struct style s) {
  const unsigned char *p = (const unsigned char *)text;
  size_t k = 0;
  while (k < cap && at < n) {
    unsigned c = p[at];
    size_t more;
    if (n - at >= 17) { /* a word of at most 16 letters behind a blank or another letter */
      unsigned bits = letter_bits(p + at + 1);
      size_t stop = at + 1 + (unsigned)__builtin_ctz(~bits | 0x10000);
      if (((c | 0x20u) - 'a' < 26u || (c == ' ' && bits & 1)) && stop < at + 17 && p[stop] < 0x80) {
        end[k++] = at = stop;
        continue;
      }
    }
    at = c == '\'' && (more = contraction(p + at + 1, n - at - 1, s.any_front)) ? at + 1 + more : other_piece(p, n, at, s);
    end[k++] = at;
  }
  return k;
}

size_t split_gpt2(const char *p, size_t n, size_t at, size_t *end, size_t cap) { return split(p, n, at, end, cap, (struct style){ 0, 0, 0 }); }
size_t split_smollm(const char *p, size_t n, size_t at, size_t *end, size_t cap) { return split(p, n, at, end, cap, (struct style){ 0, 1, 1 }); }
size_t split_qwen2(const char *p, size_t n, size_t at, size_t *end, size_t cap) { return split(p, n, at, end, cap, (struct style){ 1, 1, 0 }); }
size_t split_llama3(const char *p, size_t n, size_t at, size_t *end, size_t cap) { return split(p, n, at, end, cap, (struct style){ 1, 3, 0 }); }

/* SPDX-License-Identifier: Apache-2.0
 * The JSON scanner: a loop over states with one bit a nesting level. Strings are most of every record, so scan_plain
 * looks at 16 bytes (SSE2) or 8 bytes (any machine) at a time; the rest is bytewise. */
#include "scan.h"
#include <stdint.h>
#include "span.h"
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

static int is_special(unsigned char c) { return c < 0x20 || c == '"' || c == '\\' || c >= 0x80; }

#if defined(__SSE2__)
static const unsigned char *plain_block(const unsigned char *p, const unsigned char *end) {
  const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), ctrl = _mm_set1_epi8(0x1f);
  for (; end - p >= 16; p += 16) {
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash));
    hit = _mm_or_si128(hit, _mm_cmpeq_epi8(_mm_min_epu8(v, ctrl), v)); /* unsigned v <= 0x1f */
    unsigned mask = (unsigned)_mm_movemask_epi8(_mm_or_si128(hit, v)); /* v itself: its sign bits are bytes >= 0x80 */
    if (mask) return p + __builtin_ctz(mask);
  }
  return p;
}
#else
static const unsigned char *plain_block(const unsigned char *p, const unsigned char *end) {
  const uint64_t one = 0x0101010101010101u, top = 0x8080808080808080u;
  for (; end - p >= 8; p += 8) {
    uint64_t v;
    memcpy(&v, p, 8);
    uint64_t q = v ^ (one * '"'), b = v ^ (one * '\\');
    /* A borrow can flag a byte too many, never one too few: the bytewise loop decides. */
    if (((v - one * 0x20) | (q - one) | (b - one) | v) & top) return p;
  }
  return p;
}
#endif

const unsigned char *scan_plain(const unsigned char *p, const unsigned char *end) {
  for (;;) {
    p = plain_block(p, end);
    const unsigned char *stop = end - p > 16 ? p + 16 : end;
    while (p < stop && !is_special(*p)) p++;
    if (p == end || is_special(*p)) return p;
  }
}

size_t utf8_length(const char *text, size_t n) {
  const unsigned char *p = (const unsigned char *)text;
  if (n == 0) return 0;
  unsigned c = p[0];
  if (c < 0x80) return 1;
  if (c < 0xC2 || c > 0xF4) return 0;
  if (n < 2 || (p[1] & 0xC0) != 0x80) return 0;
  if (c < 0xE0) return 2;
  if ((c == 0xE0 && p[1] < 0xA0) || (c == 0xED && p[1] > 0x9F)) return 0; /* overlong; surrogates */
  if (n < 3 || (p[2] & 0xC0) != 0x80) return 0;
  if (c < 0xF0) return 3;
  if ((c == 0xF0 && p[1] < 0x90) || (c == 0xF4 && p[1] > 0x8F)) return 0; /* overlong; above U+10FFFF */
  if (n < 4 || (p[3] & 0xC0) != 0x80) return 0;
  return 4;
}

static int fail(struct scan *s, const unsigned char *at, const char *want) {
  s->p = at;
  s->want = want;
  return 0;
}

enum status scan_error(const struct scan *s, struct err *e) {
  unsigned long long byte = (unsigned long long)(s->p - s->base) + 1;
  if (s->p >= s->end) return err_set(e, STATUS_DATA, "byte %llu: found the end, expected %s", byte, s->want);
  unsigned c = *s->p;
  if (byte == 1 && s->end - s->p >= 3 && !memcmp(s->p, "\xEF\xBB\xBF", 3))
    return err_set(e, STATUS_DATA, "byte 1: found a byte order mark, expected %s; remove it (sed '1s/^\\xef\\xbb\\xbf//')", s->want);
  if (c > 0x20 && c < 0x7f) return err_set(e, STATUS_DATA, "byte %llu: found '%c', expected %s", byte, c, s->want);
  return err_set(e, STATUS_DATA, "byte %llu: found byte 0x%02x, expected %s", byte, c, s->want);
}

void scan_space(struct scan *s) {
  while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r')) s->p++;
}

static int is_hex(unsigned char c) { return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f'); }
static int is_digit(unsigned char c) { return c >= '0' && c <= '9'; }

int scan_string(struct scan *s) {
  const unsigned char *p = s->p + 1, *end = s->end;
  for (;;) {
    p = scan_plain(p, end);
    if (p == end) return fail(s, p, "the closing quote of a string");
    if (*p == '"') {
      s->p = p + 1;
      return 1;
    }
    if (*p >= 0x80) {
      do {
        size_t n = utf8_length((const char *)p, (size_t)(end - p));
        if (n == 0) return fail(s, p, "valid UTF-8 (convert the input with iconv)");
        p += n;
      } while (p < end && *p >= 0x80);
    } else if (*p == '\\') {
      if (++p == end) return fail(s, p, "an escape");
      if (*p == 'u') {
        for (int i = 1; i <= 4; i++)
          if (p + i >= end || !is_hex(p[i])) return fail(s, p + i > end ? end : p + i, "four hexadecimal digits after \\u");
        p += 5;
      } else if (*p && strchr("\"\\/bfnrt", *p)) {
        p++;
      } else {
        return fail(s, p, "an escape of JSON (\" \\ / b f n r t u)");
      }
    } else {
      return fail(s, p, "control characters inside strings to be escaped");
    }
  }
}

static int scan_number(struct scan *s) {
  const unsigned char *p = s->p, *end = s->end;
  if (p < end && *p == '-') p++;
  if (p == end || !is_digit(*p)) return fail(s, p, "a digit");
  if (*p == '0') {
    p++;
    if (p < end && is_digit(*p)) return fail(s, p, "no digit after a leading zero");
  } else {
    while (p < end && is_digit(*p)) p++;
  }
  if (p < end && *p == '.') {
    if (++p == end || !is_digit(*p)) return fail(s, p, "a digit after the decimal point");
    while (p < end && is_digit(*p)) p++;
  }
  if (p < end && (*p | 32) == 'e') {
    p++;
    if (p < end && (*p == '+' || *p == '-')) p++;
    if (p == end || !is_digit(*p)) return fail(s, p, "a digit in the exponent");
    while (p < end && is_digit(*p)) p++;
  }
  s->p = p;
  return 1;
}

static int scan_word(struct scan *s, const char *word, const char *want) {
  for (const char *w = word; *w; w++) {
    if (s->p == s->end || *s->p != (unsigned char)*w) return fail(s, s->p, want);
    s->p++;
  }
  return 1;
}

static int scan_scalar(struct scan *s) {
  switch (*s->p) {
    case '"': return scan_string(s);
    case 't': return scan_word(s, "true", "true");
    case 'f': return scan_word(s, "false", "false");
    case 'n': return scan_word(s, "null", "null");
    case '-': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
      return scan_number(s);
    default: return fail(s, s->p, "a JSON value");
  }
}

static int scan_key(struct scan *s) {
  scan_space(s);
  if (s->p == s->end || *s->p != '"') return fail(s, s->p, "a key in quotes");
  if (!scan_string(s)) return 0;
  scan_space(s);
  if (s->p == s->end || *s->p != ':') return fail(s, s->p, "':' after the key");
  s->p++;
  return 1;
}

int scan_value(struct scan *s, int max_depth) {
  uint64_t is_object[SCAN_DEPTH_MAX / 64]; /* one bit a level */
  int depth = 0;
  if (max_depth > SCAN_DEPTH_MAX) max_depth = SCAN_DEPTH_MAX;
  for (;;) { /* one turn a value */
    scan_space(s);
    if (s->p == s->end) return fail(s, s->p, "a JSON value");
    if (*s->p == '{' || *s->p == '[') {
      int object = *s->p == '{';
      if (depth == max_depth) return fail(s, s->p, "at most 512 levels of nesting");
      uint64_t bit = (uint64_t)1 << (depth & 63);
      if (object) is_object[depth >> 6] = (depth & 63 ? is_object[depth >> 6] : 0) | bit;
      else is_object[depth >> 6] = (depth & 63 ? is_object[depth >> 6] : 0) & ~bit;
      s->p++;
      scan_space(s);
      if (s->p < s->end && *s->p == (object ? '}' : ']')) {
        s->p++;
      } else {
        depth++;
        if (object && !scan_key(s)) return 0;
        continue;
      }
    } else if (!scan_scalar(s)) {
      return 0;
    }
    for (;;) { /* behind a value: close levels until a comma asks for the next one */
      if (depth == 0) return 1;
      int object = (int)(is_object[(depth - 1) >> 6] >> ((depth - 1) & 63) & 1);
      scan_space(s);
      if (s->p < s->end && *s->p == ',') {
        s->p++;
        if (object && !scan_key(s)) return 0;
        break;
      }
      if (s->p == s->end || *s->p != (object ? '}' : ']')) return fail(s, s->p, object ? "',' or '}'" : "',' or ']'");
      s->p++;
      depth--;
    }
  }
}

/* SPDX-License-Identifier: Apache-2.0
 * Characters and lines for rules over text. The two lists are datatrove 0.10.1's TERMINAL_PUNCTUATION and PUNCTUATION. */
#include "filter_text.h"
#include <utf8proc.h>

static const int32_t terminal[] = { /* rising */
  0x0021, 0x002E, 0x003F, 0x0589, 0x061D, 0x061E, 0x061F, 0x06D4, 0x0700, 0x0701, 0x0702, 0x07F9, 0x0837, 0x0839, 0x083D, 0x083E, 0x0964, 0x0965,
  0x104A, 0x104B, 0x1362, 0x1367, 0x1368, 0x166E, 0x1735, 0x1736, 0x17D4, 0x17D5, 0x17D6, 0x17D9, 0x17DA, 0x1803, 0x1809, 0x1944, 0x1945, 0x1AA8,
  0x1AA9, 0x1AAA, 0x1AAB, 0x1B5A, 0x1B5B, 0x1B5E, 0x1B5F, 0x1B7D, 0x1B7E, 0x1C3B, 0x1C3C, 0x1C7E, 0x1C7F, 0x203C, 0x203D, 0x2047, 0x2048, 0x2049,
  0x2E2E, 0x2E3C, 0x2E53, 0x2E54, 0x3002, 0xA4FF, 0xA60E, 0xA60F, 0xA6F3, 0xA6F7, 0xA876, 0xA877, 0xA8CE, 0xA8CF, 0xA92F, 0xA9C8, 0xA9C9, 0xAA5D,
  0xAA5E, 0xAA5F, 0xAAF0, 0xAAF1, 0xABEB, 0xFE52, 0xFE56, 0xFE57, 0xFF01, 0xFF0E, 0xFF1F, 0xFF61, 0x10A56, 0x10A57, 0x10F55, 0x10F56, 0x10F57,
  0x10F58, 0x10F59, 0x10F86, 0x10F87, 0x10F88, 0x10F89, 0x11047, 0x11048, 0x110BE, 0x110BF, 0x110C0, 0x110C1, 0x11141, 0x11142, 0x11143, 0x111C5,
  0x111C6, 0x111CD, 0x111DE, 0x111DF, 0x11238, 0x11239, 0x1123B, 0x1123C, 0x112A9, 0x1144B, 0x1144C, 0x115C2, 0x115C3, 0x115C9, 0x115CA, 0x115CB,
  0x115CC, 0x115CD, 0x115CE, 0x115CF, 0x115D0, 0x115D1, 0x115D2, 0x115D3, 0x115D4, 0x115D5, 0x115D6, 0x115D7, 0x11641, 0x11642, 0x1173C, 0x1173D,
  0x1173E, 0x11944, 0x11946, 0x11A42, 0x11A43, 0x11A9B, 0x11A9C, 0x11C41, 0x11C42, 0x11EF7, 0x11EF8, 0x11F43, 0x11F44, 0x16A6E, 0x16A6F, 0x16AF5,
  0x16B37, 0x16B38, 0x16B44, 0x16E98, 0x1BC9F, 0x1DA88,
};
static const int32_t punct[] = { /* rising; above U+009F, without the terminal ones */
  0x00AB, 0x00B4, 0x00BB, 0x2013, 0x2014, 0x2019, 0x201C, 0x201D, 0x201E, 0x2026, 0x2236, 0x2501, 0x25BA, 0x3001, 0x3008, 0x3009, 0x300A, 0x300B,
  0x300C, 0x300D, 0x3010, 0x3011, 0xFF05, 0xFF08, 0xFF09, 0xFF0C, 0xFF11, 0xFF1A, 0xFF1B, 0xFF5E,
};

static int listed(const int32_t *v, size_t n, int32_t c) {
  size_t lo = 0, hi = n;
  while (lo < hi) {
    size_t mid = (lo + hi) / 2;
    if (v[mid] < c) lo = mid + 1;
    else hi = mid;
  }
  return lo < n && v[lo] == c;
}

int text_is_space(int32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

int text_is_alpha(int32_t c) {
  if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  utf8proc_category_t k = utf8proc_category(c);
  return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

int text_is_terminal(int32_t c) { return c < 0x80 ? c == '.' || c == '!' || c == '?' : listed(terminal, sizeof terminal / sizeof *terminal, c); }

int text_is_punct(int32_t c) {
  if (c < 0x80) return !(text_is_alpha(c) || (c >= '0' && c <= '9') || c == ' ' || c == '\t' || c == '\n');
  return c < 0xA0 || text_is_terminal(c) || listed(punct, sizeof punct / sizeof *punct, c);
}

int32_t text_last(struct span s) {
  size_t at = s.n, k;
  if (s.n == 0) return 0;
  do at--;
  while (at > 0 && s.n - at < 4 && ((unsigned char)s.p[at] & 0xC0) == 0x80);
  return text_char(s.p + at, s.n - at, &k);
}

struct span text_strip(struct span s) {
  size_t k;
  while (s.n && text_is_space(text_char(s.p, s.n, &k))) s.p += k, s.n -= k;
  for (int32_t c; s.n && text_is_space(c = text_last(s));) s.n -= c < 0x80 ? 1 : c < 0x800 ? 2 : 3; /* no blank is longer */
  return s;
}

int text_ends(struct span s, const char *end) {
  size_t n = strlen(end);
  return s.n >= n && memcmp(s.p + s.n - n, end, n) == 0;
}

int text_line(struct span s, size_t *at, struct span *line) {
  if (*at > s.n) return 0;
  const char *nl = *at < s.n ? memchr(s.p + *at, '\n', s.n - *at) : NULL;
  size_t end = nl ? (size_t)(nl - s.p) : s.n;
  *line = (struct span){ s.p + *at, end - *at };
  *at = end + 1;
  return 1;
}

/* Length of the line end at p, 0 = none. */
static size_t line_end(const char *p, size_t n) {
  unsigned char c = (unsigned char)*p;
  if (c == '\r') return n > 1 && p[1] == '\n' ? 2 : 1;
  if ((c >= 10 && c <= 12) || (c >= 0x1C && c <= 0x1E)) return 1;
  if (c == 0xC2 && n > 1 && (unsigned char)p[1] == 0x85) return 2;
  return c == 0xE2 && n > 2 && (unsigned char)p[1] == 0x80 && ((unsigned char)p[2] == 0xA8 || (unsigned char)p[2] == 0xA9) ? 3 : 0;
}

int text_splitline(struct span s, size_t *at, struct span *line) {
  if (*at >= s.n) return 0;
  size_t end = *at, k = 0;
  while (end < s.n && (k = line_end(s.p + end, s.n - end)) == 0) end++;
  *line = (struct span){ s.p + *at, end - *at };
  *at = end + k;
  return 1;
}

int text_word(struct span s, size_t *at, struct span *word) {
  size_t k, i = *at;
  while (i < s.n && text_is_space(text_char(s.p + i, s.n - i, &k))) i += k;
  if (i >= s.n) return 0;
  size_t start = i;
  while (i < s.n && !text_is_space(text_char(s.p + i, s.n - i, &k))) i += k;
  *word = (struct span){ s.p + start, i - start };
  *at = i;
  return 1;
}

size_t text_find_lower(struct span s, const char *phrase) {
  size_t n = strlen(phrase);
  for (size_t i = 0; i + n <= s.n; i++) {
    size_t k = 0;
    while (k < n && (s.p[i + k] >= 'A' && s.p[i + k] <= 'Z' ? s.p[i + k] + 32 : s.p[i + k]) == phrase[k]) k++;
    if (k == n) return i;
  }
  return s.n;
}

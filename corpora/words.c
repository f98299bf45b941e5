/* SPDX-License-Identifier: Apache-2.0
 * One pass over the bytes; ASCII by table, the rest through utf8proc's categories. */
#include "words.h"
#include <utf8proc.h>
#include "hash.h"

#define MAX_WORD 4096 /* longer runs are cut: their bytes still count, in pieces */

static int is_digit(unsigned char c) { return c >= '0' && c <= '9'; }
/* What a byte is, for the loop over ASCII: 0 separates, 1 operator, 2 multi-byte, else the letter or digit in lower case. */
static const unsigned char ascii[256] = {
#define SPLIT16 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
#define HIGH16 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2
  SPLIT16, SPLIT16,
  0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 1, 0, 1, '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 0, 0, 1, 1, 1, 0,
  0, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 0, 0, 0, 1, 0,
  0, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 0, 0, 0, 0, 0,
  HIGH16, HIGH16, HIGH16, HIGH16, HIGH16, HIGH16, HIGH16, HIGH16,
};

/* Words are short: two loads and two products; longer ones through XXH3. The buffer has room for eight bytes behind the word. */
static inline uint64_t hash_word(const char *p, size_t n) {
  uint64_t a, b;
  if (n > 16) return xxh3(p, n);
  memcpy(&a, p, 8);
  memcpy(&b, p + (n > 8 ? n - 8 : 0), 8);
  if (n < 8) a &= (1ull << 8 * n) - 1, b = a;
  a = (a ^ 0x9FB21C651E98DF25ull) * 0xC2B2AE3D27D4EB4Full;
  b = (b ^ (uint64_t)n << 56 ^ a >> 29) * 0x9E3779B97F4A7C15ull;
  return words_mix(a ^ b);
}

static int alone(int32_t c) { /* scripts written without blanks */
  return (c >= 0x3400 && c <= 0x9FFF) || (c >= 0x3040 && c <= 0x30FF && c != 0x30FB) || (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x20000 && c <= 0x3FFFF) || (c >= 0x0E00 && c <= 0x0EFF) || (c >= 0x1780 && c <= 0x17FF);
}

static int is_letter(int32_t c) {
  utf8proc_category_t k = utf8proc_category(c);
  return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NO) || k == UTF8PROC_CATEGORY_MN;
}

/* An operator counts for exact duplicates between two digits, blanks left out: 2+3 is not 2 - 3. Those that prose does not put
 * beside digits count when they touch one (x+5); a hyphen or slash does not (GPL-2.0 is GPL 2.0). */
static int beside_digit(struct span t, size_t i) {
  size_t l = i, r = i + 1;
  while (l > 0 && t.p[l - 1] == ' ') l--;
  while (r < t.n && t.p[r] == ' ') r++;
  int left = l > 0 && is_digit((unsigned char)t.p[l - 1]), right = r < t.n && is_digit((unsigned char)t.p[r]);
  if (left && right) return 1;
  return t.p[i] != '-' && t.p[i] != '/' && ((left && l == i) || (right && r == i + 1));
}

struct scan {
  struct words *w;
  char low[MAX_WORD + 8];
  size_t n, start;
  uint64_t normal;
};

static void end_word(struct scan *s, size_t end) {
  if (s->n == 0) return;
  struct words *w = s->w;
  w->hash[w->n] = hash_word(s->low, s->n);
  w->start[w->n] = (uint32_t)s->start;
  w->end[w->n] = (uint32_t)end;
  s->normal = (s->normal ^ w->hash[w->n]) * 0x9E3779B97F4A7C15ull;
  s->normal ^= s->normal >> 29;
  w->n++;
  s->n = 0;
}

enum status words_scan(struct span text, struct arena *a, struct words *w, struct err *e) {
  if (text.n > UINT32_MAX - 8) return err_set(e, STATUS_DATA, "a text of %zu bytes, at most 4 GiB", text.n);
  size_t room = 0; /* at most one word for two bytes of ASCII, one for each byte above it */
  for (size_t i = 0, in = 0; i < text.n; i++) {
    unsigned char k = ascii[(unsigned char)text.p[i]];
    room += k == 2 || (k > 2 && !in);
    in = k > 2;
  }
  room += text.n / MAX_WORD + 2;
  *w = (struct words){ 0 };
  w->hash = arena_alloc(a, room * sizeof *w->hash);
  w->start = arena_alloc(a, room * sizeof *w->start);
  w->end = arena_alloc(a, room * sizeof *w->end);
  if (!w->hash || !w->start || !w->end) return err_nomem(e, room * 16);
  struct scan s;
  s.w = w, s.n = 0, s.start = 0, s.normal = text.n != 0;
  for (size_t i = 0; i < text.n;) {
    unsigned char c = (unsigned char)text.p[i];
    if (s.n + 8 > MAX_WORD) end_word(&s, i);
    unsigned char kind = ascii[c];
    if (kind > 2) {
      if (s.n == 0) s.start = i;
      do { /* to the end of the letters, within the bound above */
        s.low[s.n++] = (char)kind;
        kind = ++i < text.n ? ascii[(unsigned char)text.p[i]] : 0;
      } while (kind > 2 && s.n + 8 <= MAX_WORD);
      continue;
    }
    if (kind < 2) {
      end_word(&s, i);
      if (kind == 1 && beside_digit(text, i)) s.normal = (s.normal ^ c) * 0xC2B2AE3D27D4EB4Full;
      i++;
      continue;
    }
    int32_t cp = -1;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text.p + i, (utf8proc_ssize_t)(text.n - i), &cp);
    if (n < 1) {
      n = 1;
      cp = -1;
    }
    if (cp < 0 || !is_letter(cp)) {
      end_word(&s, i);
    } else {
      int own = alone(cp);
      if (own) end_word(&s, i);
      if (s.n == 0) s.start = i;
      s.n += (size_t)utf8proc_encode_char(utf8proc_tolower(cp), (utf8proc_uint8_t *)s.low + s.n);
      if (own) end_word(&s, i + (size_t)n);
    }
    i += (size_t)n;
  }
  end_word(&s, text.n);
  /* Without any word (only signs) the bytes themselves are what equal texts share. */
  w->normal = w->n ? s.normal : xxh3(text.p, text.n);
  return STATUS_OK;
}

uint64_t words_gram(const struct words *w, size_t i, size_t n) {
  uint64_t sum = 0;
  for (size_t k = 0; k < n; k++) sum = sum * WORDS_BASE + w->hash[i + k];
  return words_mix(sum);
}

struct words_roll words_roll_start(const struct words *w, size_t n) {
  struct words_roll r = { 0, 1 };
  for (size_t k = 0; k + 1 < n; k++) r.sum = r.sum * WORDS_BASE + w->hash[k];
  for (size_t k = 0; k < n; k++) r.top *= WORDS_BASE;
  return r;
}

/* Least significant digit first over the four upper bytes, then insertion: shingles are hashes, so ties there are rare. */
static void sort_u64(uint64_t *v, uint64_t *tmp, size_t n) {
  if (n > 64) {
    for (int shift = 32; shift < 64; shift += 8) {
      size_t at[257] = { 0 };
      for (size_t i = 0; i < n; i++) at[(v[i] >> shift & 255) + 1]++;
      for (int d = 0; d < 256; d++) at[d + 1] += at[d];
      for (size_t i = 0; i < n; i++) tmp[at[v[i] >> shift & 255]++] = v[i];
      uint64_t *t = v;
      v = tmp;
      tmp = t;
    }
  }
  for (size_t i = 1; i < n; i++) {
    uint64_t x = v[i];
    size_t j = i;
    for (; j > 0 && v[j - 1] > x; j--) v[j] = v[j - 1];
    v[j] = x;
  }
}

enum status words_shingles(const struct words *w, size_t n, struct arena *a, uint64_t **out, size_t *n_out, struct err *e) {
  size_t count = w->n == 0 ? 0 : w->n < n ? 1 : w->n - n + 1, kept = 0;
  uint64_t *v = arena_alloc(a, (2 * count + 1) * sizeof *v);
  *n_out = 0;
  *out = v;
  if (!v) return err_nomem(e, 2 * count * sizeof *v);
  if (w->n < n) n = w->n;
  struct words_roll roll = count ? words_roll_start(w, n) : (struct words_roll){ 0, 0 };
  for (size_t i = 0; i < count; i++) v[i] = words_roll(&roll, w, i, n);
  sort_u64(v, v + count, count);
  for (size_t i = 0; i < count; i++)
    if (kept == 0 || v[kept - 1] != v[i]) v[kept++] = v[i];
  *n_out = kept;
  return STATUS_OK;
}

double words_jaccard(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b) {
  size_t i = 0, j = 0, both = 0;
  while (i < n_a && j < n_b) {
    uint64_t x = a[i], y = b[j];
    both += x == y;
    i += x <= y;
    j += y <= x;
  }
  size_t either = n_a + n_b - both;
  return either ? (double)both / (double)either : 0;
}

double words_jaccard_from(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b, double t) {
  size_t i = 0, j = 0, both = 0;
  /* J >= t means that at most (1 - t) / (1 + t) of all elements stand in one set only; one more for rounding */
  size_t most = (size_t)((double)(n_a + n_b) * (1 - t) / (1 + t)) + 1;
  while (i < n_a && j < n_b) {
    size_t end_i = n_a - i < 16 ? n_a : i + 16;
    while (i < end_i && j < n_b) {
      uint64_t x = a[i], y = b[j];
      both += x == y;
      i += x <= y;
      j += y <= x;
    }
    if (i + j - 2 * both > most) return 0;
  }
  size_t either = n_a + n_b - both;
  return either ? (double)both / (double)either : 0;
}

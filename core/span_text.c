/* SPDX-License-Identifier: Apache-2.0
 * Text in and out of raw JSON: decoding strings, writing strings and numbers. Used wherever a record is read or made. */
#include "span.h"
#include <math.h>
#include <inttypes.h>
#include "scan.h"

char span_type(struct span v) {
  if (v.n == 0) return 0;
  switch (v.p[0]) {
    case '"': return 's';
    case '{': case '[': case 't': case 'f': return v.p[0];
    case 'n': return '0';
    default: return 'n';
  }
}

int span_equal(struct span a, struct span b) { return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0); }

int span_is(struct span s, const char *text) {
  size_t n = strlen(text);
  return s.n == n && (n == 0 || !memcmp(s.p, text, n));
}

static unsigned hex4(const char *p) {
  unsigned v = 0;
  for (int i = 0; i < 4; i++) {
    unsigned c = (unsigned char)p[i];
    v = v << 4 | (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
  }
  return v;
}

static size_t put_utf8(char *out, unsigned c) {
  if (c < 0x80) return out[0] = (char)c, 1;
  if (c < 0x800) return out[0] = (char)(0xC0 | c >> 6), out[1] = (char)(0x80 | (c & 63)), 2;
  if (c < 0x10000)
    return out[0] = (char)(0xE0 | c >> 12), out[1] = (char)(0x80 | (c >> 6 & 63)), out[2] = (char)(0x80 | (c & 63)), 3;
  return out[0] = (char)(0xF0 | c >> 18), out[1] = (char)(0x80 | (c >> 12 & 63)), out[2] = (char)(0x80 | (c >> 6 & 63)),
         out[3] = (char)(0x80 | (c & 63)), 4;
}

/* Decodes one escape at p (behind the backslash) of valid JSON; returns the bytes read, sets *n to the bytes written. */
static size_t put_escape(const char *p, const char *end, char *out, size_t *n) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  if (*p != 'u') {
    const char *at = strchr(from, *p);
    out[0] = at ? to[at - from] : *p;
    *n = 1;
    return 1;
  }
  unsigned c = hex4(p + 1);
  size_t used = 5;
  if (c >= 0xD800 && c < 0xE000) {
    unsigned low = c < 0xDC00 && end - p >= 11 && p[5] == '\\' && p[6] == 'u' ? hex4(p + 7) : 0;
    if (low >= 0xDC00 && low < 0xE000) c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00), used = 11;
    else c = 0xFFFD;
  }
  *n = put_utf8(out, c);
  return used;
}

/* raw: between the quotes, already validated. An escape never decodes to more bytes than it takes. */
static size_t decode(struct span raw, char *out) {
  const char *p = raw.p, *end = raw.p + raw.n;
  char *o = out;
  while (p < end) {
    const char *slash = memchr(p, '\\', (size_t)(end - p));
    size_t plain = (size_t)((slash ? slash : end) - p), n = 0;
    memcpy(o, p, plain);
    o += plain;
    p += plain;
    if (!slash) break;
    p++;
    p += put_escape(p, end, o, &n);
    o += n;
  }
  return (size_t)(o - out);
}

int span_key_is(struct span raw, const char *key) {
  size_t n = strlen(key);
  if (raw.n == 0 || !memchr(raw.p, '\\', raw.n)) return raw.n == n && (n == 0 || !memcmp(raw.p, key, n));
  if (raw.n < n || raw.n > 6 * n + 6) return 0; /* an escape takes at most 6 bytes for each byte of the key */
  const char *p = raw.p, *end = raw.p + raw.n;
  size_t k = 0;
  while (p < end) {
    char tmp[4];
    size_t m = 1;
    if (*p == '\\') p++, p += put_escape(p, end, tmp, &m);
    else tmp[0] = *p++;
    if (m > n - k || memcmp(key + k, tmp, m)) return 0;
    k += m;
  }
  return k == n;
}

enum status span_string(struct span v, struct arena *a, struct span *out, struct err *e) {
  const unsigned char *p = (const unsigned char *)v.p;
  *out = (struct span){ NULL, 0 };
  struct scan s = { p, p, p ? p + v.n : p, "a JSON string" };
  if (v.n == 0 || *p != '"' || !scan_string(&s)) return scan_error(&s, e);
  s.want = "the end of the string";
  if (s.p != s.end) return scan_error(&s, e);
  char *text = arena_alloc(a, v.n); /* at most v.n - 2 bytes and a NUL for the debugger */
  if (!text) return err_nomem(e, v.n);
  size_t n = decode((struct span){ v.p + 1, v.n - 2 }, text);
  text[n] = 0;
  *out = (struct span){ text, n };
  return STATUS_OK;
}

static enum status put_special(struct buf *b, unsigned char c, struct err *e) {
  static const char letter[] = "\b\f\n\r\t\"\\", name[] = "bfnrt\"\\";
  const char *at = c ? strchr(letter, c) : NULL;
  if (!at) return buf_printf(b, e, "\\u%04x", c);
  char two[2] = { '\\', name[at - letter] };
  return buf_put(b, two, 2, e);
}

enum status json_put_string(struct buf *b, struct span text, struct err *e) {
  enum status st = STATUS_OK;
  const unsigned char *p = (const unsigned char *)text.p, *end = p ? p + text.n : p;
  TRY(buf_reserve(b, text.n + 2, e));
  TRY(buf_putc(b, '"', e));
  while (p < end) {
    const unsigned char *q = scan_plain(p, end);
    size_t n = 0;
    while (q < end && *q >= 0x80 && (n = utf8_length((const char *)q, (size_t)(end - q))) > 0) q += n;
    if (q > p) {
      TRY(buf_put(b, p, (size_t)(q - p), e));
      p = q;
      continue;
    }
    if (*p >= 0x80) TRY(buf_puts(b, "\xEF\xBF\xBD", e));
    else TRY(put_special(b, *p, e));
    p++;
  }
  TRY(buf_putc(b, '"', e));
out:
  return st;
}

enum status json_put_cstr(struct buf *b, const char *text, struct err *e) {
  return json_put_string(b, (struct span){ text, text ? strlen(text) : 0 }, e);
}

enum status json_put_num(struct buf *b, double v, struct err *e) {
  char s[40];
  if (!isfinite(v)) return buf_puts(b, "null", e);
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(s, sizeof s, "%.*g", digits, v);
    if (strtod(s, NULL) == v) break;
  }
  return buf_puts(b, s, e);
}

enum { INT_CHARS = 20 };

/* Decimal of v into the end of text; where it begins. A printf an id costs more than the making of the id. */
static char *int_text(int64_t v, char text[INT_CHARS]) {
  char *at = text + INT_CHARS;
  uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
  do *--at = (char)('0' + left % 10);
  while (left /= 10);
  if (v < 0) *--at = '-';
  return at;
}

enum status json_put_int(struct buf *b, int64_t v, struct err *e) {
  char text[INT_CHARS], *at = int_text(v, text);
  return buf_put(b, at, (size_t)(text + INT_CHARS - at), e);
}

enum status json_put_ids(struct buf *b, const int32_t *id, size_t n, struct err *e) {
  enum status st = STATUS_OK;
  char text[INT_CHARS];
  TRY(buf_putc(b, '[', e));
  for (size_t i = 0; i < n; i++) {
    if (b->cap - b->n <= INT_CHARS + 2) TRY(buf_reserve(b, INT_CHARS + 2, e));
    char *at = int_text(id[i], text), *to = b->p + b->n;
    size_t len = (size_t)(text + INT_CHARS - at);
    if (i) *to++ = ',';
    memcpy(to, at, len);
    b->n = (size_t)(to + len - b->p);
  }
  st = buf_putc(b, ']', e);
out:
  return st;
}

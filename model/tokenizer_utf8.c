/* SPDX-License-Identifier: Apache-2.0
 * UTF-8 reading, streaming decoding and NFC. See tokenizer_utf8.h. */
#include "tokenizer_utf8.h"
#include <utf8proc.h>
#include "tokenizer.h"

int utf8_step(const unsigned char *p, size_t n, int *cut) {
  *cut = 0;
  unsigned char c = p[0];
  if (c < 0x80) return 1;
  int len = 0;
  unsigned char lo = 0x80, hi = 0xbf; /* range of the second byte: the rest of table 3-7 */
  if (c >= 0xc2 && c <= 0xdf) len = 2;
  else if (c >= 0xe0 && c <= 0xef) len = 3, lo = c == 0xe0 ? 0xa0 : 0x80, hi = c == 0xed ? 0x9f : 0xbf;
  else if (c >= 0xf0 && c <= 0xf4) len = 4, lo = c == 0xf0 ? 0x90 : 0x80, hi = c == 0xf4 ? 0x8f : 0xbf;
  else return -1;
  for (int i = 1; i < len; i++) {
    if ((size_t)i == n) {
      *cut = 1;
      return -i;
    }
    if (p[i] < lo || p[i] > hi) return -i;
    lo = 0x80, hi = 0xbf;
  }
  return len;
}

size_t utf8_valid_prefix(struct span s) {
  const unsigned char *p = (const unsigned char *)s.p;
  size_t i = 0;
  while (i < s.n) {
    if (s.n - i >= 32) { /* 32 ASCII bytes at once */
      uint64_t w[4];
      memcpy(w, p + i, 32);
      if (!((w[0] | w[1] | w[2] | w[3]) & 0x8080808080808080u)) {
        i += 32;
        continue;
      }
    }
    if (p[i] < 0x80) {
      i++;
      continue;
    }
    int cut, k = utf8_step(p + i, s.n - i, &cut);
    if (k < 0) return i;
    i += (size_t)k;
  }
  return i;
}

enum status utf8_lossy(struct span s, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  while (s.n) {
    size_t good = utf8_valid_prefix(s);
    TRY(buf_put(out, s.p, good, e));
    if (good == s.n) break;
    int cut, k = utf8_step((const unsigned char *)s.p + good, s.n - good, &cut);
    TRY(buf_put(out, "\xef\xbf\xbd", 3, e));
    s.p += good + (size_t)-k, s.n -= good + (size_t)-k;
  }
out:
  return st;
}

/* utf8_step, and ED A0..BF at the end of the bytes counts as cut: Python's incremental decoder, whose chunks the golden
 * streams hold, waits for the third byte of a surrogate before it calls it ill-formed. The text is the same in the end. */
static int stream_step(const unsigned char *p, size_t n, int *cut) {
  int k = utf8_step(p, n, cut);
  if (n == 2 && p[0] == 0xed && p[1] >= 0xa0 && p[1] <= 0xbf) *cut = 1;
  return k;
}

enum status utf8_stream_put(struct utf8_stream *s, struct span bytes, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  size_t i = 0;
  /* The held tail is the start of one character: feed it byte by byte until it is whole or broken. */
  while (s->n && i < bytes.n) {
    unsigned char t[5];
    memcpy(t, s->tail, (size_t)s->n);
    t[s->n] = (unsigned char)bytes.p[i];
    int cut, k = stream_step(t, (size_t)s->n + 1, &cut);
    if (cut) {
      s->tail[s->n] = t[s->n];
      s->n++, i++;
    } else if (k > 0) {
      TRY(buf_put(out, t, (size_t)k, e));
      s->n = 0, i++;
    } else { /* the new byte does not continue it: the tail alone is ill-formed, the byte starts anew */
      TRY(utf8_stream_flush(s, out, e));
    }
  }
  while (i < bytes.n) {
    struct span rest = { bytes.p + i, bytes.n - i };
    size_t good = utf8_valid_prefix(rest);
    TRY(buf_put(out, rest.p, good, e));
    i += good;
    if (good == rest.n) break;
    int cut, k = stream_step((const unsigned char *)bytes.p + i, bytes.n - i, &cut);
    if (cut) {
      s->n = (int)(bytes.n - i);
      memcpy(s->tail, bytes.p + i, (size_t)s->n);
      break;
    }
    TRY(buf_put(out, "\xef\xbf\xbd", 3, e));
    i += (size_t)-k;
  }
out:
  return st;
}

enum status utf8_stream_flush(struct utf8_stream *s, struct buf *out, struct err *e) {
  struct span tail = { (const char *)s->tail, (size_t)s->n };
  s->n = 0;
  return utf8_lossy(tail, out, e);
}

uint32_t utf8_decode(const char *p, int *len) {
  const unsigned char *u = (const unsigned char *)p;
  if (u[0] < 0x80) return *len = 1, u[0];
  if (u[0] < 0xe0) return *len = 2, (uint32_t)(u[0] & 0x1f) << 6 | (u[1] & 0x3fu);
  if (u[0] < 0xf0) return *len = 3, (uint32_t)(u[0] & 0xf) << 12 | (uint32_t)(u[1] & 0x3f) << 6 | (u[2] & 0x3fu);
  return *len = 4, (uint32_t)(u[0] & 7) << 18 | (uint32_t)(u[1] & 0x3f) << 12 | (uint32_t)(u[2] & 0x3f) << 6 | (u[3] & 0x3fu);
}

int utf8_encode(uint32_t c, char out[4]) {
  if (c < 0x80) return out[0] = (char)c, 1;
  if (c < 0x800) return out[0] = (char)(0xc0 | c >> 6), out[1] = (char)(0x80 | (c & 0x3f)), 2;
  if (c < 0x10000) {
    out[0] = (char)(0xe0 | c >> 12), out[1] = (char)(0x80 | (c >> 6 & 0x3f)), out[2] = (char)(0x80 | (c & 0x3f));
    return 3;
  }
  out[0] = (char)(0xf0 | c >> 18), out[1] = (char)(0x80 | (c >> 12 & 0x3f));
  out[2] = (char)(0x80 | (c >> 6 & 0x3f)), out[3] = (char)(0x80 | (c & 0x3f));
  return 4;
}

int utf8_is_space(uint32_t c) {
  return (c >= 9 && c <= 13) || c == 32 || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

int utf8_is_word(uint32_t c) {
  if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  if (c == 0x200c || c == 0x200d) return 1;
  switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LL: case UTF8PROC_CATEGORY_LT: case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: case UTF8PROC_CATEGORY_MN: case UTF8PROC_CATEGORY_MC: case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND: case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_PC: return 1;
    default: return 0;
  }
}

/* -------------------------------------------------------------------------------------------------------------- NFC */

/* A character before which text may be cut and which is its own NFC: it never composes with what stands before it. */
static int nfc_inert(uint32_t c) {
  return c < 0x300 || (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x3041 && c <= 0x3096) ||
         (c >= 0x30a1 && c <= 0x30fa) || (c >= 0x3000 && c <= 0x3029) || (c >= 0xff01 && c <= 0xffdc) ||
         (c >= 0xac00 && c <= 0xd7a3) || (c >= 0x0410 && c <= 0x044f) || (c >= 0x1f300 && c <= 0x1faff);
}

/* Stable sort of a run of non-starters by combining class, by counting: linear however long the run is. */
static void sort_marks(utf8proc_int32_t *c, utf8proc_int32_t *tmp, size_t n) {
  size_t at[257] = { 0 };
  for (size_t i = 0; i < n; i++) at[(unsigned char)utf8proc_get_property(c[i])->combining_class + 1]++;
  for (int k = 0; k < 256; k++) at[k + 1] += at[k];
  for (size_t i = 0; i < n; i++) tmp[at[(unsigned char)utf8proc_get_property(c[i])->combining_class]++] = c[i];
  memcpy(c, tmp, n * sizeof *c);
}

static void order_marks(utf8proc_int32_t *c, utf8proc_int32_t *tmp, size_t n) {
  for (size_t i = 0; i < n;) {
    size_t k = i;
    while (k < n && utf8proc_get_property(c[k])->combining_class) k++;
    if (k - i > 1) sort_marks(c + i, tmp, k - i);
    i = k + 1;
  }
}

/* NFC of one stretch: decompose, order, compose. Hangul and compositions are utf8proc's. */
static enum status nfc_stretch(struct span s, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  utf8proc_int32_t *c = NULL;
  /* A code point has at most 4 code points of canonical decomposition, and at least one byte. */
  size_t cap = s.n * 4 + 8, n = 0;
  if (s.n > SIZE_MAX / 64 || !(c = mem_alloc(cap * 2 * sizeof *c))) return err_nomem(e, cap * 2 * sizeof *c);
  for (size_t i = 0; i < s.n;) {
    int len, last = 0;
    uint32_t u = utf8_decode(s.p + i, &len);
    utf8proc_ssize_t k = utf8proc_decompose_char((utf8proc_int32_t)u, c + n, (utf8proc_ssize_t)(cap - n), UTF8PROC_STABLE | UTF8PROC_COMPOSE, &last);
    if (k < 0 || (size_t)k > cap - n) {
      st = err_set(e, STATUS_DATA, "NFC: U+%04X: %s", (unsigned)u, k < 0 ? utf8proc_errmsg(k) : "decomposition too long");
      goto out;
    }
    n += (size_t)k, i += (size_t)len;
  }
  order_marks(c, c + cap, n);
  utf8proc_ssize_t k = utf8proc_normalize_utf32(c, (utf8proc_ssize_t)n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  if (k < 0) {
    st = err_set(e, STATUS_DATA, "NFC: %s", utf8proc_errmsg(k));
    goto out;
  }
  for (utf8proc_ssize_t i = 0; i < k; i++) {
    char u[4];
    TRY(buf_put(out, u, (size_t)utf8_encode((uint32_t)c[i], u), e));
  }
out:
  mem_free(c);
  return st;
}

/* Next stretch that is not plainly NFC: from the last inert character before the first suspicious one to the next inert. */
static int next_stretch(struct span s, size_t from, size_t *start, size_t *end) {
  size_t last = from, i = from;
  int found = 0;
  while (i < s.n) {
    if (!found && (unsigned char)s.p[i] < 0x80) { /* plain text: to the last ASCII character before the next other one */
      uint64_t w = 0;
      while (s.n - i >= 8 && (memcpy(&w, s.p + i, 8), !(w & 0x8080808080808080u))) i += 8;
      while (i < s.n && (unsigned char)s.p[i] < 0x80) i++;
      last = i - 1;
      continue;
    }
    int len;
    uint32_t c = utf8_decode(s.p + i, &len);
    if (nfc_inert(c)) {
      if (found) break;
      last = i;
    } else {
      found = 1;
    }
    i += (size_t)len;
  }
  *start = last, *end = i;
  return found;
}

static enum status map_add(struct nfc_map *m, size_t *cap, struct arena *a, size_t to, size_t from, struct err *e) {
  if (!m) return STATUS_OK;
  if (m->n == *cap) {
    size_t bigger = *cap ? *cap * 2 : 16;
    struct nfc_stop *p = arena_alloc(a, bigger * sizeof *p);
    if (!p) return err_nomem(e, bigger * sizeof *p);
    if (m->n) memcpy(p, m->stop, m->n * sizeof *p);
    m->stop = p, *cap = bigger;
  }
  m->stop[m->n++] = (struct nfc_stop){ to, from };
  return STATUS_OK;
}

enum status utf8_nfc(struct span s, struct arena *a, struct span *out, struct nfc_map *map, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  size_t at = 0, start, end, cap = 0;
  if (map) map->stop = NULL, map->n = 0;
  *out = s;
  if (!next_stretch(s, 0, &start, &end)) return STATUS_OK;
  do {
    TRY(buf_put(&b, s.p + at, start - at, e));
    TRY(map_add(map, &cap, a, b.n, start, e));
    TRY(nfc_stretch((struct span){ s.p + start, end - start }, &b, e));
    TRY(map_add(map, &cap, a, b.n, end, e));
    at = end;
  } while (next_stretch(s, at, &start, &end));
  TRY(buf_put(&b, s.p + at, s.n - at, e));
  if (b.n == s.n && memcmp(b.p, s.p, s.n) == 0) {
    if (map) map->n = 0;
    goto out;
  }
  TRY(map_add(map, &cap, a, b.n, s.n, e));
  char *copy = arena_strndup(a, b.p, b.n);
  if (!copy) {
    st = err_nomem(e, b.n);
    goto out;
  }
  *out = (struct span){ copy, b.n };
out:
  buf_free(&b);
  return st;
}

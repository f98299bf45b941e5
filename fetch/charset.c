/* SPDX-License-Identifier: Apache-2.0
 * Encodings of documents from outside; see charset.h. */
#include "charset.h"
#include "log.h"

/* Windows-1252 at 0x80..0x9f; 0 = undefined there (becomes U+FFFD). */
static const uint16_t cp1252[32] = { 0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
                                     0x2039, 0x0152, 0, 0x017d, 0, 0, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                     0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0, 0x017e, 0x0178 };
static struct { uint64_t lossy, guessed; } totals;

size_t charset_sequence(const unsigned char *p, size_t n)
{
  if (n == 0) {
    return 0;
  }
  unsigned c = p[0];
  size_t len = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
  if (len == 0 || len > n) {
    return 0;
  }
  for (size_t i = 1; i < len; i++) {
    if ((p[i] & 0xc0) != 0x80) {
      return 0;
    }
  }
  if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) || (c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f)) {
    return 0; /* overlong, surrogate, above U+10FFFF */
  }
  return len;
}

static enum status put_code(struct buf *out, uint32_t c, struct err *e)
{
  char b[4];
  size_t n = 0;
  if (c < 0x80) {
    b[n++] = (char)c;
  } else if (c < 0x800) {
    b[n++] = (char)(0xc0 | c >> 6);
    b[n++] = (char)(0x80 | (c & 63));
  } else if (c < 0x10000) {
    b[n++] = (char)(0xe0 | c >> 12);
    b[n++] = (char)(0x80 | (c >> 6 & 63));
    b[n++] = (char)(0x80 | (c & 63));
  } else {
    b[n++] = (char)(0xf0 | c >> 18);
    b[n++] = (char)(0x80 | (c >> 12 & 63));
    b[n++] = (char)(0x80 | (c >> 6 & 63));
    b[n++] = (char)(0x80 | (c & 63));
  }
  return buf_put(out, b, n, e);
}

static enum status from_utf16(const unsigned char *p, size_t n, int big, struct buf *out, struct charset_info *info, struct err *e)
{
  enum status st = STATUS_OK;
  uint32_t high = 0;
  for (size_t i = 0; i + 1 < n; i += 2) {
    uint32_t c = big ? (uint32_t)p[i] << 8 | p[i + 1] : (uint32_t)p[i + 1] << 8 | p[i];
    if (high != 0 && c >= 0xdc00 && c < 0xe000) {
      TRY(put_code(out, 0x10000 + ((high - 0xd800) << 10) + (c - 0xdc00), e));
      high = 0;
      continue;
    }
    if (high != 0) {
      TRY(put_code(out, 0xfffd, e));
      info->replaced += 2;
      high = 0;
    }
    if (c >= 0xd800 && c < 0xdc00) {
      high = c;
    } else if (c >= 0xdc00 && c < 0xe000) {
      TRY(put_code(out, 0xfffd, e));
      info->replaced += 2;
    } else if (c != '\r') {
      TRY(put_code(out, c, e));
    }
  }
  if (high != 0 || (n & 1)) {
    TRY(put_code(out, 0xfffd, e));
    info->replaced++;
  }
out:
  return st;
}

/* Bytes above 0x7f that are no UTF-8, and multi-byte characters that are. */
static void survey(const unsigned char *p, size_t n, size_t *bad, size_t *good)
{
  *bad = *good = 0;
  for (size_t i = 0; i < n;) {
    size_t len = charset_sequence(p + i, n - i);
    *bad += len == 0;
    *good += len > 1;
    i += len > 0 ? len : 1;
  }
}

/* '\r\n' and a lone '\r' are line ends. */
static enum status put_byte_end(const unsigned char *p, size_t i, size_t n, struct buf *out, struct err *e)
{
  return i + 1 < n && p[i + 1] == '\n' ? STATUS_OK : buf_putc(out, '\n', e);
}

enum status charset_to_utf8(struct span in, const char *encoding, struct buf *out, struct charset_info *info, struct err *e)
{
  enum status st = STATUS_OK;
  const unsigned char *p = (const unsigned char *)in.p;
  size_t n = in.n, bad, good;
  *info = (struct charset_info){ 0 };
  if (n >= 2 && ((p[0] == 0xff && p[1] == 0xfe) || (p[0] == 0xfe && p[1] == 0xff))) {
    return from_utf16(p + 2, n - 2, p[0] == 0xfe, out, info, e);
  }
  if (n >= 3 && p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf) {
    p += 3;
    n -= 3;
  }
  if (n > 0 && memchr(p, 0, n) != NULL) {
    info->binary = 1;
    return STATUS_OK;
  }
  survey(p, n, &bad, &good);
  int automatic = encoding == NULL || strcmp(encoding, "auto") == 0;
  info->latin1 = (encoding != NULL && strcmp(encoding, "latin-1") == 0) || (automatic && bad > 0 && good == 0);
  for (size_t i = 0; i < n;) {
    if (p[i] == '\r') {
      TRY(put_byte_end(p, i++, n, out, e));
      continue;
    }
    size_t len = info->latin1 ? (p[i] < 0x80) : charset_sequence(p + i, n - i);
    if (len > 0) {
      TRY(buf_put(out, p + i, len, e));
      i += len;
      continue;
    }
    uint32_t c = !info->latin1 ? 0xfffd : p[i] < 0xa0 ? cp1252[p[i] - 0x80] : p[i];
    info->replaced += !info->latin1 || c == 0;
    TRY(put_code(out, c == 0 ? 0xfffd : c, e));
    i++;
  }
out:
  return st;
}

void charset_count(const struct charset_info *info, const char *uri)
{
  if (info->replaced > 0 && totals.lossy++ < 5) {
    log_warn("'%s': %zu bytes are not UTF-8 and became U+FFFD (see --encoding)", uri, info->replaced);
  } else if (info->latin1 && totals.guessed++ < 5) {
    log_warn("'%s': not UTF-8, read as Windows-1252 (see --encoding)", uri);
  }
}

void charset_report(void)
{
  if (totals.lossy > 0) {
    log_warn("%llu documents held bytes that are not UTF-8", (unsigned long long)totals.lossy);
  }
  if (totals.guessed > 0) {
    log_warn("%llu documents were read as Windows-1252", (unsigned long long)totals.guessed);
  }
}

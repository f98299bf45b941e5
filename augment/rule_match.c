/* SPDX-License-Identifier: Apache-2.0
 * Letter case for rules. */
#include "rule_match.h"
#include <utf8proc.h>

enum letter_case case_of(struct span text) {
  size_t upper = 0, lower = 0;
  int first = 0;
  for (size_t i = 0; i < text.n;) {
    utf8proc_int32_t c;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text.p + i, (utf8proc_ssize_t)(text.n - i), &c);
    if (n <= 0) break;
    i += (size_t)n;
    int up = utf8proc_tolower(c) != c, low = utf8proc_toupper(c) != c;
    if (upper + lower == 0) first = up;
    upper += (size_t)up;
    lower += (size_t)(low && !up);
  }
  if (upper >= 2 && lower == 0) return CASE_UPPER;
  if (first) return CASE_TITLE;
  return lower && !upper ? CASE_LOWER : CASE_NONE;
}

enum status case_put(struct buf *b, struct span text, enum letter_case k, struct err *e) {
  enum status st = STATUS_OK;
  int at_first = 1;
  if (k == CASE_NONE) return buf_put(b, text.p, text.n, e);
  for (size_t i = 0; i < text.n;) {
    utf8proc_int32_t c;
    utf8proc_uint8_t out[4];
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text.p + i, (utf8proc_ssize_t)(text.n - i), &c);
    if (n <= 0) return buf_put(b, text.p + i, text.n - i, e);
    i += (size_t)n;
    if (k == CASE_UPPER || (k == CASE_TITLE && at_first)) c = utf8proc_toupper(c);
    else if (k == CASE_LOWER) c = utf8proc_tolower(c);
    if (utf8proc_tolower(c) != c || utf8proc_toupper(c) != c) at_first = 0; /* a title's capital is its first letter */
    TRY(buf_put(b, out, (size_t)utf8proc_encode_char(c, out), e));
  }
out:
  return st;
}

/* SPDX-License-Identifier: Apache-2.0
 * The JSON scanner under span.c: RFC 8259 with UTF-8 checks, no allocation, no recursion, no parsing. Only the span
 * files use it; everybody else calls span.h. A failed scan leaves `p` at the offending byte and `want` set. */
#ifndef CORE_SCAN_H
#define CORE_SCAN_H
#include <stddef.h>
#include "err.h"

enum { SCAN_DEPTH_MAX = 512 };
struct scan {
  const unsigned char *base, *p, *end;
  const char *want; /* what was expected at p, for the message */
};
void scan_space(struct scan *s);
int scan_string(struct scan *s);              /* p at the opening quote; 1 = valid, p behind the closing quote */
int scan_value(struct scan *s, int max_depth); /* leading white space allowed, p behind the value */
/* STATUS_DATA: "byte 17: found 'x', expected ...". */
enum status scan_error(const struct scan *s, struct err *e);
/* First byte in [p, end) that is not plain ASCII string content: quote, backslash, control or >= 0x80. */
const unsigned char *scan_plain(const unsigned char *p, const unsigned char *end);
#endif

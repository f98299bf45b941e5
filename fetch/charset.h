/* SPDX-License-Identifier: Apache-2.0
 * Bytes of unknown encoding to UTF-8: byte order marks (UTF-8, UTF-16), a guess at Latin-1 (as Windows-1252, like browsers
 * do), else U+FFFD for what is not UTF-8. Line ends become '\n'. Lossy changes are counted and warned about, never silent. */
#ifndef FETCH_CHARSET_H
#define FETCH_CHARSET_H
#include "err.h"
#include "mem.h"
#include "span.h"
struct charset_info {
  size_t replaced; /* bytes that became U+FFFD */
  int latin1;      /* read as Windows-1252 */
  int binary;      /* NUL bytes: out is left empty */
};
/* encoding: auto, utf-8 (never guesses), latin-1. Appends to out. */
MUST_USE enum status charset_to_utf8(struct span in, const char *encoding, struct buf *out, struct charset_info *info, struct err *e);
/* Warns on stderr about the first few lossy documents and keeps count; charset_report tells the total. */
void charset_count(const struct charset_info *info, const char *uri);
void charset_report(void);
/* Length of the valid UTF-8 sequence at p (1..4), 0 when it is not valid. */
size_t charset_sequence(const unsigned char *p, size_t n);
#endif

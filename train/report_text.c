/* SPDX-License-Identifier: Apache-2.0
 * Sample answers on a terminal: the question, then teacher and student side by side in two columns. */
#include "report_text.h"
#include <utf8proc.h>

enum { COLUMN = 46, GAP = 3, PAGE = 2 * COLUMN + GAP };

/* Bytes of the next line of at most `most` cells, cut at a blank where there is one; *cells gets its width. */
static size_t take_line(struct span s, int most, int *cells) {
  size_t at = 0, blank = 0;
  int w = 0, blank_w = 0;
  while (at < s.n && s.p[at] != '\n') {
    utf8proc_int32_t c = 0;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s.p + at, (utf8proc_ssize_t)(s.n - at), &c);
    int cw = n > 0 ? utf8proc_charwidth(c) : 1;
    if (w + cw > most) {
      *cells = blank ? blank_w : w;
      return blank ? blank : at;
    }
    if (c == ' ') blank = at, blank_w = w;
    at += n > 0 ? (size_t)n : 1;
    w += cw;
  }
  *cells = w;
  return at;
}

static struct span rest(struct span s, size_t taken) {
  s.p += taken, s.n -= taken;
  if (s.n && (s.p[0] == '\n' || s.p[0] == ' ')) s.p++, s.n--;
  return s;
}

/* Control characters of an answer must not reach a terminal. */
static enum status put_clean(struct buf *b, struct span s, struct err *e) {
  enum status st = STATUS_OK;
  for (size_t i = 0; i < s.n && st == STATUS_OK; i++) {
    unsigned char c = (unsigned char)s.p[i];
    st = buf_putc(b, c < 32 || c == 127 ? ' ' : (char)c, e);
  }
  return st;
}

static enum status columns(struct buf *b, struct span left, struct span right, struct err *e) {
  enum status st = STATUS_OK;
  while (left.n || right.n) {
    int lw = 0, rw = 0;
    size_t l = take_line(left, COLUMN, &lw), r = take_line(right, COLUMN, &rw);
    TRY(buf_puts(b, "  ", e));
    TRY(put_clean(b, (struct span){ left.p, l }, e));
    if (right.n) {
      TRY(buf_printf(b, e, "%*s", COLUMN - lw + GAP, ""));
      TRY(put_clean(b, (struct span){ right.p, r }, e));
    }
    TRY(buf_putc(b, '\n', e));
    left = rest(left, l), right = rest(right, r);
  }
out:
  return st;
}

enum status report_text(const struct report_sample *sample, size_t n, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  for (size_t i = 0; i < n; i++) {
    struct span q = sample[i].question;
    TRY(buf_putc(b, '\n', e));
    while (q.n) { /* the passage and the question, as they were asked */
      int cells;
      size_t line = take_line(q, PAGE, &cells);
      TRY(buf_puts(b, "> ", e));
      TRY(put_clean(b, (struct span){ q.p, line }, e));
      TRY(buf_putc(b, '\n', e));
      q = rest(q, line);
    }
    TRY(buf_printf(b, e, "  %-*s%s\n", COLUMN + GAP, "teacher", "student"));
    TRY(columns(b, sample[i].teacher, sample[i].student, e));
  }
out:
  return st;
}

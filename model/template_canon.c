/* SPDX-License-Identifier: Apache-2.0
 * A chat template's text in a form in which copies that differ only in layout are equal, so that a model's template is
 * recognised by hash. It follows jinja2 with trim_blocks and lstrip_blocks (the environment of transformers): what those
 * or `{%-` remove is removed here; text that would be printed stays. Equal forms therefore print the same. */
#include "template_impl.h"

static int is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }
static int is_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || (unsigned char)c >= 0x80; }

struct tag { size_t from, to; char kind; int trim_left, trim_right; }; /* text[from..to) with its braces; kind { % # */

/* Next tag at or behind `at`; 0 when there is none. An unclosed tag reaches to the end. */
static int next_tag(struct span s, size_t at, struct tag *t) {
  while (at + 1 < s.n && !(s.p[at] == '{' && (s.p[at + 1] == '{' || s.p[at + 1] == '%' || s.p[at + 1] == '#'))) at++;
  if (at + 1 >= s.n) return 0;
  char kind = s.p[at + 1], close = kind == '{' ? '}' : kind, quote = 0;
  size_t i = at + 2;
  for (; i + 1 < s.n; i++) {
    if (quote) {
      if (s.p[i] == '\\') i++;
      else if (s.p[i] == quote) quote = 0;
    } else if (s.p[i] == close && s.p[i + 1] == '}') {
      break;
    } else if (kind != '#' && (s.p[i] == '\'' || s.p[i] == '"')) {
      quote = s.p[i];
    }
  }
  *t = (struct tag){ at, i + 2 < s.n ? i + 2 : s.n, kind, 0, 0 };
  t->trim_left = at + 2 < s.n && s.p[at + 2] == '-';
  t->trim_right = i < s.n && i > at + 2 && s.p[i - 1] == '-';
  return 1;
}

/* The code of a tag: no white space outside of quotes but between two names, quoted text with its escapes read. */
static enum status put_tag(struct span s, const struct tag *t, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  size_t i = t->from + 2, end = t->to - t->from >= 4 ? t->to - 2 : t->to;
  char quote = 0, last = 0;
  int blank = 0;
  if (i < end && (s.p[i] == '-' || s.p[i] == '+')) i++;
  if (end > i && (s.p[end - 1] == '-' || s.p[end - 1] == '+')) end--;
  TRY(buf_putc(out, '{', e));
  TRY(buf_putc(out, t->kind, e));
  for (; i < end; i++) {
    char c = s.p[i];
    if (quote && c == '\\' && i + 1 < end) {
      c = s.p[++i];
      TRY(buf_putc(out, c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c, e));
    } else if (quote) {
      TRY(buf_putc(out, c == quote ? '\2' : c, e));
      if (c == quote) quote = 0;
      last = 0;
    } else if (c == '\'' || c == '"') {
      quote = c;
      TRY(buf_putc(out, '\1', e));
    } else if (is_blank(c)) {
      blank = 1;
      continue;
    } else {
      if (blank && is_name(last) && is_name(c)) TRY(buf_putc(out, ' ', e));
      TRY(buf_putc(out, c, e));
      last = c;
    }
    blank = 0;
  }
  TRY(buf_putc(out, t->kind == '{' ? '}' : t->kind, e));
  TRY(buf_putc(out, '}', e));
out:
  return st;
}

/* Text between the tags `left` and `right` (either may be NULL), without what jinja2 removes. */
static enum status put_text(struct span s, size_t from, size_t to, const struct tag *left, const struct tag *right, struct buf *out, struct err *e) {
  if (left && left->trim_right) {
    while (from < to && is_blank(s.p[from])) from++;
  } else if (left && left->kind != '{' && from < to) { /* trim_blocks: one newline behind a block or comment */
    if (s.p[from] == '\r' && from + 1 < to && s.p[from + 1] == '\n') from++;
    if (s.p[from] == '\n') from++;
  }
  if (right && right->trim_left) {
    while (to > from && is_blank(s.p[to - 1])) to--;
  } else if (right && right->kind != '{') { /* lstrip_blocks: blanks from the line's start up to a block */
    size_t k = to;
    while (k > from && (s.p[k - 1] == ' ' || s.p[k - 1] == '\t')) k--;
    if (k == 0 || s.p[k - 1] == '\n') to = k;
  }
  if (!right && to > from && s.p[to - 1] == '\n') to--; /* jinja2 drops the last newline of a template */
  return buf_put(out, s.p + from, to - from, e);
}

enum status template_canonical(struct span s, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  struct tag left, tag;
  size_t at = 0;
  int have = 0;
  while (next_tag(s, at, &tag)) {
    TRY(put_text(s, at, tag.from, have ? &left : NULL, &tag, out, e));
    if (tag.kind != '#') TRY(put_tag(s, &tag, out, e));
    left = tag, have = 1, at = tag.to;
  }
  TRY(put_text(s, at, s.n, have ? &left : NULL, NULL, out, e));
out:
  return st;
}

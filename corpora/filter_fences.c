/* SPDX-License-Identifier: Apache-2.0
 * Filter "fences": a code fence that is opened and never closed (CommonMark 4.5) in an answer, or in the row's text when it has
 * no answer: a cut answer teaches to cut. The evidence is the line that opens it. */
#include "curate.h"
#include "filter_text.h"

static int enabled(const struct curate_options *o) { return o->fences; }

/* Length of the run of ` or ~ (at least 3) that begins the line, at most 3 blanks before it; *rest: behind it. */
static size_t fence(struct span line, char *c, struct span *rest) {
  size_t i = 0, n = 0;
  while (i < 3 && i < line.n && line.p[i] == ' ') i++;
  if (i == line.n || (line.p[i] != '`' && line.p[i] != '~')) return 0;
  *c = line.p[i];
  while (i + n < line.n && line.p[i + n] == *c) n++;
  *rest = text_strip((struct span){ line.p + i + n, line.n - i - n });
  return n >= 3 ? n : 0;
}

/* The line of the fence that is open at the end, {NULL,0}. */
static struct span open_fence(struct span text) {
  struct span open = { NULL, 0 }, line, rest;
  size_t open_n = 0, n;
  char open_c = 0, c;
  for (size_t at = 0; text_line(text, &at, &line);) {
    if ((n = fence(line, &c, &rest)) == 0) continue;
    if (!open.p) {
      if (c == '`' && rest.n && memchr(rest.p, '`', rest.n)) continue; /* code in a line */
      open = line, open_n = n, open_c = c;
    } else if (c == open_c && n >= open_n && rest.n == 0) {
      open.p = NULL;
    }
  }
  return open.p ? open : (struct span){ NULL, 0 };
}

static enum status scan(const void *state, const struct curate_options *o, struct row *r, struct err *e) {
  (void)state;
  (void)o;
  struct record_string *s;
  size_t n;
  if (memmem(r->text.p, r->text.n, "```", 3) == NULL && memmem(r->text.p, r->text.n, "~~~", 3) == NULL) return STATUS_OK;
  enum status st = record_strings(&r->rec, r->a, &s, &n, e);
  for (size_t i = 0; st == STATUS_OK && i < n; i++) {
    if (!(s[i].who & (r->answer.n ? RECORD_ASSISTANT : RECORD_TEXT))) continue;
    struct span open = open_fence(s[i].text);
    if (open.p) return curate_drop(r, "unbalanced_fence", 1, open, (struct span){ "", 0 }, e);
  }
  return st;
}

const struct filter filter_fences = { "fences", "code fences that are not closed", 0, enabled, NULL, scan, NULL };

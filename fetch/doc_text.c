/* SPDX-License-Identifier: Apache-2.0
 * Plain text and Markdown: the text as it is; the title of a Markdown file is its first heading. */
#include "document.h"

enum status doc_text(struct doc_job *j, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  TRY(doc_slurp(j, &b, e));
  TRY(doc_emit(j, (struct span){ b.p, b.n }, (struct span){ b.p, b.n }, (struct span){ NULL, 0 }, e));
out:
  buf_free(&b);
  return st;
}

/* First "# heading" outside a fenced block. */
static struct span first_heading(struct span t)
{
  int fenced = 0;
  for (size_t i = 0; i < t.n;) {
    const char *nl = memchr(t.p + i, '\n', t.n - i);
    size_t end = nl ? (size_t)(nl - t.p) : t.n;
    struct span line = { t.p + i, end - i };
    if (line.n >= 3 && (memcmp(line.p, "```", 3) == 0 || memcmp(line.p, "~~~", 3) == 0)) {
      fenced = !fenced;
    } else if (!fenced && line.n > 2 && line.p[0] == '#' && line.p[1] == ' ') {
      line.p += 2;
      line.n -= 2;
      while (line.n > 0 && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '#')) {
        line.n--;
      }
      return line;
    }
    i = end + 1;
  }
  return (struct span){ NULL, 0 };
}

enum status doc_markdown(struct doc_job *j, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  TRY(doc_slurp(j, &b, e));
  struct span text = { b.p, b.n };
  TRY(doc_emit(j, text, text, first_heading(text), e));
out:
  buf_free(&b);
  return st;
}

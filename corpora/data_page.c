/* SPDX-License-Identifier: Apache-2.0
 * Pages and counts. A text in a Markdown table loses its line ends and has its pipes escaped. */
#include "data_page.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char STYLE[] = "<style>body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}table{border-collapse:collapse;margin:.5em 0 1.5em}"
                            "td,th{border:1px solid #ccc;padding:.2em .7em;text-align:left}th{background:#f3f3f3}pre{white-space:pre-wrap;background:#f7f7f7;padding:.7em}"
                            "td:nth-child(2){text-align:right}</style>";

enum status page_escape(struct buf *b, struct span t, struct err *e) {
  enum status st = STATUS_OK;
  for (size_t i = 0; i < t.n && st == STATUS_OK; i++) {
    char c = t.p[i];
    st = c == '&' ? buf_puts(b, "&amp;", e) : c == '<' ? buf_puts(b, "&lt;", e) : c == '>' ? buf_puts(b, "&gt;", e) : c == '"' ? buf_puts(b, "&quot;", e) : buf_putc(b, c, e);
  }
  return st;
}

static enum status md_cell(struct buf *b, struct span t, struct err *e) {
  enum status st = STATUS_OK;
  for (size_t i = 0; i < t.n && st == STATUS_OK; i++) {
    char c = t.p[i];
    st = c == '|' ? buf_puts(b, "\\|", e) : c == '<' ? buf_puts(b, "&lt;", e) : buf_putc(b, c == '\n' || c == '\r' ? ' ' : c, e);
  }
  return st;
}

static struct span text_of(const char *s) { return (struct span){ s, strlen(s) }; }

enum status page_open(struct page *p, const char *title, struct err *e) {
  enum status st;
  *p = (struct page){ { 0 }, { 0 } };
  TRY(buf_printf(&p->md, e, "# %s\n", title));
  TRY(buf_puts(&p->html, "<!doctype html><meta charset=\"utf-8\"><title>", e));
  TRY(page_escape(&p->html, text_of(title), e));
  TRY(buf_printf(&p->html, e, "</title>%s<h1>", STYLE));
  TRY(page_escape(&p->html, text_of(title), e));
  TRY(buf_puts(&p->html, "</h1>\n", e));
out:
  return st;
}

enum status page_heading(struct page *p, const char *text, struct err *e) {
  enum status st;
  TRY(buf_printf(&p->md, e, "\n## %s\n\n", text));
  TRY(buf_puts(&p->html, "<h2>", e));
  TRY(page_escape(&p->html, text_of(text), e));
  TRY(buf_puts(&p->html, "</h2>\n", e));
out:
  return st;
}

enum status page_text(struct page *p, struct err *e, const char *fmt, ...) {
  enum status st;
  char text[4096];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  TRY(buf_printf(&p->md, e, "%s\n\n", text));
  TRY(buf_puts(&p->html, "<p>", e));
  TRY(page_escape(&p->html, text_of(text), e));
  TRY(buf_puts(&p->html, "</p>\n", e));
out:
  return st;
}

enum status page_row(struct page *p, const struct span *cell, size_t n, int head, struct err *e) {
  enum status st;
  TRY(buf_puts(&p->html, head ? "<table><tr>" : "<tr>", e));
  TRY(buf_putc(&p->md, '|', e));
  for (size_t i = 0; i < n; i++) {
    TRY(buf_putc(&p->md, ' ', e));
    TRY(md_cell(&p->md, cell[i], e));
    TRY(buf_puts(&p->md, " |", e));
    TRY(buf_puts(&p->html, head ? "<th>" : "<td>", e));
    TRY(page_escape(&p->html, cell[i], e));
    TRY(buf_puts(&p->html, head ? "</th>" : "</td>", e));
  }
  TRY(buf_puts(&p->html, "</tr>\n", e));
  TRY(buf_putc(&p->md, '\n', e));
  for (size_t i = 0; head && i < n; i++) TRY(buf_puts(&p->md, i ? "---|" : "|---|", e));
  if (head) TRY(buf_putc(&p->md, '\n', e));
out:
  return st;
}

enum status page_table_end(struct page *p, struct err *e) {
  enum status st = buf_puts(&p->html, "</table>\n", e);
  return st == STATUS_OK ? buf_putc(&p->md, '\n', e) : st;
}

enum status page_sample(struct page *p, struct span id, struct span t, struct err *e) {
  enum status st;
  int cut = t.n > 1500;
  if (cut) {
    t.n = 1500;
    while (t.n > 0 && ((unsigned char)t.p[t.n] & 0xc0) == 0x80) t.n--; /* not inside a character */
  }
  TRY(buf_puts(&p->md, "**", e));
  TRY(md_cell(&p->md, id, e));
  TRY(buf_puts(&p->md, "**\n\n", e));
  for (size_t i = 0; i < t.n; i++) { /* an indented block: nothing in it is markup */
    if (i == 0 || t.p[i - 1] == '\n') TRY(buf_puts(&p->md, "    ", e));
    TRY(buf_putc(&p->md, t.p[i], e));
  }
  TRY(buf_puts(&p->md, cut ? " ...\n\n" : "\n\n", e));
  TRY(buf_puts(&p->html, "<p><b>", e));
  TRY(page_escape(&p->html, id, e));
  TRY(buf_puts(&p->html, "</b></p><pre>", e));
  TRY(page_escape(&p->html, t, e));
  TRY(buf_puts(&p->html, cut ? " ...</pre>\n" : "</pre>\n", e));
out:
  return st;
}

enum status page_close(struct page *p, struct err *e) { return buf_puts(&p->html, "</html>\n", e); }

void page_free(struct page *p) {
  buf_free(&p->md);
  buf_free(&p->html);
}

/* ---- counts ---- */
enum status counts_add(struct counts *c, struct span t, uint64_t n, struct err *e) {
  for (size_t i = 0; i < c->n; i++)
    if (span_is(t, c->of[i].text)) {
      c->of[i].n += n;
      return STATUS_OK;
    }
  if (c->n == COUNTS_MOST) {
    c->others += n;
    return STATUS_OK;
  }
  if (c->n == c->cap) {
    size_t cap = c->cap ? 2 * c->cap : 64;
    struct count *p = mem_realloc(c->of, cap * sizeof *p);
    if (!p) return err_nomem(e, cap * sizeof *p);
    c->of = p;
    c->cap = cap;
  }
  if ((c->of[c->n].text = mem_strndup(t.p ? t.p : "", t.n)) == NULL) return err_nomem(e, t.n);
  c->of[c->n++].n = n;
  return STATUS_OK;
}

static int most_first(const void *a, const void *b) {
  const struct count *x = a, *y = b;
  return x->n != y->n ? (x->n < y->n) - (x->n > y->n) : strcmp(x->text, y->text);
}

void counts_sort(struct counts *c) {
  if (c->n) qsort(c->of, c->n, sizeof *c->of, most_first);
}

enum status counts_table(struct page *p, const struct counts *c, const char *what, size_t most, struct err *e) {
  enum status st = STATUS_OK;
  uint64_t rest = c->others, parts = 0;
  if (c->n == 0) return page_text(p, e, "None.");
  TRY(page_row(p, (struct span[]){ text_of(what), { "rows", 4 } }, 2, 1, e));
  for (size_t i = 0; i < c->n; i++) {
    char n[24];
    if (i >= most) {
      rest += c->of[i].n, parts++;
      continue;
    }
    snprintf(n, sizeof n, "%llu", (unsigned long long)c->of[i].n);
    TRY(page_row(p, (struct span[]){ text_of(c->of[i].text[0] ? c->of[i].text : "(not told)"), text_of(n) }, 2, 0, e));
  }
  if (rest) {
    char n[24], name[64];
    snprintf(n, sizeof n, "%llu", (unsigned long long)rest);
    snprintf(name, sizeof name, c->others ? "others" : "%llu others", (unsigned long long)parts);
    TRY(page_row(p, (struct span[]){ text_of(name), text_of(n) }, 2, 0, e));
  }
  TRY(page_table_end(p, e));
out:
  return st;
}

void counts_free(struct counts *c) {
  for (size_t i = 0; i < c->n; i++) mem_free(c->of[i].text);
  mem_free(c->of);
  *c = (struct counts){ 0 };
}

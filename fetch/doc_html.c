/* SPDX-License-Identifier: Apache-2.0
 * HTML through gumbo: the visible text, headings and paragraphs as blocks with an empty line between, list items with "- ",
 * table cells with a tab; scripts, styles, templates and hidden elements are dropped. The title goes to meta. */
#include "charset.h"
#include "document.h"
#include <gumbo.h>

/* gumbo frees its tree by recursion: a page of a hundred thousand nested tags would end the process. */
#define HTML_MAX_DEPTH 20000

int doc_sniff_html(const struct doc_stream *s)
{
  static const char *const starts[] = { "<!doctype html", "<html", "<head", "<body", NULL };
  size_t i = doc_starts(s, 0, "\xef\xbb\xbf", 3) ? 3 : 0;
  while (i < s->n_head && strchr(" \t\r\n", s->head[i]) != NULL && s->head[i] != '\0') {
    i++;
  }
  while (doc_starts(s, i, "<!--", 4)) { /* comments may stand before the doctype */
    size_t end = i + 4;
    while (end + 3 <= s->n_head && memcmp(s->head + end, "-->", 3) != 0) {
      end++;
    }
    i = end + 3;
    while (i < s->n_head && (s->head[i] == '\n' || s->head[i] == '\r' || s->head[i] == ' ')) {
      i++;
    }
  }
  for (const char *const *t = starts; *t != NULL; t++) {
    size_t n = strlen(*t), k = 0;
    while (k < n && i + k < s->n_head && ((s->head[i + k] | 32) == (*t)[k] || s->head[i + k] == (unsigned char)(*t)[k])) {
      k++;
    }
    if (k == n) {
      return 1;
    }
  }
  return 0;
}

/* An upper bound of the nesting: start tags that nothing of the same name has closed. Tags that HTML closes by itself and
 * void ones do not count. */
static size_t nesting(const char *p, size_t n)
{
  static const char *const flat[] = { "p", "li", "td", "tr", "th", "dt", "dd", "option", "br", "img", "hr", "input", "meta",
                                      "link", "col", "wbr", "area", "base", "source", "param", "tbody", "thead", NULL };
  size_t open[256] = { 0 }, depth = 0, most = 0;
  for (size_t i = 0; i + 1 < n; i++) {
    if (p[i] != '<') {
      continue;
    }
    int closing = p[i + 1] == '/';
    size_t a = i + 1 + (size_t)closing, k = a;
    char name[16];
    while (k < n && k - a < sizeof name - 1 && (((p[k] | 32) >= 'a' && (p[k] | 32) <= 'z') || (p[k] >= '0' && p[k] <= '9'))) {
      name[k - a] = (char)(p[k] | 32);
      k++;
    }
    name[k - a] = '\0';
    int skip = k == a;
    for (const char *const *f = flat; *f != NULL && !skip; f++) {
      skip = strcmp(name, *f) == 0;
    }
    if (skip) {
      continue;
    }
    unsigned h = 5381;
    for (const char *c = name; *c; c++) {
      h = h * 33 + (unsigned char)*c;
    }
    h &= 255;
    if (!closing) {
      open[h]++;
      depth++;
      most = depth > most ? depth : most;
    } else if (open[h] > 0) {
      open[h]--;
      depth--;
    }
  }
  return most;
}

enum look { LOOK_INLINE, LOOK_BLOCK, LOOK_SKIP, LOOK_BREAK, LOOK_ITEM, LOOK_CELL, LOOK_ROW, LOOK_PRE };

static enum look look_of(GumboTag t)
{
  switch (t) {
  case GUMBO_TAG_SCRIPT: case GUMBO_TAG_STYLE: case GUMBO_TAG_TEMPLATE: case GUMBO_TAG_NOSCRIPT: case GUMBO_TAG_HEAD:
  case GUMBO_TAG_IFRAME: case GUMBO_TAG_OBJECT: case GUMBO_TAG_SVG: case GUMBO_TAG_MATH: case GUMBO_TAG_SELECT:
  case GUMBO_TAG_TEXTAREA: case GUMBO_TAG_BUTTON: case GUMBO_TAG_CANVAS: case GUMBO_TAG_AUDIO: case GUMBO_TAG_VIDEO:
    return LOOK_SKIP;
  case GUMBO_TAG_BR:
    return LOOK_BREAK;
  case GUMBO_TAG_LI:
    return LOOK_ITEM;
  case GUMBO_TAG_TD: case GUMBO_TAG_TH:
    return LOOK_CELL;
  case GUMBO_TAG_TR: case GUMBO_TAG_DT: case GUMBO_TAG_DD: case GUMBO_TAG_OPTION:
    return LOOK_ROW;
  case GUMBO_TAG_PRE: case GUMBO_TAG_LISTING: case GUMBO_TAG_XMP:
    return LOOK_PRE;
  case GUMBO_TAG_P: case GUMBO_TAG_DIV: case GUMBO_TAG_H1: case GUMBO_TAG_H2: case GUMBO_TAG_H3: case GUMBO_TAG_H4:
  case GUMBO_TAG_H5: case GUMBO_TAG_H6: case GUMBO_TAG_UL: case GUMBO_TAG_OL: case GUMBO_TAG_DL: case GUMBO_TAG_TABLE:
  case GUMBO_TAG_BLOCKQUOTE: case GUMBO_TAG_SECTION: case GUMBO_TAG_ARTICLE: case GUMBO_TAG_HEADER: case GUMBO_TAG_FOOTER:
  case GUMBO_TAG_NAV: case GUMBO_TAG_ASIDE: case GUMBO_TAG_MAIN: case GUMBO_TAG_ADDRESS: case GUMBO_TAG_FIGURE:
  case GUMBO_TAG_FIGCAPTION: case GUMBO_TAG_HR: case GUMBO_TAG_FORM: case GUMBO_TAG_FIELDSET: case GUMBO_TAG_CENTER:
  case GUMBO_TAG_DETAILS: case GUMBO_TAG_SUMMARY: case GUMBO_TAG_BODY: case GUMBO_TAG_HTML:
    return LOOK_BLOCK;
  default:
    return LOOK_INLINE;
  }
}

static int hidden(const GumboElement *el)
{
  const GumboAttribute *style = gumbo_get_attribute(&el->attributes, "style");
  const GumboAttribute *aria = gumbo_get_attribute(&el->attributes, "aria-hidden");
  return gumbo_get_attribute(&el->attributes, "hidden") != NULL || (aria != NULL && strcmp(aria->value, "true") == 0) ||
         (style != NULL && (strstr(style->value, "display:none") != NULL || strstr(style->value, "display: none") != NULL));
}

struct writer {
  struct buf *out;
  int newlines; /* asked for before the next character: 1 line, 2 paragraph */
  int space;    /* white space is due before the next word */
  int pre;      /* inside <pre> */
};

static enum status put_gap(struct writer *w, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf *b = w->out;
  if (w->newlines > 0 && b->n > 0) {
    while (b->n > 0 && (b->p[b->n - 1] == ' ' || b->p[b->n - 1] == '\t')) {
      b->n--;
    }
    int have = b->n > 0 && b->p[b->n - 1] == '\n' ? (b->n > 1 && b->p[b->n - 2] == '\n' ? 2 : 1) : 0;
    for (; have < w->newlines && b->n > 0; have++) {
      TRY(buf_putc(b, '\n', e));
    }
  } else if (w->space && b->n > 0 && strchr(" \n\t", b->p[b->n - 1]) == NULL) {
    TRY(buf_putc(b, ' ', e));
  }
  w->newlines = w->space = 0;
out:
  return st;
}

static enum status put_text(struct writer *w, const char *t, struct err *e)
{
  enum status st = STATUS_OK;
  for (; *t != '\0'; t++) {
    if (!w->pre && strchr(" \t\r\n\f", *t) != NULL) {
      w->space = 1;
      continue;
    }
    TRY(put_gap(w, e));
    TRY(buf_putc(w->out, *t, e));
  }
out:
  return st;
}

static void ask_newlines(struct writer *w, int n)
{
  w->newlines = w->newlines > n ? w->newlines : n;
}

static enum status enter(struct writer *w, const GumboNode *n, int *skip, struct err *e)
{
  enum status st = STATUS_OK;
  enum look look = look_of(n->v.element.tag);
  *skip = look == LOOK_SKIP || hidden(&n->v.element);
  if (*skip) {
    return STATUS_OK;
  }
  switch (look) {
  case LOOK_BREAK: case LOOK_ROW:
    ask_newlines(w, 1);
    break;
  case LOOK_BLOCK:
    ask_newlines(w, 2);
    break;
  case LOOK_PRE:
    ask_newlines(w, 2);
    w->pre++;
    break;
  case LOOK_ITEM:
    ask_newlines(w, 1);
    TRY(put_gap(w, e));
    TRY(buf_puts(w->out, "- ", e));
    break;
  case LOOK_CELL:
    if (n->index_within_parent > 0 && w->newlines == 0 && w->out->n > 0 && w->out->p[w->out->n - 1] != '\n') {
      TRY(buf_putc(w->out, '\t', e));
      w->space = 0;
    }
    break;
  default:
    break;
  }
out:
  return st;
}

static void leave(struct writer *w, const GumboNode *n)
{
  enum look look = look_of(n->v.element.tag);
  w->pre -= look == LOOK_PRE;
  if (look == LOOK_BLOCK || look == LOOK_PRE) {
    ask_newlines(w, 2);
  } else if (look == LOOK_ITEM || look == LOOK_ROW) {
    ask_newlines(w, 1);
  }
}

/* Walks without recursion: down to the first child, else to the next sibling by index_within_parent. */
static enum status walk(struct writer *w, const GumboNode *root, struct err *e)
{
  enum status st = STATUS_OK;
  const GumboNode *n = root;
  while (n != NULL) {
    int skip = 0;
    int element = n->type == GUMBO_NODE_ELEMENT;
    if (element) {
      TRY(enter(w, n, &skip, e));
      if (!skip && n->v.element.children.length > 0) {
        n = n->v.element.children.data[0];
        continue;
      }
    } else if (n->type == GUMBO_NODE_TEXT || n->type == GUMBO_NODE_CDATA) {
      TRY(put_text(w, n->v.text.text, e));
    } else if (n->type == GUMBO_NODE_WHITESPACE) {
      TRY(put_text(w, w->pre ? n->v.text.text : " ", e));
    }
    if (element && !skip) {
      leave(w, n);
    }
    for (;;) { /* up until there is a next sibling */
      if (n == root) {
        goto out;
      }
      const GumboNode *up = n->parent;
      size_t next = n->index_within_parent + 1;
      if (next < up->v.element.children.length) {
        n = up->v.element.children.data[next];
        break;
      }
      leave(w, up);
      n = up;
    }
  }
out:
  return st;
}

static enum status title_of(const GumboNode *root, struct buf *title, struct err *e)
{
  enum status st = STATUS_OK;
  for (unsigned i = 0; i < root->v.element.children.length; i++) {
    const GumboNode *head = root->v.element.children.data[i];
    if (head->type != GUMBO_NODE_ELEMENT || head->v.element.tag != GUMBO_TAG_HEAD) {
      continue;
    }
    for (unsigned k = 0; k < head->v.element.children.length; k++) {
      const GumboNode *t = head->v.element.children.data[k];
      if (t->type == GUMBO_NODE_ELEMENT && t->v.element.tag == GUMBO_TAG_TITLE && t->v.element.children.length > 0 && title->n == 0) {
        struct writer w = { title, 0, 0, 0 };
        TRY(put_text(&w, ((const GumboNode *)t->v.element.children.data[0])->v.text.text, e));
      }
    }
  }
out:
  return st;
}

enum status doc_html(struct doc_job *j, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 }, utf8 = { 0 }, text = { 0 }, title = { 0 };
  GumboOutput *g = NULL;
  TRY(doc_slurp(j, &b, e));
  struct span page = { b.p, b.n };
  if (b.n >= 2 && (memcmp(b.p, "\xff\xfe", 2) == 0 || memcmp(b.p, "\xfe\xff", 2) == 0)) { /* UTF-16: gumbo reads UTF-8 */
    struct charset_info info = { 0 };
    TRY(charset_to_utf8(page, "auto", &utf8, &info, e));
    charset_count(&info, j->s->uri);
    page = (struct span){ utf8.p, utf8.n };
  }
  if (nesting(page.p, page.n) > HTML_MAX_DEPTH) {
    st = doc_refuse(j, DOC_FAILED, "html", e, "tags nest deeper than %d", HTML_MAX_DEPTH);
    goto out;
  }
  g = gumbo_parse_with_options(&kGumboDefaultOptions, page.p, page.n);
  if (g == NULL) {
    st = err_nomem(e, b.n);
    goto out;
  }
  struct writer w = { &text, 0, 0, 0 };
  TRY(title_of(g->root, &title, e));
  TRY(walk(&w, g->root, e));
  TRY(doc_emit(j, (struct span){ b.p, b.n }, (struct span){ text.p, text.n }, (struct span){ title.p, title.n }, e));
out:
  if (g != NULL) {
    gumbo_destroy_output(&kGumboDefaultOptions, g);
  }
  buf_free(&b);
  buf_free(&utf8);
  buf_free(&text);
  buf_free(&title);
  return st;
}

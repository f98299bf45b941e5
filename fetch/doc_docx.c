/* SPDX-License-Identifier: Apache-2.0
 * DOCX: the text runs of word/document.xml, a paragraph a block, and the title of docProps/core.xml. A scanner for the few
 * elements that carry text, not an XML parser: entities are the five of XML and numeric ones; DTDs are not read. */
#include "document.h"

/* Decodes text between tags. Unknown entities stay as they are. */
static enum status put_xml_text(struct buf *out, struct span t, struct err *e)
{
  static const struct { const char *name; const char *is; } names[] = { { "amp;", "&" }, { "lt;", "<" }, { "gt;", ">" },
                                                                       { "quot;", "\"" }, { "apos;", "'" } };
  enum status st = STATUS_OK;
  for (size_t i = 0; i < t.n; i++) {
    if (t.p[i] != '&') {
      TRY(buf_putc(out, t.p[i], e));
      continue;
    }
    size_t left = t.n - i - 1, used = 0;
    const char *q = t.p + i + 1;
    for (size_t k = 0; k < sizeof names / sizeof *names && used == 0; k++) {
      size_t n = strlen(names[k].name);
      if (left >= n && memcmp(q, names[k].name, n) == 0) {
        TRY(buf_puts(out, names[k].is, e));
        used = n;
      }
    }
    if (used == 0 && left > 2 && q[0] == '#') {
      uint32_t code = 0;
      int hex = q[1] == 'x';
      size_t k = hex ? 2 : 1;
      for (; k < left && k < 10 && q[k] != ';'; k++) {
        int d = q[k] >= '0' && q[k] <= '9' ? q[k] - '0' : hex && (q[k] | 32) >= 'a' && (q[k] | 32) <= 'f' ? (q[k] | 32) - 'a' + 10 : 99;
        code = d < 16 && code < 0x110000 ? code * (hex ? 16 : 10) + (uint32_t)d : 0x110000;
      }
      if (k < left && q[k] == ';' && code > 0 && code < 0x110000 && (code < 0xd800 || code > 0xdfff)) {
        char u[16];
        int n = code < 0x80 ? snprintf(u, sizeof u, "%c", (int)code) : 0;
        if (code >= 0x80) {
          unsigned char *w = (unsigned char *)u;
          n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
          for (int m = n - 1; m > 0; m--, code >>= 6) {
            w[m] = (unsigned char)(0x80 | (code & 63));
          }
          w[0] = (unsigned char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | code);
        }
        TRY(buf_put(out, u, (size_t)n, e));
        used = k + 1;
      }
    }
    if (used == 0) {
      TRY(buf_putc(out, '&', e));
    }
    i += used;
  }
out:
  return st;
}

/* Next tag at or after *at: name without the brackets, *at behind it. Returns 0 at the end. */
static int next_tag(struct span x, size_t *at, struct span *before, struct span *tag)
{
  const char *lt = *at < x.n ? memchr(x.p + *at, '<', x.n - *at) : NULL;
  const char *gt = lt ? memchr(lt, '>', x.n - (size_t)(lt - x.p)) : NULL;
  if (gt == NULL) {
    return 0;
  }
  *before = (struct span){ x.p + *at, (size_t)(lt - x.p) - *at };
  *tag = (struct span){ lt + 1, (size_t)(gt - lt) - 1 };
  *at = (size_t)(gt - x.p) + 1;
  return 1;
}

static int tag_is(struct span tag, const char *name)
{
  size_t n = strlen(name);
  return tag.n >= n && memcmp(tag.p, name, n) == 0 && (tag.n == n || strchr(" /\t\r\n", tag.p[n]) != NULL);
}

static int tag_empty(struct span tag)
{
  return tag.n > 0 && tag.p[tag.n - 1] == '/';
}

enum status docx_text(struct span xml, struct buf *text, struct err *e)
{
  enum status st = STATUS_OK;
  struct span before, tag;
  int in_text = 0;
  for (size_t at = 0; next_tag(xml, &at, &before, &tag);) {
    if (in_text) {
      TRY(put_xml_text(text, before, e));
    }
    if (tag_is(tag, "w:t")) {
      in_text = !tag_empty(tag);
    } else if (tag_is(tag, "/w:t")) {
      in_text = 0;
    } else if (tag_is(tag, "/w:p") || tag_is(tag, "/w:tr")) {
      TRY(buf_puts(text, text->n > 0 && text->p[text->n - 1] == '\n' ? "" : "\n\n", e));
    } else if (tag_is(tag, "w:tab") || tag_is(tag, "/w:tc")) {
      TRY(buf_putc(text, '\t', e));
    } else if (tag_is(tag, "w:br") || tag_is(tag, "w:cr")) {
      TRY(buf_putc(text, '\n', e));
    }
  }
out:
  return st;
}

enum status docx_title(struct span xml, struct buf *title, struct err *e)
{
  struct span before, tag;
  int in_title = 0;
  for (size_t at = 0; next_tag(xml, &at, &before, &tag);) {
    if (in_title) {
      return put_xml_text(title, before, e);
    }
    in_title = tag_is(tag, "dc:title") && !tag_empty(tag);
  }
  return STATUS_OK;
}

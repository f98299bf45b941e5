/* SPDX-License-Identifier: Apache-2.0
 * Record lines as raw spans: split, look up, edit. Every stage uses it; it never parses a value and never changes a byte
 * it was not asked to change. Strings and numbers: span_text.c. */
#include "span.h"
#include "scan.h"

static enum status grow(struct arena *a, struct field **field, size_t n, size_t *cap, struct err *e) {
  if (n < *cap) return STATUS_OK;
  size_t more = *cap ? *cap * 4 : 32;
  struct field *f = arena_alloc(a, more * sizeof *f);
  if (!f) return err_nomem(e, more * sizeof *f);
  if (n) memcpy(f, *field, n * sizeof *f);
  *field = f;
  *cap = more;
  return STATUS_OK;
}

static struct span span_of(const unsigned char *from, const unsigned char *to) {
  return (struct span){ (const char *)from, (size_t)(to - from) };
}

/* One `"key": value` at s->p (white space skipped already). 1 = filled. */
static int split_field(struct scan *s, struct field *f) {
  const unsigned char *start = s->p;
  if (s->p == s->end || *s->p != '"') return s->want = "a key in quotes", 0;
  if (!scan_string(s)) return 0;
  f->key = span_of(start + 1, s->p - 1);
  scan_space(s);
  if (s->p == s->end || *s->p != ':') return s->want = "':' after the key", 0;
  s->p++;
  scan_space(s);
  start = s->p;
  if (!scan_value(s, SCAN_DEPTH_MAX - 1)) return 0;
  f->value = span_of(start, s->p);
  return 1;
}

enum status record_split(struct span line, struct arena *a, struct record *r, struct err *e) {
  const unsigned char *p = (const unsigned char *)line.p;
  struct scan s = { p, p, p ? p + line.n : p, NULL };
  size_t cap = 0;
  r->line = line;
  r->field = NULL;
  r->n_fields = 0;
  scan_space(&s);
  s.want = "'{' (one JSON object a line)";
  if (s.p == s.end || *s.p != '{') return scan_error(&s, e);
  s.p++;
  scan_space(&s);
  if (s.p < s.end && *s.p == '}') {
    s.p++;
  } else {
    for (;;) {
      enum status st = grow(a, &r->field, r->n_fields, &cap, e);
      if (st != STATUS_OK) return st;
      if (!split_field(&s, &r->field[r->n_fields])) return scan_error(&s, e);
      r->n_fields++;
      scan_space(&s);
      s.want = "',' or '}'";
      if (s.p == s.end || (*s.p != ',' && *s.p != '}')) return scan_error(&s, e);
      if (*s.p++ == '}') break;
      scan_space(&s);
    }
  }
  scan_space(&s);
  s.want = "the end of the line after the object";
  return s.p == s.end ? STATUS_OK : scan_error(&s, e);
}

struct span record_get(const struct record *r, const char *key) {
  for (size_t i = r->n_fields; i-- > 0;)
    if (span_key_is(r->field[i].key, key)) return r->field[i].value;
  return (struct span){ NULL, 0 };
}

enum status span_check_json(struct span t, struct err *e) {
  const unsigned char *p = (const unsigned char *)t.p;
  struct scan s = { p, p, p ? p + t.n : p, "a JSON value" };
  if (!scan_value(&s, SCAN_DEPTH_MAX)) return scan_error(&s, e);
  scan_space(&s);
  s.want = "the end of the text after the value";
  return s.p == s.end ? STATUS_OK : scan_error(&s, e);
}

/* A raw line break in a value can only be white space between tokens (strings escape it): written as a space. */
static enum status put_value(struct buf *out, struct span v, struct err *e) {
  size_t at = out->n;
  enum status st = buf_put(out, v.p, v.n, e);
  if (st != STATUS_OK) return st;
  if (memchr(v.p, '\n', v.n) || memchr(v.p, '\r', v.n))
    for (char *p = out->p + at; p < out->p + out->n; p++)
      if (*p == '\n' || *p == '\r') *p = ' ';
  return STATUS_OK;
}

/* The edit that concerns field i: the last one of that key. A replacement takes only the last of duplicate fields (the one
 * that counts); a removal takes all of them. */
static const struct field_edit *edit_of(const struct record *r, size_t i, const struct field_edit *edits, size_t n) {
  for (size_t k = n; k-- > 0;) {
    if (!span_key_is(r->field[i].key, edits[k].key)) continue;
    if (!edits[k].value.p) return &edits[k];
    for (size_t j = i + 1; j < r->n_fields; j++)
      if (span_key_is(r->field[j].key, edits[k].key)) return NULL;
    return &edits[k];
  }
  return NULL;
}

static enum status append_new(const struct record *r, const struct field_edit *edits, size_t n, int any, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  for (size_t k = 0; k < n; k++) {
    if (!edits[k].value.p || record_get(r, edits[k].key).p) continue;
    int again = 0;
    for (size_t j = k + 1; j < n; j++) again |= !strcmp(edits[j].key, edits[k].key);
    if (again) continue;
    if (any) TRY(buf_putc(out, ',', e));
    TRY(json_put_cstr(out, edits[k].key, e));
    TRY(buf_putc(out, ':', e));
    TRY(put_value(out, edits[k].value, e));
    any = 1;
  }
out:
  return st;
}

enum status record_edit(const struct record *r, const struct field_edit *edits, size_t n, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  const char *line = r->line.p, *end = line + r->line.n, *last = NULL; /* last: behind the field looked at before */
  int any = 0;
  if (r->n_fields == 0) {
    last = (const char *)memchr(line, '{', r->line.n) + 1;
    TRY(buf_put(out, line, (size_t)(last - line), e));
  }
  for (size_t i = 0; i < r->n_fields; i++) {
    const struct field *f = &r->field[i];
    const char *start = f->key.p - 1;
    const struct field_edit *ed = edit_of(r, i, edits, n);
    if (i == 0) TRY(buf_put(out, line, (size_t)(start - line), e));
    if (!ed || ed->value.p) {
      if (any) TRY(buf_put(out, last, (size_t)(start - last), e)); /* the comma with its white space */
      any = 1;
      TRY(buf_put(out, start, (size_t)(f->value.p - start), e));
      TRY(ed ? put_value(out, ed->value, e) : buf_put(out, f->value.p, f->value.n, e));
    }
    last = f->value.p + f->value.n;
  }
  TRY(append_new(r, edits, n, any, out, e));
  TRY(buf_put(out, last, (size_t)(end - last), e));
out:
  return st;
}

enum status record_set(const struct record *r, const char *key, struct span value, struct buf *out, struct err *e) {
  struct field_edit one = { key, value };
  return record_edit(r, &one, 1, out, e);
}

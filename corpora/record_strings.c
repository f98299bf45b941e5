/* SPDX-License-Identifier: Apache-2.0
 * Strings of a row, found in place and put back in place: everything else of the line stays byte for byte. */
#include <string.h>
#include "record.h"

struct found {
  struct arena *a;
  struct record_string *text;
  size_t n, cap;
};
enum { DEEP = 32 };

/* Names of fields that say who speaks, in any depth. */
static unsigned speaker(struct span key, unsigned outer) {
  static const struct { const char *key; unsigned who; } rows[] = {
    { "text", RECORD_TEXT }, { "prompt", RECORD_USER }, { "instruction", RECORD_USER }, { "input", RECORD_USER }, { "question", RECORD_USER }, { "completion", RECORD_ASSISTANT },
    { "output", RECORD_ASSISTANT }, { "answer", RECORD_ASSISTANT }, { "rationale", RECORD_ASSISTANT }, { "system", RECORD_SYSTEM } };
  for (size_t i = 0; outer == RECORD_OTHER && i < sizeof rows / sizeof *rows; i++)
    if (span_key_is(key, rows[i].key)) return rows[i].who;
  return outer;
}

/* Fields that mean something to programs and are no text. */
static int skipped(struct span key, int top) {
  static const char *const names[] = { "id", "role", "type", "from", "tool_call_id", NULL }, *const top_names[] = { "task", "teacher", "terms", "scores", "split", "weight", "label", "choices", "tools", NULL };
  for (const char *const *k = names; *k; k++)
    if (span_key_is(key, *k)) return 1;
  for (const char *const *k = top_names; top && *k; k++)
    if (span_key_is(key, *k)) return 1;
  return 0;
}

static unsigned role_of(const struct record *m, unsigned outer) {
  static const struct { const char *role; unsigned who; } rows[] = {
    { "\"system\"", RECORD_SYSTEM }, { "\"user\"", RECORD_USER }, { "\"assistant\"", RECORD_ASSISTANT }, { "\"human\"", RECORD_USER }, { "\"gpt\"", RECORD_ASSISTANT } };
  struct span role = record_get(m, "role");
  if (span_type(role) != 's') role = record_get(m, "from");
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (span_is(role, rows[i].role)) return rows[i].who;
  return span_type(role) == 's' ? RECORD_OTHER : outer;
}

static enum status collect(struct span v, unsigned who, int depth, struct found *f, struct err *e);

static enum status add(struct span v, unsigned who, struct found *f, struct err *e) {
  if (f->n == f->cap) {
    size_t cap = f->cap ? f->cap * 2 : 8;
    struct record_string *p = arena_calloc(f->a, cap, sizeof *p);
    if (!p) return err_nomem(e, cap * sizeof *p);
    if (f->n) memcpy(p, f->text, f->n * sizeof *p);
    f->text = p;
    f->cap = cap;
  }
  struct record_string *t = &f->text[f->n++];
  *t = (struct record_string){ .raw = v, .who = who };
  return span_string(v, f->a, &t->text, e);
}

static enum status collect_fields(const struct record *r, unsigned who, int depth, struct found *f, struct err *e) {
  enum status st = STATUS_OK;
  for (size_t i = 0; i < r->n_fields; i++) {
    char t = span_type(r->field[i].value);
    if (!strchr("s[{", t) || skipped(r->field[i].key, depth == 0)) continue;
    TRY(collect(r->field[i].value, speaker(r->field[i].key, who), depth + 1, f, e));
  }
out:
  return st;
}

static enum status collect(struct span v, unsigned who, int depth, struct found *f, struct err *e) {
  enum status st = STATUS_OK;
  struct span el;
  struct record r;
  size_t at = 0;
  if (depth > DEEP) return err_set(e, STATUS_DATA, "a value nested deeper than %d levels", DEEP);
  switch (span_type(v)) {
    case 's': return add(v, who, f, e);
    case '[':
      while (st == STATUS_OK && record_next_element(v, &at, &el)) st = collect(el, who, depth + 1, f, e);
      return st;
    case '{':
      TRY(record_split(v, f->a, &r, e));
      return collect_fields(&r, role_of(&r, who), depth, f, e);
    default: return STATUS_OK;
  }
out:
  return st;
}

enum status record_strings(const struct record *r, struct arena *a, struct record_string **s, size_t *n, struct err *e) {
  struct found f = { a, NULL, 0, 0 };
  enum status st = collect_fields(r, RECORD_OTHER, 0, &f, e);
  *s = f.text;
  *n = f.n;
  return st;
}

enum status record_splice(struct span line, const struct record_string *s, size_t n, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  const char *at = line.p;
  for (size_t i = 0; i < n; i++) {
    if (!s[i].changed) continue;
    TRY(buf_put(out, at, (size_t)(s[i].raw.p - at), e));
    TRY(json_put_string(out, s[i].text, e));
    at = s[i].raw.p + s[i].raw.n;
  }
  st = buf_put(out, at, (size_t)(line.p + line.n - at), e);
out:
  return st;
}

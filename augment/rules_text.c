/* SPDX-License-Identifier: Apache-2.0
 * Strings of a row, found in place and put back in place: everything else of the line stays byte for byte. */
#include "record.h"
#include "rule.h"

enum { DEEP = 32 };

/* Names of fields that say who speaks, in any depth. */
static unsigned speaker(struct span key, unsigned outer) {
  static const struct { const char *key; unsigned who; } rows[] = {
    { "text", ON_TEXT }, { "prompt", ON_USER }, { "instruction", ON_USER }, { "input", ON_USER }, { "question", ON_USER }, { "completion", ON_ASSISTANT },
    { "output", ON_ASSISTANT }, { "answer", ON_ASSISTANT }, { "rationale", ON_ASSISTANT }, { "system", ON_SYSTEM } };
  for (size_t i = 0; outer == ON_OTHER && i < sizeof rows / sizeof *rows; i++)
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
    { "\"system\"", ON_SYSTEM }, { "\"user\"", ON_USER }, { "\"assistant\"", ON_ASSISTANT }, { "\"human\"", ON_USER }, { "\"gpt\"", ON_ASSISTANT } };
  struct span role = record_get(m, "role");
  if (span_type(role) != 's') role = record_get(m, "from");
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (span_is(role, rows[i].role)) return rows[i].who;
  return span_type(role) == 's' ? ON_OTHER : outer;
}

static enum status collect(struct span v, unsigned who, int depth, struct rule_row *row, struct err *e);

static enum status add(struct span v, unsigned who, struct rule_row *row, struct err *e) {
  if (row->n == row->cap) {
    size_t cap = row->cap ? row->cap * 2 : 8;
    struct rule_text *p = arena_calloc(row->a, cap, sizeof *p);
    if (!p) return err_nomem(e, cap * sizeof *p);
    if (row->n) memcpy(p, row->text, row->n * sizeof *p);
    row->text = p;
    row->cap = cap;
  }
  struct rule_text *t = &row->text[row->n++];
  *t = (struct rule_text){ .raw = v, .who = who };
  return span_string(v, row->a, &t->text, e);
}

static enum status collect_fields(const struct record *r, unsigned who, int depth, struct rule_row *row, struct err *e) {
  enum status st = STATUS_OK;
  for (size_t i = 0; i < r->n_fields; i++) {
    char t = span_type(r->field[i].value);
    if (!strchr("s[{", t) || skipped(r->field[i].key, depth == 0)) continue;
    TRY(collect(r->field[i].value, speaker(r->field[i].key, who), depth + 1, row, e));
  }
out:
  return st;
}

static enum status collect(struct span v, unsigned who, int depth, struct rule_row *row, struct err *e) {
  enum status st = STATUS_OK;
  struct span el;
  struct record r;
  size_t at = 0;
  if (depth > DEEP) return err_set(e, STATUS_DATA, "a value nested deeper than %d levels", DEEP);
  switch (span_type(v)) {
    case 's': return add(v, who, row, e);
    case '[':
      while (st == STATUS_OK && record_next_element(v, &at, &el)) st = collect(el, who, depth + 1, row, e);
      return st;
    case '{':
      TRY(record_split(v, row->a, &r, e));
      return collect_fields(&r, role_of(&r, who), depth, row, e);
    default: return STATUS_OK;
  }
out:
  return st;
}

enum status rules_collect(const struct record *r, struct arena *a, struct rule_row *row, struct err *e) {
  row->a = a;
  row->n = row->cap = 0;
  row->text = NULL;
  return collect_fields(r, ON_OTHER, 0, row, e);
}

enum status rules_splice(struct span line, const struct rule_row *row, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  const char *at = line.p;
  for (size_t i = 0; i < row->n; i++) {
    const struct rule_text *t = &row->text[i];
    if (!t->changed) continue;
    TRY(buf_put(out, at, (size_t)(t->raw.p - at), e));
    TRY(json_put_string(out, t->text, e));
    at = t->raw.p + t->raw.n;
  }
  st = buf_put(out, at, (size_t)(line.p + line.n - at), e);
out:
  return st;
}

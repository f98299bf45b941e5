/* SPDX-License-Identifier: Apache-2.0
 * Method `slots: {table: FILE}`: {{column}} is filled from a row of a table (CSV with a header line, or JSON Lines). All texts of
 * a row take the same row of the table, so question and answer fit together. */
#include "rule_match.h"
#include "file.h"

struct slots {
  struct span *name, *cell; /* (columns), (rows, columns) */
  size_t n_col, n_row, cap;
  int each;
  const char *file;
};

static struct span *row_at(struct slots *s, struct arena *a, size_t row) {
  if (row >= s->cap) {
    size_t cap = s->cap ? s->cap * 2 : 64;
    struct span *p = arena_calloc(a, cap * s->n_col, sizeof *p);
    if (!p) return NULL;
    if (s->n_row) memcpy(p, s->cell, s->n_row * s->n_col * sizeof *p);
    s->cell = p;
    s->cap = cap;
  }
  return s->cell + row * s->n_col;
}

/* One field of RFC 4180; *more = 1 when a comma follows. The text is changed in place. */
static enum status csv_field(char **at, char *end, struct span *out, int *more, const char *file, size_t line, struct err *e) {
  char *p = *at, *w = p, *begin = p;
  if (p < end && *p == '"') {
    for (p++;; p++) {
      if (p >= end) return err_set(e, STATUS_DATA, "'%s' row %zu: a quote that is not closed", file, line);
      if (*p == '"') {
        if (p + 1 < end && p[1] == '"') p++;
        else break;
      }
      *w++ = *p;
    }
    p++;
    if (p < end && !strchr(",\r\n", *p)) return err_set(e, STATUS_DATA, "'%s' row %zu: text behind a closing quote, expected ',' or the end of the line", file, line);
  } else {
    while (p < end && !strchr(",\r\n", *p)) *w++ = *p++;
  }
  *out = (struct span){ begin, (size_t)(w - begin) };
  *more = p < end && *p == ',';
  if (p < end && *p == '\r') p++;
  if (p < end) p++;
  *at = p;
  return STATUS_OK;
}

static enum status read_csv(struct slots *s, struct span text, struct arena *a, struct err *e) {
  enum status st = STATUS_OK;
  char *p = arena_strndup(a, text.p, text.n), *end;
  struct span field[256];
  if (!p) return err_nomem(e, text.n);
  end = p + text.n;
  for (size_t line = 1; p < end; line++) {
    size_t n = 0;
    int more = 1;
    if (*p == '\n' || *p == '\r') {
      p++;
      continue;
    }
    while (more) {
      if (n == 256) return err_set(e, STATUS_LIMIT, "'%s' row %zu: more than 256 columns", s->file, line);
      TRY(csv_field(&p, end, &field[n++], &more, s->file, line, e));
    }
    if (!s->name) {
      s->name = arena_calloc(a, n, sizeof *s->name);
      s->n_col = n;
    }
    if (n != s->n_col) return err_set(e, STATUS_DATA, "'%s' row %zu: %zu columns, expected %zu as in the header", s->file, line, n, s->n_col);
    struct span *to = line == 1 ? s->name : row_at(s, a, s->n_row);
    if (!to) return err_nomem(e, n * sizeof *to);
    memcpy(to, field, n * sizeof *to);
    s->n_row += line > 1;
  }
out:
  return st;
}

static enum status json_row(struct slots *s, const struct record *r, struct arena *a, size_t line, struct err *e) {
  enum status st = STATUS_OK;
  if (!s->name) { /* the first row names the columns */
    s->n_col = r->n_fields;
    s->name = arena_calloc(a, s->n_col + 1, sizeof *s->name);
    for (size_t i = 0; s->name && i < s->n_col; i++) s->name[i] = r->field[i].key;
  }
  struct span *to = s->name ? row_at(s, a, s->n_row) : NULL;
  if (!to) return err_nomem(e, s->n_col);
  for (size_t i = 0; i < s->n_col; i++) {
    struct span v = { NULL, 0 };
    for (size_t k = 0; k < r->n_fields; k++)
      if (r->field[k].key.n == s->name[i].n && memcmp(r->field[k].key.p, s->name[i].p, s->name[i].n) == 0) v = r->field[k].value;
    if (span_type(v) == 's') TRY(span_string(v, a, &to[i], e));
    else if (span_type(v) == 'n') to[i] = v;
    else return err_set(e, STATUS_DATA, "'%s' row %zu: column '%.*s': expected a string or a number", s->file, line, (int)s->name[i].n, s->name[i].p);
  }
  s->n_row++;
out:
  return st;
}

static enum status read_jsonl(struct slots *s, struct span text, struct arena *a, struct err *e) {
  enum status st = STATUS_OK;
  const char *copy = arena_strndup(a, text.p, text.n), *end = copy + text.n;
  if (!copy) return err_nomem(e, text.n);
  for (size_t line = 1; copy < end; line++) {
    const char *nl = memchr(copy, '\n', (size_t)(end - copy));
    struct span one = { copy, (size_t)((nl ? nl : end) - copy) };
    struct record r;
    copy = nl ? nl + 1 : end;
    if (one.n == 0) continue;
    st = record_split(one, a, &r, e);
    if (st == STATUS_OK) st = json_row(s, &r, a, line, e);
    else (void)err_prefix(e, "'%s' row %zu", s->file, line);
    if (st != STATUS_OK) return st;
  }
  return st;
}

static enum status open(const struct json *args, const char *dir, struct arena *a, void **state, struct err *e) {
  static const struct rule_key keys[] = { { "table", JSON_STRING }, { "pick", JSON_STRING } };
  struct slots *s = arena_calloc(a, 1, sizeof *s);
  struct buf b = { 0 };
  enum status st = STATUS_OK;
  if (!s) return err_nomem(e, sizeof *s);
  *state = s;
  TRY(rule_check_keys("slots", args, keys, 2, e));
  const char *name = json_cstr(json_get(args, "table"), NULL), *pick = json_cstr(json_get(args, "pick"), "random");
  if (!name) return err_set(e, STATUS_USAGE, "rule 'slots': 'table' is needed");
  if (strcmp(pick, "random") != 0 && strcmp(pick, "each") != 0) return err_set(e, STATUS_USAGE, "rule 'slots': pick: found '%s', expected random or each (copy n takes row n)", pick);
  s->each = strcmp(pick, "each") == 0;
  s->file = *name == '/' ? name : arena_printf(a, "%s%s", dir, name);
  if (!s->file) return err_nomem(e, 64);
  TRY(file_read(s->file, (size_t)1 << 30, &b, e));
  size_t n = strlen(name);
  struct span text = { b.p ? b.p : "", b.n };
  TRY(n > 6 && strcmp(name + n - 6, ".jsonl") == 0 ? read_jsonl(s, text, a, e) : read_csv(s, text, a, e));
  if (s->n_row == 0) st = err_set(e, STATUS_DATA, "'%s': a table without rows", s->file);
out:
  buf_free(&b);
  return st;
}

static enum status fill(const struct slots *s, const struct span *cells, struct span t, struct buf *out, struct err *e) {
  static const char *const cases[] = { "", ":upper", ":lower", ":title" };
  enum status st = STATUS_OK;
  for (size_t i = 0; i < t.n;) {
    size_t z = i + 2;
    if (t.p[i] != '{' || i + 1 >= t.n || t.p[i + 1] != '{') {
      TRY(buf_putc(out, t.p[i++], e));
      continue;
    }
    while (z + 1 < t.n && (t.p[z] != '}' || t.p[z + 1] != '}')) z++;
    if (z + 1 >= t.n) return buf_put(out, t.p + i, t.n - i, e); /* not closed: plain text */
    struct span name = { t.p + i + 2, z - i - 2 };
    int k = 3;
    for (; k > 0; k--) {
      size_t n = strlen(cases[k]);
      if (name.n > n && memcmp(name.p + name.n - n, cases[k], n) == 0) break;
    }
    name.n -= strlen(cases[k]);
    size_t c = 0;
    while (c < s->n_col && (s->name[c].n != name.n || memcmp(s->name[c].p, name.p, name.n) != 0)) c++;
    if (c == s->n_col) return err_set(e, STATUS_DATA, "slot '{{%.*s}}': '%s' has no such column", (int)(name.n > 80 ? 80 : name.n), name.p, s->file);
    TRY(case_put(out, cells[c].p ? cells[c] : (struct span){ "", 0 }, (enum letter_case)k, e));
    i = z + 2;
  }
out:
  return st;
}

static enum status apply(void *state, struct rule_row *r, struct err *e) {
  const struct slots *s = state;
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  size_t row = s->each ? (size_t)(r->copy > 0 ? r->copy - 1 : 0) % s->n_row : rng_below(&r->rng, s->n_row);
  for (size_t i = 0; i < r->n; i++) {
    if (!rule_wants(r, i)) continue;
    buf_clear(&b);
    TRY(fill(s, s->cell + row * s->n_col, r->text[i].text, &b, e));
    TRY(rule_put(r, i, &b, e));
  }
out:
  buf_free(&b);
  return st;
}

const struct rule_class rule_slots = { "slots", "{{column}} filled from a row of a table", RECORD_ALL, 0, open, NULL, NULL, apply };

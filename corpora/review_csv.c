/* SPDX-License-Identifier: Apache-2.0
 * CSV of verdicts. Verdicts are sorted by id for look-up. */
#include "review_csv.h"
#include <stdlib.h>
#include <string.h>
#include "file.h"

enum { COLUMNS = 64 };

const char *verdict_name(enum verdict_kind k) {
  static const char *const name[] = { "approve", "edit", "reject" };
  return name[k];
}

enum status csv_put(struct buf *b, const char *text, int last, struct err *e) {
  enum status st;
  TRY(buf_putc(b, '"', e));
  for (; *text; text++) {
    if (*text == '"') TRY(buf_putc(b, '"', e));
    TRY(buf_putc(b, *text, e));
  }
  TRY(buf_puts(b, last ? "\"\n" : "\",", e));
out:
  return st;
}

struct csv { const char *p, *end; unsigned long long line; };

/* The cells of the next line, in the arena; *n = 0 at the end. */
static enum status csv_line(struct csv *c, struct arena *a, struct span *cell, size_t *n, struct err *e) {
  *n = 0;
  if (c->p >= c->end) return STATUS_OK;
  unsigned long long at = ++c->line;
  for (;;) {
    struct buf b = { 0 };
    enum status st = STATUS_OK;
    if (*n == COLUMNS) return err_set(e, STATUS_DATA, "line %llu: more than %d columns", at, COLUMNS);
    if (c->p < c->end && *c->p == '"') {
      for (c->p++;; c->p++) {
        if (c->p >= c->end) {
          buf_free(&b);
          return err_set(e, STATUS_DATA, "line %llu: a quote is not closed", at);
        }
        if (*c->p == '"' && (c->p + 1 >= c->end || c->p[1] != '"')) break;
        c->p += *c->p == '"';
        c->line += *c->p == '\n';
        if ((st = buf_putc(&b, *c->p, e)) != STATUS_OK) break;
      }
      c->p++;
    } else {
      for (; st == STATUS_OK && c->p < c->end && *c->p != ',' && *c->p != '\n'; c->p++)
        if (*c->p != '\r') st = buf_putc(&b, *c->p, e);
    }
    char *copy = st == STATUS_OK ? arena_strndup(a, b.p ? b.p : "", b.n) : NULL;
    cell[(*n)++] = (struct span){ copy, b.n };
    buf_free(&b);
    if (!copy) return st == STATUS_OK ? err_nomem(e, 0) : st;
    if (c->p < c->end && *c->p == '\r') c->p++;
    if (c->p >= c->end || *c->p == '\n') {
      c->p++;
      return STATUS_OK;
    }
    if (*c->p != ',') return err_set(e, STATUS_DATA, "line %llu: '%c' behind a closed quote, expected a comma", at, *c->p);
    c->p++;
  }
}

static char *cell_text(const struct span *cell, size_t n, int column) {
  return column < 0 || (size_t)column >= n ? mem_strndup("", 0) : mem_strndup(cell[column].p, cell[column].n);
}

static enum status add(struct verdicts *v, const struct span *cell, size_t n, const int *column, unsigned long long line, struct err *e) {
  struct verdict d = { 0 };
  struct span said = column[1] >= 0 && (size_t)column[1] < n ? cell[column[1]] : (struct span){ "", 0 };
  if (said.n == 0) return STATUS_OK;
  int kind = 0;
  while (kind < 3 && !span_is(said, verdict_name((enum verdict_kind)kind))) kind++;
  if (kind == 3) return err_set(e, STATUS_DATA, "line %llu: decision '%.*s', expected approve, edit or reject", line, (int)(said.n < 40 ? said.n : 40), said.p);
  d.decision = (enum verdict_kind)kind;
  if (v->n == v->cap) {
    size_t cap = v->cap ? 2 * v->cap : 64;
    struct verdict *p = mem_realloc(v->of, cap * sizeof *p);
    if (!p) return err_nomem(e, cap * sizeof *p);
    v->of = p;
    v->cap = cap;
  }
  d.id = cell_text(cell, n, column[0]), d.text = cell_text(cell, n, column[2]), d.reviewer = cell_text(cell, n, column[3]), d.date = cell_text(cell, n, column[4]);
  v->of[v->n++] = d;
  return d.id && d.text && d.reviewer && d.date ? STATUS_OK : err_nomem(e, 0);
}

static int by_id(const void *a, const void *b) { return strcmp(((const struct verdict *)a)->id, ((const struct verdict *)b)->id); }

static void verdict_free(struct verdict *d) {
  mem_free(d->id);
  mem_free(d->text);
  mem_free(d->reviewer);
  mem_free(d->date);
}

/* Stable: of equal ids the later line stays. */
static void sort_last(struct verdicts *v) {
  size_t kept = 0;
  for (size_t i = 1; i < v->n; i++) { /* insertion keeps order; people write hundreds of verdicts, not millions */
    struct verdict d = v->of[i];
    size_t k = i;
    for (; k > 0 && by_id(&v->of[k - 1], &d) > 0; k--) v->of[k] = v->of[k - 1];
    v->of[k] = d;
  }
  for (size_t i = 0; i < v->n; i++) {
    if (i + 1 < v->n && by_id(&v->of[i], &v->of[i + 1]) == 0) verdict_free(&v->of[i]);
    else v->of[kept++] = v->of[i];
  }
  v->n = kept;
}

enum status verdicts_read(const char *path, struct verdicts *v, struct err *e) {
  static const char *const names[5] = { "id", "decision", "text", "reviewer", "date" };
  enum status st;
  struct buf b = { 0 };
  struct span cell[COLUMNS];
  int column[5] = { -1, -1, -1, -1, -1 };
  size_t n;
  struct arena *a = arena_new(0);
  if (!a) return err_nomem(e, 0);
  TRY(file_read(path, (size_t)1 << 28, &b, e));
  struct csv c = { b.p, b.p + b.n, 0 };
  if (b.n >= 3 && memcmp(b.p, "\xef\xbb\xbf", 3) == 0) c.p += 3; /* what spreadsheets put in front */
  st = csv_line(&c, a, cell, &n, e);
  for (size_t i = 0; st == STATUS_OK && i < n; i++)
    for (int k = 0; k < 5; k++)
      if (span_is(cell[i], names[k])) column[k] = (int)i;
  if (st == STATUS_OK && (column[0] < 0 || column[1] < 0)) st = err_set(e, STATUS_DATA, "no columns 'id' and 'decision' in the first line");
  while (st == STATUS_OK) {
    arena_reset(a);
    st = csv_line(&c, a, cell, &n, e);
    if (st != STATUS_OK || n == 0) break;
    if (n > 1 || cell[0].n) st = add(v, cell, n, column, c.line, e);
  }
  if (st != STATUS_OK) err_prefix(e, "'%s'", path);
  else sort_last(v);
out:
  buf_free(&b);
  arena_free(a);
  return st;
}

struct verdict *verdict_find(const struct verdicts *v, struct span id) {
  size_t low = 0, high = v->n;
  while (low < high) {
    size_t mid = (low + high) / 2, n = strlen(v->of[mid].id);
    int c = memcmp(v->of[mid].id, id.p, n < id.n ? n : id.n);
    if (c == 0) c = (n > id.n) - (n < id.n);
    if (c == 0) return &v->of[mid];
    if (c < 0) low = mid + 1;
    else high = mid;
  }
  return NULL;
}

size_t verdicts_unused(const struct verdicts *v) {
  size_t n = 0;
  for (size_t i = 0; i < v->n; i++) n += !v->of[i].used;
  return n;
}

void verdicts_free(struct verdicts *v) {
  for (size_t i = 0; i < v->n; i++) verdict_free(&v->of[i]);
  mem_free(v->of);
  *v = (struct verdicts){ 0 };
}

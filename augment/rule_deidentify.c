/* SPDX-License-Identifier: Apache-2.0
 * Method `deidentify`: personal data (fetch/pii.h) become placeholders, the same person the same one in all rows and, with a
 * mapping file, in all runs. Names are found by what stands around them; where one was found, its other mentions in the row are
 * replaced too, also by the last word of it alone, and full names in all rows that follow. Serial: numbers are given in the order of rows. The mapping
 * file holds what was taken out: it is written with mode 0600, as a whole or not at all, and must never travel with the rows. */
#include <sys/stat.h>
#include "file.h"
#include "hash.h"
#include "log.h"
#include "pii.h"
#include "rule.h"

struct known { enum pii_kind kind; unsigned number; char *value; size_t n; };
struct deidentify {
  struct pii *pii;
  struct pii_map *map;
  struct arena *a;
  struct known *known;      /* as they came */
  size_t n, cap, n_loaded;
  unsigned last[PII_KINDS]; /* highest number of each kind */
  uint32_t *slot;           /* full names by hash: index into known + 1 */
  size_t cap_slot, n_slot;
  const char *file;
  struct { uint64_t texts, hits; } count;
};

static int is_letter(unsigned char c) { return c >= 0x80 || ((c | 32) >= 'a' && (c | 32) <= 'z'); }

/* ---- what is known ---- */
static enum status index_name(struct deidentify *d, size_t at, struct err *e) {
  if ((d->n_slot + 1) * 2 > d->cap_slot) {
    size_t cap = d->cap_slot ? d->cap_slot * 2 : 1024;
    uint32_t *p = mem_calloc(cap, sizeof *p);
    if (!p) return err_nomem(e, cap * sizeof *p);
    for (size_t i = 0; i < d->cap_slot; i++) {
      if (!d->slot[i]) continue;
      size_t h = xxh3(d->known[d->slot[i] - 1].value, d->known[d->slot[i] - 1].n) & (cap - 1);
      while (p[h]) h = (h + 1) & (cap - 1);
      p[h] = d->slot[i];
    }
    mem_free(d->slot);
    d->slot = p;
    d->cap_slot = cap;
  }
  size_t h = xxh3(d->known[at].value, d->known[at].n) & (d->cap_slot - 1);
  while (d->slot[h]) h = (h + 1) & (d->cap_slot - 1);
  d->slot[h] = (uint32_t)at + 1;
  d->n_slot++;
  return STATUS_OK;
}

static int find_name(const struct deidentify *d, struct span v) {
  for (size_t h = d->cap_slot ? xxh3(v.p, v.n) & (d->cap_slot - 1) : 0; d->cap_slot && d->slot[h]; h = (h + 1) & (d->cap_slot - 1)) {
    const struct known *k = &d->known[d->slot[h] - 1];
    if (k->n == v.n && memcmp(k->value, v.p, v.n) == 0) return 1;
  }
  return 0;
}

/* The number of a value; a spelling not met before is kept for the mapping file. */
static enum status number_of(struct deidentify *d, enum pii_kind kind, struct span v, unsigned *number, struct err *e) {
  enum status st = pii_map_number(d->map, kind, v, number, e);
  int full = kind == PII_name && memchr(v.p, ' ', v.n) != NULL;
  if (st != STATUS_OK || (*number <= d->last[kind] && !(full && !find_name(d, v)))) return st;
  if (d->n == d->cap) {
    size_t cap = d->cap ? d->cap * 2 : 256;
    struct known *p = mem_realloc(d->known, cap * sizeof *p);
    if (!p) return err_nomem(e, cap * sizeof *p);
    d->known = p;
    d->cap = cap;
  }
  char *copy = arena_strndup(d->a, v.p, v.n);
  if (!copy) return err_nomem(e, v.n);
  d->known[d->n++] = (struct known){ kind, *number, copy, v.n };
  d->last[kind] = *number > d->last[kind] ? *number : d->last[kind];
  return full ? index_name(d, d->n - 1, e) : STATUS_OK;
}

/* ---- mapping file ---- */
static enum status load_one(struct deidentify *d, struct span line, size_t number, struct arena *a, struct err *e) {
  enum status st = STATUS_OK;
  struct json *j = NULL;
  struct span value, kind;
  unsigned n = 0;
  int k = 0;
  (void)a;
  TRY(json_parse(line, "row", &j, e));
  value = json_str(json_get(j, "value"));
  kind = json_str(json_get(j, "kind"));
  while (k < PII_KINDS && !span_is(kind, pii_kind_name((enum pii_kind)k))) k++;
  if (k == PII_KINDS || !value.p || value.n == 0 || json_int(json_get(j, "number"), 0) < 1) {
    st = err_set(e, STATUS_DATA, "expected {\"kind\":..,\"number\":..,\"value\":..} as deidentify writes it");
    goto out;
  }
  TRY(number_of(d, (enum pii_kind)k, value, &n, e));
  if ((int64_t)n != json_int(json_get(j, "number"), 0)) st = err_set(e, STATUS_DATA, "found number %lld, expected %u: rows are missing or were moved", (long long)json_int(json_get(j, "number"), 0), n);
out:
  if (st != STATUS_OK) (void)err_prefix(e, "'%s' row %zu", d->file, number);
  json_free(j);
  return st;
}

static enum status load(struct deidentify *d, struct err *e) {
  struct buf b = { 0 };
  enum status st = file_read(d->file, (size_t)4 << 30, &b, e);
  size_t number = 0;
  for (size_t at = 0; st == STATUS_OK && at < b.n;) {
    const char *nl = memchr(b.p + at, '\n', b.n - at);
    size_t n = nl ? (size_t)(nl - b.p) - at : b.n - at;
    st = n ? load_one(d, (struct span){ b.p + at, n }, ++number, d->a, e) : STATUS_OK;
    at += n + 1;
  }
  d->n_loaded = d->n;
  buf_free(&b);
  return st;
}

static enum status save(void *state, struct err *e) {
  struct deidentify *d = state;
  enum status st = STATUS_OK;
  struct file_atomic f = { 0 };
  struct buf b = { 0 };
  log_info("deidentify: %llu values in %llu texts replaced, %zu different ones known", (unsigned long long)d->count.hits, (unsigned long long)d->count.texts, d->n);
  if (!d->file || d->n == d->n_loaded) return STATUS_OK;
  TRY(file_atomic_open(&f, d->file, e));
  if (fchmod(fileno(f.fp), 0600) != 0) {
    st = err_sys(e, STATUS_IO, "'%s'", d->file);
    goto out;
  }
  for (size_t i = 0; i < d->n; i++) {
    const struct known *k = &d->known[i];
    buf_clear(&b);
    TRY(buf_printf(&b, e, "{\"kind\":\"%s\",\"number\":%u,\"placeholder\":\"[%s_%u]\",\"value\":", pii_kind_name(k->kind), k->number, pii_kind_label(k->kind), k->number));
    TRY(json_put_string(&b, (struct span){ k->value, k->n }, e));
    TRY(buf_puts(&b, "}\n", e));
    if (fwrite(b.p, 1, b.n, f.fp) != b.n) {
      st = err_sys(e, STATUS_IO, "'%s'", d->file);
      goto out;
    }
  }
  TRY(file_atomic_commit(&f, e));
  d->n_loaded = d->n;
out:
  file_atomic_abort(&f);
  buf_free(&b);
  return st;
}

/* ---- rows ---- */
struct place { size_t from, to; unsigned number; enum pii_kind kind; };
struct name { struct span value, last; unsigned number; };
struct finding {
  struct place *p;
  size_t n, cap;
};

static enum status add_place(struct rule_row *r, struct finding *f, struct place p, struct err *e) {
  if (f->n == f->cap) {
    size_t cap = f->cap ? f->cap * 2 : 16;
    struct place *q = arena_calloc(r->a, cap, sizeof *q);
    if (!q) return err_nomem(e, cap * sizeof *q);
    if (f->n) memcpy(q, f->p, f->n * sizeof *q);
    f->p = q;
    f->cap = cap;
  }
  f->p[f->n++] = p;
  return STATUS_OK;
}

static int overlaps(const struct finding *f, size_t from, size_t to) {
  for (size_t i = 0; i < f->n; i++)
    if (from < f->p[i].to && to > f->p[i].from) return 1;
  return 0;
}

/* Whole-word mentions of a name that the scanner did not see by itself. */
static enum status add_mentions(struct rule_row *r, struct span t, struct span v, unsigned number, struct finding *f, struct err *e) {
  for (size_t i = 0; v.n > 2 && i + v.n <= t.n;) {
    const char *hit = memmem(t.p + i, t.n - i, v.p, v.n);
    if (!hit) break;
    size_t from = (size_t)(hit - t.p), to = from + v.n;
    i = from + 1;
    if ((from && is_letter((unsigned char)t.p[from - 1])) || (to < t.n && is_letter((unsigned char)t.p[to])) || overlaps(f, from, to)) continue;
    enum status st = add_place(r, f, (struct place){ from, to, number, PII_name }, e);
    if (st != STATUS_OK) return st;
  }
  return STATUS_OK;
}

static size_t word_end(struct span t, size_t i) {
  while (i < t.n && (is_letter((unsigned char)t.p[i]) || t.p[i] == '-' || t.p[i] == '\'' || t.p[i] == '.')) i++;
  while (i > 0 && (t.p[i - 1] == '.' || t.p[i - 1] == '\'' || t.p[i - 1] == '-')) i--;
  return i;
}

/* Full names that earlier rows brought: runs of two to four words, the longest first. */
static enum status add_known(struct deidentify *d, struct rule_row *r, struct span t, struct finding *f, struct err *e) {
  for (size_t i = 0; d->n_slot && i < t.n;) {
    if (!is_letter((unsigned char)t.p[i]) || (t.p[i] >= 'a' && t.p[i] <= 'z')) {
      size_t z = word_end(t, i);
      i = z > i ? z : i + 1;
      continue;
    }
    size_t ends[4], n = 0, first = word_end(t, i);
    for (size_t z = first; n < 4 && z > i; n++) {
      ends[n] = z;
      z = z + 1 < t.n && t.p[z] == ' ' ? word_end(t, z + 1) : t.p[z] == '.' && z + 2 < t.n && t.p[z + 1] == ' ' ? word_end(t, z + 2) : 0;
      if (z && z <= ends[n] + 1) z = 0;
    }
    size_t took = 0;
    for (size_t k = n; k > 1 && !took; k--) {
      struct span v = { t.p + i, ends[k - 1] - i };
      unsigned number;
      if (!find_name(d, v) || overlaps(f, i, ends[k - 1])) continue;
      enum status st = pii_map_number(d->map, PII_name, v, &number, e);
      if (st == STATUS_OK) st = add_place(r, f, (struct place){ i, ends[k - 1], number, PII_name }, e);
      if (st != STATUS_OK) return st;
      took = ends[k - 1];
    }
    i = took ? took : first > i ? first : i + 1;
  }
  return STATUS_OK;
}

static int by_place(const void *a, const void *b) {
  const struct place *x = a, *y = b;
  return x->from < y->from ? -1 : x->from > y->from;
}

static enum status write_text(struct deidentify *d, struct rule_row *r, size_t i, struct finding *f, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  struct span t = r->text[i].text;
  size_t at = 0;
  if (f->n == 0) return STATUS_OK;
  qsort(f->p, f->n, sizeof *f->p, by_place);
  buf_clear(b);
  for (size_t k = 0; k < f->n; k++) {
    TRY(buf_put(b, t.p + at, f->p[k].from - at, e));
    TRY(buf_printf(b, e, "[%s_%u]", pii_kind_label(f->p[k].kind), f->p[k].number));
    at = f->p[k].to;
  }
  TRY(buf_put(b, t.p + at, t.n - at, e));
  d->count.texts++;
  d->count.hits += f->n;
  st = rule_put(r, i, b, e);
out:
  return st;
}

static enum status apply(void *state, struct rule_row *r, struct err *e) {
  struct deidentify *d = state;
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  struct finding *f = arena_calloc(r->a, r->n + 1, sizeof *f);
  struct name *name = NULL;
  size_t n_name = 0, cap_name = 0;
  if (!f) return err_nomem(e, r->n * sizeof *f);
  for (size_t i = 0; i < r->n; i++) {
    struct pii_hit *hit;
    size_t n;
    struct span t = r->text[i].text;
    if (!rule_wants(r, i)) continue;
    TRY(pii_scan(d->pii, t, r->a, &hit, &n, e));
    for (size_t k = 0; k < n; k++) {
      struct span v = { t.p + hit[k].offset, hit[k].bytes };
      unsigned number;
      TRY(number_of(d, hit[k].kind, v, &number, e));
      TRY(add_place(r, &f[i], (struct place){ hit[k].offset, hit[k].offset + v.n, number, hit[k].kind }, e));
      if (hit[k].kind != PII_name) continue;
      if (n_name == cap_name) {
        struct name *p = arena_calloc(r->a, cap_name = cap_name ? cap_name * 2 : 8, sizeof *p);
        if (!p) {
          st = err_nomem(e, cap_name * sizeof *p);
          goto out;
        }
        if (n_name) memcpy(p, name, n_name * sizeof *p);
        name = p;
      }
      const char *space = memrchr(v.p, ' ', v.n);
      name[n_name++] = (struct name){ v, space ? (struct span){ space + 1, (size_t)(v.p + v.n - space - 1) } : (struct span){ NULL, 0 }, number };
    }
  }
  for (size_t i = 0; i < r->n; i++) {
    struct span t = r->text[i].text;
    if (!rule_wants(r, i)) continue;
    for (size_t k = 0; k < n_name; k++) TRY(add_mentions(r, t, name[k].value, name[k].number, &f[i], e));
    TRY(add_known(d, r, t, &f[i], e));
    for (size_t k = 0; k < n_name; k++)
      if (name[k].last.p) TRY(add_mentions(r, t, name[k].last, name[k].number, &f[i], e));
    TRY(write_text(d, r, i, &f[i], &b, e));
  }
out:
  buf_free(&b);
  return st;
}

static void close(void *state) {
  struct deidentify *d = state;
  if (!d) return;
  pii_free(d->pii);
  pii_map_free(d->map);
  arena_free(d->a);
  mem_free(d->known);
  mem_free(d->slot);
}

static enum status open(const struct json *args, const char *dir, struct arena *a, void **state, struct err *e) {
  static const struct rule_key keys[] = { { "kinds", JSON_STRING }, { "min_score", JSON_REAL }, { "map", JSON_STRING } };
  struct deidentify *d = arena_calloc(a, 1, sizeof *d);
  enum status st = STATUS_OK;
  if (!d) return err_nomem(e, sizeof *d);
  *state = d;
  d->a = arena_new(0);
  d->map = pii_map_new();
  if (!d->a || !d->map) return err_nomem(e, sizeof *d);
  if (json_type(args) == JSON_OBJECT) TRY(rule_check_keys("deidentify", args, keys, 3, e));
  const struct json *kinds = json_type(args) == JSON_STRING ? args : json_get(args, "kinds");
  TRY(pii_new(json_cstr(kinds, "all"), json_num(json_get(args, "min_score"), PII_SCORE_DEFAULT), &d->pii, e));
  const char *map = json_cstr(json_get(args, "map"), NULL);
  if (map) {
    d->file = *map == '/' ? map : arena_printf(a, "%s%s", dir, map);
    if (!d->file) return err_nomem(e, 64);
    if (file_exists(d->file)) TRY(load(d, e));
  }
out:
  return st;
}

const struct rule_class rule_deidentify = { "deidentify", "personal data become placeholders, the same for the same person", RECORD_ALL, 1, open, close, save, apply };

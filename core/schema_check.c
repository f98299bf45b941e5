/* SPDX-License-Identifier: Apache-2.0
 * Checks a value against a schema's nodes. A check gives 1 (fits), 0 (does not, and the miss is noted) or -1 (cannot be
 * decided: limit or memory, the error is set). The place in the value is a chain on the C stack; it is written out only
 * when a miss is noted. Of several misses the deepest one counts, the first among equals. */
#include <math.h>
#include <stdarg.h>
#include "schema_node.h"

#define MAX_STEPS 10000000
#define MATCH_LIMIT 1000000

struct place {
  const struct place *up;
  struct span name; /* of a member, or {NULL,0} */
  size_t index;
  int depth;
};

struct checking {
  struct err *e;
  long steps;
  int quiet;      /* > 0: below a `not` or where misses do not matter */
  int miss_depth; /* -1 = none noted */
  struct buf at, found, expected;
};

static int check(struct checking *c, const struct schema_node *n, const struct json *v, const struct place *p, int depth);

static enum status put_place(struct buf *b, const struct place *p) {
  enum status st = STATUS_OK;
  if (!p->up) return STATUS_OK;
  TRY(put_place(b, p->up));
  TRY(buf_putc(b, '/', NULL));
  if (!p->name.p) return buf_printf(b, NULL, "%zu", p->index);
  for (size_t i = 0; i < p->name.n; i++) {
    char k = p->name.p[i];
    TRY(k == '~' ? buf_puts(b, "~0", NULL) : k == '/' ? buf_puts(b, "~1", NULL) : buf_putc(b, k, NULL));
  }
out:
  return st;
}

/* The value as JSON, cut to what a message can carry. */
static enum status put_value(struct buf *b, const struct json *v) {
  struct buf whole = { 0 };
  size_t n = 80;
  enum status st = STATUS_OK;
  if (json_type(v) == JSON_ARRAY) return buf_printf(b, NULL, "array of %zu", json_size(v));
  if (json_type(v) == JSON_OBJECT) return buf_printf(b, NULL, "object of %zu", json_size(v));
  TRY(json_put(&whole, v, NULL));
  while (n < whole.n && ((unsigned char)whole.p[n] & 0xC0) == 0x80) n--;
  TRY(buf_put(b, whole.p, whole.n < n ? whole.n : n, NULL));
  if (whole.n > n) TRY(buf_puts(b, "...", NULL));
out:
  buf_free(&whole);
  return st;
}

/* Notes a miss; found NULL = the value itself. Always 0, or -1 when memory runs out. */
static int miss(struct checking *c, const struct place *p, const struct json *v, const char *found, const char *fmt, ...) PRINTF_LIKE(5, 6);
static int miss(struct checking *c, const struct place *p, const struct json *v, const char *found, const char *fmt, ...) {
  char text[400];
  va_list ap;
  enum status st = STATUS_OK;
  if (c->quiet || p->depth <= c->miss_depth) return 0;
  buf_clear(&c->at);
  buf_clear(&c->found);
  buf_clear(&c->expected);
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  c->miss_depth = p->depth;
  TRY(put_place(&c->at, p));
  TRY(found ? buf_puts(&c->found, found, NULL) : put_value(&c->found, v));
  TRY(buf_puts(&c->expected, text, NULL));
  return 0;
out:
  err_nomem(c->e, sizeof text);
  return -1;
}

static int over_limit(struct checking *c, const char *what) {
  err_set(c->e, STATUS_LIMIT, "the check needs %s; the schema or the value is too big to be checked", what);
  return -1;
}

/* ---- equality and order ---- */
static int is_number(const struct json *j) { return json_type(j) == JSON_INT || json_type(j) == JSON_REAL; }

/* Exact: an extended double holds every int64. */
static int compare_numbers(const struct json *a, const struct json *b) {
  if (json_type(a) == JSON_INT && json_type(b) == JSON_INT) {
    int64_t x = json_int(a, 0), y = json_int(b, 0);
    return x < y ? -1 : x > y;
  }
  long double x = json_type(a) == JSON_INT ? (long double)json_int(a, 0) : (long double)json_num(a, 0);
  long double y = json_type(b) == JSON_INT ? (long double)json_int(b, 0) : (long double)json_num(b, 0);
  return x < y ? -1 : x > y;
}

static int equal(struct checking *c, const struct json *a, const struct json *b) {
  void *it = NULL;
  struct span key;
  const struct json *val;
  if (++c->steps > MAX_STEPS) return over_limit(c, "more than ten million steps");
  if (is_number(a) && is_number(b)) return compare_numbers(a, b) == 0;
  if (json_type(a) != json_type(b)) return 0;
  switch (json_type(a)) {
    case JSON_STRING: return json_str(a).n == json_str(b).n && memcmp(json_str(a).p, json_str(b).p, json_str(a).n) == 0;
    case JSON_BOOL: return json_bool(a, 0) == json_bool(b, 0);
    case JSON_ARRAY:
      if (json_size(a) != json_size(b)) return 0;
      for (size_t i = 0; i < json_size(a); i++) {
        int r = equal(c, json_at(a, i), json_at(b, i));
        if (r != 1) return r;
      }
      return 1;
    case JSON_OBJECT:
      if (json_size(a) != json_size(b)) return 0;
      while (json_next(a, &it, &key, &val)) {
        const struct json *other = json_get(b, key.p);
        int r = other ? equal(c, val, other) : 0;
        if (r != 1) return r;
      }
      return 1;
    default: return 1;
  }
}

/* ---- by type ---- */
static unsigned types_of(const struct json *v) {
  switch (json_type(v)) {
    case JSON_NULL: return SCHEMA_NULL;
    case JSON_BOOL: return SCHEMA_BOOL;
    case JSON_INT: return SCHEMA_INTEGER;
    case JSON_REAL: return floor(json_num(v, 0.5)) == json_num(v, 0.5) ? SCHEMA_INTEGER : SCHEMA_NUMBER; /* 2.0 is an integer */
    case JSON_STRING: return SCHEMA_STRING;
    case JSON_ARRAY: return SCHEMA_ARRAY;
    case JSON_OBJECT: return SCHEMA_OBJECT;
    case JSON_NONE: break;
  }
  return 0;
}

static int check_type(struct checking *c, const struct schema_node *n, const struct json *v, const struct place *p) {
  static const struct { unsigned bit; const char *name; } names[] = {
    { SCHEMA_OBJECT, "object" }, { SCHEMA_ARRAY, "array" }, { SCHEMA_STRING, "string" }, { SCHEMA_NUMBER, "number" },
    { SCHEMA_INTEGER, "integer" }, { SCHEMA_BOOL, "boolean" }, { SCHEMA_NULL, "null" } };
  char text[80];
  size_t at = 0;
  if (types_of(v) & n->types) return 1;
  text[0] = 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if ((n->types & names[i].bit) && !(names[i].bit == SCHEMA_INTEGER && (n->types & SCHEMA_NUMBER)))
      at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", at ? " or " : "", names[i].name);
  return miss(c, p, v, NULL, "%s", text);
}

static int is_multiple(const struct json *v, const struct json *m) {
  if (json_type(v) == JSON_INT && json_type(m) == JSON_INT) return json_int(v, 0) % json_int(m, 1) == 0;
  double q = json_num(v, 0) / json_num(m, 1), whole = nearbyint(q);
  return isfinite(q) && fabs(q - whole) <= 4 * 2.220446049250313e-16 * fabs(q);
}

static int check_number(struct checking *c, const struct schema_node *n, const struct json *v, const struct place *p) {
  const struct { const struct json *bound; int good; const char *text; } rows[] = {
    { n->min, n->min && compare_numbers(v, n->min) >= 0, "at least" }, { n->max, n->max && compare_numbers(v, n->max) <= 0, "at most" },
    { n->above, n->above && compare_numbers(v, n->above) > 0, "above" }, { n->below, n->below && compare_numbers(v, n->below) < 0, "below" },
    { n->multiple, n->multiple && is_multiple(v, n->multiple), "a multiple of" } };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct buf b = { 0 };
    if (!rows[i].bound || rows[i].good) continue;
    int r = put_value(&b, rows[i].bound) == STATUS_OK ? miss(c, p, v, NULL, "a number %s %s", rows[i].text, b.p) : -1;
    if (!b.p) err_nomem(c->e, 32);
    buf_free(&b);
    return r;
  }
  return 1;
}

static int matches(struct checking *c, const struct schema_node *n, struct span s) {
  pcre2_match_data *data = pcre2_match_data_create(1, NULL);
  pcre2_match_context *limits = pcre2_match_context_create(NULL);
  int r = PCRE2_ERROR_NOMEMORY;
  if (data && limits) {
    pcre2_set_match_limit(limits, MATCH_LIMIT);
    pcre2_set_depth_limit(limits, MATCH_LIMIT);
    pcre2_set_heap_limit(limits, 65536); /* KiB */
    r = pcre2_match(n->code, (PCRE2_SPTR)s.p, s.n, 0, PCRE2_NO_UTF_CHECK, data, limits);
  }
  pcre2_match_data_free(data);
  pcre2_match_context_free(limits);
  if (r >= 0) return 1;
  if (r == PCRE2_ERROR_NOMATCH) return 0;
  if (r == PCRE2_ERROR_NOMEMORY) {
    err_nomem(c->e, s.n);
    return -1;
  }
  err_set(c->e, STATUS_LIMIT, "pattern '%s' of schema '%s' needs too many steps for a string of %zu bytes; write it without nested repetition", n->pattern.p, n->at, s.n);
  return -1;
}

static int check_string(struct checking *c, const struct schema_node *n, const struct json *v, const struct place *p) {
  struct span s = json_str(v);
  int64_t chars = 0;
  for (size_t i = 0; i < s.n; i++) chars += ((unsigned char)s.p[i] & 0xC0) != 0x80;
  if (chars < n->min_chars) return miss(c, p, v, NULL, "a string of at least %lld characters", (long long)n->min_chars);
  if (chars > n->max_chars) return miss(c, p, v, NULL, "a string of at most %lld characters", (long long)n->max_chars);
  int r = n->code ? matches(c, n, s) : 1;
  return r == 0 ? miss(c, p, v, NULL, "a string that matches '%s'", n->pattern.p) : r;
}

static int check_array(struct checking *c, const struct schema_node *n, const struct json *v, const struct place *p, int depth) {
  int64_t count = (int64_t)json_size(v);
  int good = 1;
  if (count < n->min_items) good = miss(c, p, v, NULL, "at least %lld items", (long long)n->min_items);
  else if (count > n->max_items) good = miss(c, p, v, NULL, "at most %lld items", (long long)n->max_items);
  for (size_t i = 0; good == 1 && i < json_size(v); i++) {
    struct place here = { p, { NULL, 0 }, i, p->depth + 1 };
    const struct schema_node *want = i < n->prefix.n ? n->prefix.node[i] : n->items;
    if (want) good = check(c, want, json_at(v, i), &here, depth + 1);
  }
  for (size_t i = 1; n->unique && good == 1 && i < json_size(v); i++)
    for (size_t k = 0; good == 1 && k < i; k++) {
      struct place here = { p, { NULL, 0 }, i, p->depth + 1 };
      int same = equal(c, json_at(v, i), json_at(v, k));
      if (same < 0) return -1;
      if (same) good = miss(c, &here, json_at(v, i), NULL, "an item that differs from all others (item %zu is the same)", k);
    }
  return good;
}

static const struct schema_node *find_prop(const struct schema_node *n, struct span name) {
  for (size_t i = 0; i < n->n_prop; i++)
    if (n->prop[i].name.n == name.n && memcmp(n->prop[i].name.p, name.p, name.n) == 0) return n->prop[i].node;
  return NULL;
}

static int check_object(struct checking *c, const struct schema_node *n, const struct json *v, const struct place *p, int depth) {
  void *it = NULL;
  struct span key;
  const struct json *val;
  int good = 1;
  int64_t count = (int64_t)json_size(v);
  for (size_t i = 0; i < n->n_required; i++)
    if (!json_get(v, n->required[i].p)) return miss(c, p, v, "no such member", "the member '%s'", n->required[i].p);
  if (count < n->min_props) return miss(c, p, v, NULL, "at least %lld members", (long long)n->min_props);
  if (count > n->max_props) return miss(c, p, v, NULL, "at most %lld members", (long long)n->max_props);
  while (good == 1 && json_next(v, &it, &key, &val)) {
    struct place here = { p, key, 0, p->depth + 1 };
    const struct schema_node *want = find_prop(n, key);
    c->steps += (long)n->n_prop / 16;
    if (want) good = check(c, want, val, &here, depth + 1);
    else if (n->additional && n->additional->never) good = miss(c, &here, val, NULL, "no member of this name (schema %s)", n->at);
    else if (n->additional) good = check(c, n->additional, val, &here, depth + 1);
  }
  return good;
}

/* ---- values and combinations ---- */
static int check_values(struct checking *c, const struct schema_node *n, const struct json *v, const struct place *p) {
  struct buf b = { 0 };
  int r = 1;
  if (n->konst && (r = equal(c, v, n->konst)) == 0)
    r = put_value(&b, n->konst) == STATUS_OK ? miss(c, p, v, NULL, "%s", b.p) : -1;
  if (n->one_of_values && r == 1) {
    r = 0;
    for (size_t i = 0; r == 0 && i < json_size(n->one_of_values); i++) r = equal(c, v, json_at(n->one_of_values, i));
    enum status st = STATUS_OK;
    for (size_t i = 0; r == 0 && st == STATUS_OK && i < json_size(n->one_of_values) && b.n < 300; i++) {
      if (i > 0) st = buf_puts(&b, ", ", NULL);
      if (st == STATUS_OK) st = put_value(&b, json_at(n->one_of_values, i));
    }
    if (r == 0) r = st == STATUS_OK ? miss(c, p, v, NULL, "one of %s", b.p ? b.p : "nothing") : -1;
  }
  if (r < 0 && c->e && c->e->code == STATUS_OK) err_nomem(c->e, 256);
  buf_free(&b);
  return r;
}

static int count_fits(struct checking *c, const struct schema_list *l, const struct json *v, const struct place *p, int depth, int enough) {
  int fits = 0;
  for (size_t i = 0; i < l->n && fits < enough; i++) {
    int r = check(c, l->node[i], v, p, depth + 1);
    if (r < 0) return -1;
    fits += r;
  }
  return fits;
}

/* No alternative fits. Where all of them failed at the value itself, what each expected is told, else the deepest miss stands. */
static int none_fits(struct checking *c, const struct schema_node *n, const struct schema_list *l, const char *key, const struct json *v,
                     const struct place *p, int depth, int was) {
  struct buf b = { 0 };
  enum status st = STATUS_OK;
  int r = 0;
  if (c->quiet || c->miss_depth != p->depth || was >= p->depth) return miss(c, p, v, NULL, "one of the %zu alternatives of %s/%s", l->n, n->at, key);
  for (size_t i = 0; r == 0 && st == STATUS_OK && i < l->n && b.n < 250; i++) {
    c->miss_depth = was;
    r = check(c, l->node[i], v, p, depth + 1);
    st = buf_printf(&b, NULL, "%s%s", i ? " or " : "", c->expected.p ? c->expected.p : "?");
  }
  c->miss_depth = was;
  if (r == 0) r = st == STATUS_OK ? miss(c, p, v, NULL, "%s", b.p) : -1;
  if (st != STATUS_OK) err_nomem(c->e, 256);
  buf_free(&b);
  return r;
}

static int check_lists(struct checking *c, const struct schema_node *n, const struct json *v, const struct place *p, int depth) {
  int was = c->miss_depth, r;
  for (size_t i = 0; i < n->all.n; i++)
    if ((r = check(c, n->all.node[i], v, p, depth + 1)) != 1) return r;
  if (n->any.n) {
    r = count_fits(c, &n->any, v, p, depth, 1);
    if (r < 0) return -1;
    if (r == 0) return none_fits(c, n, &n->any, "anyOf", v, p, depth, was);
    if (!c->quiet) c->miss_depth = was; /* what the other alternatives missed is of no interest */
  }
  if (n->one.n) {
    r = count_fits(c, &n->one, v, p, depth, 2);
    if (r < 0) return -1;
    if (r == 0) return none_fits(c, n, &n->one, "oneOf", v, p, depth, was);
    if (!c->quiet) c->miss_depth = was;
    if (r > 1) return miss(c, p, v, NULL, "exactly one of the alternatives of %s/oneOf, and several fit", n->at);
  }
  if (n->not) {
    c->quiet++;
    r = check(c, n->not, v, p, depth + 1);
    c->quiet--;
    if (r != 0) return r < 0 ? r : miss(c, p, v, NULL, "a value that %s/not does not describe", n->at);
  }
  return n->ref ? check(c, n->ref, v, p, depth + 1) : 1;
}

static int check(struct checking *c, const struct schema_node *n, const struct json *v, const struct place *p, int depth) {
  int r;
  if (++c->steps > MAX_STEPS) return over_limit(c, "more than ten million steps");
  if (depth > 2 * SCHEMA_DEPTH || p->depth > SCHEMA_DEPTH) return over_limit(c, "more than 256 levels");
  if (n->never) return miss(c, p, v, NULL, "nothing (schema %s is false)", n->at);
  if ((r = check_type(c, n, v, p)) != 1) return r;
  if ((r = check_values(c, n, v, p)) != 1) return r;
  unsigned t = types_of(v);
  r = t & (SCHEMA_INTEGER | SCHEMA_NUMBER) ? check_number(c, n, v, p) : t & SCHEMA_STRING ? check_string(c, n, v, p)
      : t & SCHEMA_ARRAY ? check_array(c, n, v, p, depth) : t & SCHEMA_OBJECT ? check_object(c, n, v, p, depth) : 1;
  return r == 1 ? check_lists(c, n, v, p, depth) : r;
}

enum status schema_check(const struct schema *s, const struct json *value, struct err *e) {
  struct err own = { 0 };
  struct checking c = { .e = e ? e : &own, .miss_depth = -1 };
  struct place root = { 0 };
  c.e->code = STATUS_OK;
  int r = check(&c, schema_root(s), value, &root, 0);
  enum status st = STATUS_OK;
  if (r < 0) st = c.e->code;
  else if (r == 0)
    st = err_set(e, STATUS_DATA, "'%s': found %s, expected %s", c.at.p ? c.at.p : "", c.found.p ? c.found.p : "?", c.expected.p ? c.expected.p : "?");
  buf_free(&c.at);
  buf_free(&c.found);
  buf_free(&c.expected);
  return st;
}

int schema_node_fits(const struct schema_node *n, const struct json *value) {
  struct err own = { 0 };
  struct checking c = { .e = &own, .miss_depth = -1, .quiet = 1 };
  struct place root = { 0 };
  return check(&c, n, value, &root, 0) == 1;
}

enum status schema_check_text(const struct schema *s, struct span text, const char *what, struct err *e) {
  struct json *v;
  enum status st = json_parse(text, what, &v, e);
  if (st != STATUS_OK) return st;
  st = schema_check(s, v, e);
  json_free(v);
  return st;
}

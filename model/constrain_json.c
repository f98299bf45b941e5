/* SPDX-License-Identifier: Apache-2.0
 * Schema to language tree. A $ref that stands alone becomes a rule, so recursion is the automaton's; everything else is written
 * out in place. */
#include "constrain_json.h"

#define VALUE_DEPTH 200

struct rule_of { const struct schema_node *node; int32_t rule; };
struct writer {
  struct merger m;
  struct expr_build *b;
  struct rule_of *rule;
  size_t n_rule, cap_rule;
  int32_t any;   /* rule of any value, -1 = not yet made */
  int depth;
};

static struct expr *value(struct writer *w, const struct schema_node *n);
static struct expr *of_want(struct writer *w, const struct want *want);

static struct expr *cat(struct expr_build *b, struct expr *x, struct expr *y, struct expr *z) {
  struct expr *c = expr_add(b, expr_list(b, EXPR_CAT), x);
  c = y ? expr_add(b, c, y) : c;
  return z ? expr_add(b, c, z) : c;
}
static struct expr *shared(struct expr *x) {
  if (x) {
    x->shared = 1;
  }
  return x;
}
static struct expr *nothing(struct writer *w) { return expr_list(w->b, EXPR_ALT); }

/* ---- literals ---- */
static enum status put_literal(struct buf *b, const struct json *j, struct err *e) {
  enum status st = STATUS_OK;
  void *it = NULL;
  struct span key;
  const struct json *v;
  size_t n = json_size(j);
  if (json_type(j) == JSON_ARRAY) {
    TRY(buf_putc(b, '[', e));
    for (size_t i = 0; i < n; i++) {
      TRY(i ? buf_puts(b, ", ", e) : STATUS_OK);
      TRY(put_literal(b, json_at(j, i), e));
    }
    return buf_putc(b, ']', e);
  }
  if (json_type(j) != JSON_OBJECT) {
    return json_put(b, j, e);
  }
  TRY(buf_putc(b, '{', e));
  for (size_t i = 0; json_next(j, &it, &key, &v); i++) {
    TRY(i ? buf_puts(b, ", ", e) : STATUS_OK);
    TRY(json_put_string(b, key, e));
    TRY(buf_puts(b, ": ", e));
    TRY(put_literal(b, v, e));
  }
  TRY(buf_putc(b, '}', e));
out:
  return st;
}

static struct expr *literal(struct writer *w, const struct json *j) {
  struct buf t = {0};
  struct expr *x = NULL;
  enum status st = put_literal(&t, j, w->b->e);
  if (st == STATUS_OK) {
    x = expr_text(w->b, (struct span){t.p, t.n});
  } else if (w->b->st == STATUS_OK) {
    w->b->st = st;
  }
  buf_free(&t);
  return x;
}

static struct expr *values(struct writer *w, const struct want *want) {
  struct expr *alt = nothing(w);
  size_t n = want->n.konst ? 1 : json_size(want->n.one_of_values);
  for (size_t i = 0; i < n; i++) {
    const struct json *v = want->n.konst ? want->n.konst : json_at(want->n.one_of_values, i);
    int fits = 1;
    for (size_t k = 0; fits && k < want->n_from; k++) {
      fits = schema_node_fits(want->from[k], v);
    }
    alt = fits ? expr_add(w->b, alt, literal(w, v)) : alt;
  }
  return alt;
}

/* ---- strings and numbers ---- */
static struct expr *string_of(struct writer *w, int64_t min, int64_t max) {
  static const struct char_range plain[] = {{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0x7E}, {0x80, EXPR_CHAR_MAX}};
  static const struct char_range esc[] = {{'"', '"'}, {'\\', '\\'}, {'/', '/'}, {'b', 'b'}, {'f', 'f'}, {'n', 'n'}, {'r', 'r'}, {'t', 't'}};
  struct expr *c = expr_add(w->b, expr_list(w->b, EXPR_ALT), expr_class(w->b, plain, 4));
  c = expr_add(w->b, c, cat(w->b, expr_cstr(w->b, "\\"), expr_class(w->b, esc, 8), NULL));
  if (min > max) {
    return nothing(w);
  }
  int32_t lo = min > 1000000000 ? 1000000000 : (int32_t)min, hi = max > 1000000000 ? EXPR_INF : (int32_t)max;
  return cat(w->b, expr_cstr(w->b, "\""), expr_rep(w->b, c, lo, hi), expr_cstr(w->b, "\""));
}

static struct expr *string(struct writer *w, const struct schema_node *n) {
  if (!n->pattern.p) {
    return string_of(w, n->min_chars, n->max_chars);
  }
  if (n->min_chars > 0 || n->max_chars < INT64_MAX) {
    merge_loose(&w->m, "minLength and maxLength beside a pattern", n->at);
  }
  return cat(w->b, expr_cstr(w->b, "\""), expr_regex(w->b, n->pattern, 1, 1), expr_cstr(w->b, "\""));
}

static struct expr *integer(struct writer *w, const struct schema_node *n) {
  int64_t lo = INT64_MIN, hi = INT64_MAX;
  const struct { const struct json *j; int upper, strict; } rows[] = {{n->min, 0, 0}, {n->above, 0, 1}, {n->max, 1, 0}, {n->below, 1, 1}};
  for (size_t i = 0; i < 4; i++) {
    double v = json_num(rows[i].j, 0);
    if (!rows[i].j || v < -9e18 || v > 9e18) { /* beyond: our own bound of 15 digits is tighter, or nothing fits */
      if (rows[i].j && (v > 0) != rows[i].upper) {
        return nothing(w);
      }
      continue;
    }
    int64_t t = json_type(rows[i].j) == JSON_INT ? json_int(rows[i].j, 0) : (int64_t)v;
    int whole = json_type(rows[i].j) == JSON_INT || (double)t == v;
    if (rows[i].upper) { /* t is v cut towards 0 */
      t = whole ? t - rows[i].strict : v < 0 ? t - 1 : t;
      hi = t < hi ? t : hi;
    } else {
      t = whole ? t + rows[i].strict : v > 0 ? t + 1 : t;
      lo = t > lo ? t : lo;
    }
  }
  return expr_integer(w->b, lo, hi);
}

static struct expr *number(struct writer *w, const struct schema_node *n) {
  int lo_strict = n->above && (!n->min || json_num(n->above, 0) >= json_num(n->min, 0));
  int hi_strict = n->below && (!n->max || json_num(n->below, 0) <= json_num(n->max, 0));
  const struct json *lo = lo_strict ? n->above : n->min, *hi = hi_strict ? n->below : n->max;
  struct buf a = {0}, z = {0};
  struct expr *x = NULL;
  enum status st = STATUS_OK;
  TRY(lo ? json_put(&a, lo, w->b->e) : STATUS_OK);
  TRY(hi ? json_put(&z, hi, w->b->e) : STATUS_OK);
  if ((a.p && strchr(a.p, 'e')) || (z.p && strchr(z.p, 'e'))) {
    merge_loose(&w->m, "a bound with an exponent", n->at);
    x = expr_number(w->b, NULL, 0, NULL, 0);
  } else {
    x = expr_number(w->b, a.p, lo_strict, z.p, hi_strict);
  }
out:
  if (st != STATUS_OK && w->b->st == STATUS_OK) {
    w->b->st = st;
  }
  buf_free(&a);
  buf_free(&z);
  return x;
}

/* ---- arrays ---- */
static struct expr *array(struct writer *w, const struct schema_node *n) {
  struct expr_build *b = w->b;
  int64_t p = (int64_t)n->prefix.n, min = n->min_items, max = n->max_items;
  if (n->items && n->items->never) {
    max = max > p ? p : max;
  }
  if (min > max) {
    return nothing(w);
  }
  p = p > max ? max : p;
  struct expr *body = expr_list(b, EXPR_CAT);
  if (max > p) {
    int32_t lo = (int32_t)(min - p > 1000000 ? 1000000 : min > p ? min - p : 0), hi = max - p > 1000000 ? EXPR_INF : (int32_t)(max - p);
    struct expr *item = shared(n->items ? value(w, n->items) : value(w, NULL));
    struct expr *more = cat(b, expr_cstr(b, ", "), item, NULL);
    if (p) {
      body = expr_rep(b, more, lo, hi);
    } else {
      body = cat(b, item, expr_rep(b, more, lo ? lo - 1 : 0, hi == EXPR_INF ? hi : hi - 1), NULL);
      body = lo ? body : expr_rep(b, body, 0, 1);
    }
  }
  for (int64_t i = p; i-- > 0;) {
    struct expr *item = value(w, n->prefix.node[i]);
    body = cat(b, i ? cat(b, expr_cstr(b, ", "), item, NULL) : item, body, NULL);
    body = i >= min ? expr_rep(b, body, 0, 1) : body;
  }
  return cat(b, expr_cstr(b, "["), body, expr_cstr(b, "]"));
}

/* ---- objects ---- */
static struct expr *map(struct writer *w, const struct schema_node *n) {
  struct expr_build *b = w->b;
  if (n->additional && n->additional->never) {
    return n->min_props > 0 ? nothing(w) : expr_cstr(b, "{}");
  }
  if (n->min_props > n->max_props) {
    return nothing(w);
  }
  if (n->max_props == 0) {
    return expr_cstr(b, "{}");
  }
  if (n->min_props > 1) {
    merge_loose(&w->m, "minProperties (names may repeat)", n->at ? n->at : "#");
  }
  struct expr *kv = shared(cat(b, string_of(w, 0, INT64_MAX), expr_cstr(b, ": "), value(w, n->additional)));
  int32_t lo = n->min_props > 1 ? (int32_t)(n->min_props > 100000 ? 100000 : n->min_props) - 1 : 0;
  int32_t hi = n->max_props > 100000 ? EXPR_INF : (int32_t)n->max_props - 1;
  struct expr *body = cat(b, kv, expr_rep(b, cat(b, expr_cstr(b, ", "), kv, NULL), lo, hi), NULL);
  body = n->min_props > 0 ? body : expr_rep(b, body, 0, 1);
  return cat(b, expr_cstr(b, "{"), body, expr_cstr(b, "}"));
}

static int holds(const struct span *list, size_t n, struct span name) {
  for (size_t i = 0; i < n; i++) {
    if (list[i].n == name.n && memcmp(list[i].p, name.p, name.n) == 0) {
      return 1;
    }
  }
  return 0;
}

static struct expr *member(struct writer *w, struct span name, const struct schema_node *n) {
  struct buf t = {0};
  struct expr *x = NULL;
  enum status st = json_put_string(&t, name, w->b->e);
  if (st == STATUS_OK) {
    st = buf_puts(&t, ": ", w->b->e);
  }
  if (st == STATUS_OK) {
    x = cat(w->b, expr_text(w->b, (struct span){t.p, t.n}), value(w, n), NULL);
  } else if (w->b->st == STATUS_OK) {
    w->b->st = st;
  }
  buf_free(&t);
  return shared(x);
}

/* some: what may follow when a member was written already; none: when not yet. */
static void put_before(struct writer *w, struct span name, const struct schema_node *n, int required, struct expr **some, struct expr **none) {
  struct expr_build *b = w->b;
  struct expr *kv = member(w, name, n), *with = cat(b, expr_cstr(b, ", "), kv, *some), *first = cat(b, kv, *some, NULL);
  if (!required) {
    with = expr_add(b, expr_add(b, expr_list(b, EXPR_ALT), with), *some);
    first = expr_add(b, expr_add(b, expr_list(b, EXPR_ALT), first), *none);
  }
  *some = shared(with);
  *none = shared(first);
}

static struct expr *object(struct writer *w, const struct schema_node *n) {
  struct expr *some = shared(expr_list(w->b, EXPR_CAT)), *none = shared(expr_list(w->b, EXPR_CAT));
  int64_t named = 0, written = 0;
  if (n->n_prop == 0 && n->n_required == 0) {
    return map(w, n);
  }
  for (size_t i = n->n_required; i-- > 0;) { /* names that only required knows stand at the end */
    int known = holds(n->required, i, n->required[i]);
    for (size_t k = 0; !known && k < n->n_prop; k++) {
      known = holds(&n->prop[k].name, 1, n->required[i]);
    }
    if (!known) {
      put_before(w, n->required[i], n->additional, 1, &some, &none);
      named++;
    }
  }
  for (size_t i = n->n_prop; i-- > 0;) {
    int required = holds(n->required, n->n_required, n->prop[i].name);
    named += required;
    written++;
    if (required || !n->prop[i].node || !n->prop[i].node->never) {
      put_before(w, n->prop[i].name, n->prop[i].node, required, &some, &none);
    }
  }
  if (n->min_props > named) {
    merge_loose(&w->m, "minProperties", n->at);
  }
  if (n->max_props < named + written) {
    merge_loose(&w->m, "maxProperties", n->at);
  }
  return cat(w->b, expr_cstr(w->b, "{"), none, expr_cstr(w->b, "}"));
}

/* ---- values ---- */
static struct expr *any_value(struct writer *w) {
  if (w->any < 0) {
    int32_t rule = w->any = expr_rule_new(w->b);
    struct want all = {.n = merge_nothing()};
    all.n.at = "#";
    all.n.min_chars = 0;
    struct expr *x = rule < 0 ? NULL : expr_list(w->b, EXPR_ALT);
    x = expr_add(w->b, x, string(w, &all.n));
    x = expr_add(w->b, x, number(w, &all.n));
    x = expr_add(w->b, x, object(w, &all.n));
    x = expr_add(w->b, x, array(w, &all.n));
    x = expr_add(w->b, expr_add(w->b, expr_add(w->b, x, expr_cstr(w->b, "true")), expr_cstr(w->b, "false")), expr_cstr(w->b, "null"));
    if (w->b->st == STATUS_OK) {
      w->b->rule[rule] = x;
    }
  }
  return expr_rule(w->b, w->any);
}

static struct expr *alternatives(struct writer *w, const struct want *want) {
  struct expr *alt = nothing(w);
  for (size_t i = 0; i < want->n.any.n; i++) {
    struct want one = *want;
    one.n.any = (struct schema_list){NULL, 0};
    alt = merge_in(&w->m, &one, want->n.any.node[i]) ? expr_add(w->b, alt, of_want(w, &one)) : NULL;
  }
  return alt;
}

static struct expr *of_want(struct writer *w, const struct want *want) {
  const struct schema_node *n = &want->n;
  struct expr *alt = nothing(w);
  if (n->never) {
    return alt;
  }
  if (n->konst || n->one_of_values) {
    return values(w, want);
  }
  if (n->any.n) {
    return alternatives(w, want);
  }
  if (n->types & SCHEMA_OBJECT) alt = expr_add(w->b, alt, object(w, n));
  if (n->types & SCHEMA_ARRAY) alt = expr_add(w->b, alt, array(w, n));
  if (n->types & SCHEMA_STRING) alt = expr_add(w->b, alt, string(w, n));
  if (n->types & SCHEMA_NUMBER) alt = expr_add(w->b, alt, number(w, n));
  else if (n->types & SCHEMA_INTEGER) alt = expr_add(w->b, alt, integer(w, n));
  if (n->types & SCHEMA_BOOL) alt = expr_add(w->b, expr_add(w->b, alt, expr_cstr(w->b, "true")), expr_cstr(w->b, "false"));
  if (n->types & SCHEMA_NULL) alt = expr_add(w->b, alt, expr_cstr(w->b, "null"));
  return alt;
}

/* Nothing but what `mask` names: 1 a $ref, 2 anyOf. */
static int only(const struct schema_node *n, int mask) {
  return !n->never && n->types == SCHEMA_ANY && !n->n_prop && !n->n_required && !n->additional && !n->prefix.n && !n->items && n->min_items == 0 &&
         n->max_items == INT64_MAX && n->min_props == 0 && n->max_props == INT64_MAX && n->min_chars == 0 && n->max_chars == INT64_MAX && !n->unique &&
         !n->pattern.p && !n->min && !n->max && !n->above && !n->below && !n->multiple && !n->konst && !n->one_of_values && !n->all.n && !n->one.n &&
         !n->not && (mask == 1 ? n->ref && !n->any.n : mask == 2 ? !n->ref && n->any.n : !n->ref && !n->any.n);
}

static struct expr *rule_for(struct writer *w, const struct schema_node *n) {
  for (size_t i = 0; i < w->n_rule; i++) {
    if (w->rule[i].node == n) {
      return expr_rule(w->b, w->rule[i].rule);
    }
  }
  if (w->n_rule == w->cap_rule) {
    size_t cap = w->cap_rule ? w->cap_rule * 2 : 16;
    struct rule_of *p = mem_realloc(w->rule, cap * sizeof *p);
    if (!p) {
      expr_fail(w->b, STATUS_NOMEM, "out of memory: %zu bytes could not be had", cap * sizeof *p);
      return NULL;
    }
    w->rule = p;
    w->cap_rule = cap;
  }
  int32_t rule = expr_rule_new(w->b);
  w->rule[w->n_rule++] = (struct rule_of){n, rule};
  struct expr *x = rule < 0 ? NULL : value(w, n);
  if (w->b->st == STATUS_OK) {
    w->b->rule[rule] = x;
  }
  return expr_rule(w->b, rule);
}

/* n NULL: anything */
static struct expr *value(struct writer *w, const struct schema_node *n) {
  struct expr *x = NULL;
  struct want want = {.n = merge_nothing()};
  if (w->b->st != STATUS_OK) {
    return NULL;
  }
  if (!n || only(n, 0)) {
    return any_value(w);
  }
  if (++w->depth > VALUE_DEPTH) {
    expr_fail(w->b, STATUS_LIMIT, "schema '%s': nested too deep, or recursive through allOf or a $ref with other keywords: cannot bind tokens", n->at);
    return NULL;
  }
  if (only(n, 1)) {
    x = rule_for(w, n->ref);
  } else if (only(n, 2)) {
    x = nothing(w);
    for (size_t i = 0; i < n->any.n; i++) {
      x = expr_add(w->b, x, value(w, n->any.node[i]));
    }
  } else if (merge_in(&w->m, &want, n)) {
    x = of_want(w, &want);
  }
  w->depth--;
  return x;
}

struct expr *expr_schema(struct expr_build *b, struct span text, struct buf *loose) {
  struct writer w = {.m = {b, loose, 0}, .b = b, .any = -1};
  struct schema *s = NULL;
  struct expr *x = NULL;
  enum status st = schema_open(text, "schema", &s, b->e);
  if (st != STATUS_OK) {
    b->st = st;
    return NULL;
  }
  x = value(&w, schema_root(s));
  mem_free(w.rule);
  schema_close(s);
  return x;
}

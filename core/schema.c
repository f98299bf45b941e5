/* SPDX-License-Identifier: Apache-2.0
 * Reads a schema into nodes: every keyword is known or refused here, so that checking never meets a surprise. References
 * are joined after all nodes are known. The search for circles follows what applies to the same value ($ref, allOf, anyOf,
 * oneOf, not): a circle there would never end. */
#include "schema.h"
#include "file.h"
#include "schema_node.h"

#define MAX_NODES 20000
#define MAX_TEXT ((size_t)4 << 20)
#define PATTERN_OPTIONS (PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_BSUX | PCRE2_ALLOW_EMPTY_CLASS | PCRE2_MATCH_UNSET_BACKREF | PCRE2_NEVER_BACKSLASH_C)

struct schema {
  struct arena *a;
  struct json *doc;
  struct buf text;
  const char *what;
  struct schema_node **node; /* all of them */
  size_t n, cap;
};

static enum status bad(const struct schema *s, const struct schema_node *n, const char *key, const char *found, const char *expected, struct err *e) {
  return err_set(e, STATUS_DATA, "'%s': schema keyword '%s/%s': found %s, expected %s", s->what, n->at, key, found, expected);
}

static const char *type_word(const struct json *j) {
  switch (json_type(j)) {
    case JSON_NONE: return "nothing";
    case JSON_NULL: return "null";
    case JSON_BOOL: return json_bool(j, 0) ? "true" : "false";
    case JSON_INT: case JSON_REAL: return "a number";
    case JSON_STRING: return "a string";
    case JSON_ARRAY: return "an array";
    case JSON_OBJECT: return "an object";
  }
  return "?";
}

static enum status node_new(struct schema *s, const struct json *j, const char *at, struct schema_node **out, struct err *e) {
  struct schema_node *n = arena_calloc(s->a, 1, sizeof *n);
  if (!n || !at) return err_nomem(e, sizeof *n);
  if (s->n == MAX_NODES) return err_set(e, STATUS_LIMIT, "'%s': more than %d schemas in one", s->what, MAX_NODES);
  if (s->n == s->cap) {
    size_t cap = s->cap ? s->cap * 2 : 64;
    struct schema_node **p = mem_realloc(s->node, cap * sizeof *p);
    if (!p) return err_nomem(e, cap * sizeof *p);
    s->node = p;
    s->cap = cap;
  }
  *n = (struct schema_node){ .json = j, .at = at, .types = SCHEMA_ANY, .max_items = INT64_MAX, .max_props = INT64_MAX, .max_chars = INT64_MAX };
  s->node[s->n++] = n;
  *out = n;
  return STATUS_OK;
}

static enum status read_node(struct schema *s, const struct json *j, const char *at, int depth, struct schema_node **out, struct err *e);

/* A name as a part of a JSON pointer: ~ and / are escaped. NULL when memory runs out (node_new tells). */
static const char *pointer_to(struct schema *s, const char *at, struct span name) {
  struct buf b = { 0 };
  enum status st = at ? buf_puts(&b, at, NULL) : STATUS_NOMEM;
  if (st == STATUS_OK) st = buf_putc(&b, '/', NULL);
  for (size_t i = 0; st == STATUS_OK && i < name.n; i++)
    st = name.p[i] == '~' ? buf_puts(&b, "~0", NULL) : name.p[i] == '/' ? buf_puts(&b, "~1", NULL) : buf_putc(&b, name.p[i], NULL);
  char *p = st == STATUS_OK ? arena_strndup(s->a, b.p, b.n) : NULL;
  buf_free(&b);
  return p;
}

static enum status read_child(struct schema *s, const char *at, const char *key, const struct json *j, int depth, struct schema_node **out, struct err *e) {
  return read_node(s, j, pointer_to(s, at, (struct span){ key, strlen(key) }), depth + 1, out, e);
}

static enum status read_list(struct schema *s, struct schema_node *n, const char *key, const struct json *j, int depth, struct schema_list *out, struct err *e) {
  char index[24];
  const char *at = pointer_to(s, n->at, (struct span){ key, strlen(key) });
  enum status st = STATUS_OK;
  if (json_type(j) != JSON_ARRAY || json_size(j) == 0) return bad(s, n, key, type_word(j), "an array of at least one schema", e);
  out->node = arena_calloc(s->a, json_size(j), sizeof *out->node);
  if (!out->node) return err_nomem(e, json_size(j) * sizeof *out->node);
  for (; out->n < json_size(j) && st == STATUS_OK; out->n++) {
    snprintf(index, sizeof index, "%zu", out->n);
    st = read_child(s, at, index, json_at(j, out->n), depth + 1, &out->node[out->n], e);
  }
  return st;
}

static enum status read_properties(struct schema *s, struct schema_node *n, const char *key, const struct json *j, int depth, struct err *e) {
  const char *at = pointer_to(s, n->at, (struct span){ key, strlen(key) });
  struct schema_prop *p;
  struct span name;
  const struct json *val;
  void *it = NULL;
  enum status st = STATUS_OK;
  size_t count = 0;
  if (json_type(j) != JSON_OBJECT) return bad(s, n, key, type_word(j), "an object of schemas", e);
  p = arena_calloc(s->a, json_size(j) + 1, sizeof *p);
  if (!p) return err_nomem(e, json_size(j) * sizeof *p);
  while (st == STATUS_OK && json_next(j, &it, &name, &val)) {
    p[count].name = name;
    st = read_node(s, val, pointer_to(s, at, name), depth + 1, &p[count++].node, e);
  }
  if (strcmp(key, "properties") == 0) { /* $defs are read too, so that a mistake in one that nobody names is still told */
    n->prop = p;
    n->n_prop = count;
  }
  return st;
}

static enum status read_type(struct schema *s, struct schema_node *n, const struct json *j, struct err *e) {
  static const struct { const char *name; unsigned bits; } types[] = {
    { "null", SCHEMA_NULL }, { "boolean", SCHEMA_BOOL }, { "integer", SCHEMA_INTEGER }, { "number", SCHEMA_INTEGER | SCHEMA_NUMBER },
    { "string", SCHEMA_STRING }, { "array", SCHEMA_ARRAY }, { "object", SCHEMA_OBJECT },
  };
  static const char expected[] = "null, boolean, integer, number, string, array, object or a list of them";
  size_t count = json_type(j) == JSON_ARRAY ? json_size(j) : 1;
  if (count == 0) return bad(s, n, "type", "an empty array", expected, e);
  n->types = 0;
  for (size_t i = 0; i < count; i++) {
    struct span name = json_str(json_type(j) == JSON_ARRAY ? json_at(j, i) : j);
    size_t k = 0;
    while (k < sizeof types / sizeof *types && !span_is(name, types[k].name)) k++;
    if (k == sizeof types / sizeof *types) return bad(s, n, "type", name.p ? name.p : type_word(j), expected, e);
    n->types |= types[k].bits;
  }
  return STATUS_OK;
}

static enum status read_required(struct schema *s, struct schema_node *n, const struct json *j, struct err *e) {
  if (json_type(j) != JSON_ARRAY) return bad(s, n, "required", type_word(j), "an array of names", e);
  n->required = arena_calloc(s->a, json_size(j) + 1, sizeof *n->required);
  if (!n->required) return err_nomem(e, json_size(j));
  for (size_t i = 0; i < json_size(j); i++) {
    if (json_type(json_at(j, i)) != JSON_STRING) return bad(s, n, "required", type_word(json_at(j, i)), "an array of names", e);
    n->required[n->n_required++] = json_str(json_at(j, i));
  }
  return STATUS_OK;
}

static enum status read_pattern(struct schema *s, struct schema_node *n, const struct json *j, struct err *e) {
  int number;
  PCRE2_SIZE at;
  PCRE2_UCHAR why[160];
  if (json_type(j) != JSON_STRING) return bad(s, n, "pattern", type_word(j), "a regular expression", e);
  n->pattern = json_str(j);
  n->code = pcre2_compile((PCRE2_SPTR)n->pattern.p, n->pattern.n, PATTERN_OPTIONS, &number, &at, NULL);
  if (!n->code) {
    pcre2_get_error_message(number, why, sizeof why);
    return err_set(e, STATUS_DATA, "'%s': schema keyword '%s/pattern': '%s': %s at byte %zu", s->what, n->at, n->pattern.p, (const char *)why, (size_t)at);
  }
  return STATUS_OK;
}

static enum status read_number(struct schema *s, struct schema_node *n, const char *key, const struct json *j, const struct json **out, struct err *e) {
  if (json_type(j) != JSON_INT && json_type(j) != JSON_REAL) return bad(s, n, key, type_word(j), "a number", e);
  if (out == &n->multiple && !(json_num(j, 0) > 0)) return bad(s, n, key, "a number not above 0", "a number above 0", e);
  *out = j;
  return STATUS_OK;
}

static enum status read_count(struct schema *s, struct schema_node *n, const char *key, const struct json *j, int64_t *out, struct err *e) {
  *out = json_int(j, -1);
  return *out < 0 ? bad(s, n, key, json_type(j) == JSON_INT ? "a negative number" : type_word(j), "a whole number from 0 up", e) : STATUS_OK;
}

static enum status unknown(const struct schema *s, const struct schema_node *n, const char *key, struct err *e) {
  static const char *const known[] = { "patternProperties", "propertyNames", "dependentRequired", "dependentSchemas", "if", "then", "else", "contains",
                                       "minContains", "maxContains", "unevaluatedItems", "unevaluatedProperties", "additionalItems", "dependencies",
                                       "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$vocabulary", "contentSchema", "$id", NULL };
  for (const char *const *k = known; *k; k++)
    if (strcmp(key, *k) == 0)
      return err_set(e, STATUS_DATA, "'%s': schema keyword '%s/%s' is outside the subset that is checked here (core/schema.h); leave it out or say it with others", s->what, n->at, key);
  return err_set(e, STATUS_DATA, "'%s': schema keyword '%s/%s' is not known; a name of your own has to begin with x-", s->what, n->at, key);
}

static enum status read_keyword(struct schema *s, struct schema_node *n, const char *key, const struct json *j, int depth, struct err *e) {
  static const char *const passed[] = { "title", "description", "default", "examples", "$schema", "$comment", "deprecated", "readOnly", "writeOnly",
                                        "format", "contentEncoding", "contentMediaType", NULL };
  const struct { const char *key; int64_t *out; } counts[] = {
    { "minItems", &n->min_items }, { "maxItems", &n->max_items }, { "minProperties", &n->min_props }, { "maxProperties", &n->max_props },
    { "minLength", &n->min_chars }, { "maxLength", &n->max_chars } };
  const struct { const char *key; const struct json **out; } numbers[] = {
    { "minimum", &n->min }, { "maximum", &n->max }, { "exclusiveMinimum", &n->above }, { "exclusiveMaximum", &n->below }, { "multipleOf", &n->multiple } };
  const struct { const char *key; struct schema_list *out; } lists[] = {
    { "allOf", &n->all }, { "anyOf", &n->any }, { "oneOf", &n->one }, { "prefixItems", &n->prefix } };
  const struct { const char *key; struct schema_node **out; } nodes[] = {
    { "not", &n->not }, { "items", &n->items }, { "additionalProperties", &n->additional } };
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
    if (strcmp(key, counts[i].key) == 0) return read_count(s, n, key, j, counts[i].out, e);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (strcmp(key, numbers[i].key) == 0) return read_number(s, n, key, j, numbers[i].out, e);
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
    if (strcmp(key, lists[i].key) == 0) return read_list(s, n, key, j, depth, lists[i].out, e);
  if (strcmp(key, "items") == 0 && json_type(j) == JSON_ARRAY) return bad(s, n, key, "an array", "one schema (a list of them is called prefixItems since 2020)", e);
  for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
    if (strcmp(key, nodes[i].key) == 0) return read_child(s, n->at, key, j, depth, nodes[i].out, e);
  if (strcmp(key, "type") == 0) return read_type(s, n, j, e);
  if (strcmp(key, "properties") == 0 || strcmp(key, "$defs") == 0 || strcmp(key, "definitions") == 0) return read_properties(s, n, key, j, depth, e);
  if (strcmp(key, "required") == 0) return read_required(s, n, j, e);
  if (strcmp(key, "pattern") == 0) return read_pattern(s, n, j, e);
  if (strcmp(key, "const") == 0) {
    n->konst = j;
    return STATUS_OK;
  }
  if (strcmp(key, "enum") == 0) {
    n->one_of_values = j;
    return json_type(j) == JSON_ARRAY ? STATUS_OK : bad(s, n, key, type_word(j), "an array of values", e);
  }
  if (strcmp(key, "uniqueItems") == 0) {
    n->unique = json_bool(j, 0);
    return json_type(j) == JSON_BOOL ? STATUS_OK : bad(s, n, key, type_word(j), "true or false", e);
  }
  if (strcmp(key, "$ref") == 0) return json_cstr(j, NULL) ? STATUS_OK : bad(s, n, key, type_word(j), "a JSON pointer such as #/$defs/name", e); /* joined later */
  for (const char *const *p = passed; *p; p++)
    if (strcmp(key, *p) == 0) return STATUS_OK;
  return strncmp(key, "x-", 2) == 0 || (n == s->node[0] && strcmp(key, "$id") == 0) ? STATUS_OK : unknown(s, n, key, e);
}

static enum status read_node(struct schema *s, const struct json *j, const char *at, int depth, struct schema_node **out, struct err *e) {
  void *it = NULL;
  struct span key;
  const struct json *val;
  enum status st = node_new(s, j, at, out, e);
  if (st != STATUS_OK) return st;
  if (depth > SCHEMA_DEPTH) return err_set(e, STATUS_LIMIT, "'%s': schema '%s' is nested deeper than %d levels", s->what, at, SCHEMA_DEPTH);
  if (json_type(j) == JSON_BOOL) {
    (*out)->never = !json_bool(j, 1);
    return STATUS_OK;
  }
  if (json_type(j) != JSON_OBJECT) return err_set(e, STATUS_DATA, "'%s': schema '%s': found %s, expected an object, true or false", s->what, at, type_word(j));
  while (st == STATUS_OK && json_next(j, &it, &key, &val)) st = read_keyword(s, *out, key.p, val, depth, e);
  return st;
}

/* ---- references ---- */
/* Follows a pointer with ~0 ~1 and %xx; NULL when it leads nowhere. */
static const struct json *follow(const struct schema *s, const char *ref) {
  const struct json *j = s->doc;
  char name[512];
  if (*ref++ != '#') return NULL;
  while (j && *ref == '/') {
    size_t n = 0;
    for (ref++; *ref && *ref != '/'; ref++) {
      unsigned hex;
      char c = *ref;
      if (n + 1 >= sizeof name) return NULL;
      if (c == '%' && sscanf(ref + 1, "%2x", &hex) == 1 && ref[1] && ref[2]) {
        c = (char)hex;
        ref += 2;
      } else if (c == '~' && (ref[1] == '0' || ref[1] == '1')) {
        c = *++ref == '0' ? '~' : '/';
      }
      name[n++] = c;
    }
    name[n] = 0;
    if (json_type(j) == JSON_ARRAY) {
      j = n < 10 && strspn(name, "0123456789") == n ? json_path(j, name) : NULL;
    } else {
      j = json_get(j, name);
    }
  }
  return *ref ? NULL : j;
}

static enum status join(struct schema *s, struct schema_node *n, struct err *e) {
  const struct json *r = json_get(n->json, "$ref");
  if (!r) return STATUS_OK;
  const char *ref = json_cstr(r, "");
  const struct json *to = follow(s, ref);
  if (!to)
    return err_set(e, STATUS_DATA, "'%s': schema keyword '%s/$ref': '%s' leads nowhere in this document, expected a JSON pointer such as #/$defs/name (other documents are not fetched)",
                   s->what, n->at, ref);
  for (size_t i = 0; i < s->n && !n->ref; i++)
    if (s->node[i]->json == to) n->ref = s->node[i];
  return n->ref ? STATUS_OK : read_node(s, to, arena_printf(s->a, "%s", ref), 0, &n->ref, e);
}

static enum status no_circle(struct schema *s, struct schema_node *n, int depth, struct err *e) {
  struct schema_list one = { &n->not, n->not != NULL }, ref = { &n->ref, n->ref != NULL };
  const struct schema_list *const groups[] = { &ref, &one, &n->all, &n->any, &n->one };
  if (n->state == 2) return STATUS_OK;
  if (n->state == 1) return err_set(e, STATUS_DATA, "'%s': schema '%s' refers to itself for the same value, which never ends", s->what, n->at);
  if (depth > SCHEMA_DEPTH) return err_set(e, STATUS_LIMIT, "'%s': schema '%s': more than %d references in a row", s->what, n->at, SCHEMA_DEPTH);
  n->state = 1;
  for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
    for (size_t i = 0; i < groups[g]->n; i++) {
      enum status st = no_circle(s, groups[g]->node[i], depth + 1, e);
      if (st != STATUS_OK) return st;
    }
  n->state = 2;
  return STATUS_OK;
}

enum status schema_open(struct span text, const char *what, struct schema **out, struct err *e) {
  enum status st = STATUS_OK;
  struct schema_node *root;
  struct schema *s = mem_calloc(1, sizeof *s);
  *out = NULL;
  if (!s) return err_nomem(e, sizeof *s);
  s->a = arena_new(0);
  s->what = s->a ? arena_strndup(s->a, what, strlen(what)) : NULL;
  if (!s->what) {
    st = err_nomem(e, sizeof *s);
    goto out;
  }
  if (text.n > MAX_TEXT) {
    st = err_set(e, STATUS_LIMIT, "'%s': a schema of %zu bytes, expected at most %zu", what, text.n, MAX_TEXT);
    goto out;
  }
  TRY(json_parse(text, what, &s->doc, e));
  TRY(json_put(&s->text, s->doc, e));
  TRY(read_node(s, s->doc, "#", 0, &root, e));
  for (size_t i = 0; i < s->n; i++) TRY(join(s, s->node[i], e)); /* s->n grows when a reference leads to an unread place */
  for (size_t i = 0; i < s->n; i++) TRY(no_circle(s, s->node[i], 0, e));
  *out = s;
  return STATUS_OK;
out:
  schema_close(s);
  return st;
}

enum status schema_open_file(const char *path, struct schema **s, struct err *e) {
  struct buf b = { 0 };
  *s = NULL;
  enum status st = file_read(path, MAX_TEXT, &b, e);
  if (st == STATUS_OK) st = schema_open((struct span){ b.p, b.n }, path, s, e);
  buf_free(&b);
  return st;
}

void schema_close(struct schema *s) {
  if (!s) return;
  for (size_t i = 0; i < s->n; i++) pcre2_code_free(s->node[i]->code);
  mem_free(s->node);
  json_free(s->doc);
  buf_free(&s->text);
  arena_free(s->a);
  mem_free(s);
}

struct span schema_text(const struct schema *s) { return (struct span){ s->text.p, s->text.n }; }
const struct schema_node *schema_root(const struct schema *s) { return s->node[0]; }

/* SPDX-License-Identifier: Apache-2.0
 * Rule files: YAML read and checked as a whole before the first row. */
#include "rule.h"
#include "file.h"
#include "opt.h"
#include "yaml_json.h"

#define RULE(name) extern const struct rule_class rule_##name;
#include "rules.def"
#undef RULE
const struct rule_class *const rule_table[] = {
#define RULE(name) &rule_##name,
#include "rules.def"
#undef RULE
  NULL
};

enum status rule_put(struct rule_row *r, size_t i, const struct buf *b, struct err *e) {
  char *p = arena_strndup(r->a, b->p ? b->p : "", b->n);
  if (!p) return err_nomem(e, b->n);
  struct span now = { p, b->n };
  if (now.n == r->text[i].text.n && memcmp(now.p, r->text[i].text.p, now.n) == 0) return STATUS_OK;
  r->text[i].text = now;
  r->text[i].changed = 1;
  return STATUS_OK;
}

static const char *type_name(enum json_type t) {
  switch (t) {
    case JSON_NULL: return "nothing";
    case JSON_BOOL: return "true or false";
    case JSON_INT: case JSON_REAL: return "a number";
    case JSON_STRING: return "a text";
    case JSON_ARRAY: return "a list";
    case JSON_OBJECT: return "keys and values";
    case JSON_NONE: break;
  }
  return "?";
}

enum status rule_check_keys(const char *rule, const struct json *args, const struct rule_key *keys, size_t n, struct err *e) {
  void *it = NULL;
  struct span key;
  const struct json *v;
  const char *names[16];
  if (json_type(args) != JSON_OBJECT) return err_set(e, STATUS_USAGE, "rule '%s': found %s, expected keys and values", rule, type_name(json_type(args)));
  for (size_t i = 0; i < n && i < 16; i++) names[i] = keys[i].key;
  while (json_next(args, &it, &key, &v)) {
    size_t i = 0;
    while (i < n && !span_is(key, keys[i].key)) i++;
    if (i == n) {
      const char *near = opt_nearest(key.p, names, n);
      return err_set(e, STATUS_USAGE, "rule '%s': unknown key '%s'%s%s%s", rule, key.p, near ? "; did you mean '" : "", near ? near : "", near ? "'" : "");
    }
    enum json_type t = json_type(v), want = keys[i].type;
    if (want != JSON_NONE && t != want && !(want == JSON_REAL && t == JSON_INT))
      return err_set(e, STATUS_USAGE, "rule '%s': %s: found %s, expected %s", rule, keys[i].key, type_name(t), type_name(want));
  }
  return STATUS_OK;
}

enum status rule_chance(const char *rule, const struct json *args, const char *key, double dflt, double *out, struct err *e) {
  const struct json *v = json_type(args) == JSON_OBJECT ? json_get(args, key) : args;
  *out = v ? json_num(v, -1) : dflt;
  return *out >= 0 && *out <= 1 ? STATUS_OK : err_set(e, STATUS_USAGE, "rule '%s': %s: expected a number from 0 to 1", rule, key);
}

static const struct { const char *name; unsigned bit; } speakers[] = {
  { "text", RECORD_TEXT }, { "system", RECORD_SYSTEM }, { "user", RECORD_USER }, { "assistant", RECORD_ASSISTANT }, { "other", RECORD_OTHER }, { "all", RECORD_ALL } };

static enum status read_on(const char *what, const struct json *j, unsigned *on, struct err *e) {
  size_t n = json_type(j) == JSON_ARRAY ? json_size(j) : 1;
  *on = 0;
  for (size_t i = 0; i < n; i++) {
    struct span name = json_str(json_type(j) == JSON_ARRAY ? json_at(j, i) : j);
    size_t k = 0;
    while (k < 6 && !span_is(name, speakers[k].name)) k++;
    if (k == 6) return err_set(e, STATUS_USAGE, "%s: on: found '%s', expected text, system, user, assistant, other, all or a list of them", what, name.p ? name.p : "no text");
    *on |= speakers[k].bit;
  }
  return STATUS_OK;
}

/* - NAME: arguments, and `on` beside it */
static enum status read_rule(struct rules *r, const struct json *j, size_t number, const char *dir, struct err *e) {
  char what[300];
  void *it = NULL;
  struct span key;
  const struct json *v, *args = NULL;
  struct rule *rule = &r->rule[r->n];
  snprintf(what, sizeof what, "'%s': rule %zu", r->name, number);
  if (json_type(j) != JSON_OBJECT) return err_set(e, STATUS_USAGE, "%s: expected a method with its arguments, such as 'typos: 0.02'", what);
  while (json_next(j, &it, &key, &v)) {
    if (span_is(key, "on")) continue;
    const struct rule_class *found = NULL;
    const char *names[32];
    size_t n = 0;
    for (; rule_table[n]; n++) {
      names[n] = rule_table[n]->name;
      if (span_is(key, rule_table[n]->name)) found = rule_table[n];
    }
    if (!found) {
      const char *near = opt_nearest(key.p, names, n);
      return err_set(e, STATUS_USAGE, "%s: unknown method '%s'%s%s%s", what, key.p, near ? "; did you mean '" : "", near ? near : "", near ? "'" : "");
    }
    if (rule->c) return err_set(e, STATUS_USAGE, "%s: two methods, '%s' and '%s': write a rule for each", what, rule->c->name, found->name);
    rule->c = found;
    args = v;
  }
  if (!rule->c) return err_set(e, STATUS_USAGE, "%s: names no method", what);
  if (rule->c->serial && r->n && !r->rule[r->n - 1].c->serial) return err_set(e, STATUS_USAGE, "%s: '%s' must stand before the methods that make copies differ", what, rule->c->name);
  rule->on = rule->c->on;
  enum status st = json_get(j, "on") ? read_on(what, json_get(j, "on"), &rule->on, e) : STATUS_OK;
  r->n++; /* close() takes what open() left */
  if (st == STATUS_OK) st = rule->c->open(args, dir, r->a, &rule->state, e);
  if (st != STATUS_OK) (void)err_prefix(e, "'%s'", r->name);
  return st;
}

static enum status read_top(struct rules *r, struct err *e) {
  static const struct rule_key keys[] = { { "copies", JSON_INT }, { "keep_row", JSON_BOOL }, { "rules", JSON_ARRAY }, { "summary", JSON_STRING } };
  enum status st = rule_check_keys(r->name, r->doc, keys, 4, e);
  if (st != STATUS_OK) return st;
  r->copies = json_int(json_get(r->doc, "copies"), 1);
  r->keep_row = json_bool(json_get(r->doc, "keep_row"), 0);
  if (r->copies < 0 || r->copies > 1000) return err_set(e, STATUS_USAGE, "'%s': copies: expected 0 (change the row itself) to 1000", r->name);
  if (r->copies == 0 && r->keep_row) return err_set(e, STATUS_USAGE, "'%s': keep_row has no meaning with copies: 0", r->name);
  if (json_size(json_get(r->doc, "rules")) == 0) return err_set(e, STATUS_USAGE, "'%s': rules: expected a list of at least one rule", r->name);
  return STATUS_OK;
}

enum status rules_open(const char *path, struct rules **out, struct err *e) {
  enum status st = STATUS_OK;
  struct buf text = { 0 }, json = { 0 };
  struct rules *r = mem_calloc(1, sizeof *r);
  const char *slash = strrchr(path, '/'), *dir;
  *out = NULL;
  if (!r || !(r->a = arena_new(0))) {
    st = err_nomem(e, sizeof *r);
    goto out;
  }
  r->name = arena_printf(r->a, "%s", slash ? slash + 1 : path);
  dir = slash ? arena_strndup(r->a, path, (size_t)(slash - path) + 1) : "";
  if (!r->name || !dir) {
    st = err_nomem(e, 64);
    goto out;
  }
  TRY(file_read(path, (size_t)16 << 20, &text, e));
  TRY(yaml_to_json((struct span){ text.p, text.n }, path, 0, &json, e));
  TRY(json_parse((struct span){ json.p, json.n }, path, &r->doc, e));
  TRY(read_top(r, e));
  const struct json *list = json_get(r->doc, "rules");
  r->rule = arena_calloc(r->a, json_size(list), sizeof *r->rule);
  if (!r->rule) {
    st = err_nomem(e, json_size(list));
    goto out;
  }
  for (size_t i = 0; i < json_size(list); i++) TRY(read_rule(r, json_at(list, i), i + 1, dir, e));
out:
  buf_free(&text);
  buf_free(&json);
  if (st != STATUS_OK) {
    rules_close(r);
    r = NULL;
  }
  *out = r;
  return st;
}

void rules_close(struct rules *r) {
  if (!r) return;
  for (size_t i = 0; i < r->n; i++)
    if (r->rule[i].c->close) r->rule[i].c->close(r->rule[i].state);
  json_free(r->doc);
  arena_free(r->a);
  mem_free(r);
}

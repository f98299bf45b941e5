/* SPDX-License-Identifier: Apache-2.0
 * Recipes: reading and checking the YAML; see recipe.h. */
#include "recipe.h"
#include "asset.h"
#include "file.h"
#include "opt.h"
#include "yaml_json.h"

#define RECIPE_PREFIX "augment/recipes/"

const char *recipe_names(struct arena *a)
{
  char *all = arena_printf(a, "%s", "");
  for (const struct asset *s = asset_table; s->name != NULL && all != NULL; s++) {
    if (strncmp(s->name, RECIPE_PREFIX, strlen(RECIPE_PREFIX)) == 0) {
      const char *base = s->name + strlen(RECIPE_PREFIX);
      all = arena_printf(a, "%s%s%.*s", all, *all ? ", " : "", (int)strcspn(base, "."), base);
    }
  }
  return all;
}

static enum status bad(const char *what, const char *key, const char *expected, struct err *e)
{
  return err_set(e, STATUS_DATA, "'%s': recipe key '%s': expected %s", what, key, expected);
}

static enum status need_text(const struct json *root, const char *what, const char *key, const char **out, struct err *e)
{
  *out = json_cstr(json_get(root, key), NULL);
  return *out != NULL && **out != '\0' ? STATUS_OK : bad(what, key, "a text", e);
}

static const char *const step_keys[] = { "name", "system", "says", "stop", "prompts", "shots", "sampling", "parse", "validate", "tries", "dialog", "form", NULL };
static const char *const recipe_keys[] = { "name", "summary", "skill", "elicitation", "vertical", "loss", "method", "input", "needs", "min_chars", "per_row",
                                           "turns", "min_turns", "passages", "lists", "grid", "per_cell", "count", "demos", "novelty", "steps", "output",
                                           "sampling", "system", "prompts", "shots", "parse", "validate", "tries", "form", NULL };

static enum status check_keys(const struct json *root, const char *what, const char *const *known, struct err *e)
{
  size_t n = 0;
  struct span key;
  const struct json *v;
  void *it = NULL;
  while (known[n] != NULL) {
    n++;
  }
  while (json_next(root, &it, &key, &v)) {
    size_t i = 0;
    while (i < n && !span_is(key, known[i])) {
      i++;
    }
    if (i == n) {
      char name[64];
      snprintf(name, sizeof name, "%.*s", (int)(key.n < 60 ? key.n : 60), key.p);
      const char *near = opt_nearest(name, known, n);
      return err_set(e, STATUS_DATA, "'%s': unknown recipe key '%s'%s%s%s", what, name, near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
    }
  }
  return STATUS_OK;
}

/* The argument of a validator must be what its row says. */
static int argument_fits(const char *want, const struct json *arg)
{
  enum json_type t = json_type(arg);
  if (strcmp(want, "string") == 0 || strcmp(want, "slot") == 0) {
    return t == JSON_STRING && json_str(arg).n > 0;
  }
  if (strcmp(want, "number") == 0) {
    return t == JSON_INT || t == JSON_REAL;
  }
  if (strcmp(want, "true") == 0) {
    return t == JSON_BOOL && json_bool(arg, 0);
  }
  if (strcmp(want, "schema") == 0) {
    return t == JSON_OBJECT;
  }
  int numbers = strcmp(want, "[min, max]") == 0;
  for (size_t i = 0; i < json_size(arg); i++) {
    if (json_type(json_at(arg, i)) != (numbers ? JSON_INT : JSON_STRING)) {
      return 0;
    }
  }
  return t == JSON_ARRAY && (numbers ? json_size(arg) == 2 : json_size(arg) > 0);
}

/* {name: argument} or a bare name. */
static int named(const struct json *j, struct span *name, const struct json **arg)
{
  void *it = NULL;
  *arg = NULL;
  if (json_type(j) == JSON_STRING) {
    *name = json_str(j);
    return 1;
  }
  return json_type(j) == JSON_OBJECT && json_size(j) == 1 && json_next(j, &it, name, arg);
}

static enum status open_schema(struct recipe *r, const char *what, struct recipe_check *c, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  (void)r;
  TRY(json_put(&b, c->arg, e));
  st = schema_open((struct span){ b.p, b.n }, what, &c->schema, e);
out:
  buf_free(&b);
  return st;
}

static enum status read_checks(struct recipe *r, struct recipe_step *s, const struct json *list, const char *what, struct err *e)
{
  enum status st = STATUS_OK;
  if (json_type(list) != JSON_ARRAY || json_size(list) == 0 || json_size(list) > RECIPE_CHECKS) {
    return bad(what, "validate", "a list of 1 to 24 validators: a step without any would let everything through", e);
  }
  for (size_t i = 0; i < json_size(list); i++) {
    struct span key;
    struct recipe_check *c = &s->check[s->n_check];
    if (!named(json_at(list, i), &key, &c->arg)) {
      return bad(what, "validate", "one `name: argument` an item", e);
    }
    c->v = validator_find(key);
    if (c->v == NULL) {
      return err_set(e, STATUS_DATA, "'%s': unknown validator '%.*s'", what, (int)(key.n < 60 ? key.n : 60), key.p);
    }
    if (!argument_fits(c->v->arg, c->arg)) {
      return err_set(e, STATUS_DATA, "'%s': validator '%s': expected a %s", what, c->v->name, c->v->arg);
    }
    s->n_check++;
    if (strcmp(c->v->arg, "schema") == 0) {
      TRY(open_schema(r, what, c, e));
    }
  }
out:
  return st;
}

static enum status check_shots(const struct recipe_step *s, const char *what, struct err *e)
{
  for (size_t i = 0; i < json_size(s->shots); i++) {
    const struct json *set = json_at(s->shots, i);
    for (size_t k = 0; k < json_size(set); k++) {
      if (json_type(json_get(json_at(set, k), "user")) != JSON_STRING || json_type(json_get(json_at(set, k), "assistant")) != JSON_STRING) {
        return bad(what, "shots", "a list of sets of {user, assistant} texts", e);
      }
    }
    if (json_type(set) != JSON_ARRAY || json_size(set) == 0) {
      return bad(what, "shots", "a list of sets of {user, assistant} texts", e);
    }
  }
  return STATUS_OK;
}

/* form: {choices: [...]} | {regex: "..."} | {schema: {...}}: what a local teacher is bound to, and servers are told. */
static enum status read_form(struct recipe *r, struct recipe_step *s, const struct json *form, const char *what, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  struct span key;
  const struct json *arg;
  if (form == NULL) {
    return STATUS_OK;
  }
  if (!named(form, &key, &arg) || arg == NULL || !(span_is(key, "choices") || span_is(key, "regex") || span_is(key, "schema"))) {
    return bad(what, "form", "one of choices, regex, schema", e);
  }
  s->form.kind = span_is(key, "choices") ? FORM_CHOICES : span_is(key, "regex") ? FORM_REGEX : FORM_SCHEMA;
  if (s->form.kind == FORM_REGEX) {
    s->form.text = json_str(arg);
  } else {
    TRY(json_put(&b, arg, e));
    char *copy = arena_strndup(r->a, b.p, b.n);
    if (copy == NULL) {
      st = err_nomem(e, b.n);
      goto out;
    }
    s->form.text = (struct span){ copy, b.n };
  }
out:
  buf_free(&b);
  return st;
}

static enum status read_step(struct recipe *r, const struct json *j, const char *dflt_name, const char *what, struct err *e)
{
  enum status st = STATUS_OK;
  struct recipe_step *s = &r->step[r->n_step];
  struct span parse;
  s->name = json_cstr(json_get(j, "name"), dflt_name);
  if (dflt_name != NULL) {
    s->name = dflt_name;
  }
  if (s->name == NULL) {
    return bad(what, "steps", "a name for every step: the slot that it fills", e);
  }
  r->n_step++; /* from here recipe_close frees it */
  s->system = json_cstr(json_get(j, "system"), json_cstr(json_get(r->root, "system"), NULL));
  s->says = json_cstr(json_get(j, "says"), NULL);
  s->stop = json_cstr(json_get(j, "stop"), NULL);
  s->dialog = json_bool(json_get(j, "dialog"), 0);
  s->prompts = json_get(j, "prompts");
  s->shots = json_get(j, "shots");
  s->sampling = json_get(j, "sampling");
  s->tries = json_int(json_get(j, "tries"), 1);
  for (size_t i = 0; i < json_size(s->prompts) || i == 0; i++) {
    if (json_cstr(json_at(s->prompts, i), NULL) == NULL) {
      return bad(what, "prompts", "a list of texts", e);
    }
  }
  if (s->tries < 1 || s->tries > 20) {
    return bad(what, "tries", "1 to 20", e);
  }
  TRY(check_shots(s, what, e));
  if (!named(json_get(j, "parse"), &parse, &s->parse_arg)) {
    return bad(what, "parse", "the name of a parser, or `name: argument`", e);
  }
  s->parser = parser_table;
  while (s->parser->name != NULL && !span_is(parse, s->parser->name)) {
    s->parser++;
  }
  if (s->parser->name == NULL) {
    return err_set(e, STATUS_DATA, "'%s': unknown parser '%.*s'", what, (int)(parse.n < 60 ? parse.n : 60), parse.p);
  }
  if (*s->parser->arg ? !argument_fits(s->parser->arg, s->parse_arg) : s->parse_arg != NULL) {
    return err_set(e, STATUS_DATA, "'%s': parser '%s': expected %s", what, s->parser->name, *s->parser->arg ? s->parser->arg : "no argument");
  }
  TRY(read_form(r, s, json_get(j, "form"), what, e));
  st = read_checks(r, s, json_get(j, "validate"), what, e);
out:
  return st;
}

static enum status read_steps(struct recipe *r, const char *what, struct err *e)
{
  enum status st = STATUS_OK;
  const struct json *steps = json_get(r->root, "steps");
  if (steps == NULL) {
    TRY(read_step(r, r->root, "answer", what, e));
    const char *p = json_cstr(json_at(r->step[0].prompts, 0), "");
    if (r->input == RECIPE_TEXT && strcmp(r->method, "steps") == 0 && strstr(p, "{text}") == NULL) {
      return bad(what, "prompts", "a list of texts with the slot {text}", e);
    }
    return STATUS_OK;
  }
  if (json_type(steps) != JSON_ARRAY || json_size(steps) == 0 || json_size(steps) > RECIPE_STEPS) {
    return bad(what, "steps", "a list of 1 to 8 steps", e);
  }
  for (size_t i = 0; i < json_size(steps); i++) {
    TRY(check_keys(json_at(steps, i), what, step_keys, e));
    TRY(read_step(r, json_at(steps, i), NULL, what, e));
  }
out:
  return st;
}

static enum status in_range(const char *what, const char *key, int64_t v, int64_t lo, int64_t hi, struct err *e)
{
  return v >= lo && v <= hi ? STATUS_OK : err_set(e, STATUS_DATA, "'%s': recipe key '%s': expected %lld to %lld", what, key, (long long)lo, (long long)hi);
}

static enum status read_recipe(struct recipe *r, const char *what, struct err *e)
{
  enum status st = STATUS_OK;
  static const char *const inputs[] = { "text", "user", "pair", "nothing" };
  const char *input = json_cstr(json_get(r->root, "input"), "text");
  size_t i = 0;
  if (json_type(r->root) != JSON_OBJECT) {
    return err_set(e, STATUS_DATA, "'%s': not a recipe: expected `key: value` lines", what);
  }
  TRY(check_keys(r->root, what, recipe_keys, e));
  TRY(need_text(r->root, what, "name", &r->name, e));
  TRY(need_text(r->root, what, "skill", &r->skill, e));
  TRY(need_text(r->root, what, "elicitation", &r->elicitation, e));
  r->summary = json_cstr(json_get(r->root, "summary"), "");
  r->vertical = json_cstr(json_get(r->root, "vertical"), NULL);
  r->loss = json_cstr(json_get(r->root, "loss"), "ce");
  r->method = json_cstr(json_get(r->root, "method"), "steps");
  while (i < 4 && strcmp(input, inputs[i]) != 0) {
    i++;
  }
  if (i == 4) {
    return bad(what, "input", "text, user, pair or nothing", e);
  }
  r->input = (enum recipe_input)i;
  r->output = json_get(r->root, "output");
  r->lists = json_get(r->root, "lists");
  r->needs = json_get(r->root, "needs");
  r->grid = json_get(r->root, "grid");
  r->per_row = json_int(json_get(r->root, "per_row"), 1);
  r->min_chars = json_int(json_get(r->root, "min_chars"), 1);
  r->turns = json_int(json_get(r->root, "turns"), 1);
  r->min_turns = json_int(json_get(r->root, "min_turns"), r->turns);
  r->passages = json_int(json_get(r->root, "passages"), 0);
  r->count = json_int(json_get(r->root, "count"), 100);
  r->per_cell = json_int(json_get(r->root, "per_cell"), 1);
  r->demos = json_int(json_get(r->root, "demos"), 8);
  r->novelty = json_num(json_get(r->root, "novelty"), 0.7);
  TRY(in_range(what, "per_row", r->per_row, 1, 1000, e));
  TRY(in_range(what, "turns", r->turns, 1, 20, e));
  TRY(in_range(what, "min_turns", r->min_turns, 1, r->turns, e));
  TRY(in_range(what, "passages", r->passages, 0, 20, e));
  TRY(in_range(what, "per_cell", r->per_cell, 1, 10000, e));
  TRY(in_range(what, "demos", r->demos, 1, 32, e));
  if (json_type(r->output) != JSON_STRING && json_type(r->output) != JSON_OBJECT && json_type(r->output) != JSON_ARRAY) {
    return bad(what, "output", "a text (the user's message), a map of fields, or a list of such maps", e);
  }
  st = read_steps(r, what, e);
out:
  return st;
}

enum status recipe_open(const char *name, struct recipe **out, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf text = { 0 }, json = { 0 };
  struct recipe *r = mem_calloc(1, sizeof *r);
  size_t n = strlen(name);
  *out = NULL;
  if (r == NULL || (r->a = arena_new(0)) == NULL) {
    st = err_nomem(e, sizeof *r);
    goto out;
  }
  if (strchr(name, '/') != NULL || (n > 5 && strcmp(name + n - 5, ".yaml") == 0)) {
    TRY(file_read(name, (size_t)1 << 20, &text, e));
    TRY(yaml_to_json((struct span){ text.p, text.n }, name, 0, &json, e));
  } else {
    char path[256];
    snprintf(path, sizeof path, RECIPE_PREFIX "%s.yaml", name);
    const struct asset *asset = asset_find(path);
    if (asset == NULL) {
      const char *all = recipe_names(r->a);
      st = err_set(e, STATUS_USAGE, "'--recipe %s': no such recipe; there are: %s; or name a .yaml file", name, all ? all : "");
      goto out;
    }
    TRY(yaml_to_json(asset_text(asset), name, 0, &json, e));
  }
  TRY(json_parse((struct span){ json.p, json.n }, name, &r->root, e));
  TRY(read_recipe(r, name, e));
  *out = r;
  r = NULL;
out:
  recipe_close(r);
  buf_free(&text);
  buf_free(&json);
  return st;
}

void recipe_close(struct recipe *r)
{
  if (r == NULL) {
    return;
  }
  for (size_t i = 0; i < r->n_step; i++) {
    for (size_t k = 0; k < RECIPE_CHECKS; k++) {
      schema_close(r->step[i].check[k].schema);
    }
  }
  json_free(r->root);
  arena_free(r->a);
  mem_free(r);
}

double recipe_sampling(const struct recipe *r, const struct recipe_step *s, const char *key, double dflt)
{
  return json_num(json_get(s->sampling, key), json_num(json_get(json_get(r->root, "sampling"), key), dflt));
}

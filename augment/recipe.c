/* SPDX-License-Identifier: Apache-2.0
 * Recipes: reading and checking the YAML, filling templates, running parser and validators; see recipe.h. */
#include "recipe.h"
#include "asset.h"
#include "file.h"
#include "opt.h"
#include "yaml_json.h"

#define RECIPE_MAX_VALIDATORS 32
#define RECIPE_PREFIX "augment/recipes/"

struct recipe {
  struct json *root;
  const char *name, *skill, *elicitation, *system, *output;
  const struct json *prompts, *shots;
  const struct parser *parser;
  struct { const struct validator *v; const struct json *arg; } check[RECIPE_MAX_VALIDATORS];
  size_t n_check;
  int64_t per_row, min_chars;
};

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

static enum status check_keys(const struct json *root, const char *what, struct err *e)
{
  static const char *const known[] = { "name", "summary", "skill", "elicitation", "input", "min_chars", "per_row", "sampling", "system", "prompts",
                                       "shots", "parse", "validate", "output" };
  const size_t n = sizeof known / sizeof *known;
  struct span key;
  const struct json *v;
  void *it = NULL;
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
static int argument_fits(const struct validator *v, const struct json *arg)
{
  enum json_type t = json_type(arg);
  if (strcmp(v->arg, "string") == 0) {
    return t == JSON_STRING && json_str(arg).n > 0;
  }
  if (strcmp(v->arg, "number") == 0) {
    return t == JSON_INT || t == JSON_REAL;
  }
  if (strcmp(v->arg, "true") == 0) {
    return t == JSON_BOOL && json_bool(arg, 0);
  }
  int numbers = strcmp(v->arg, "[min, max]") == 0;
  for (size_t i = 0; i < json_size(arg); i++) {
    if (json_type(json_at(arg, i)) != (numbers ? JSON_INT : JSON_STRING)) {
      return 0;
    }
  }
  return t == JSON_ARRAY && (numbers ? json_size(arg) == 2 : json_size(arg) > 0);
}

static enum status read_checks(struct recipe *r, const char *what, struct err *e)
{
  const struct json *list = json_get(r->root, "validate"), *arg;
  struct span key;
  if (json_type(list) != JSON_ARRAY || json_size(list) == 0 || json_size(list) > RECIPE_MAX_VALIDATORS) {
    return bad(what, "validate", "a list of 1 to 32 validators: a recipe without any would let everything through", e);
  }
  for (size_t i = 0; i < json_size(list); i++) {
    void *it = NULL;
    const struct validator *v = validator_table;
    if (json_size(json_at(list, i)) != 1 || !json_next(json_at(list, i), &it, &key, &arg)) {
      return bad(what, "validate", "one `name: argument` an item", e);
    }
    while (v->name != NULL && !span_is(key, v->name)) {
      v++;
    }
    if (v->name == NULL) {
      return err_set(e, STATUS_DATA, "'%s': unknown validator '%.*s'", what, (int)(key.n < 60 ? key.n : 60), key.p);
    }
    if (!argument_fits(v, arg)) {
      return err_set(e, STATUS_DATA, "'%s': validator '%s': expected a %s", what, v->name, v->arg);
    }
    r->check[r->n_check].v = v;
    r->check[r->n_check++].arg = arg;
  }
  return STATUS_OK;
}

static enum status check_shots(const struct recipe *r, const char *what, struct err *e)
{
  for (size_t i = 0; i < json_size(r->shots); i++) {
    const struct json *set = json_at(r->shots, i);
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

static enum status read_recipe(struct recipe *r, const char *what, struct err *e)
{
  enum status st = STATUS_OK;
  const char *parse, *input = json_cstr(json_get(r->root, "input"), "text");
  if (json_type(r->root) != JSON_OBJECT) {
    return err_set(e, STATUS_DATA, "'%s': not a recipe: expected `key: value` lines", what);
  }
  TRY(check_keys(r->root, what, e));
  TRY(need_text(r->root, what, "name", &r->name, e));
  TRY(need_text(r->root, what, "skill", &r->skill, e));
  TRY(need_text(r->root, what, "elicitation", &r->elicitation, e));
  TRY(need_text(r->root, what, "parse", &parse, e));
  TRY(need_text(r->root, what, "output", &r->output, e));
  r->system = json_cstr(json_get(r->root, "system"), NULL);
  r->prompts = json_get(r->root, "prompts");
  r->shots = json_get(r->root, "shots");
  r->per_row = json_int(json_get(r->root, "per_row"), 1);
  r->min_chars = json_int(json_get(r->root, "min_chars"), 1);
  if (strcmp(input, "text") != 0) {
    return bad(what, "input", "text (the only input so far)", e);
  }
  if (r->per_row < 1 || r->per_row > 1000) {
    return bad(what, "per_row", "1 to 1000", e);
  }
  for (size_t i = 0; i < json_size(r->prompts) || i == 0; i++) {
    const char *p = json_cstr(json_at(r->prompts, i), NULL);
    if (p == NULL || strstr(p, "{text}") == NULL) {
      return bad(what, "prompts", "a list of texts with the slot {text}", e);
    }
  }
  TRY(check_shots(r, what, e));
  r->parser = parser_table;
  while (r->parser->name != NULL && strcmp(r->parser->name, parse) != 0) {
    r->parser++;
  }
  if (r->parser->name == NULL) {
    return err_set(e, STATUS_DATA, "'%s': unknown parser '%s'", what, parse);
  }
  TRY(read_checks(r, what, e));
out:
  return st;
}

enum status recipe_open(const char *name, struct recipe **out, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf text = { 0 }, json = { 0 };
  struct arena *a = arena_new(0);
  struct recipe *r = mem_calloc(1, sizeof *r);
  size_t n = strlen(name);
  *out = NULL;
  if (a == NULL || r == NULL) {
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
      const char *all = recipe_names(a);
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
  arena_free(a);
  buf_free(&text);
  buf_free(&json);
  return st;
}

void recipe_close(struct recipe *r)
{
  if (r != NULL) {
    json_free(r->root);
    mem_free(r);
  }
}

const char *recipe_name(const struct recipe *r)
{
  return r->name;
}

const char *recipe_skill(const struct recipe *r)
{
  return r->skill;
}

const char *recipe_elicitation(const struct recipe *r)
{
  return r->elicitation;
}

int64_t recipe_per_row(const struct recipe *r)
{
  return r->per_row;
}

int64_t recipe_min_chars(const struct recipe *r)
{
  return r->min_chars;
}

double recipe_sampling(const struct recipe *r, const char *key, double dflt)
{
  return json_num(json_get(json_get(r->root, "sampling"), key), dflt);
}

/* Fills {text} and {answer}; what is filled in is not looked at again, so a passage with braces is safe. */
static enum status fill(const char *t, struct span text, struct span answer, struct buf *out, struct err *e)
{
  enum status st = STATUS_OK;
  while (*t != '\0') {
    size_t n = strcspn(t, "{");
    TRY(buf_put(out, t, n, e));
    t += n;
    if (strncmp(t, "{text}", 6) == 0) {
      TRY(buf_put(out, text.p, text.n, e));
      t += 6;
    } else if (strncmp(t, "{answer}", 8) == 0) {
      TRY(buf_put(out, answer.p ? answer.p : "", answer.n, e));
      t += 8;
    } else if (*t != '\0') {
      TRY(buf_putc(out, *t++, e));
    }
  }
out:
  return st;
}

static enum status put_message(struct buf *b, const char *role, struct span content, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_printf(b, e, "%s{\"role\":\"%s\",\"content\":", b->n > 0 && b->p[b->n - 1] == '}' ? "," : "", role));
  TRY(json_put_string(b, content, e));
  TRY(buf_putc(b, '}', e));
out:
  return st;
}

enum status recipe_ask(const struct recipe *r, struct span text, int64_t nth, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf user = { 0 };
  size_t n_prompt = json_size(r->prompts), n_shot = json_size(r->shots);
  TRY(buf_putc(b, '[', e));
  if (r->system != NULL) {
    TRY(put_message(b, "system", (struct span){ r->system, strlen(r->system) }, e));
  }
  const struct json *set = n_shot > 0 ? json_at(r->shots, (size_t)nth % n_shot) : NULL;
  for (size_t i = 0; i < json_size(set); i++) {
    TRY(put_message(b, "user", json_str(json_get(json_at(set, i), "user")), e));
    TRY(put_message(b, "assistant", json_str(json_get(json_at(set, i), "assistant")), e));
  }
  TRY(fill(json_cstr(json_at(r->prompts, (size_t)nth % n_prompt), ""), text, (struct span){ NULL, 0 }, &user, e));
  TRY(put_message(b, "user", (struct span){ user.p, user.n }, e));
  TRY(buf_putc(b, ']', e));
out:
  buf_free(&user);
  return st;
}

/* All words of prompt and examples, for validators that look for copies. */
static enum status prompt_text(const struct recipe *r, int64_t nth, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  const struct json *set = json_size(r->shots) > 0 ? json_at(r->shots, (size_t)nth % json_size(r->shots)) : NULL;
  TRY(buf_puts(b, r->system ? r->system : "", e));
  for (size_t i = 0; i < json_size(set); i++) {
    struct span u = json_str(json_get(json_at(set, i), "user")), s = json_str(json_get(json_at(set, i), "assistant"));
    TRY(buf_puts(b, "\n|\n", e));
    TRY(buf_put(b, u.p, u.n, e));
    TRY(buf_puts(b, "\n|\n", e));
    TRY(buf_put(b, s.p, s.n, e));
  }
out:
  return st;
}

enum status recipe_take(const struct recipe *r, struct span output, struct span text, int64_t nth, const struct span *before, size_t n_before,
                        struct arena *a, struct span *out, const char **why, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf prompt = { 0 };
  struct span found = r->parser->parse(output);
  *why = "nothing to parse";
  *out = (struct span){ NULL, 0 };
  if (found.n == 0) {
    return STATUS_OK;
  }
  TRY(prompt_text(r, nth, &prompt, e));
  char *copy = arena_strndup(a, found.p, found.n);
  if (copy == NULL) {
    st = err_nomem(e, found.n);
    goto out;
  }
  *out = (struct span){ copy, found.n };
  *why = NULL;
  for (size_t i = 0; i < r->n_check && *why == NULL; i++) {
    struct check c = { *out, text, { prompt.p, prompt.n }, before, n_before, r->check[i].arg, a };
    if (!r->check[i].v->good(&c)) {
      *why = r->check[i].v->reason;
    }
  }
out:
  buf_free(&prompt);
  return st;
}

enum status recipe_output(const struct recipe *r, struct span text, struct span answer, struct buf *out, struct err *e)
{
  return fill(r->output, text, answer, out, e);
}

/* SPDX-License-Identifier: Apache-2.0
 * Recipes: filling templates, and taking an output through parser and validators; see recipe.h. */
#include "recipe.h"

#define SLOT_MAX 80

/* The name between t[0] == '{' and its brace, when it looks like a slot. */
static int slot_name(const char *t, struct span *name)
{
  size_t n = 1;
  while (n < SLOT_MAX && t[n] != '\0' && t[n] != '}' && (strchr("_.:-", t[n]) != NULL || (t[n] >= '0' && t[n] <= '9') || ((t[n] | 32) >= 'a' && (t[n] | 32) <= 'z'))) {
    n++;
  }
  *name = (struct span){ t + 1, n - 1 };
  return t[n] == '}' && n > 1;
}

enum status recipe_fill(const char *t, slot_value slot, void *ctx, struct arena *a, struct buf *out, struct err *e)
{
  enum status st = STATUS_OK;
  while (*t != '\0') {
    size_t n = strcspn(t, "{");
    struct span name, value = { NULL, 0 };
    int found = 0;
    TRY(buf_put(out, t, n, e));
    t += n;
    if (*t == '\0') {
      break;
    }
    if (slot_name(t, &name)) {
      TRY(slot(ctx, name, a, &value, &found, e));
    }
    if (found) {
      TRY(buf_put(out, value.p ? value.p : "", value.n, e));
      t += name.n + 2;
    } else {
      TRY(buf_putc(out, *t++, e));
    }
  }
out:
  return st;
}

static enum status put_text(const char *t, slot_value slot, void *ctx, struct arena *a, struct buf *out, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  struct span name, value = { NULL, 0 };
  int found = 0, json = strncmp(t, "{json:", 6) == 0, num = strncmp(t, "{num:", 5) == 0;
  if ((json || num) && slot_name(t, &name) && t[name.n + 2] == '\0') {
    name.p += json ? 5 : 4;
    name.n -= json ? 5 : 4;
    TRY(slot(ctx, name, a, &value, &found, e));
    value = span_trim(value);
    if (!found || span_check_json(value, e) != STATUS_OK || (num && span_type(value) != 'n')) {
      st = err_set(e, STATUS_DATA, "slot '%.*s' holds no %s", (int)name.n, name.p, num ? "number" : "JSON value");
      goto out;
    }
    st = buf_put(out, value.p, value.n, e);
    goto out;
  }
  TRY(recipe_fill(t, slot, ctx, a, &b, e));
  st = json_put_string(out, (struct span){ b.p, b.n }, e);
out:
  buf_free(&b);
  return st;
}

enum status recipe_value(const struct json *j, slot_value slot, void *ctx, struct arena *a, struct buf *out, struct err *e)
{
  enum status st = STATUS_OK;
  struct span key;
  const struct json *v;
  void *it = NULL;
  if (json_type(j) == JSON_STRING) {
    return put_text(json_cstr(j, ""), slot, ctx, a, out, e);
  }
  if (json_type(j) == JSON_ARRAY) {
    TRY(buf_putc(out, '[', e));
    for (size_t i = 0; i < json_size(j); i++) {
      TRY(buf_puts(out, i ? "," : "", e));
      TRY(recipe_value(json_at(j, i), slot, ctx, a, out, e));
    }
    return buf_putc(out, ']', e);
  }
  if (json_type(j) != JSON_OBJECT) {
    return json_put(out, j, e);
  }
  TRY(buf_putc(out, '{', e));
  for (int n = 0; json_next(j, &it, &key, &v); n++) {
    TRY(buf_puts(out, n ? "," : "", e));
    TRY(json_put_string(out, key, e));
    TRY(buf_putc(out, ':', e));
    TRY(recipe_value(v, slot, ctx, a, out, e));
  }
  st = buf_putc(out, '}', e);
out:
  return st;
}

static enum status keep(struct arena *a, struct span *s, struct err *e)
{
  char *copy = arena_strndup(a, s->p ? s->p : "", s->n);
  *s = (struct span){ copy, s->n };
  return copy ? STATUS_OK : err_nomem(e, s->n);
}

enum status recipe_take(const struct recipe_step *s, struct span output, struct check *c, struct parsed *p, const char **why, struct err *e)
{
  enum status st = STATUS_OK;
  *p = (struct parsed){ 0 };
  *why = NULL;
  if (!s->parser->parse(output, s->parse_arg, c->a, p) || p->text.n == 0) {
    *why = "nothing to parse";
    return STATUS_OK;
  }
  TRY(keep(c->a, &p->text, e));
  for (size_t i = 0; i < p->n_part; i++) {
    TRY(keep(c->a, &p->part[i].text, e));
  }
  c->answer = p->text;
  for (size_t i = 0; i < s->n_check && *why == NULL; i++) {
    c->arg = s->check[i].arg;
    c->schema = s->check[i].schema;
    c->detail = NULL;
    if (!s->check[i].v->good(c)) {
      *why = s->check[i].v->reason;
    }
  }
out:
  return st;
}

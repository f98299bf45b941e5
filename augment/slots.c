/* SPDX-License-Identifier: Apache-2.0
 * What the {slots} of a recipe stand for; see docs/formats.md, "Recipes". */
#include "augment.h"
#include "hash.h"

#define SLOT_FIELD_MAX 200

static int is(struct span name, const char *s)
{
  return span_is(name, s);
}

static int rest_of(struct span name, const char *prefix, struct span *rest)
{
  size_t n = strlen(prefix);
  *rest = (struct span){ name.p + n, name.n - n };
  return name.n > n && memcmp(name.p, prefix, n) == 0;
}

static const struct slot *look(const struct slot *s, struct span name)
{
  while (s != NULL && !span_is(name, s->name)) {
    s = s->next;
  }
  return s;
}

/* {pick:LIST}: another item for each question of a row, beginning anywhere; {nth:LIST}: the items in their order. */
static struct span list_item(struct slot_ctx *x, struct span list, int any)
{
  char key[80];
  snprintf(key, sizeof key, "%.*s", (int)list.n, list.p);
  const struct json *l = json_get(x->u->g->recipe->lists, key);
  size_t n = json_size(l);
  uint64_t at = (uint64_t)x->c->nth + (any ? xxh3_seed(x->u->id.p, x->u->id.n, xxh3(list.p, list.n)) : 0);
  return n ? json_str(json_at(l, (size_t)(at % n))) : (struct span){ NULL, 0 };
}

/* The passages that are shown: the row's own and its nearest others, in an order that does not tell which is which. */
static enum status passages(struct slot_ctx *x, int own, int list, struct arena *a, struct span *out, struct err *e)
{
  enum status st = STATUS_OK;
  struct augment *g = x->u->g;
  struct buf b = { 0 };
  struct bm25_hit *hit;
  size_t n, want = (size_t)g->recipe->passages, shown[32], k = 0;
  TRY(bm25_top(g->corpus, x->u->text, want + 1, a, &hit, &n, e));
  for (size_t i = 0; i < n && k + (size_t)own < want; i++) {
    if (hit[i].n != x->u->own) {
      shown[k++] = hit[i].n;
    }
  }
  if (own) {
    size_t at = (size_t)(xxh3(x->u->id.p, x->u->id.n) % (k + 1));
    memmove(shown + at + 1, shown + at, (k - at) * sizeof *shown);
    shown[at] = x->u->own;
    k++;
  }
  TRY(buf_puts(&b, list ? "[" : "", e));
  for (size_t i = 0; i < k; i++) {
    if (!list) {
      TRY(buf_printf(&b, e, "%s[%zu] ", i ? "\n\n" : "", i + 1));
      TRY(buf_put(&b, g->texts[shown[i]].p, g->texts[shown[i]].n, e));
      continue;
    }
    TRY(buf_puts(&b, i ? ",{\"id\":" : "{\"id\":", e));
    TRY(json_put_string(&b, g->ids[shown[i]], e));
    TRY(buf_puts(&b, ",\"text\":", e));
    TRY(json_put_string(&b, g->texts[shown[i]], e));
    TRY(buf_putc(&b, '}', e));
  }
  TRY(buf_puts(&b, list ? "]" : "", e));
  char *copy = arena_strndup(a, b.p ? b.p : "", b.n);
  *out = (struct span){ copy, b.n };
  st = copy ? STATUS_OK : err_nomem(e, b.n);
out:
  buf_free(&b);
  return st;
}

static enum status number(struct arena *a, int64_t v, struct span *out, struct err *e)
{
  char *s = arena_printf(a, "%lld", (long long)v);
  *out = (struct span){ s, s ? strlen(s) : 0 };
  return s ? STATUS_OK : err_nomem(e, 24);
}

enum status slot_find(void *ctx, struct span name, struct arena *a, struct span *out, int *found, struct err *e)
{
  enum status st = STATUS_OK;
  struct slot_ctx *x = ctx;
  struct span rest;
  const struct slot *s = look(x->c->slots, name);
  s = s ? s : look(x->u->presets, name);
  *found = 1;
  if (s != NULL) {
    *out = s->text;
  } else if (is(name, "text")) {
    *out = x->u->text;
  } else if (is(name, "id")) {
    *out = x->u->id;
  } else if (is(name, "user")) {
    *out = x->u->user;
  } else if (is(name, "assistant")) {
    *out = x->u->assistant;
  } else if (is(name, "n")) {
    return number(a, x->c->nth + 1, out, e);
  } else if (is(name, "turn")) {
    return number(a, x->c->turn + 1, out, e);
  } else if (is(name, "dialog")) {
    *out = x->c->transcript;
  } else if (is(name, "messages")) {
    char *all = arena_printf(a, "[%.*s]", (int)x->c->dialog.n, x->c->dialog.p ? x->c->dialog.p : "");
    *out = (struct span){ all, x->c->dialog.n + 2 };
    return all ? STATUS_OK : err_nomem(e, x->c->dialog.n);
  } else if (x->u->g->recipe->passages > 0 && (is(name, "passages") || is(name, "passages_list"))) {
    return passages(x, 1, is(name, "passages_list"), a, out, e);
  } else if (x->u->g->recipe->passages > 0 && (is(name, "others") || is(name, "others_list"))) {
    return passages(x, 0, is(name, "others_list"), a, out, e);
  } else if (rest_of(name, "pick:", &rest)) {
    *out = list_item(x, rest, 1);
    *found = out->p != NULL;
  } else if (rest_of(name, "nth:", &rest)) {
    *out = list_item(x, rest, 0);
    *found = out->p != NULL;
  } else if (rest_of(name, "row:", &rest)) {
    char field[SLOT_FIELD_MAX];
    struct span raw;
    snprintf(field, sizeof field, "%.*s", (int)rest.n, rest.p);
    TRY(record_path(&x->u->row->r, field, a, &raw, e));
    if (span_type(raw) == 's') {
      TRY(span_string(raw, a, &raw, e));
    }
    *out = raw;
  } else {
    *found = 0;
  }
out:
  return st;
}

/* SPDX-License-Identifier: Apache-2.0
 * A row on its way through a recipe: what is read of it, and the texts it is compared and retrieved with; see augment.h. */
#include "augment.h"

static enum status keep(struct arena *a, struct span s, struct span *out, struct err *e)
{
  char *copy = arena_strndup(a, s.p ? s.p : "", s.n);
  *out = (struct span){ copy, s.n };
  return copy ? STATUS_OK : err_nomem(e, s.n);
}

/* Last user turn, and the answer to it when there is one. */
static enum status read_turns(struct row *row, struct unit *u, struct err *e)
{
  enum status st = STATUS_OK;
  struct span messages;
  struct json *m = NULL;
  TRY(record_messages(&row->r, row->a, &messages, e));
  if (messages.p == NULL) {
    return record_string(&row->r, "text", row->a, &u->user, e); /* a bare instruction */
  }
  TRY(json_parse(messages, "messages", &m, e));
  for (size_t i = 0; i < json_size(m); i++) {
    const char *role = json_cstr(json_get(json_at(m, i), "role"), "");
    struct span content = json_str(json_get(json_at(m, i), "content"));
    if (strcmp(role, "user") == 0) {
      TRY(keep(row->a, content, &u->user, e));
      u->assistant = (struct span){ NULL, 0 };
    } else if (strcmp(role, "assistant") == 0) {
      TRY(keep(row->a, content, &u->assistant, e));
    }
  }
out:
  json_free(m);
  return st;
}

static enum status new_unit(struct augment *g, struct row *row, struct unit **out, struct err *e)
{
  struct unit *u = arena_calloc(row->a, 1, sizeof *u);
  struct group *k = arena_calloc(row->a, 1, sizeof *k);
  if (u == NULL || k == NULL) {
    return err_nomem(e, sizeof *u);
  }
  k->a = row->a;
  u->g = g;
  u->row = row;
  u->group = k;
  row->state = u;
  *out = u;
  return STATUS_OK;
}

enum status unit_read(struct augment *g, struct row *row, struct unit **out, int *ok, struct err *e)
{
  enum status st = STATUS_OK;
  struct unit *u = NULL;
  const char *why = NULL;
  *ok = 0;
  TRY(new_unit(g, row, &u, e));
  *out = u;
  TRY(record_id(&row->r, row->a, &u->id, e));
  if (g->recipe->input == RECIPE_TEXT || g->recipe->input == RECIPE_NOTHING) {
    TRY(record_string(&row->r, "text", row->a, &u->text, e));
    why = u->text.p == NULL ? "no text" : NULL;
  } else {
    TRY(read_turns(row, u, e));
    u->text = u->user;
    why = u->user.n == 0 ? "no question" : g->recipe->input == RECIPE_PAIR && u->assistant.n == 0 ? "no answer" : NULL;
  }
  if (why == NULL && (int64_t)u->text.n < g->recipe->min_chars) {
    why = "too short";
  }
  for (size_t i = 0; i < json_size(g->recipe->needs) && why == NULL; i++) {
    struct span v;
    const char *field = json_cstr(json_at(g->recipe->needs, i), "");
    TRY(record_path(&row->r, field, row->a, &v, e));
    if (v.n == 0) {
      why = arena_printf(g->a, "no %s", field);
      if (why == NULL) {
        return err_nomem(e, 64);
      }
    }
  }
  if (why != NULL) {
    rows_drop(row, why);
  }
  *ok = why == NULL;
out:
  return st;
}

enum status unit_make(struct augment *g, struct row *row, const char *id, struct span text, struct unit **out, struct err *e)
{
  enum status st = STATUS_OK;
  struct unit *u = NULL;
  TRY(record_split((struct span){ "{}", 2 }, row->a, &row->r, e));
  TRY(new_unit(g, row, &u, e));
  TRY(keep(row->a, (struct span){ id, strlen(id) }, &u->id, e));
  u->text = text;
  u->user = text;
  *out = u;
out:
  return st;
}

enum status unit_preset(struct unit *u, const char *name, struct span text, struct err *e)
{
  struct slot *s = arena_calloc(u->row->a, 1, sizeof *s);
  if (s == NULL) {
    return err_nomem(e, sizeof *s);
  }
  *s = (struct slot){ name, text, u->presets };
  u->presets = s;
  return STATUS_OK;
}

enum status unit_start(struct unit *u, size_t n_chains, struct err *e)
{
  enum status st = STATUS_OK;
  u->chain = arena_calloc(u->row->a, n_chains, sizeof *u->chain);
  if (u->chain == NULL) {
    return err_nomem(e, n_chains * sizeof *u->chain);
  }
  u->n_chains = n_chains;
  for (size_t i = 0; i < n_chains; i++) {
    u->chain[i].nth = (int64_t)i;
    TRY(chain_ask(u, &u->chain[i], e));
  }
out:
  return st;
}

enum status group_add(struct group *k, struct span text, size_t step, struct err *e)
{
  if (k->n == k->cap) {
    size_t cap = k->cap ? k->cap * 2 : 8;
    struct span *good = arena_alloc(k->a, cap * sizeof *good);
    uint8_t *at = arena_alloc(k->a, cap);
    if (good == NULL || at == NULL) {
      return err_nomem(e, cap * sizeof *good);
    }
    if (k->n > 0) {
      memcpy(good, k->good, k->n * sizeof *good);
      memcpy(at, k->step, k->n);
    }
    k->good = good;
    k->step = at;
    k->cap = cap;
  }
  k->step[k->n] = (uint8_t)step;
  return keep(k->a, text, &k->good[k->n++], e);
}

enum status corpus_add(struct augment *g, struct unit *u, struct err *e)
{
  enum status st = STATUS_OK;
  if (g->n_texts == g->cap_texts) {
    size_t cap = g->cap_texts ? g->cap_texts * 2 : 256;
    struct span *t = arena_alloc(g->a, cap * sizeof *t), *i = arena_alloc(g->a, cap * sizeof *i);
    if (t == NULL || i == NULL) {
      return err_nomem(e, cap * sizeof *t);
    }
    if (g->n_texts > 0) {
      memcpy(t, g->texts, g->n_texts * sizeof *t);
      memcpy(i, g->ids, g->n_texts * sizeof *i);
    }
    g->texts = t;
    g->ids = i;
    g->cap_texts = cap;
  }
  u->own = g->n_texts;
  TRY(keep(g->a, u->text, &g->texts[g->n_texts], e));
  TRY(keep(g->a, u->id, &g->ids[g->n_texts++], e));
  st = bm25_add(g->corpus, u->text, e);
out:
  return st;
}

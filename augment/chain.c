/* SPDX-License-Identifier: Apache-2.0
 * A chain: the steps of a recipe asked one after the other (and all of them again for each turn), each output parsed, checked and, when
 * bad, asked again with the reason. When it comes to its end its rows are written. */
#include "augment.h"

static enum status add_slot(struct unit *u, struct chain *c, const char *name, struct span text, struct err *e)
{
  struct slot *s = arena_calloc(u->row->a, 1, sizeof *s);
  if (s == NULL) {
    return err_nomem(e, sizeof *s);
  }
  *s = (struct slot){ name, text, c->slots };
  c->slots = s;
  return STATUS_OK;
}

static enum status put_shots(struct unit *u, struct chain *c, const struct recipe_step *s, struct buf *m, struct err *e)
{
  enum status st = STATUS_OK;
  struct slot_ctx x = { u, c };
  struct buf b = { 0 };
  const struct json *set = json_size(s->shots) > 0 ? json_at(s->shots, (size_t)c->nth % json_size(s->shots)) : NULL;
  for (size_t i = 0; i < json_size(set); i++) {
    static const char *const sides[] = { "user", "assistant" };
    for (size_t k = 0; k < 2; k++) {
      buf_clear(&b);
      TRY(recipe_fill(json_cstr(json_get(json_at(set, i), sides[k]), ""), slot_find, &x, u->row->a, &b, e));
      TRY(message_put(m, sides[k], (struct span){ b.p, b.n }, e));
    }
  }
out:
  buf_free(&b);
  return st;
}

static struct sampling sampling_of(const struct augment *g, const struct recipe_step *s)
{
  const struct teacher_options *t = &g->o->t;
  struct sampling out = teacher_sampling(t);
  if (t->temperature < 0) {
    out.temperature = recipe_sampling(g->recipe, s, "temperature", 0);
    out.top_p = t->top_p < 1 ? t->top_p : recipe_sampling(g->recipe, s, "top_p", 1);
  }
  if (t->max_tokens == 0) {
    out.max_tokens = (int64_t)recipe_sampling(g->recipe, s, "max_tokens", 256);
  }
  return out;
}

enum status chain_ask(struct unit *u, struct chain *c, struct err *e)
{
  enum status st = STATUS_OK;
  const struct recipe_step *s = &u->g->recipe->step[c->step];
  struct slot_ctx x = { u, c };
  struct buf m = { 0 }, b = { 0 };
  TRY(buf_putc(&m, '[', e));
  if (s->system != NULL) {
    TRY(recipe_fill(s->system, slot_find, &x, u->row->a, &b, e));
    TRY(message_put(&m, "system", (struct span){ b.p, b.n }, e));
  }
  TRY(put_shots(u, c, s, &m, e));
  if (s->dialog && c->dialog.n > 0) {
    TRY(buf_puts(&m, m.p[m.n - 1] == '[' ? "" : ",", e));
    TRY(buf_put(&m, c->dialog.p, c->dialog.n, e));
  }
  buf_clear(&b);
  TRY(recipe_fill(json_cstr(json_at(s->prompts, (size_t)c->nth % json_size(s->prompts)), ""), slot_find, &x, u->row->a, &b, e));
  if (b.n > 0) { /* an empty prompt: the dialog itself ends with the question */
    TRY(message_put(&m, "user", (struct span){ b.p, b.n }, e));
  }
  TRY(buf_putc(&m, ']', e));
  struct question q = { .messages = { m.p, m.n }, .ordinal = (uint32_t)c->nth, .sampling = sampling_of(u->g, s), .form = s->form };
  st = rows_ask(u->row, (uint32_t)(c - u->chain), &q, e);
out:
  buf_free(&m);
  buf_free(&b);
  return st;
}

static struct span slot_text(const void *ctx, const char *name)
{
  const struct slot_ctx *x = ctx;
  struct slot_ctx copy = *x;
  struct span out = { NULL, 0 };
  struct err e;
  int found = 0;
  if (slot_find(&copy, (struct span){ name, strlen(name) }, x->u->row->a, &out, &found, &e) != STATUS_OK || !found) {
    return (struct span){ NULL, 0 };
  }
  return out;
}

static void count_rejected(struct augment *g, const char *why)
{
  for (size_t i = 0; i < MAX_REASONS; i++) {
    if (g->rejected[i].reason == NULL) {
      char *copy = arena_printf(g->a, "%s", why);
      g->rejected[i].reason = copy ? copy : "rejected";
    }
    if (strcmp(g->rejected[i].reason, why) == 0) {
      g->rejected[i].n++;
      return;
    }
  }
}

static void end_chain(struct unit *u)
{
  if (++u->n_done < u->n_chains) {
    return;
  }
  for (size_t i = 0; i < u->n_chains; i++) {
    buf_free(&u->chain[i].dialog);
  }
  if (u->any_good) {
    rows_keep(u->row);
  } else if (u->any_rejected) {
    rows_drop(u->row, u->why);
  } else {
    rows_fail(u->row, u->why ? u->why : "teacher failed");
  }
  if (u->g->method->finished != NULL) {
    u->g->method->finished(u->g, u->row);
  }
}

static enum status finish(struct unit *u, struct chain *c, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  if (u->group->wanted > 0 && u->group->have >= u->group->wanted) {
    u->any_rejected = 1;
    u->why = "enough";
    count_rejected(u->g, u->why);
    return STATUS_OK;
  }
  u->group->have++;
  u->any_good = 1;
  st = child_write(u, c, a, e);
  return st;
}

/* Compared are good outputs of the same step. */
static enum status earlier(struct unit *u, size_t step, const struct span **before, size_t *n, struct err *e)
{
  struct group *k = u->group;
  struct span *list = arena_alloc(u->row->a, (k->n + 1) * sizeof *list);
  *n = 0;
  if (list == NULL) {
    return err_nomem(e, k->n * sizeof *list);
  }
  for (size_t i = 0; i < k->n; i++) {
    if (k->step[i] == step) {
      list[(*n)++] = k->good[i];
    }
  }
  *before = list;
  return STATUS_OK;
}

/* alone: nothing else that was answered is looked at. */
static enum status check_output(struct unit *u, struct chain *c, const struct question *q, const struct answer *a, int alone, struct parsed *p, const char **why, struct err *e)
{
  enum status st = STATUS_OK;
  struct augment *g = u->g;
  struct slot_ctx x = { u, c };
  struct span prompt = q->messages;
  struct json *m = NULL;
  struct buf b = { 0 };
  struct check k = { .text = u->text, .a = u->row->a, .slot = slot_text, .ctx = &x, .corpus = g->corpus, .own = u->own, .n_passages = (size_t)g->recipe->passages };
  if (a->finish != NULL && (strcmp(a->finish, "refusal") == 0 || strcmp(a->finish, "content_filter") == 0)) {
    *why = strcmp(a->finish, "refusal") == 0 ? "refusal" : "content filter";
    return STATUS_OK;
  }
  /* system message and examples, but not the question itself: it holds the row's text, and may be quoted */
  TRY(json_parse(prompt, "messages", &m, e));
  for (size_t i = 0; i + 1 < json_size(m); i++) {
    struct span content = json_str(json_get(json_at(m, i), "content"));
    TRY(buf_puts(&b, "\n|\n", e));
    TRY(buf_put(&b, content.p ? content.p : "", content.n, e));
  }
  k.prompt = (struct span){ b.p, b.n };
  if (g->recipe->passages > 0) {
    k.n_passages = (size_t)g->recipe->passages < g->n_texts ? (size_t)g->recipe->passages : g->n_texts;
  }
  if (!alone) {
    TRY(earlier(u, c->step, &k.before, &k.n_before, e));
  }
  TRY(recipe_take(&g->recipe->step[c->step], a->content, &k, p, why, e));
  for (size_t i = 0; *why == NULL && u->group->novelty > 0 && c->step == 0 && i < k.n_before; i++) {
    double f;
    struct arena_mark mark = arena_mark(u->row->a);
    TRY(rouge_l(p->text, k.before[i], u->row->a, &f, e));
    arena_rewind(u->row->a, mark);
    *why = f >= u->group->novelty ? "too near to the pool" : NULL;
  }
out:
  json_free(m);
  buf_free(&b);
  return st;
}

/* The dialog as the next turn sees it. */
static enum status say(struct unit *u, struct chain *c, const char *role, struct span text, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_puts(&c->dialog, c->dialog.n > 0 ? "," : "", e));
  TRY(buf_puts(&c->dialog, "{\"role\":", e));
  TRY(json_put_cstr(&c->dialog, role, e));
  TRY(buf_puts(&c->dialog, ",\"content\":", e));
  TRY(json_put_string(&c->dialog, text, e));
  TRY(buf_putc(&c->dialog, '}', e));
  char *all = arena_printf(u->row->a, "%.*s%s%s: %.*s", (int)c->transcript.n, c->transcript.p ? c->transcript.p : "", c->transcript.n ? "\n" : "",
                           strcmp(role, "assistant") == 0 ? "Assistant" : "User", (int)text.n, text.p);
  if (all == NULL) {
    return err_nomem(e, c->transcript.n + text.n);
  }
  c->transcript = (struct span){ all, strlen(all) };
out:
  return st;
}

static enum status take_good(struct unit *u, struct chain *c, const struct parsed *p, const struct answer *a, int *ended, struct err *e)
{
  enum status st = STATUS_OK;
  const struct recipe *r = u->g->recipe;
  const struct recipe_step *s = &r->step[c->step];
  TRY(group_add(u->group, p->text, c->step, e));
  TRY(add_slot(u, c, s->name, p->text, e));
  for (size_t i = 0; i < p->n_part; i++) {
    char *name = arena_printf(u->row->a, "%s.%s", s->name, p->part[i].name);
    if (name == NULL) {
      return err_nomem(e, 80);
    }
    TRY(add_slot(u, c, name, p->part[i].text, e));
  }
  if (s->says != NULL) {
    TRY(say(u, c, s->says, p->text, e));
  }
  c->tries = 0;
  if (++c->step == r->n_step) {
    c->step = 0;
    c->turn++;
  }
  *ended = c->turn >= r->turns;
  if (*ended) {
    st = finish(u, c, a, e);
  }
out:
  return st;
}

static int stops(const struct recipe_step *s, struct span output)
{
  return s->stop != NULL && memmem(output.p ? output.p : "", output.n, s->stop, strlen(s->stop)) != NULL;
}

enum status chain_wrong(struct augment *g, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, const char **why, struct err *e)
{
  struct unit *u = row->state;
  struct chain *c = &u->chain[tag];
  const struct recipe_step *s = &g->recipe->step[c->step];
  struct parsed p;
  *why = a->failed != STATUS_OK ? a->reason : NULL;
  if (*why != NULL || (c->turn >= g->recipe->min_turns && stops(s, a->content))) {
    return STATUS_OK;
  }
  return check_output(u, c, q, a, 1, &p, why, e);
}

enum status chain_answer(struct augment *g, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct unit *u = row->state;
  struct chain *c = &u->chain[tag];
  const struct recipe_step *s = &g->recipe->step[c->step];
  const char *why = NULL;
  struct parsed p;
  struct buf b = { 0 };
  int ended = 1, last = a->part + 1 >= a->parts;
  if (a->failed != STATUS_OK) {
    char *copy = arena_strndup(row->a, a->reason, strlen(a->reason));
    u->why = u->any_rejected || copy == NULL ? u->why : copy;
    count_rejected(g, "teacher failed");
    goto end;
  }
  if (c->turn >= g->recipe->min_turns && stops(s, a->content)) {
    TRY(finish(u, c, a, e));
    goto end;
  }
  TRY(check_output(u, c, q, a, 0, &p, &why, e));
  if (why == NULL) {
    TRY(take_good(u, c, &p, a, &ended, e));
    if (a->parts > 1) {
      c->step = 0; /* one step, one turn: every teacher's answer is taken alike */
      c->turn = 0;
    } else if (!ended) {
      st = chain_ask(u, c, e);
      goto out;
    }
    goto end;
  }
  if (++c->tries < s->tries && a->parts <= 1) {
    struct question again = *q;
    g->again++;
    TRY(message_again(q->messages, a->content, why, &b, e));
    again.messages = (struct span){ b.p, b.n };
    st = rows_ask(row, tag, &again, e);
    goto out;
  }
  if (c->turn >= g->recipe->min_turns && g->recipe->min_turns < g->recipe->turns) { /* enough for a row: the turns before stand */
    TRY(finish(u, c, a, e));
    goto end;
  }
  u->any_rejected = 1;
  u->why = why;
  count_rejected(g, why);
end:
  if (last) {
    end_chain(u);
  }
out:
  buf_free(&b);
  return st;
}

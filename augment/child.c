/* SPDX-License-Identifier: Apache-2.0
 * Rows that come of a finished chain: PARENT#n with the fields of the recipe's output. */
#include "augment.h"
#include "hash.h"
#include "json.h"

#define MAX_FIELDS 24

static enum status put_task(struct augment *g, const struct teacher *by, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  char key[65];
  const char *vertical = g->o->vertical ? g->o->vertical : g->recipe->vertical ? g->recipe->vertical : "general";
  const struct { const char *key, *value; } rows[] = { { "recipe", g->recipe->name }, { "skill", g->recipe->skill }, { "elicitation", g->recipe->elicitation },
                                                       { "vertical", vertical }, { "lang", g->o->lang }, { "teacher", teacher_name(by) },
                                                       { "terms", teacher_terms(by) }, { "key", key } };
  hash_hex(a->key, sizeof a->key, key);
  buf_clear(&g->task);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    TRY(buf_puts(&g->task, i ? "," : "{", e));
    TRY(json_put_cstr(&g->task, rows[i].key, e));
    TRY(buf_putc(&g->task, ':', e));
    TRY(json_put_cstr(&g->task, rows[i].value, e));
  }
  TRY(buf_putc(&g->task, '}', e));
out:
  return st;
}

struct fields {
  struct field_edit f[MAX_FIELDS];
  size_t n;
};

static void set(struct fields *k, const char *key, struct span value)
{
  for (size_t i = 0; i < k->n; i++) {
    if (strcmp(k->f[i].key, key) == 0) {
      k->f[i].value = value;
      return;
    }
  }
  if (k->n < MAX_FIELDS) {
    k->f[k->n++] = (struct field_edit){ key, value };
  }
}

static enum status kept(struct unit *u, const struct buf *b, struct span *out, struct err *e)
{
  char *copy = arena_strndup(u->row->a, b->p, b->n);
  *out = (struct span){ copy, b->n };
  return copy ? STATUS_OK : err_nomem(e, b->n);
}

/* The recipe's output: a text is the user's message; a map is fields of the row. */
static enum status put_output(struct unit *u, struct chain *c, const struct json *output, struct fields *k, struct err *e)
{
  enum status st = STATUS_OK;
  struct augment *g = u->g;
  struct slot_ctx x = { u, c };
  struct span key, value;
  const struct json *v;
  void *it = NULL;
  buf_clear(&g->b);
  if (json_type(output) == JSON_STRING) {
    buf_clear(&g->messages);
    TRY(recipe_fill(json_cstr(output, ""), slot_find, &x, u->row->a, &g->b, e));
    TRY(buf_putc(&g->messages, '[', e));
    TRY(message_put(&g->messages, "user", (struct span){ g->b.p, g->b.n }, e));
    TRY(buf_putc(&g->messages, ']', e));
    TRY(kept(u, &g->messages, &value, e));
    set(k, "messages", value);
    return STATUS_OK;
  }
  while (json_next(output, &it, &key, &v)) {
    buf_clear(&g->b);
    TRY(recipe_value(v, slot_find, &x, u->row->a, &g->b, e));
    TRY(kept(u, &g->b, &value, e));
    char *name = arena_strndup(u->row->a, key.p, key.n);
    if (name == NULL) {
      return err_nomem(e, key.n);
    }
    set(k, name, value);
  }
out:
  return st;
}

/* The parent's fields stay, but for its text and conversation: they are in the new row's messages now, and twice would count twice everywhere. */
static enum status write_one(struct unit *u, struct chain *c, const struct json *output, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct augment *g = u->g;
  static const char *const gone[] = { "text", "messages", "conversations", "instruction", "input", "output", "completion", "chosen", "rejected" };
  struct buf id = { 0 }, scores = { 0 }, teacher = { 0 };
  struct fields k = { .n = 0 };
  char *name = arena_printf(u->row->a, "%.*s#%zu", (int)u->id.n, u->id.p, ++u->written);
  if (name == NULL) {
    return err_nomem(e, u->id.n);
  }
  TRY(json_put_cstr(&id, name, e));
  set(&k, "id", (struct span){ id.p, id.n });
  for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) {
    if (record_get(&u->row->r, gone[i]).n > 0) {
      set(&k, gone[i], (struct span){ NULL, 0 });
    }
  }
  TRY(put_output(u, c, output, &k, e));
  if (json_type(output) == JSON_OBJECT) { /* answers in it are the teacher's */
    TRY(teacher_field(g->t, a, &teacher, e));
    set(&k, "teacher", (struct span){ teacher.p, teacher.n });
  }
  TRY(put_task(g, teacher_of(g->t, a), a, e));
  set(&k, "task", (struct span){ g->task.p, g->task.n });
  if (a->n_scores > 0) {
    TRY(record_scores(&u->row->r, a->score, a->n_scores, &scores, e));
    set(&k, "scores", (struct span){ scores.p, scores.n });
  }
  buf_clear(&g->line);
  TRY(record_edit(&u->row->r, k.f, k.n, &g->line, e));
  TRY(rows_write(u->row, (struct span){ g->line.p, g->line.n }, e));
  g->made_rows++;
out:
  buf_free(&id);
  buf_free(&scores);
  buf_free(&teacher);
  return st;
}

enum status child_write(struct unit *u, struct chain *c, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  const struct json *output = u->g->recipe->output;
  if (json_type(output) != JSON_ARRAY) {
    return write_one(u, c, output, a, e);
  }
  for (size_t i = 0; i < json_size(output); i++) {
    TRY(write_one(u, c, json_at(output, i), a, e));
  }
out:
  return st;
}

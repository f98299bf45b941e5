/* SPDX-License-Identifier: Apache-2.0
 * Opening teachers: the table of dialects, one teacher or several out of the option lists, the terms gate between finding a
 * teacher and loading or connecting it, and the note that lets `replay:` ask the same again. Used by stages through teacher.h. */
#include <unistd.h>
#include "log.h"
#include "teacher_answer.h"
#include "teacher_pii.h"

static const struct dialect *const dialects[] = { &dialect_anthropic, &dialect_openai, &dialect_completions, &dialect_vllm, &dialect_embeddings, &dialect_batch,
                                                  &dialect_replay, &dialect_local, NULL };

const struct dialect *dialect_of(const char *spec)
{
  const struct dialect *const *d = dialects;
  while (*d != NULL && !(*d)->matches(spec)) {
    d++;
  }
  return *d;
}

const struct dialect *dialect_named(const char *name)
{
  const struct dialect *const *d = dialects;
  while (*d != NULL && strcmp((*d)->name, name) != 0) {
    d++;
  }
  return *d;
}

/* "LABEL=" at the beginning of a --teacher: letters, digits, _ . - and no path of that name. */
static size_t label_length(const char *spec)
{
  size_t n = strspn(spec, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
  return n > 0 && spec[n] == '=' && access(spec, F_OK) != 0 ? n : 0;
}

static const char *bare_spec(const char *spec)
{
  size_t n = label_length(spec);
  return n ? spec + n + 1 : spec;
}

int teacher_needs_book(const struct teacher_options *o)
{
  int needs = 0;
  for (size_t i = 0; i < o->teachers.n; i++) {
    const struct dialect *d = dialect_of(bare_spec(o->teachers.item[i]));
    needs |= d != NULL && d->needs_book;
  }
  return needs;
}

/* What replay needs to build the same requests again. Holds no secret: keys never get into struct teacher. */
static enum status note_teacher(struct teacher *t, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  const struct { const char *key, *value; } rows[] = { { "dialect", t->body_of->name }, { "name", t->name }, { "identity", t->identity },
                                                       { "model", t->model }, { "template", t->template_name }, { "terms", t->terms } };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if (rows[i].value != NULL) {
      TRY(buf_puts(&b, b.n ? "," : "{", e));
      TRY(json_put_cstr(&b, rows[i].key, e));
      TRY(buf_putc(&b, ':', e));
      TRY(json_put_cstr(&b, rows[i].value, e));
    }
  }
  TRY(buf_putc(&b, '}', e));
  TRY(book_note(t->book, "teacher", (struct span){ b.p, b.n }, e));
out:
  buf_free(&b);
  return st;
}

/* Of [LABEL=]VALUE items the last one for this label, else the last one for all. */
static const char *value_for(const struct opt_list *l, const char *label)
{
  const char *own = NULL, *all = NULL;
  for (size_t i = 0; i < l->n; i++) {
    const char *eq = strchr(l->item[i], '=');
    if (eq == NULL) {
      all = l->item[i];
    } else if (label != NULL && strncmp(l->item[i], label, strlen(label)) == 0 && l->item[i] + strlen(label) == eq) {
      own = eq + 1;
    }
  }
  return own ? own : all;
}

/* LABEL=VALUE whose LABEL no teacher has is a slip of the pen. */
static enum status check_labels(const struct teacher_options *o, const struct opt_list *l, const char *option, struct err *e)
{
  for (size_t i = 0; i < l->n; i++) {
    const char *eq = strchr(l->item[i], '=');
    int known = eq == NULL;
    for (size_t k = 0; k < o->teachers.n && !known; k++) {
      size_t n = label_length(o->teachers.item[k]);
      known = n > 0 && (size_t)(eq - l->item[i]) == n && strncmp(l->item[i], o->teachers.item[k], n) == 0;
    }
    if (!known) {
      return err_set(e, STATUS_USAGE, "'--%s %s': no --teacher has the label '%.*s'", option, l->item[i], (int)(eq - l->item[i]), l->item[i]);
    }
  }
  return STATUS_OK;
}

static enum status open_with(const struct dialect *d, const struct teacher_options *o, const char *label, struct book *book,
                             const char *accept_terms, struct teacher **out, struct err *e)
{
  enum status st = STATUS_OK;
  struct teacher *t = NULL;
  const char *notice = NULL;
  *out = NULL;
  t = mem_calloc(1, sizeof *t);
  if (t == NULL || (t->a = arena_new(0)) == NULL) {
    st = err_nomem(e, sizeof *t);
    goto out;
  }
  if (d != &dialect_local && d != &dialect_mix && o->dev.device != NULL && strcmp(o->dev.device, "cpu") != 0) {
    st = err_set(e, STATUS_USAGE, "--device %s is for local teachers, '%s' is not one", o->dev.device, o->teacher);
    goto out;
  }
  t->o = *o;
  TRY(request_members(o->request, t->a, &t->request, e));
  TRY(form_from_options(&o->form, t->a, &t->form, e));
  if (t->form.kind != FORM_FREE && o->stop.n > 0) {
    st = err_set(e, STATUS_USAGE, "'--stop' would cut an answer whose form is stated: leave it out");
    goto out;
  }
  t->label = label;
  t->accept_terms = accept_terms;
  t->d = t->body_of = d;
  t->book = book;
  t->subject.label = o->teacher;
  TRY(t->d->open(t, e));
  if (t->terms == NULL) {
    TRY(terms_gate(&t->subject, o->teacher_terms, accept_terms, t->a, &t->terms, &notice, e));
    log_info("%s", notice);
  }
  TRY(teacher_pii_open(t, e));
  if (t->d->ready != NULL) {
    TRY(t->d->ready(t, e));
  }
  if (t->book != NULL && !t->d->unrecorded) {
    TRY(note_teacher(t, e));
  }
out:
  if (st != STATUS_OK) {
    teacher_close(t);
    t = NULL;
  }
  *out = t;
  return st;
}

enum status teacher_open_one(const struct teacher_options *o, size_t which, struct book *book, const char *accept_terms,
                             struct teacher **out, struct err *e)
{
  enum status st = STATUS_OK;
  struct teacher_options one = *o;
  const char *item = o->teachers.item[which];
  size_t n = label_length(item);
  char *label = n ? mem_strndup(item, n) : NULL;
  *out = NULL;
  if (n && label == NULL) {
    return err_nomem(e, n);
  }
  one.teacher = bare_spec(item);
  one.key_env = value_for(&o->key_envs, label);
  one.teacher_terms = value_for(&o->stated_terms, label);
  st = *one.teacher == '\0' ? err_set(e, STATUS_USAGE, "'--teacher %s': nothing behind the label", item)
                            : open_with(dialect_of(one.teacher), &one, NULL, book, accept_terms, out, e);
  if (st == STATUS_OK && label != NULL && ((*out)->label = arena_strndup((*out)->a, label, n)) == NULL) {
    st = err_nomem(e, n);
    teacher_close(*out);
    *out = NULL;
  }
  mem_free(label);
  return st;
}

enum status teacher_open(const struct teacher_options *o, struct book *book, const char *accept_terms, struct teacher **out, struct err *e)
{
  enum status st = STATUS_OK;
  *out = NULL;
  if (o->teachers.n == 0 || o->teachers.item[0][0] == '\0') {
    return err_set(e, STATUS_USAGE, "no teacher: name one with --teacher (GGUF file, model folder, http(s)://host/v1#model, replay:BOOK)");
  }
  TRY(check_labels(o, &o->key_envs, "key-env", e));
  TRY(check_labels(o, &o->stated_terms, "teacher-terms", e));
  st = o->teachers.n == 1 && o->mix == NULL ? teacher_open_one(o, 0, book, accept_terms, out, e)
                                            : open_with(&dialect_mix, o, NULL, book, accept_terms, out, e);
out:
  return st;
}

/* SPDX-License-Identifier: Apache-2.0
 * The dialect behind several --teacher: opens the members and finds the way of mixing. Every member keeps its own journal, terms
 * and limits, so killing and running again costs what it costs with one teacher. The asking is in teacher_mix_run.c. */
#include "teacher_mix.h"
#include "teacher_http.h"

static enum status mix_mode_find(struct mix *m, const char *how, struct err *e)
{
  enum status st = STATUS_OK;
  const struct mix_mode *mode = mix_mode_table;
  const char *colon;
  struct buf forms = { 0 };
  if (how == NULL) {
    st = err_set(e, STATUS_USAGE, "%zu teachers: say how they work together with --mix (all, vote, route:FIELD, cascade:SCORE:MIN, weights:A,B)", m->n);
    goto out;
  }
  colon = strchr(how, ':');
  size_t n = colon ? (size_t)(colon - how) : strlen(how);
  while (mode->name != NULL && (strlen(mode->name) != n || strncmp(mode->name, how, n) != 0)) {
    mode++;
  }
  if (mode->name == NULL) {
    for (mode = mix_mode_table; mode->name != NULL; mode++) {
      TRY(buf_printf(&forms, e, "%s%s", forms.n ? ", " : "", mode->form));
    }
    st = err_set(e, STATUS_USAGE, "'--mix %s': unknown; known are %s", how, forms.p);
    goto out;
  }
  m->mode = mode;
  st = mode->parse(m, colon ? colon + 1 : NULL, e);
out:
  buf_free(&forms);
  return st;
}

/* Members' texts joined, or the one they share. */
static char *joined(struct mix *m, const char *(*get)(const struct teacher *), const char *sep)
{
  char *all = arena_printf(m->t->a, "%s", get(m->member[0]));
  int same = 1;
  for (size_t i = 1; i < m->n; i++) {
    same &= strcmp(get(m->member[0]), get(m->member[i])) == 0;
  }
  for (size_t i = 1; i < m->n && !same && all != NULL; i++) {
    all = arena_printf(m->t->a, "%s%s%s", all, sep, get(m->member[i]));
  }
  return all;
}

/* Members that speak HTTP themselves share one event loop. */
static void join_loops(struct mix *m)
{
  const struct teacher *first = NULL;
  for (size_t i = 0; i < m->n; i++) {
    if (m->member[i]->d->http != NULL && first == NULL) {
      first = m->member[i];
    } else if (m->member[i]->d->http != NULL) {
      http_teacher_join(m->member[i], first);
    }
  }
}

static enum status check_judge(const struct mix *m, struct err *e)
{
  for (size_t i = 0; i + 1 < m->n && m->judged; i++) {
    if (m->member[i]->label != NULL && strcmp(m->member[i]->label, "judge") == 0) {
      return err_set(e, STATUS_USAGE, "'--teacher judge=...': under '--mix %s' the judge stands last", m->t->o.mix);
    }
  }
  return mix_askable(m) >= 2 ? STATUS_OK : err_set(e, STATUS_USAGE, "'--mix %s': found one teacher beside the judge, expected two or more", m->t->o.mix);
}

static enum status mix_open(struct teacher *t, struct err *e)
{
  enum status st = STATUS_OK;
  struct mix *m = arena_calloc(t->a, 1, sizeof *m);
  if (m == NULL) {
    return err_nomem(e, sizeof *m);
  }
  t->state = m;
  m->t = t;
  if (t->o.teachers.n < 2 || t->o.teachers.n > MIX_MAX) {
    return err_set(e, STATUS_USAGE, "--mix: found %zu --teacher, expected 2 to %d", t->o.teachers.n, MIX_MAX);
  }
  m->n = t->o.teachers.n; /* for the mode's check, before anything is loaded */
  TRY(mix_mode_find(m, t->o.mix, e));
  m->n = 0;
  for (size_t i = 0; i < t->o.teachers.n; i++) {
    TRY(teacher_open_one(&t->o, i, t->book, t->accept_terms, &m->member[i], e));
    m->member[i]->in_mix = 1;
    m->n++;
    for (size_t k = 0; k < i; k++) {
      if (m->member[i]->label && m->member[k]->label && strcmp(m->member[i]->label, m->member[k]->label) == 0) {
        st = err_set(e, STATUS_USAGE, "'--teacher %s=...': two teachers have this label", m->member[i]->label);
        goto out;
      }
    }
  }
  TRY(check_judge(m, e));
  join_loops(m);
  t->name = joined(m, teacher_name, "+");
  t->identity = joined(m, teacher_identity, "+");
  t->terms = joined(m, teacher_terms, " + ");
  if (t->name == NULL || t->identity == NULL || t->terms == NULL) {
    st = err_nomem(e, 1024);
  }
out:
  return st;
}

static void mix_close(struct teacher *t)
{
  struct mix *m = t->state;
  if (m == NULL) {
    return;
  }
  for (size_t i = 0; i < m->n; i++) {
    teacher_close(m->member[i]);
  }
  mix_drop(m);
}

/* Every member submits before the run ends, whichever has something to wait for. */
static enum status mix_flush(struct teacher *t, struct err *e)
{
  enum status st = STATUS_OK;
  struct mix *m = t->state;
  for (size_t i = 0; i < m->n; i++) {
    struct err own = { 0 };
    enum status one = m->member[i]->d->flush ? m->member[i]->d->flush(m->member[i], &own) : STATUS_OK;
    if (one != STATUS_OK && (st == STATUS_OK || st == STATUS_STOPPED)) {
      st = err_set(e, one, "%s", own.msg);
    }
  }
  return st;
}

const struct dialect dialect_mix = {
  .name = "mix",
  .open = mix_open,
  .close = mix_close,
  .begin = mix_begin,
  .step = mix_step,
  .end = mix_end,
  .flush = mix_flush,
  .unrecorded = 1,
};

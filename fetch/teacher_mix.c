/* SPDX-License-Identifier: Apache-2.0
 * The dialect behind several --teacher: a window of questions is gathered, the members are run over what the mode wants of them,
 * round by round, and the answers are passed on in order. Every member keeps its own journal, terms and limits, so killing and
 * running again costs what it costs with one teacher. It never sleeps on input while it holds a question. */
#include "teacher_mix.h"
#include <poll.h>
#include <unistd.h>
#include "stop.h"
#include "teacher_answer.h"

#define WINDOW_SLOTS 1024
#define WINDOW_BYTES ((size_t)16 << 20) /* of messages */
#define SMALL_WINDOW 64                 /* below this a moment is waited for more: members work better on many at once */
#define GATHER_WAIT_MS 100

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
  m->slot = mem_calloc(WINDOW_SLOTS, sizeof *m->slot);
  t->name = joined(m, teacher_name, "+");
  t->identity = joined(m, teacher_identity, "+");
  t->terms = joined(m, teacher_terms, " + ");
  if (m->slot == NULL || t->name == NULL || t->identity == NULL || t->terms == NULL) {
    st = err_nomem(e, WINDOW_SLOTS * sizeof *m->slot);
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
  for (size_t i = 0; m->slot != NULL && i < WINDOW_SLOTS; i++) {
    arena_free(m->slot[i].a);
  }
  mem_free(m->slot);
}

/* ---- a window ---- */

static enum status gather(struct mix *m, int *ended, struct err *e)
{
  enum status st = STATUS_OK;
  struct teacher *t = m->t;
  size_t bytes = 0;
  int waits = 0;
  m->n_slots = 0;
  while (m->n_slots < WINDOW_SLOTS && bytes < WINDOW_BYTES && !*ended) {
    struct mix_slot *s = &m->slot[m->n_slots];
    struct arena *a = s->a ? s->a : arena_new(0);
    int got = 0;
    if (a == NULL) {
      return err_nomem(e, sizeof *s);
    }
    arena_reset(a);
    *s = (struct mix_slot){ .a = a };
    if (stop_requested()) {
      return err_set(e, STATUS_STOPPED, "stopped by a signal; answers so far are kept, run the same command again to go on");
    }
    TRY(t->next(t->ctx, m->n_slots == 0, &s->q, &got, e));
    if (got == 1) {
      s->answer = arena_calloc(a, m->n, sizeof *s->answer);
      if (s->answer == NULL) {
        return err_nomem(e, m->n * sizeof *s->answer);
      }
      bytes += s->q.messages.n;
      m->n_slots++;
      continue;
    }
    *ended = got == 0;
    if (got < 0) {
      struct pollfd p = { STDIN_FILENO, POLLIN, 0 };
      if (got == QUESTION_LATER || m->n_slots >= SMALL_WINDOW || waits++ >= 5 || poll(&p, 1, GATHER_WAIT_MS) <= 0) {
        break;
      }
    }
  }
out:
  return st;
}

/* One member's share of a round. */
struct share {
  struct mix *m;
  size_t member, at;
};

static enum status share_next(void *ctx, int wait, struct question *q, int *got, struct err *e)
{
  struct share *s = ctx;
  (void)wait;
  (void)e;
  *got = 0;
  for (; s->at < s->m->n_slots && !*got; s->at++) {
    if (s->m->slot[s->at].wanted >> s->member & 1) {
      *q = s->m->slot[s->at].q;
      q->user = &s->m->slot[s->at];
      *got = 1;
    }
  }
  return STATUS_OK;
}

static enum status share_done(void *ctx, const struct question *q, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct share *sh = ctx;
  struct mix_slot *s = q->user;
  TRY(teacher_copy_answer(a, s->a, &s->answer[sh->member], e));
  s->answer[sh->member].by = sh->m->member[sh->member];
out:
  return st;
}

static enum status round_of(struct mix *m, int *any, struct err *e)
{
  enum status st = STATUS_OK;
  uint32_t all = 0;
  for (size_t i = 0; i < m->n_slots; i++) {
    struct mix_slot *s = &m->slot[i];
    s->asked |= s->wanted;
    s->wanted = 0;
    TRY(m->mode->next(m, s, e));
    s->wanted &= ~s->asked;
    all |= s->wanted;
  }
  *any = all != 0;
  for (size_t k = 0; k < m->n; k++) {
    if (all >> k & 1) {
      struct share share = { m, k, 0 };
      TRY(teacher_run(m->member[k], share_next, share_done, &share, e));
    }
  }
out:
  return st;
}

static enum status pass_on(struct mix *m, struct mix_slot *s, struct err *e)
{
  enum status st = STATUS_OK;
  struct teacher *t = m->t;
  uint32_t parts = 0, part = 0;
  s->pick = 0;
  TRY(m->mode->choose(m, s, e));
  for (size_t k = 0; k < m->n; k++) {
    t->deferred |= (s->pick >> k & 1) && s->answer[k].failed == STATUS_STOPPED;
  }
  if (t->deferred) { /* its answer, or one before it, comes in a later run */
    struct answer later = { .failed = STATUS_STOPPED, .reason = "waits for a batch", .finish = "" };
    st = t->done(t->ctx, &s->q, &later, e);
    goto out;
  }
  for (size_t k = 0; k < m->n; k++) {
    parts += s->pick >> k & 1;
  }
  if (parts == 0) {
    struct answer none = { .failed = STATUS_DATA, .reason = s->why ? s->why : "no teacher answered", .finish = "" };
    st = t->done(t->ctx, &s->q, &none, e);
    goto out;
  }
  for (size_t k = 0; k < m->n; k++) {
    if (s->pick >> k & 1) {
      s->answer[k].part = part++;
      s->answer[k].parts = parts;
      TRY(t->done(t->ctx, &s->q, &s->answer[k], e));
    }
  }
out:
  return st;
}

static enum status mix_run(struct teacher *t, struct err *e)
{
  enum status st = STATUS_OK;
  struct mix *m = t->state;
  int ended = 0;
  while (!ended) {
    int any = 1;
    TRY(gather(m, &ended, e));
    while (any && m->n_slots > 0) {
      TRY(round_of(m, &any, e));
    }
    for (size_t i = 0; i < m->n_slots; i++) {
      TRY(pass_on(m, &m->slot[i], e));
    }
  }
out:
  t->asked = t->from_book = 0;
  for (size_t i = 0; i < m->n; i++) {
    t->asked += m->member[i]->asked;
    t->from_book += m->member[i]->from_book;
  }
  return st;
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
  .run = mix_run,
  .flush = mix_flush,
  .unrecorded = 1,
};

/* SPDX-License-Identifier: Apache-2.0
 * Asking several teachers at once; see teacher_mix.h. Questions are pulled from the stage into a window, put into the lines of the
 * members that the mode wants, and every member goes on by itself: those that speak HTTP in one event loop, a model of this machine
 * between whose tokens that loop goes on. Answers are passed on in the order of the questions. It never sleeps on input while it
 * holds a question, and never passes on while a member holds the machine lease. */
#include <poll.h>
#include <unistd.h>
#include "log.h"
#include "mem.h"
#include "stop.h"
#include "teacher_answer.h"
#include "teacher_http.h"
#include "teacher_mix.h"

#define WINDOW_SLOTS 4096
#define WINDOW_BYTES ((size_t)16 << 20) /* of messages */
#define SMALL_WINDOW 64                 /* below this a moment is waited for more: a member that computes works better on many at once */
#define GATHER_WAIT_S 0.5
#define TURN_S 0.2                      /* longest sleep */

/* ---- lines ---- */

static void to_line(struct mix *m, size_t k, struct mix_slot *s)
{
  struct mix_line *l = &m->line[k];
  s->behind[k] = NULL;
  if (l->tail != NULL) {
    l->tail->behind[k] = s;
  } else {
    l->head = s;
  }
  l->tail = s;
  l->n++;
}

/* The mode's next round for a question, or its end. */
static enum status advance(struct mix *m, struct mix_slot *s, struct err *e)
{
  enum status st = STATUS_OK;
  int first = s->asked == 0 && s->wanted == 0;
  size_t n = mix_askable(m);
  s->asked |= s->wanted;
  s->wanted = 0;
  s->judge = -1;
  TRY(m->mode->next(m, s, e));
  if (s->judge >= 0) {
    TRY(mix_judge_ask(m, s, e));
    s->judging = 1;
    s->owed++;
    to_line(m, mix_judge_of(m, s), s);
    goto out;
  }
  if (first && m->t->o.dry_run && m->mode->in_turn) {
    s->wanted = n >= 32 ? UINT32_MAX : (1u << n) - 1;
  }
  s->wanted &= ~s->asked;
  s->decided = s->wanted == 0;
  for (size_t k = 0; k < m->n; k++) {
    if (s->wanted >> k & 1) {
      s->owed++;
      to_line(m, k, s);
    }
  }
out:
  return st;
}

struct share {
  struct mix *m;
  size_t member;
};

/* A member asks for its next question: only what was gathered already, so this never reads input. */
static enum status share_next(void *ctx, int wait, struct question *q, int *got, struct err *e)
{
  struct share *sh = ctx;
  struct mix_line *l = &sh->m->line[sh->member];
  struct mix_slot *s = l->head;
  (void)wait;
  (void)e;
  *got = s != NULL ? 1 : sh->m->ended && sh->m->n_open == 0 ? 0 : -1;
  if (s != NULL) {
    l->head = s->behind[sh->member];
    l->tail = l->head ? l->tail : NULL;
    l->n--;
    l->in_hand++;
    sh->m->events++;
    *q = s->judging ? s->judge_q : s->q;
    q->user = s;
  }
  return STATUS_OK;
}

static enum status share_done(void *ctx, const struct question *q, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct share *sh = ctx;
  struct mix_slot *s = q->user;
  if (s->judging) {
    mix_judge_take(s, a);
    s->judging = 0;
  } else {
    TRY(teacher_copy_answer(a, s->a, &s->answer[sh->member], e));
    s->answer[sh->member].by = sh->m->member[sh->member];
  }
  sh->m->line[sh->member].in_hand--;
  sh->m->events++;
  if (--s->owed == 0) {
    st = advance(sh->m, s, e);
  }
out:
  return st;
}

/* ---- the stage's side ---- */

static enum status new_slot(struct mix *m, struct mix_slot **out, struct err *e)
{
  struct mix_slot *s = m->spare;
  if (s != NULL) {
    m->spare = s->next;
    struct arena *a = s->a;
    arena_reset(a);
    *s = (struct mix_slot){ .a = a };
  } else {
    s = mem_calloc(1, sizeof *s);
    if (s == NULL || (s->a = arena_new(0)) == NULL) {
      mem_free(s);
      return err_nomem(e, sizeof *s);
    }
  }
  s->answer = arena_calloc(s->a, m->n, sizeof *s->answer);
  s->behind = arena_calloc(s->a, m->n, sizeof(struct mix_slot *));
  *out = s;
  if (s->answer == NULL || s->behind == NULL) {
    s->next = m->spare;
    m->spare = s;
    return err_nomem(e, m->n * sizeof *s->answer);
  }
  return STATUS_OK;
}

static void keep_spare(struct mix *m, struct mix_slot *s)
{
  s->next = m->spare;
  m->spare = s;
}

static int has_room(const struct mix *m)
{
  return m->n_open < WINDOW_SLOTS && (m->n_open == 0 || m->bytes < WINDOW_BYTES);
}

/* All that the stage has now; sleeps on input only when no question is open. */
static enum status gather(struct mix *m, int may_wait, struct err *e)
{
  enum status st = STATUS_OK;
  int got = 1;
  while (got == 1 && !m->ended && !m->later && has_room(m)) {
    struct mix_slot *s = NULL;
    TRY(new_slot(m, &s, e));
    st = m->t->next(m->t->ctx, may_wait && m->n_open == 0, &s->q, &got, e);
    if (st != STATUS_OK || got != 1) {
      keep_spare(m, s);
      m->ended = st == STATUS_OK && got == 0;
      m->later = st == STATUS_OK && got == QUESTION_LATER;
      return st;
    }
    if (m->youngest != NULL) {
      m->youngest->next = s;
    } else {
      m->oldest = s;
    }
    m->youngest = s;
    m->n_open++;
    m->bytes += s->q.messages.n + s->q.text.n;
    m->events++;
    m->gathered_at = clock_seconds();
    TRY(advance(m, s, e));
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
  m->later = 0;
  TRY(m->mode->choose(m, s, e));
  for (size_t k = 0; k < m->n; k++) {
    t->deferred |= (s->pick >> k & 1) && s->answer[k].failed == STATUS_STOPPED;
  }
  if (t->deferred || t->o.dry_run) { /* its answer, or one before it, comes in a later run */
    struct answer later = { .failed = STATUS_STOPPED, .reason = t->o.dry_run ? "dry run" : "waits for a batch", .finish = "" };
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

/* What is decided, in order; with --unordered whatever is. */
static enum status pass_on_all(struct mix *m, struct err *e)
{
  enum status st = STATUS_OK;
  struct mix_slot *last = NULL, *s = m->oldest;
  while (st == STATUS_OK && s != NULL && (s->decided || (m->t->unordered && !m->t->deferred))) {
    struct mix_slot *next = s->next;
    if (!s->decided) {
      last = s;
    } else {
      *(last ? &last->next : &m->oldest) = next;
      m->youngest = m->youngest == s ? last : m->youngest;
      size_t bytes = s->q.messages.n + s->q.text.n;
      m->n_open--;
      m->bytes -= bytes < m->bytes ? bytes : m->bytes;
      m->events++;
      st = pass_on(m, s, e);
      keep_spare(m, s);
    }
    s = next;
  }
  return st;
}

/* ---- a run ---- */

static enum status step_members(struct mix *m, int computing, double *until, struct err *e)
{
  enum status st = STATUS_OK;
  for (size_t k = 0; k < m->n; k++) {
    struct step n = { .until = TURN_S };
    if (m->member[k]->d->computes != computing || m->line[k].n + m->line[k].in_hand == 0) {
      continue;
    }
    TRY(teacher_step(m->member[k], &n, e));
    *until = n.until < *until ? n.until : *until;
  }
out:
  return st;
}

/* A member that computes has time for the others, between two tokens (lease: held) or half-way through its questions. */
static enum status meanwhile(void *ctx, int lease, struct err *e)
{
  enum status st = STATUS_OK;
  struct mix *m = ctx;
  double until = TURN_S;
  TRY(step_members(m, 0, &until, e));
  if (!lease) {
    TRY(pass_on_all(m, e));
    TRY(gather(m, 0, e));
  }
out:
  return st;
}

enum status mix_begin(struct teacher *t, struct err *e)
{
  enum status st = STATUS_OK;
  struct mix *m = t->state;
  m->ended = m->later = 0;
  for (size_t k = 0; k < m->n; k++) {
    struct share *sh = arena_alloc(t->a, sizeof *sh);
    if (sh == NULL) {
      return err_nomem(e, sizeof *sh);
    }
    *sh = (struct share){ m, k };
    m->line[k] = (struct mix_line){ NULL, NULL, 0, 0 };
    m->member[k]->meanwhile = meanwhile;
    m->member[k]->meanwhile_ctx = m;
    teacher_unordered(m->member[k]); /* the order is kept here */
    TRY(teacher_begin(m->member[k], share_next, share_done, sh, e));
  }
out:
  return st;
}

/* 1 when members that compute should begin: enough to do, or nothing more in sight. */
static int worth_computing(const struct mix *m)
{
  return m->ended || m->later || m->n_open >= SMALL_WINDOW || !has_room(m) || clock_seconds() - m->gathered_at > GATHER_WAIT_S;
}

static enum status sleep_until(struct mix *m, double until, struct err *e)
{
  int fd = !m->ended && !m->later && has_room(m) ? STDIN_FILENO : -1, ms = (int)(until * 1000) + 1;
  for (size_t k = 0; k < m->n; k++) {
    if (m->member[k]->d->http != NULL) {
      return http_teacher_wait(m->member[k], ms, fd, e);
    }
  }
  struct pollfd p = { fd, POLLIN, 0 };
  (void)poll(&p, fd >= 0, ms);
  return STATUS_OK;
}

enum status mix_step(struct teacher *t, struct step *n, struct err *e)
{
  enum status st = STATUS_OK;
  struct mix *m = t->state;
  uint64_t events = m->events;
  double until = TURN_S;
  if (stop_requested()) {
    return err_set(e, STATUS_STOPPED, "stopped by a signal; answers so far are kept, run the same command again to go on");
  }
  TRY(gather(m, 1, e));
  TRY(step_members(m, 0, &until, e));
  TRY(pass_on_all(m, e));
  if (worth_computing(m)) {
    TRY(step_members(m, 1, &until, e));
    TRY(pass_on_all(m, e));
  }
  n->done = m->ended && m->n_open == 0;
  if (!n->done && m->events == events) {
    TRY(sleep_until(m, until, e));
  }
out:
  return st;
}

enum status mix_end(struct teacher *t, enum status st, struct err *e)
{
  struct mix *m = t->state;
  t->asked = t->from_book = 0;
  for (size_t k = 0; k < m->n; k++) {
    struct err own = { 0 };
    enum status one = teacher_finish(m->member[k], st, &own);
    if (st == STATUS_OK && one != STATUS_OK) {
      st = err_set(e, one, "%s", own.msg);
    }
    t->asked += m->member[k]->asked;
    t->from_book += m->member[k]->from_book;
  }
  if (st == STATUS_OK && t->o.dry_run) {
    teacher_quote_sum(m->member, m->n);
  }
  return st;
}

void mix_drop(struct mix *m)
{
  struct mix_slot *const list[] = { m->oldest, m->spare };
  for (size_t i = 0; i < 2; i++) {
    for (struct mix_slot *s = list[i], *next; s != NULL; s = next) {
      next = s->next;
      arena_free(s->a);
      mem_free(s);
    }
  }
  m->oldest = m->youngest = m->spare = NULL;
}

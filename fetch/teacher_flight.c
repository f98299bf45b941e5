/* SPDX-License-Identifier: Apache-2.0
 * Sending questions to a server, and sending them again: what http_verdict.h says about an answer is acted on here, within what
 * limits.h allows. When the run must end (Ctrl-C, key refused, quota gone), what is in the air is waited for a little: it may be
 * paid for. */
#include <time.h>
#include <unistd.h>
#include "http_verdict.h"
#include "json.h"
#include "log.h"
#include "stop.h"
#include "teacher_flight.h"

#define BACKOFF_BASE_S 0.25
#define BACKOFF_CAP_S 30.0
#define RETRY_AFTER_CAP_S 600.0
#define GRACE_S 10.0        /* after Ctrl-C or a refused key: time for what is in the air */
#define NEVER_REACHED_S 5.0 /* a server that never answered is given up after this */
#define TURN_S 0.2          /* longest sleep */
#define RESERVE_AT_ONCE 64
#define HOPELESS 20         /* first questions that all fail: the rest would too */

/* ---- lists ---- */

static void to_ready(struct engine *s, struct flight *f)
{
  f->next = NULL;
  *s->ready_end = f;
  s->ready_end = &f->next;
  s->n_ready++;
}

static void wait_until(struct engine *s, struct flight *f, double due)
{
  f->due = due;
  f->next = s->waiting;
  s->waiting = f;
  s->n_waiting++;
}

static void retire(struct engine *s, struct flight *f)
{
  if (f->call.reply.cap > (1 << 16)) {
    buf_free(&f->call.reply);
  }
  f->next = s->spare;
  s->spare = f;
}

/* Waiting ones whose time has come get ready. *until: at most the time to the next. */
static void wake_due(struct engine *s, double now, double *until)
{
  for (struct flight **p = &s->waiting; *p != NULL;) {
    struct flight *f = *p;
    if (f->due > now) {
      *until = f->due - now < *until ? f->due - now : *until;
      p = &f->next;
      continue;
    }
    *p = f->next;
    s->n_waiting--;
    to_ready(s, f);
  }
}

/* ---- money ---- reserved before an attempt is sent, settled when it is known what it cost. What was sent and never answered stays
 * reserved, and counts as spent. */

/* Never more than this: a token is at least one byte, and what templates add is small. */
static uint64_t bound_micro(const struct engine *s, const struct ask *k)
{
  double in = (double)k->body.n + 256, out = (double)k->q.sampling.max_tokens * (k->q.choices > 1 ? k->q.choices : 1);
  return price_micro_usd(&s->price, in, 0, out);
}

/* Money for the next flights in line, in one step. */
static enum status reserve(struct engine *s, int most, struct err *e)
{
  enum status st = STATUS_OK;
  struct book_money m[RESERVE_AT_ONCE];
  struct flight *list[RESERVE_AT_ONCE];
  size_t n = 0, granted = 0;
  struct err why = { 0 };
  most = most < RESERVE_AT_ONCE ? most : RESERVE_AT_ONCE;
  for (struct flight *f = s->ready; f != NULL && most > 0; f = f->next, most--) {
    if (f->reservation == 0) {
      if (s->limit_micro != UINT64_MAX && f->ask->q.sampling.max_tokens <= 0) {
        return err_set(e, STATUS_USAGE, "--max-usd: nothing bounds the length of answers; set --max-tokens");
      }
      m[n] = (struct book_money){ bound_micro(s, f->ask), 0 };
      list[n++] = f;
    }
  }
  if (n == 0 || s->t->book == NULL) {
    return STATUS_OK;
  }
  st = book_reserve_all(s->t->book, s->t->model, s->price.known, m, n, s->limit_micro, &granted, &why);
  if (st != STATUS_OK) {
    return err_set(e, st, "%s", why.msg);
  }
  for (size_t i = 0; i < granted; i++) {
    list[i]->reservation = m[i].reservation;
    list[i]->reserved = m[i].micro_usd;
  }
  if (granted < n && http_in_flight(s->http) == 0 && s->ready->reservation == 0) { /* nothing in the air can give money back */
    err_set(&s->fatal, STATUS_LIMIT, "%s; answers so far are kept", why.msg);
  }
  return STATUS_OK;
}

/* free: the server says that it did nothing. Else what it counted; unknown counts as all that was reserved. */
static enum status settle(struct engine *s, struct flight *f, int nothing, struct err *e)
{
  enum status st = STATUS_OK;
  const struct usage *u = &f->ask->out.usage;
  uint64_t micro = nothing ? 0 : !s->price.known ? 0 : u->known ? price_micro_usd(&s->price, (double)u->in_tok, (double)u->cached_tok, (double)u->out_tok) : f->reserved;
  if (f->reservation != 0) {
    st = book_settle(s->t->book, f->reservation, micro, nothing ? 0 : u->in_tok, nothing ? 0 : u->out_tok, e);
  }
  f->reservation = f->reserved = 0;
  return st;
}

/* ---- after an attempt ---- */

static void fail(struct engine *s, struct flight *f, enum status why, const char *reason, const char *says)
{
  log_warn("a question failed after %d attempts: %s%s%s", f->attempts, reason, says[0] ? ": " : "", says);
  teacher_failed(s->t, f->ask, why, reason);
  if (++s->failed_in_row >= HOPELESS && s->answered == 0 && s->fatal.code == STATUS_OK) {
    err_set(&s->fatal, STATUS_NET, "'%s': the first %d questions all failed (%s%s%s); nothing more is asked", s->url, HOPELESS, reason,
            says[0] ? ": " : "", says);
  }
  retire(s, f);
}

/* Full jitter: anywhere between now and an exponentially growing bound; never before Retry-After. counts = 0: the server as a whole is
 * in trouble, which is not held against this question. */
static void again(struct engine *s, struct flight *f, const char *reason, int counts)
{
  double now = clock_seconds();
  f->attempts += counts || f->attempts == 0;
  if (f->attempts > s->t->o.retries) {
    fail(s, f, STATUS_NET, reason, f->call.error);
    return;
  }
  f->first_failed = f->first_failed > 0 ? f->first_failed : now;
  double bound = BACKOFF_BASE_S * (double)(1u << (f->attempts < 10 ? f->attempts : 10));
  double delay = rng_uniform(&s->rng) * (bound < BACKOFF_CAP_S ? bound : BACKOFF_CAP_S);
  double told = f->call.retry_after_s < RETRY_AFTER_CAP_S ? f->call.retry_after_s : RETRY_AFTER_CAP_S;
  wait_until(s, f, now + (told > delay ? told + 0.1 * delay : delay));
}

/* Nothing was sent, so nothing is counted against the question; the run ends when the server stays away. */
static void away(struct engine *s, struct flight *f)
{
  double now = clock_seconds(), limit = s->t->o.outage_s;
  if (!s->reached && limit > NEVER_REACHED_S) {
    limit = NEVER_REACHED_S;
  }
  if (s->outage_since <= 0) {
    s->outage_since = now;
    log_warn("'%s' cannot be reached (%s); trying for %.0f s", s->url, f->call.error, limit);
  }
  if (now - s->outage_since > limit && s->fatal.code == STATUS_OK) {
    err_set(&s->fatal, STATUS_NET, "'%s': %s; tried for %.0f s; answers so far are kept, run the same command again to go on", s->url,
            f->call.error, now - s->outage_since);
  }
  wait_until(s, f, now + 0.2 + 0.8 * rng_uniform(&s->rng));
}

/* Since this question failed first, nobody was answered, although others are on their way: then it is not the question. */
static int trouble_of_all(const struct engine *s, const struct flight *f)
{
  if (http_in_flight(s->http) + s->n_ready + s->n_waiting == 0) {
    return 0;
  }
  double now = clock_seconds(), since = f->first_failed > 0 ? f->first_failed : now;
  return s->reached && s->last_answer < since && now - since < s->t->o.outage_s;
}

/* The circuit breaker: no further question can succeed. */
static void hopeless(struct engine *s, struct flight *f, enum verdict v)
{
  char text[300];
  const struct http_call *c = &f->call;
  const char *says = http_says(c, s->key_header ? s->key_header + strlen(s->api->key_header) : NULL, text, sizeof text);
  wait_until(s, f, clock_seconds()); /* it was not answered, and did not fail either: the next run asks it again */
  if (s->fatal.code != STATUS_OK) {
    return;
  }
  if (v == VERDICT_KEY) { /* servers quote keys in this message ("Incorrect API key provided: sk-..."): it is not repeated */
    err_set(&s->fatal, STATUS_NET, "'%s': the server refuses the key (%ld); %s", s->url, c->status,
            s->key_header ? "check the variable of --key-env" : "none was sent: name the variable that holds it with --key-env");
  } else if (v == VERDICT_QUOTA) {
    err_set(&s->fatal, STATUS_LIMIT, "'%s': the quota is used up (%ld): %s; answers so far are kept, run the same command again to go on",
            s->url, c->status, says);
  } else {
    err_set(&s->fatal, STATUS_NET, "'%s': the server answered %ld (%s); check address and model of --teacher", s->url, c->status,
            c->status >= 300 && c->status < 400 ? "a redirect, which is not followed with a key" : says);
  }
}

static enum status put_meta(struct engine *s, const struct flight *f, struct buf *meta, struct err *e)
{
  enum status st = STATUS_OK;
  const struct usage *u = &f->ask->out.usage;
  TRY(buf_puts(meta, "{\"teacher\":", e));
  TRY(json_put_cstr(meta, s->t->name, e));
  TRY(buf_printf(meta, e, ",\"status\":%ld,\"attempts\":%d,\"time\":%lld", f->call.status, f->attempts + 1, (long long)time(NULL)));
  if (u->known) {
    TRY(buf_printf(meta, e, ",\"usage\":{\"in\":%llu,\"cached\":%llu,\"out\":%llu}", (unsigned long long)u->in_tok,
                   (unsigned long long)u->cached_tok, (unsigned long long)u->out_tok));
  }
  TRY(buf_putc(meta, '}', e));
out:
  return st;
}

static void count_tokens(struct engine *s, const struct flight *f)
{
  const struct usage *u = &f->ask->out.usage;
  if (u->known && f->ask->body.n > 0) {
    limits_cost(&s->limits, f->thought_in, f->thought_out, (double)u->in_tok, (double)u->out_tok);
    s->tok_per_byte += 0.05 * ((double)u->in_tok / (double)f->ask->body.n - s->tok_per_byte);
  }
}

static enum status answered(struct engine *s, struct flight *f, struct err *e)
{
  enum status st = STATUS_OK;
  struct http_call *c = &f->call;
  struct buf meta = { 0 };
  struct err own = { 0 };
  double now = clock_seconds();
  st = teacher_take(s->t, f->ask, (struct span){ c->reply.p ? c->reply.p : "", c->reply.n }, &own);
  if (st == STATUS_DATA) {
    f->ask->out.usage = (struct usage){ 0 }; /* whatever it was, it may be billed */
    TRY(settle(s, f, 0, e));
    snprintf(c->error, sizeof c->error, "%.150s", own.msg);
    again(s, f, "malformed answer", 1);
    return STATUS_OK;
  }
  if (st != STATUS_OK) {
    err_set(e, st, "%s", own.msg);
    goto out;
  }
  limits_answered(&s->limits, now, f->sent, c->beside);
  count_tokens(s, f);
  TRY(put_meta(s, f, &meta, e));
  TRY(settle(s, f, 0, e));
  TRY(teacher_keep(s->t, f->ask, (struct span){ meta.p, meta.n }, e));
  s->answered++;
  s->failed_in_row = 0;
  s->last_answer = now;
  retire(s, f);
out:
  buf_free(&meta);
  return st;
}

static enum status landed(void *ctx, struct http_call *c, struct err *e)
{
  struct engine *s = ctx;
  struct flight *f = (struct flight *)(void *)((char *)c - offsetof(struct flight, call));
  const char *reason;
  char text[300];
  enum verdict v = http_verdict(c, &reason);
  if (v != VERDICT_AWAY) {
    s->outage_since = 0;
    s->reached |= c->status > 0;
  }
  if (v == VERDICT_AWAY || (v != VERDICT_ANSWER && c->status >= 300 && c->error[0] == '\0')) {
    enum status st = settle(s, f, 1, e);
    if (st != STATUS_OK) {
      return st;
    }
  } else if (v != VERDICT_ANSWER) { /* broken off: nobody knows, so it stays reserved; the next attempt has its own */
    f->reservation = f->reserved = 0;
  }
  switch (v) {
    case VERDICT_ANSWER: return answered(s, f, e);
    case VERDICT_AWAY: away(s, f); break;
    case VERDICT_OVERLOAD:
      limits_overload(&s->limits, clock_seconds(), f->sent);
      again(s, f, reason, 1);
      break;
    case VERDICT_GATEWAY: again(s, f, reason, !trouble_of_all(s, f)); break;
    case VERDICT_AGAIN: again(s, f, reason, 1); break;
    case VERDICT_REFUSED: {
      const char *says = http_says(c, s->key_header ? s->key_header + strlen(s->api->key_header) : NULL, text, sizeof text);
      char status[24];
      snprintf(status, sizeof status, "http %ld", c->status);
      const char *own = arena_strndup(f->ask->a, status, strlen(status));
      f->attempts++;
      fail(s, f, STATUS_NET, own ? own : reason, says);
      break;
    }
    case VERDICT_KEY: case VERDICT_QUOTA: case VERDICT_ADDRESS: hopeless(s, f, v); break;
  }
  return STATUS_OK;
}

static void saw_header(struct http_call *c, struct span name, struct span value)
{
  struct flight *f = (struct flight *)(void *)((char *)c - offsetof(struct flight, call));
  limits_header(&f->s->limits, clock_seconds(), (double)time(NULL), http_in_flight(f->s->http) - 1, name, value);
}

/* ---- sending ---- */

static int ending(const struct engine *s)
{
  return s->fatal.code != STATUS_OK || stop_requested();
}

/* Requests that may be in the air: while the server is away, one knocks for all. */
static int width(const struct engine *s)
{
  return s->outage_since > 0 ? 1 : limits_width(&s->limits);
}

static enum status send_ready(struct engine *s, double *until, struct err *e)
{
  enum status st = STATUS_OK;
  double now = clock_seconds();
  int room = width(s) - http_in_flight(s->http);
  TRY(reserve(s, room < s->n_ready ? room : s->n_ready, e));
  while (s->ready != NULL && http_in_flight(s->http) < width(s)) {
    struct flight *f = s->ready;
    if (f->reservation == 0 && s->t->book != NULL) {
      break; /* no money until something comes back, or reserved in the next turn */
    }
    f->thought_in = (double)f->ask->body.n * s->tok_per_byte;
    f->thought_out = (double)f->ask->q.sampling.max_tokens;
    double wait = limits_wait(&s->limits, now, http_in_flight(s->http), f->thought_in, f->thought_out);
    if (wait > 0) {
      *until = wait < *until ? wait : *until;
      break;
    }
    s->ready = f->next;
    s->ready_end = s->ready ? s->ready_end : &s->ready;
    s->n_ready--;
    f->sent = now;
    limits_sent(&s->limits, now, f->thought_in, f->thought_out);
    st = http_start(s->http, &f->call, e);
    if (st != STATUS_OK) {
      retire(s, f);
      break;
    }
  }
out:
  return st;
}

static enum status take_more(struct engine *s, struct err *e)
{
  enum status st = STATUS_OK;
  struct teacher *t = s->t;
  while (!s->ended && s->outage_since <= 0 && s->spare != NULL) {
    int busy = http_in_flight(s->http), got, room = width(s) - busy - s->n_ready;
    struct ask *ask = NULL;
    if (room <= 0) {
      return STATUS_OK;
    }
    t->pull_ahead = (size_t)room;
    TRY(teacher_pull(t, busy + s->n_waiting + s->n_ready == 0 && t->ring_n == 0, &ask, &got, e));
    if (got <= 0) {
      s->ended = got == 0;
      return STATUS_OK;
    }
    struct flight *f = s->spare;
    struct buf reply = f->call.reply;
    s->spare = f->next;
    *f = (struct flight){ .s = s, .ask = ask, .call = { .url = s->url, .header = s->header, .reply = reply, .saw_header = saw_header } };
    f->call.body = (struct span){ ask->body.p, ask->body.n };
    to_ready(s, f);
  }
out:
  return st;
}

/* When nothing can be passed on any more: what is in the air still gets into the book. */
static void drain(struct engine *s)
{
  struct err own = { 0 };
  double stop_at = clock_seconds() + GRACE_S;
  err_set(&s->fatal, STATUS_STOPPED, "ended"); /* nothing is sent again */
  while (http_in_flight(s->http) > 0 && clock_seconds() < stop_at) {
    if (http_turn(s->http, (int)(TURN_S * 1000), -1, landed, s, &own) != STATUS_OK) {
      log_warn("answers in flight were not waited for: %s", own.msg);
      break;
    }
  }
}

enum status http_teacher_begin(struct teacher *t, struct err *e)
{
  struct engine *s = t->state;
  const struct teacher_options *o = &t->o;
  (void)e;
  s->stop_at = 0;
  s->reached = s->ended = 0;
  s->outage_since = s->last_answer = 0;
  s->answered = s->failed_in_row = 0;
  s->fatal = (struct err){ 0 };
  s->ready = s->waiting = s->spare = NULL;
  s->ready_end = &s->ready;
  s->n_ready = s->n_waiting = 0;
  for (int64_t i = o->concurrency * 4 - 1; i >= 0; i--) {
    retire(s, &s->flight[i]);
  }
  return STATUS_OK;
}

/* Nothing is left to do, or nothing more can be done: says why. */
static enum status finished(struct engine *s, struct step *n, struct err *e)
{
  enum status st = STATUS_OK;
  n->done = 1;
  TRY(teacher_turn(s->t, e));
  if (s->fatal.code != STATUS_OK) {
    st = err_set(e, s->fatal.code, "%s", s->fatal.msg);
  } else if (stop_requested()) {
    st = err_set(e, STATUS_STOPPED, "stopped by a signal; answers so far are kept, run the same command again to go on");
  }
out:
  return st;
}

enum status http_teacher_step(struct teacher *t, struct step *n, struct err *e)
{
  enum status st = STATUS_OK;
  struct engine *s = t->state;
  double until = TURN_S;
  if (ending(s)) {
    s->stop_at = s->stop_at > 0 ? s->stop_at : clock_seconds() + GRACE_S;
    if (http_in_flight(s->http) == 0 || clock_seconds() > s->stop_at) {
      return finished(s, n, e);
    }
  } else {
    wake_due(s, clock_seconds(), &until);
    TRY(take_more(s, e));
    TRY(send_ready(s, &until, e));
    if (s->ended && http_in_flight(s->http) + s->n_waiting + s->n_ready == 0) {
      return finished(s, n, e);
    }
  }
  int idle = http_in_flight(s->http) + s->n_waiting + s->n_ready == 0 && t->n_elsewhere == 0;
  int room = width(s) > http_in_flight(s->http) + s->n_ready && s->spare != NULL && s->outage_since <= 0;
  int want = n->alone && !ending(s) && room && teacher_wants_input(t);
  n->until = until;
  TRY(http_turn(s->http, !n->alone || (idle && !want) ? 0 : (int)(until * 1000) + 1, want ? STDIN_FILENO : -1, landed, s, e));
  TRY(teacher_turn(t, e));
out:
  return st;
}

/* Also of a run that others end (several teachers): what is in the air is paid for, and is waited for a little. */
enum status http_teacher_end(struct teacher *t, enum status st, struct err *e)
{
  struct engine *s = t->state;
  if (st == STATUS_STOPPED || (t->in_mix && st != STATUS_OK)) {
    drain(s);
  }
  for (struct flight *f = s->ready; f != NULL; f = f->next) { /* never sent */
    enum status back = settle(s, f, 1, st == STATUS_OK ? e : NULL);
    st = st == STATUS_OK ? back : st;
  }
  return st;
}

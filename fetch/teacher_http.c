/* SPDX-License-Identifier: Apache-2.0
 * The engine under the HTTP dialects; see teacher_http.h. This file decides what to send again and when; http.c moves the bytes.
 * The key comes from an environment variable, lives in one header line, and is never printed, journaled or sent after a
 * redirect (redirects are not followed). */
#include <unistd.h>
#include "http.h"
#include "json.h"
#include "log.h"
#include "rng.h"
#include "stop.h"
#include "teacher_http.h"

#define BACKOFF_BASE_S 0.25
#define BACKOFF_CAP_S 30.0
#define RETRY_AFTER_CAP_S 600.0
#define GRACE_S 10.0        /* after Ctrl-C: time for what is in flight and perhaps paid */
#define NEVER_REACHED_S 5.0 /* a server that never answered is given up after this */
#define MAX_HEADERS 12

struct flight {
  struct ask *ask;
  struct http_call call;
  int attempts;
  double due;         /* when to send (again); 0 while in flight */
  const char *reason; /* of the last failure */
  struct flight *next;
};

struct engine {
  struct http *http;
  const struct http_api *api;
  char *address, *url, *key_header;
  const char *header[MAX_HEADERS];
  struct flight *flight;          /* all of them: 4 x concurrency */
  struct flight *waiting, *spare; /* to be sent when due; not in use */
  int n_waiting, reached;
  double outage_since; /* 0 = none */
  struct rng rng;      /* back-off only: no answer depends on it */
  struct teacher *t;
};

int http_teacher_matches(const struct http_api *api, const char *spec)
{
  size_t n = api->prefix ? strlen(api->prefix) : 0;
  if (n > 0 && strncmp(spec, api->prefix, n) != 0) {
    return 0;
  }
  return strncmp(spec + n, "http://", 7) == 0 || strncmp(spec + n, "https://", 8) == 0;
}

const char *http_teacher_address(const struct teacher *t)
{
  return ((const struct engine *)t->state)->address;
}

const char *const *http_teacher_headers(const struct teacher *t)
{
  return ((const struct engine *)t->state)->header;
}

static enum status split_spec(struct teacher *t, struct engine *s, struct err *e)
{
  size_t skip = s->api->prefix ? strlen(s->api->prefix) : 0;
  const char *spec = t->o.teacher + (skip > 0 && strncmp(t->o.teacher, s->api->prefix, skip) == 0 ? skip : 0); /* a host may imply it */
  const char *hash = strchr(spec, '#'), *host = strstr(spec, "://") + 3;
  size_t base = hash ? (size_t)(hash - spec) : 0, n = strcspn(host, "/?#");
  if (memchr(host, '@', n) != NULL) { /* do not repeat it in the message */
    return err_set(e, STATUS_USAGE, "--teacher: a user name or password in the address would end up in records; use --key-env VAR");
  }
  if (hash == NULL || hash[1] == '\0') {
    return err_set(e, STATUS_USAGE, "'%s': no model; write %shttp(s)://host[:port]/v1#MODEL", t->o.teacher, s->api->prefix ? s->api->prefix : "");
  }
  while (base > 0 && spec[base - 1] == '/') {
    base--;
  }
  t->model = arena_printf(t->a, "%s", hash + 1);
  t->name = t->model;
  t->identity = arena_printf(t->a, "%s:%.*s#%s", t->d->name, (int)base, spec, hash + 1);
  s->address = arena_printf(t->a, "%.*s", (int)base, spec);
  s->url = arena_printf(t->a, "%.*s%s", (int)base, spec, s->api->path);
  char *h = arena_strndup(t->a, host, n);
  if (!t->model || !t->identity || !s->address || !s->url || !h) {
    return err_nomem(e, base);
  }
  h[h[0] == '[' ? strcspn(h, "]") + (strchr(h, ']') != NULL) : strcspn(h, ":")] = '\0'; /* without the port */
  t->subject.name = t->model;
  t->subject.host = h;
  return STATUS_OK;
}

static enum status find_key(struct teacher *t, struct engine *s, struct err *e)
{
  const char *var = t->o.key_env ? t->o.key_env : s->api->key_env, *key = getenv(var);
  if (key == NULL || *key == '\0') {
    return t->o.key_env ? err_set(e, STATUS_USAGE, "'--key-env %s': this environment variable is not set", var) : STATUS_OK;
  }
  for (const char *c = key; *c; c++) {
    if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 127) {
      return err_set(e, STATUS_USAGE, "'%s': the key holds a space, a line end or another byte that no header may carry", var);
    }
  }
  size_t bytes = strlen(s->api->key_header) + strlen(key) + 1;
  s->key_header = mem_alloc(bytes);
  if (s->key_header == NULL) {
    return err_nomem(e, bytes);
  }
  snprintf(s->key_header, bytes, "%s%s", s->api->key_header, key);
  return STATUS_OK;
}

enum status http_teacher_open(struct teacher *t, struct err *e)
{
  enum status st = STATUS_OK;
  struct engine *s = arena_calloc(t->a, 1, sizeof *s);
  if (s == NULL) {
    return err_nomem(e, sizeof *s);
  }
  t->state = s;
  s->t = t;
  s->api = t->d->http;
  TRY(split_spec(t, s, e));
  TRY(find_key(t, s, e));
out:
  return st;
}

enum status http_teacher_ready(struct teacher *t, struct err *e)
{
  struct engine *s = t->state;
  struct http_options o = { .ca_file = t->o.ca_file, .max_in_flight = (int)t->o.concurrency, .timeout_s = t->o.timeout_s,
                            .connect_timeout_s = t->o.timeout_s < 10 ? t->o.timeout_s : 10 };
  size_t n = 0;
  s->header[n++] = "Content-Type: application/json";
  s->header[n++] = "Expect:";
  for (const char *const *h = s->api->header; h != NULL && *h != NULL && n + 2 < MAX_HEADERS; h++) {
    s->header[n++] = *h;
  }
  s->header[n] = s->key_header; /* may be NULL: the end */
  s->rng = (struct rng){ (uint64_t)time(NULL), (uint64_t)getpid(), 0 };
  s->flight = mem_calloc((size_t)t->o.concurrency * 4, sizeof *s->flight);
  if (s->flight == NULL) {
    return err_nomem(e, (size_t)t->o.concurrency * 4 * sizeof *s->flight);
  }
  for (int64_t i = t->o.concurrency * 4 - 1; i >= 0; i--) {
    s->flight[i].next = s->spare;
    s->spare = &s->flight[i];
  }
  return http_new(&o, &s->http, e);
}

void http_teacher_close(struct teacher *t)
{
  struct engine *s = t->state;
  if (s == NULL) {
    return;
  }
  http_free(s->http);
  for (int64_t i = 0; s->flight != NULL && i < t->o.concurrency * 4; i++) {
    buf_free(&s->flight[i].call.reply);
  }
  mem_free(s->flight);
  if (s->key_header != NULL) {
    memset(s->key_header, 0, strlen(s->key_header));
    mem_free(s->key_header);
  }
}

/* ---- sending, and sending again ---- */

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

/* Full jitter: anywhere between now and an exponentially growing bound; never before Retry-After. */
static void again(struct engine *s, struct flight *f, const char *reason)
{
  struct teacher *t = s->t;
  f->reason = reason;
  if (++f->attempts > t->o.retries) {
    log_warn("a question failed after %d attempts: %s%s%s", f->attempts, reason, f->call.error[0] ? ": " : "", f->call.error);
    teacher_failed(t, f->ask, STATUS_NET, reason);
    retire(s, f);
    return;
  }
  double bound = BACKOFF_BASE_S * (double)(1u << (f->attempts < 10 ? f->attempts : 10));
  double delay = rng_uniform(&s->rng) * (bound < BACKOFF_CAP_S ? bound : BACKOFF_CAP_S);
  double told = f->call.retry_after_s < RETRY_AFTER_CAP_S ? f->call.retry_after_s : RETRY_AFTER_CAP_S;
  wait_until(s, f, clock_seconds() + (told > delay ? told + 0.1 * delay : delay));
}

/* Nothing was sent, so nothing is counted against the question; the run ends when the server stays away. */
static enum status unreachable(struct engine *s, struct flight *f, struct err *e)
{
  double now = clock_seconds(), limit = s->t->o.outage_s;
  if (!s->reached && limit > NEVER_REACHED_S) {
    limit = NEVER_REACHED_S;
  }
  if (s->outage_since <= 0) {
    s->outage_since = now;
    log_warn("'%s' cannot be reached (%s); trying for %.0f s", s->url, f->call.error, limit);
  }
  if (now - s->outage_since > limit) {
    enum status st = err_set(e, STATUS_NET, "'%s': %s; tried for %.0f s; answers so far are kept, run the same command again to go on", s->url,
                             f->call.error, now - s->outage_since);
    retire(s, f);
    return st;
  }
  wait_until(s, f, now + 0.2 + 0.8 * rng_uniform(&s->rng));
  return STATUS_OK;
}

/* "error.message" of a server's answer, for people. Servers quote keys in them ("Incorrect API key provided: sk-..."), so it is
 * shown for other statuses than 401 and 403 only, and never with the key in it. */
static const char *server_says(const struct engine *s, const struct http_call *c, char *out, size_t size)
{
  struct json *root = NULL;
  out[0] = '\0';
  if (c->reply.n > 0 && json_parse((struct span){ c->reply.p, c->reply.n }, "answer", &root, NULL) == STATUS_OK) {
    snprintf(out, size, "%s", json_cstr(json_path(root, "error.message"), json_cstr(json_get(root, "error"), "")));
  }
  json_free(root);
  if (s->key_header != NULL && strstr(out, s->key_header + strlen(s->api->key_header)) != NULL) {
    out[0] = '\0';
  }
  for (char *p = out; *p; p++) {
    *p = (unsigned char)*p < ' ' ? ' ' : *p;
  }
  return out[0] ? out : "no reason given";
}

static int quota_gone(const struct http_call *c)
{
  struct json *root = NULL;
  int gone = 0;
  if (c->reply.n > 0 && json_parse((struct span){ c->reply.p, c->reply.n }, "answer", &root, NULL) == STATUS_OK) {
    gone = strcmp(json_cstr(json_path(root, "error.code"), ""), "insufficient_quota") == 0;
  }
  json_free(root);
  return gone;
}

static enum status refused(struct engine *s, struct flight *f, struct err *e)
{
  char says[300];
  const struct http_call *c = &f->call;
  enum status st = STATUS_OK;
  if (c->status == 401 || c->status == 403) {
    st = err_set(e, STATUS_NET, "'%s': the server refuses the key (%ld); %s", s->url, c->status,
                 s->key_header ? "check the variable of --key-env" : "none was sent: name the variable that holds it with --key-env");
  } else if (c->status == 402 || (c->status == 429 && quota_gone(c))) {
    st = err_set(e, STATUS_LIMIT, "'%s': the quota is used up (%ld): %s", s->url, c->status, server_says(s, c, says, sizeof says));
  } else if (c->status == 404 || c->status == 405 || (c->status >= 300 && c->status < 400)) {
    st = err_set(e, STATUS_NET, "'%s': the server answered %ld (%s); check address and model of --teacher", s->url, c->status,
                 c->status < 400 ? "a redirect, which is not followed with a key" : server_says(s, c, says, sizeof says));
  } else {
    char reason[24];
    snprintf(reason, sizeof reason, "http %ld", c->status);
    char *own = arena_strndup(f->ask->a, reason, strlen(reason));
    log_warn("a question was refused (%s): %s", reason, server_says(s, c, says, sizeof says));
    teacher_failed(s->t, f->ask, STATUS_NET, own ? own : "http");
  }
  retire(s, f);
  return st;
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

static enum status landed(void *ctx, struct http_call *c, struct err *e)
{
  enum status st = STATUS_OK;
  struct engine *s = ctx;
  struct flight *f = (struct flight *)(void *)((char *)c - offsetof(struct flight, call));
  struct buf meta = { 0 };
  struct err own = { 0 };
  if (c->unreachable) {
    return unreachable(s, f, e);
  }
  s->outage_since = 0;
  s->reached |= c->status > 0;
  if (c->error[0] != '\0') {
    again(s, f, "connection");
    return STATUS_OK;
  }
  if (http_transient(c->status) && !(c->status == 429 && quota_gone(c))) {
    again(s, f, c->status == 429 ? "http 429" : c->status == 408 ? "http 408" : "http 5xx");
    return STATUS_OK;
  }
  if (c->status != 200) {
    return refused(s, f, e);
  }
  st = teacher_take(s->t, f->ask, (struct span){ c->reply.p ? c->reply.p : "", c->reply.n }, &own);
  if (st == STATUS_DATA) {
    snprintf(c->error, sizeof c->error, "%.150s", own.msg);
    again(s, f, "malformed answer");
    return STATUS_OK;
  }
  if (st != STATUS_OK) {
    err_set(e, st, "%s", own.msg);
    goto out;
  }
  TRY(put_meta(s, f, &meta, e));
  TRY(teacher_keep(s->t, f->ask, (struct span){ meta.p, meta.n }, e));
  retire(s, f);
out:
  buf_free(&meta);
  return st;
}

/* Sends what is due. Returns the time until the next one is, at most 0.2 s. */
static enum status send_due(struct engine *s, double *until, struct err *e)
{
  enum status st = STATUS_OK;
  double now = clock_seconds();
  int one_at_a_time = s->outage_since > 0; /* while the server is away, one knocks for all */
  *until = 0.2;
  for (struct flight **p = &s->waiting; *p != NULL;) {
    struct flight *f = *p;
    if (f->due > now) {
      *until = f->due - now < *until ? f->due - now : *until;
      p = &f->next;
      continue;
    }
    int in_flight = http_in_flight(s->http);
    if (in_flight >= s->t->o.concurrency || (one_at_a_time && in_flight > 0)) {
      break;
    }
    *p = f->next;
    s->n_waiting--;
    st = http_start(s->http, &f->call, e);
    if (st != STATUS_OK) {
      retire(s, f);
      return st;
    }
  }
  return st;
}

static enum status take_more(struct engine *s, int *want, int *ended, struct err *e)
{
  enum status st = STATUS_OK;
  struct teacher *t = s->t;
  *want = 0;
  while (!*ended && !stop_requested() && s->outage_since <= 0) {
    int busy = http_in_flight(s->http), got;
    struct ask *ask = NULL;
    if (busy >= t->o.concurrency || s->spare == NULL) {
      return STATUS_OK;
    }
    t->pull_ahead = (size_t)(t->o.concurrency - busy);
    TRY(teacher_pull(t, busy + s->n_waiting == 0 && t->ring_n == 0, &ask, &got, e));
    if (got <= 0) {
      *ended = got == 0;
      *want = teacher_wants_input(t);
      return STATUS_OK;
    }
    struct flight *f = s->spare;
    struct buf reply = f->call.reply;
    s->spare = f->next;
    *f = (struct flight){ .call = { .reply = reply } };
    f->ask = ask;
    f->call.url = s->url;
    f->call.header = s->header;
    f->call.body = (struct span){ ask->body.p, ask->body.n };
    st = http_start(s->http, &f->call, e);
    if (st != STATUS_OK) {
      retire(s, f);
      return st;
    }
  }
out:
  return st;
}

enum status http_teacher_run(struct teacher *t, struct err *e)
{
  enum status st = STATUS_OK;
  struct engine *s = t->state;
  int ended = 0, want = 0;
  double until = 0, stop_at = 0;
  s->reached = 0;
  s->outage_since = 0;
  for (;;) {
    if (stop_requested()) {
      stop_at = stop_at > 0 ? stop_at : clock_seconds() + GRACE_S;
      if (http_in_flight(s->http) == 0 || clock_seconds() > stop_at) {
        TRY(teacher_turn(t, e));
        st = err_set(e, STATUS_STOPPED, "stopped by a signal; answers so far are kept, run the same command again to go on");
        goto out;
      }
    } else {
      TRY(send_due(s, &until, e));
    }
    TRY(take_more(s, &want, &ended, e));
    if (ended && http_in_flight(s->http) == 0 && s->n_waiting == 0) {
      break;
    }
    int idle = http_in_flight(s->http) == 0 && s->n_waiting == 0 && t->n_elsewhere == 0;
    TRY(http_turn(s->http, idle && !want ? 0 : (int)(until * 1000) + 1, want ? STDIN_FILENO : -1, landed, s, e));
    TRY(teacher_turn(t, e));
  }
out:
  return st;
}

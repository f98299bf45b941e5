/* SPDX-License-Identifier: Apache-2.0
 * The HTTP event loop; see http.h. Easy handles are kept and used again, so a request costs no set-up of options. */
#include "http.h"
#include <curl/curl.h>
#include <stdint.h>
#include <strings.h>
#include "log.h"
#include "stop.h"

#define HTTP_MAX_HEADER_BYTES ((size_t)256 << 10)

struct slot {
  CURL *easy;
  struct http *owner;
  struct http_call *call;
  struct curl_slist *headers;
  struct slot *next_free;
  size_t max_body;
};
/* What moves data; several struct http may share one (http_join). */
struct loop {
  CURLM *multi;
  int users;
  long most;       /* connections of all users */
  int in_flight;   /* of all users */
  int undelivered; /* ended, and their owner was not told yet */
};
struct http {
  struct http_options o;
  struct loop *loop;
  struct slot *slot, *free;
  struct http_call *ended, **ended_end;
  int in_flight;
};

static size_t on_body(char *p, size_t size, size_t n, void *user)
{
  struct slot *s = user;
  struct http_call *c = s->call;
  (void)size;
  if (c->reply.n + n > s->max_body) {
    c->too_long = 1;
    snprintf(c->error, sizeof c->error, "the answer is longer than %zu bytes", s->max_body);
    return 0;
  }
  return buf_put(&c->reply, p, n, NULL) == STATUS_OK ? n : 0;
}

/* Seconds, or a date: then the time from the answer's own Date to it, so that a clock that is wrong does not matter. -1 when it is
 * neither. */
static double retry_after(struct span value, double unit, double server_time)
{
  char text[64], *end;
  if (value.n == 0 || value.n >= sizeof text) {
    return -1;
  }
  memcpy(text, value.p, value.n);
  text[value.n] = '\0';
  double v = strtod(text, &end);
  if (end != text && *end == '\0') {
    return v >= 0 && v * unit < 1e7 ? v * unit : -1;
  }
  time_t when = unit < 1 ? -1 : curl_getdate(text, NULL);
  double from = server_time > 0 ? server_time : (double)time(NULL);
  return when < 0 ? -1 : (double)when > from ? (double)when - from : 0;
}

static struct span trimmed(const char *p, size_t n)
{
  while (n > 0 && (*p == ' ' || *p == '\t')) {
    p++;
    n--;
  }
  while (n > 0 && (p[n - 1] == '\r' || p[n - 1] == '\n' || p[n - 1] == ' ' || p[n - 1] == '\t')) {
    n--;
  }
  return (struct span){ p, n };
}

static int name_is(struct span name, const char *want)
{
  return name.n == strlen(want) && strncasecmp(name.p, want, name.n) == 0;
}

static void take_header(struct http_call *c, struct span name, struct span value)
{
  if (name_is(name, "retry-after-ms")) {
    c->retry_after_s = retry_after(value, 0.001, 0);
    c->retry_after_exact = c->retry_after_s >= 0;
  } else if (name_is(name, "retry-after") && !c->retry_after_exact) {
    c->retry_after_s = retry_after(value, 1, c->server_time);
  } else if (name_is(name, "date")) {
    char text[64];
    snprintf(text, sizeof text, "%.*s", (int)(value.n < 63 ? value.n : 63), value.p);
    time_t when = curl_getdate(text, NULL);
    c->server_time = when < 0 ? 0 : (double)when;
  }
  if (c->saw_header != NULL) {
    c->saw_header(c, name, value);
  }
}

static size_t on_header(char *p, size_t size, size_t n, void *user)
{
  struct slot *s = user;
  struct http_call *c = s->call;
  (void)size;
  c->header_bytes += n;
  if (c->header_bytes > HTTP_MAX_HEADER_BYTES) {
    c->too_long = 1;
    snprintf(c->error, sizeof c->error, "the headers are longer than %zu bytes", HTTP_MAX_HEADER_BYTES);
    return 0;
  }
  const char *colon = memchr(p, ':', n);
  if (n > 5 && memcmp(p, "HTTP/", 5) == 0) { /* a new answer: after a redirect or 100 Continue */
    c->retry_after_s = -1;
    c->retry_after_exact = 0;
    c->server_time = 0;
    buf_clear(&c->reply);
  } else if (colon != NULL) {
    take_header(c, (struct span){ p, (size_t)(colon - p) }, trimmed(colon + 1, n - (size_t)(colon - p) - 1));
  }
  return n;
}

static CURLcode set_fixed(struct http *h, struct slot *s)
{
  CURL *c = s->easy;
  CURLcode rc = CURLE_OK;
  double connect = h->o.connect_timeout_s > 0 ? h->o.connect_timeout_s : 10;
  double silence = h->o.silence_timeout_s > 0 ? h->o.silence_timeout_s : h->o.timeout_s;
#define SET(option, value) rc = rc == CURLE_OK ? curl_easy_setopt(c, option, value) : rc
  SET(CURLOPT_NOSIGNAL, 1L);
  SET(CURLOPT_WRITEFUNCTION, on_body);
  SET(CURLOPT_WRITEDATA, s);
  SET(CURLOPT_HEADERFUNCTION, on_header);
  SET(CURLOPT_HEADERDATA, s);
  SET(CURLOPT_PRIVATE, s);
  SET(CURLOPT_ACCEPT_ENCODING, "");
  SET(CURLOPT_TCP_KEEPALIVE, 1L);
  SET(CURLOPT_TIMEOUT_MS, (long)(h->o.timeout_s * 1000));
  SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(connect * 1000));
  SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
  SET(CURLOPT_LOW_SPEED_TIME, (long)(silence < 1 ? 1 : silence));
  SET(CURLOPT_PROTOCOLS_STR, "http,https");
  SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  SET(CURLOPT_MAXREDIRS, 8L);
  SET(CURLOPT_UNRESTRICTED_AUTH, 0L);
  SET(CURLOPT_USERAGENT, "retort/" RETORT_VERSION);
  SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
  if (h->o.ca_file != NULL) {
    SET(CURLOPT_CAINFO, h->o.ca_file);
  }
  return rc;
}

static CURLcode set_call(struct slot *s, const struct http_call *c)
{
  CURLcode rc = CURLE_OK;
  CURL *easy = s->easy;
  for (const char *const *h = c->header; h != NULL && *h != NULL; h++) {
    struct curl_slist *l = curl_slist_append(s->headers, *h);
    if (l == NULL) {
      return CURLE_OUT_OF_MEMORY;
    }
    s->headers = l;
  }
#undef SET
#define SET(option, value) rc = rc == CURLE_OK ? curl_easy_setopt(easy, option, value) : rc
  SET(CURLOPT_URL, c->url);
  SET(CURLOPT_PIPEWAIT, (long)(strncmp(c->url, "https:", 6) == 0)); /* over HTTP/2 streams share a connection */
  SET(CURLOPT_HTTPHEADER, s->headers);
  SET(CURLOPT_FOLLOWLOCATION, (long)c->follow);
  SET(CURLOPT_FRESH_CONNECT, (long)c->fresh);
  if (c->body.p != NULL) {
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body.n);
    SET(CURLOPT_POSTFIELDS, c->body.p);
  } else {
    SET(CURLOPT_HTTPGET, 1L);
  }
#undef SET
  return rc;
}

static void loop_use(struct loop *l, int max_in_flight)
{
  l->users++;
  l->most += max_in_flight;
  curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, l->most);
  curl_multi_setopt(l->multi, CURLMOPT_MAX_HOST_CONNECTIONS, l->most);
}

static void loop_leave(struct loop *l)
{
  if (l == NULL || --l->users > 0) {
    return;
  }
  if (l->multi != NULL) {
    curl_multi_cleanup(l->multi);
  }
  mem_free(l);
}

enum status http_new(const struct http_options *o, struct http **out, struct err *e)
{
  enum status st = STATUS_OK;
  struct http *h = mem_calloc(1, sizeof *h);
  if (h == NULL) {
    return err_nomem(e, sizeof *h);
  }
  h->o = *o;
  h->ended_end = &h->ended;
  h->slot = mem_calloc((size_t)o->max_in_flight, sizeof *h->slot);
  h->loop = mem_calloc(1, sizeof *h->loop);
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || h->slot == NULL || h->loop == NULL || (h->loop->multi = curl_multi_init()) == NULL) {
    st = err_nomem(e, (size_t)o->max_in_flight * sizeof *h->slot);
    goto out;
  }
  loop_use(h->loop, o->max_in_flight);
  for (int i = o->max_in_flight - 1; i >= 0; i--) { /* handles are made when first used */
    h->slot[i].next_free = h->free;
    h->slot[i].owner = h;
    h->slot[i].max_body = o->max_body ? o->max_body : (size_t)16 << 20;
    h->free = &h->slot[i];
  }
out:
  if (st != STATUS_OK) {
    http_free(h);
    h = NULL;
  }
  *out = h;
  return st;
}

void http_free(struct http *h)
{
  if (h == NULL) {
    return;
  }
  for (int i = 0; h->slot != NULL && i < h->o.max_in_flight; i++) {
    struct slot *s = &h->slot[i];
    if (s->call != NULL) {
      curl_multi_remove_handle(h->loop->multi, s->easy);
      h->loop->in_flight--;
    }
    curl_slist_free_all(s->headers);
    if (s->easy != NULL) {
      curl_easy_cleanup(s->easy);
    }
  }
  for (; h->ended != NULL; h->ended = h->ended->next) {
    h->loop->undelivered--;
  }
  loop_leave(h->loop);
  mem_free(h->slot);
  mem_free(h);
}

void http_join(struct http *h, struct http *other)
{
  if (h->loop != other->loop) {
    loop_leave(h->loop);
    h->loop = other->loop;
    loop_use(h->loop, h->o.max_in_flight);
  }
}

int http_in_flight(const struct http *h)
{
  return h->in_flight;
}

enum status http_start(struct http *h, struct http_call *c, struct err *e)
{
  struct slot *s = h->free;
  CURLcode rc = CURLE_OK;
  if (s == NULL) {
    return err_set(e, STATUS_LIMIT, "http: more than %d requests in flight", h->o.max_in_flight);
  }
  if (s->easy == NULL) {
    s->easy = curl_easy_init();
    rc = s->easy == NULL ? CURLE_OUT_OF_MEMORY : set_fixed(h, s);
  }
  buf_clear(&c->reply);
  c->status = 0;
  c->retry_after_s = -1;
  c->unreachable = c->too_long = 0;
  c->error[0] = '\0';
  c->header_bytes = 0;
  c->server_time = 0;
  c->retry_after_exact = 0;
  rc = rc == CURLE_OK ? set_call(s, c) : rc;
  if (rc != CURLE_OK || curl_multi_add_handle(h->loop->multi, s->easy) != CURLM_OK) {
    curl_slist_free_all(s->headers);
    s->headers = NULL;
    return err_set(e, rc == CURLE_OUT_OF_MEMORY ? STATUS_NOMEM : STATUS_NET, "'%s': %s", c->url, curl_easy_strerror(rc));
  }
  h->free = s->next_free;
  s->call = c;
  c->slot = s;
  h->in_flight++;
  h->loop->in_flight++;
  return STATUS_OK;
}

/* A transfer ended: its slot is free, and its owner is told in the owner's next turn. */
static void finish(CURL *easy, CURLcode rc)
{
  char *private = NULL;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
  struct slot *s = (struct slot *)(void *)private;
  struct http *h = s->owner;
  struct http_call *c = s->call;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &c->status);
  if (rc != CURLE_OK && c->error[0] == '\0') {
    snprintf(c->error, sizeof c->error, "%s", curl_easy_strerror(rc));
  }
  c->unreachable = rc == CURLE_COULDNT_CONNECT || rc == CURLE_COULDNT_RESOLVE_HOST || rc == CURLE_COULDNT_RESOLVE_PROXY;
  curl_multi_remove_handle(h->loop->multi, easy);
  curl_slist_free_all(s->headers);
  s->headers = NULL;
  s->call = NULL;
  s->next_free = h->free;
  h->free = s;
  c->beside = --h->in_flight;
  h->loop->in_flight--;
  h->loop->undelivered++;
  c->next = NULL;
  *h->ended_end = c;
  h->ended_end = &c->next;
}

static enum status multi_failed(CURLMcode rc, struct err *e)
{
  return err_set(e, rc == CURLM_OUT_OF_MEMORY ? STATUS_NOMEM : STATUS_NET, "http: %s", curl_multi_strerror(rc));
}

enum status http_wait(struct http *h, int wait_ms, int extra_fd, struct err *e)
{
  struct curl_waitfd extra = { extra_fd, CURL_WAIT_POLLIN, 0 };
  CURLMcode rc = h->loop->undelivered > 0 || wait_ms <= 0 ? CURLM_OK
                                                          : curl_multi_poll(h->loop->multi, extra_fd >= 0 ? &extra : NULL, extra_fd >= 0, wait_ms, NULL);
  return rc == CURLM_OK ? STATUS_OK : multi_failed(rc, e);
}

enum status http_turn(struct http *h, int wait_ms, int extra_fd, http_done done, void *ctx, struct err *e)
{
  enum status st = STATUS_OK;
  struct loop *l = h->loop;
  int running = 0, left = 0;
  CURLMcode rc = curl_multi_perform(l->multi, &running);
  if (rc == CURLM_OK && running == l->in_flight && wait_ms > 0) { /* nothing ended yet: sleep until something moves */
    TRY(http_wait(h, wait_ms, extra_fd, e));
    rc = curl_multi_perform(l->multi, &running);
  }
  if (rc != CURLM_OK) {
    return multi_failed(rc, e);
  }
  for (CURLMsg *m; (m = curl_multi_info_read(l->multi, &left)) != NULL;) {
    if (m->msg == CURLMSG_DONE) {
      finish(m->easy_handle, m->data.result);
    }
  }
  while (h->ended != NULL) {
    struct http_call *c = h->ended;
    h->ended = c->next;
    h->ended_end = h->ended ? h->ended_end : &h->ended;
    l->undelivered--;
    TRY(done(ctx, c, e));
  }
out:
  return st;
}

int http_transient(long s)
{
  return s == 408 || s == 429 || s == 500 || s == 502 || s == 503 || s == 504 || s == 522 || s == 524 || s == 529;
}

/* ---- documents ---- */

static enum status got_one(void *ctx, struct http_call *c, struct err *e)
{
  (void)c;
  (void)e;
  *(int *)ctx = 1;
  return STATUS_OK;
}

static enum status get_once(struct http *h, struct http_call *c, struct err *e)
{
  enum status st = STATUS_OK;
  int done = 0;
  TRY(http_start(h, c, e));
  while (!done) {
    if (stop_requested()) {
      return err_set(e, STATUS_STOPPED, "stopped by a signal");
    }
    TRY(http_turn(h, 200, -1, got_one, &done, e));
  }
  if (c->error[0] != '\0') {
    st = err_set(e, STATUS_NET, "'%s': %s", c->url, c->error);
  } else if (c->status == 206) {
    st = err_set(e, STATUS_NET, "'%s': the server answered with a part (206) of a document that was asked for whole", c->url);
  } else if (c->status < 200 || c->status > 299) {
    st = err_set(e, STATUS_NET, "'%s': the server answered %ld", c->url, c->status);
  }
out:
  return st;
}

enum status http_get(const char *url, const struct http_get_options *o, struct buf *body, struct err *e)
{
  enum status st = STATUS_OK;
  struct http *h = NULL;
  struct http_call c = { .url = url, .follow = 1 };
  struct http_options ho = { .ca_file = o->ca_file, .max_in_flight = 1, .timeout_s = o->timeout_s, .max_body = (size_t)o->max_bytes };
  TRY(http_new(&ho, &h, e));
  for (int attempt = 0;; attempt++) {
    st = get_once(h, &c, e);
    int again = st == STATUS_NET && attempt < 2 && (c.status == 0 || http_transient(c.status) || (c.status < 300 && c.error[0]));
    if (!again) {
      break;
    }
    double until = clock_seconds() + (c.retry_after_s >= 0 && c.retry_after_s < 60 ? c.retry_after_s : 0.3 * (attempt + 1));
    while (clock_seconds() < until && !stop_requested()) {
      struct timespec ts = { 0, 50000000 };
      nanosleep(&ts, NULL);
    }
  }
  if (st == STATUS_OK) {
    TRY(buf_put(body, c.reply.p ? c.reply.p : "", c.reply.n, e));
  }
out:
  http_free(h);
  buf_free(&c.reply);
  return st;
}

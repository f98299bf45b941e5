/* SPDX-License-Identifier: Apache-2.0
 * Address, key and life of an HTTP teacher; see teacher_http.h. teacher_flight.c sends and repeats. The key comes from an
 * environment variable, lives in one header line, and is never printed, journaled or sent after a redirect (redirects are not
 * followed). */
#include <errno.h>
#include <unistd.h>
#include "log.h"
#include "teacher_flight.h"

#define KEY_MAX 4096

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

/* The key from --key-fd: what can be read there, without the white space around it. */
static enum status read_key(int fd, char key[KEY_MAX], struct err *e)
{
  size_t n = 0;
  for (;;) {
    ssize_t k = read(fd, key + n, KEY_MAX - n);
    if (k < 0 && errno == EINTR) {
      continue;
    }
    if (k < 0) {
      return err_sys(e, STATUS_USAGE, "'--key-fd %d'", fd);
    }
    n += (size_t)k;
    if (k == 0 || n == KEY_MAX) {
      break;
    }
  }
  while (n > 0 && (unsigned char)key[n - 1] <= ' ') {
    n--;
  }
  if (n == 0 || n == KEY_MAX) {
    return err_set(e, STATUS_USAGE, "'--key-fd %d': found %zu bytes, expected a key of 1 to %d", fd, n, KEY_MAX - 1);
  }
  key[n] = '\0';
  return STATUS_OK;
}

static enum status keep_key(struct engine *s, const char *key, const char *from, struct err *e)
{
  for (const char *c = key; *c; c++) {
    if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 127) {
      return err_set(e, STATUS_USAGE, "'%s': the key holds a space, a line end or another byte that no header may carry", from);
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

static enum status find_key(struct teacher *t, struct engine *s, struct err *e)
{
  const char *var = t->o.key_env ? t->o.key_env : s->api->key_env, *key = getenv(var);
  if (t->o.key_fd >= 0) {
    char own[KEY_MAX];
    enum status st = t->o.key_env ? err_set(e, STATUS_USAGE, "--key-env and --key-fd: give one of them") : read_key((int)t->o.key_fd, own, e);
    st = st == STATUS_OK ? keep_key(s, own, "--key-fd", e) : st;
    explicit_bzero(own, sizeof own);
    return st;
  }
  if (key == NULL || *key == '\0') {
    return t->o.key_env ? err_set(e, STATUS_USAGE, "'--key-env %s': this environment variable is not set", var) : STATUS_OK;
  }
  return keep_key(s, key, var, e);
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

/* A limit of money needs a price, a book that counts, and requests whose cost is bounded. */
static enum status check_money(struct teacher *t, struct engine *s, struct err *e)
{
  enum status st = STATUS_OK;
  const char *more = t->o.request ? t->o.request : "";
  s->limit_micro = t->o.max_usd < 0 ? UINT64_MAX : (uint64_t)(t->o.max_usd * 1e6);
  TRY(price_find(t->o.prices, t->subject.host, t->model, t->a, &s->price, e));
  if (t->o.max_usd < 0) {
    goto out;
  }
  if (!s->price.known) {
    st = err_set(e, STATUS_USAGE, "--max-usd: no price is known for model '%s' at '%s'; write it into a file and name that with --prices FILE", t->model,
                 t->subject.host);
  } else if (t->book == NULL) {
    st = err_set(e, STATUS_USAGE, "--max-usd needs a book that counts: name one with --book DIR");
  } else if (strstr(more, "max_tokens") || strstr(more, "max_completion_tokens") || strstr(more, "\"n\"")) {
    st = err_set(e, STATUS_USAGE, "--max-usd: the length and number of answers must not be set in --request; use --max-tokens and --choices");
  }
out:
  return st;
}

enum status http_teacher_ready(struct teacher *t, struct err *e)
{
  struct engine *s = t->state;
  struct http_options o = { .ca_file = t->o.ca_file, .max_in_flight = (int)t->o.concurrency, .timeout_s = t->o.timeout_s,
                            .connect_timeout_s = t->o.connect_timeout_s < t->o.timeout_s ? t->o.connect_timeout_s : t->o.timeout_s,
                            .silence_timeout_s = t->o.silence_timeout_s < t->o.timeout_s ? t->o.silence_timeout_s : t->o.timeout_s };
  size_t n = 0;
  s->header[n++] = "Content-Type: application/json";
  s->header[n++] = "Expect:";
  for (const char *const *h = s->api->header; h != NULL && *h != NULL && n + 2 < HTTP_HEADERS_MAX; h++) {
    s->header[n++] = *h;
  }
  s->header[n] = s->key_header; /* may be NULL: the end */
  s->rng = (struct rng){ (uint64_t)time(NULL), (uint64_t)getpid(), 0 };
  s->flight = mem_calloc((size_t)t->o.concurrency * 4, sizeof *s->flight);
  if (s->flight == NULL) {
    return err_nomem(e, (size_t)t->o.concurrency * 4 * sizeof *s->flight);
  }
  s->tok_per_byte = 0.3; /* until answers were counted */
  limits_start(&s->limits, (int)t->o.concurrency, t->o.rpm, t->o.tpm_in, t->o.tpm_out, clock_seconds());
  enum status st = check_money(t, s, e);
  return st == STATUS_OK ? http_new(&o, &s->http, e) : st;
}

void http_teacher_join(struct teacher *t, const struct teacher *other)
{
  http_join(((struct engine *)t->state)->http, ((struct engine *)other->state)->http);
}

enum status http_teacher_wait(const struct teacher *t, int wait_ms, int extra_fd, struct err *e)
{
  return http_wait(((struct engine *)t->state)->http, wait_ms, extra_fd, e);
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
    explicit_bzero(s->key_header, strlen(s->key_header));
    mem_free(s->key_header);
  }
}

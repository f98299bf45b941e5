/* SPDX-License-Identifier: Apache-2.0
 * Requests of the Batch API; see batch_http.h. Creating a batch is the one request that must not be repeated blindly: when its
 * answer is lost, the server's list is asked whether the batch is there. */
#include "batch_http.h"
#include <ctype.h>
#include <unistd.h>
#include "log.h"
#include "rng.h"
#include "stop.h"

#define MAX_FILE_BYTES ((size_t)1 << 30)
#define MAX_PAGES 100
#define ON_ITS_WAY_S 15
#define BACKOFF_CAP_S 30.0

enum status batch_http_open(struct batch_http *h, const struct teacher *t, struct err *e)
{
  struct http_options o = { .ca_file = t->o.ca_file, .max_in_flight = 1, .timeout_s = t->o.timeout_s,
                            .connect_timeout_s = t->o.timeout_s < 10 ? t->o.timeout_s : 10, .max_body = MAX_FILE_BYTES };
  h->t = t;
  return http_new(&o, &h->http, e);
}

void batch_http_close(struct batch_http *h)
{
  http_free(h->http);
  h->http = NULL;
}

static enum status got_it(void *ctx, struct http_call *c, struct err *e)
{
  (void)c;
  (void)e;
  *(int *)ctx = 1;
  return STATUS_OK;
}

/* error.message, for people; never of 401 and 403, where servers quote keys. */
static const char *server_says(const struct http_call *c, char *out, size_t size)
{
  struct json *root = NULL;
  out[0] = '\0';
  if (c->status != 401 && c->status != 403 && c->reply.n > 0 &&
      json_parse((struct span){ c->reply.p, c->reply.n }, "answer", &root, NULL) == STATUS_OK) {
    snprintf(out, size, "%s", json_cstr(json_path(root, "error.message"), ""));
  }
  json_free(root);
  for (char *p = out; *p; p++) {
    *p = (unsigned char)*p < ' ' ? ' ' : *p;
  }
  return out[0] ? out : "no reason given";
}

static enum status pause_for(double seconds, struct err *e)
{
  double until = clock_seconds() + seconds;
  while (clock_seconds() < until) {
    struct timespec ts = { 0, 50000000 };
    if (stop_requested()) {
      return err_set(e, STATUS_STOPPED, "stopped by a signal; run the same command again to go on");
    }
    nanosleep(&ts, NULL);
  }
  return STATUS_OK;
}

/* One request until it is answered for good. once: a lost answer is not asked for again, *lost = 1. 404 is left to the caller. */
static enum status call(struct batch_http *h, struct http_call *c, int once, int *lost, struct err *e)
{
  enum status st = STATUS_OK;
  const struct teacher_options *o = &h->t->o;
  struct rng rng = { (uint64_t)time(NULL), (uint64_t)getpid(), 0 };
  double since = clock_seconds();
  char says[300];
  for (int64_t attempt = 0;; attempt++) {
    int done = 0;
    TRY(http_start(h->http, c, e));
    while (!done) {
      TRY(http_turn(h->http, 200, -1, got_it, &done, e));
    }
    int whole = c->error[0] == '\0';
    if (whole && (c->status == 200 || c->status == 404)) {
      return STATUS_OK;
    }
    if (whole && !http_transient(c->status)) {
      return err_set(e, c->status == 402 ? STATUS_LIMIT : STATUS_NET, "'%s': the server answered %ld: %s", c->url, c->status,
                     c->status == 401 || c->status == 403 ? "it refuses the key; check the variable of --key-env" : server_says(c, says, sizeof says));
    }
    if (once && !c->unreachable && (!whole || c->status >= 500)) { /* it may have happened */
      *lost = 1;
      return STATUS_OK;
    }
    if (c->unreachable ? clock_seconds() - since > (o->outage_s < 5 ? o->outage_s : 5) : attempt >= o->retries) {
      return err_set(e, STATUS_NET, "'%s': %s; run the same command again to go on", c->url, whole ? server_says(c, says, sizeof says) : c->error);
    }
    double bound = 0.25 * (double)(2u << (attempt < 8 ? attempt : 8)), told = c->retry_after_s;
    bound = bound < BACKOFF_CAP_S ? bound : BACKOFF_CAP_S;
    TRY(pause_for(told > 0 ? told : rng_uniform(&rng) * bound, e));
  }
out:
  return st;
}

static char *url_of(struct batch_http *h, struct arena *a, const char *path)
{
  return arena_printf(a, "%s%s", http_teacher_address(h->t), path);
}

/* Identifiers go into addresses: nothing but letters, digits, _ . and - . */
static enum status check_id(const char *id, const char *what, struct err *e)
{
  size_t n = strlen(id);
  for (const char *p = id; *p; p++) {
    if (!isalnum((unsigned char)*p) && strchr("_.-", *p) == NULL) {
      n = 0;
    }
  }
  return n > 0 && n <= 200 && id[0] != '.' ? STATUS_OK : err_set(e, STATUS_DATA, "the server gave %s no usable id", what);
}

static enum status keep_id(const struct json *root, const char *what, struct arena *a, const char **id, struct err *e)
{
  enum status st = STATUS_OK;
  const char *given = json_cstr(json_get(root, "id"), "");
  TRY(check_id(given, what, e));
  *id = arena_printf(a, "%s", given);
  st = *id ? STATUS_OK : err_nomem(e, strlen(given));
out:
  return st;
}

/* The body is parsed; 404 and what is no JSON is an error. */
static enum status parse_reply(const struct http_call *c, struct json **root, struct err *e)
{
  char says[300];
  struct err own = { 0 };
  if (c->status == 404) {
    return err_set(e, STATUS_NET, "'%s': the server answered 404: %s", c->url, server_says(c, says, sizeof says));
  }
  if (json_parse((struct span){ c->reply.p ? c->reply.p : "", c->reply.n }, "answer", root, &own) != STATUS_OK) {
    return err_set(e, own.code == STATUS_NOMEM ? STATUS_NOMEM : STATUS_NET, "'%s': %s", c->url, own.msg);
  }
  return STATUS_OK;
}

enum status batch_http_upload(struct batch_http *h, const char *part, struct span lines, struct arena *a, const char **id, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf body = { 0 };
  struct json *root = NULL;
  const char *header[16];
  size_t n = 0;
  char type[120], boundary[40];
  struct http_call c = { .url = url_of(h, a, "/files") };
  snprintf(boundary, sizeof boundary, "retort-%.16s", part); /* JSON lines hold no line that begins with it */
  snprintf(type, sizeof type, "Content-Type: multipart/form-data; boundary=%s", boundary);
  header[n++] = type;
  for (const char *const *p = http_teacher_headers(h->t); *p != NULL && n + 1 < sizeof header / sizeof *header; p++) {
    if (strncmp(*p, "Content-Type:", 13) != 0) {
      header[n++] = *p;
    }
  }
  header[n] = NULL;
  TRY(buf_printf(&body, e, "--%s\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n", boundary));
  TRY(buf_printf(&body, e, "--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"retort-%s.jsonl\"\r\nContent-Type: application/jsonl\r\n\r\n",
                 boundary, part));
  TRY(buf_put(&body, lines.p, lines.n, e));
  TRY(buf_printf(&body, e, "\r\n--%s--\r\n", boundary));
  c.header = header;
  c.body = (struct span){ body.p, body.n };
  TRY(call(h, &c, 0, NULL, e)); /* twice uploaded is only a file too many */
  TRY(parse_reply(&c, &root, e));
  TRY(keep_id(root, "the file", a, id, e));
out:
  json_free(root);
  buf_free(&body);
  buf_free(&c.reply);
  return st;
}

enum status batch_http_create(struct batch_http *h, const char *part, const char *file, const char *endpoint, struct arena *a, const char **id,
                              struct err *e)
{
  enum status st = STATUS_OK;
  struct buf body = { 0 };
  struct json *root = NULL;
  struct http_call c = { .url = url_of(h, a, "/batches"), .header = http_teacher_headers(h->t), .fresh = 1 };
  *id = NULL;
  TRY(buf_printf(&body, e, "{\"input_file_id\":\"%s\",\"endpoint\":\"%s\",\"completion_window\":\"24h\",\"metadata\":{\"retort\":\"%s\"}}", file, endpoint, part));
  c.body = (struct span){ body.p, body.n };
  for (int attempt = 0; *id == NULL; attempt++) {
    int lost = 0;
    TRY(call(h, &c, 1, &lost, e));
    if (!lost) {
      TRY(parse_reply(&c, &root, e));
      st = keep_id(root, "the batch", a, id, e);
      goto out;
    }
    log_warn("'%s': the answer was lost (%s); looking whether the batch was made", c.url, c.error[0] ? c.error : "server error");
    TRY(batch_http_find(h, part, (int64_t)time(NULL), a, id, e));
    if (*id == NULL && attempt >= 3) {
      st = err_set(e, STATUS_NET, "'%s': the batch could not be made; run the same command again to go on", c.url);
      goto out;
    }
  }
out:
  json_free(root);
  buf_free(&body);
  buf_free(&c.reply);
  return st;
}

enum status batch_http_look(struct batch_http *h, const char *id, struct json **batch, struct err *e)
{
  enum status st = STATUS_OK;
  struct arena *a = arena_new(0);
  struct http_call c = { .header = http_teacher_headers(h->t) };
  if (a == NULL || (c.url = arena_printf(a, "%s/batches/%s", http_teacher_address(h->t), id)) == NULL) {
    st = err_nomem(e, 200);
    goto out;
  }
  TRY(call(h, &c, 0, NULL, e));
  TRY(parse_reply(&c, batch, e));
out:
  buf_free(&c.reply);
  arena_free(a);
  return st;
}

enum status batch_http_find(struct batch_http *h, const char *part, int64_t since, struct arena *a, const char **id, struct err *e)
{
  enum status st = STATUS_OK;
  int64_t now = (int64_t)time(NULL), left = since + ON_ITS_WAY_S - now;
  struct json *root = NULL;
  char after[256] = "";
  struct http_call c = { .header = http_teacher_headers(h->t) };
  *id = NULL;
  if (left > 0 && left <= ON_ITS_WAY_S) {
    log_info("looking in %lld s whether a batch was made whose making was not seen", (long long)left);
    TRY(pause_for((double)left, e));
  }
  for (int page = 0; page < MAX_PAGES; page++) {
    c.url = arena_printf(a, "%s/batches?limit=100%s%s", http_teacher_address(h->t), after[0] ? "&after=" : "", after);
    if (c.url == NULL) {
      st = err_nomem(e, 300);
      goto out;
    }
    TRY(call(h, &c, 0, NULL, e));
    TRY(parse_reply(&c, &root, e));
    const struct json *data = json_get(root, "data");
    size_t n = json_type(data) == JSON_ARRAY ? json_size(data) : 0;
    for (size_t i = 0; i < n; i++) {
      if (strcmp(json_cstr(json_path(json_at(data, i), "metadata.retort"), ""), part) == 0) {
        st = keep_id(json_at(data, i), "the batch", a, id, e);
        goto out;
      }
    }
    const char *last = json_cstr(json_get(json_at(data, n ? n - 1 : 0), "id"), "");
    if (!json_bool(json_get(root, "has_more"), 0) || n == 0 || check_id(last, "a batch", NULL) != STATUS_OK) {
      break;
    }
    snprintf(after, sizeof after, "%s", last);
    json_free(root);
    root = NULL;
  }
out:
  json_free(root);
  buf_free(&c.reply);
  return st;
}

enum status batch_http_fetch(struct batch_http *h, const char *file, struct buf *out, struct err *e)
{
  enum status st = STATUS_OK;
  struct arena *a = arena_new(0);
  char says[300];
  struct http_call c = { .header = http_teacher_headers(h->t) };
  TRY(check_id(file, "a file", e));
  if (a == NULL || (c.url = arena_printf(a, "%s/files/%s/content", http_teacher_address(h->t), file)) == NULL) {
    st = err_nomem(e, 200);
    goto out;
  }
  TRY(call(h, &c, 0, NULL, e));
  if (c.status == 404) {
    st = err_set(e, STATUS_NET, "'%s': the server answered 404: %s", c.url, server_says(&c, says, sizeof says));
    goto out;
  }
  TRY(buf_put(out, c.reply.p ? c.reply.p : "", c.reply.n, e));
out:
  buf_free(&c.reply);
  arena_free(a);
  return st;
}

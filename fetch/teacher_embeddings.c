/* SPDX-License-Identifier: Apache-2.0
 * Dialect `embeddings`: a text becomes a vector (answer.vector; no content). The text is the question's own, or that of its last
 * message. One text a request, so that a changed row asks again only for itself. */
#include <math.h>
#include "teacher_answer.h"
#include "teacher_http.h"

static const struct http_api api = { .prefix = "embeddings:", .path = "/embeddings", .key_env = "OPENAI_API_KEY", .key_header = "Authorization: Bearer " };

static int embeddings_matches(const char *spec)
{
  return http_teacher_matches(&api, spec);
}

static enum status embeddings_body(const struct teacher *t, const struct question *q, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  struct json *messages = NULL;
  struct buf text = { 0 };
  int has;
  if (q->kind != QUESTION_ANSWER) {
    return err_set(e, STATUS_USAGE, "'%s': an embeddings teacher gives vectors, no log-probabilities", t->name);
  }
  if (q->text.p == NULL) {
    TRY(json_parse(q->messages, "messages", &messages, e));
    TRY(content_text(json_get(json_at(messages, json_size(messages) ? json_size(messages) - 1 : 0), "content"), &text, &has, e));
  }
  TRY(buf_puts(b, "{\"model\":", e));
  TRY(json_put_cstr(b, t->model, e));
  TRY(buf_puts(b, ",\"input\":", e));
  TRY(json_put_string(b, q->text.p ? q->text : (struct span){ text.p ? text.p : "", text.n }, e));
  TRY(buf_puts(b, ",\"encoding_format\":\"float\"", e));
  TRY(buf_put(b, t->request.p, t->request.n, e));
  TRY(buf_putc(b, '}', e));
out:
  json_free(messages);
  buf_free(&text);
  return st;
}

static enum status embeddings_parse(const struct teacher *t, struct span text, const struct question *q, struct arena *a, struct answer *out,
                                    struct err *e)
{
  enum status st = STATUS_OK;
  struct json *root = NULL;
  (void)t;
  (void)q;
  TRY(json_parse(text, "answer", &root, e));
  const struct json *v = json_get(json_at(json_get(root, "data"), 0), "embedding");
  size_t n = json_type(v) == JSON_ARRAY ? json_size(v) : 0;
  if (n == 0) {
    st = err_set(e, STATUS_DATA, "no array of numbers at data[0].embedding");
    goto out;
  }
  float *f = arena_alloc(a, n * sizeof *f);
  if (f == NULL) {
    st = err_nomem(e, n * sizeof *f);
    goto out;
  }
  for (size_t i = 0; i < n; i++) {
    enum json_type type = json_type(json_at(v, i));
    f[i] = (float)json_num(json_at(v, i), NAN);
    if ((type != JSON_INT && type != JSON_REAL) || !isfinite(f[i])) {
      st = err_set(e, STATUS_DATA, "data[0].embedding[%zu] is no number", i);
      goto out;
    }
  }
  out->content = (struct span){ "", 0 };
  out->finish = "stop";
  out->vector = f;
  out->n_vector = n;
  out->usage = openai_usage(root);
out:
  json_free(root);
  return st;
}

const struct dialect dialect_embeddings = {
  .name = "embeddings",
  .needs_book = 1,
  .http = &api,
  .matches = embeddings_matches,
  .open = http_teacher_open,
  .ready = http_teacher_ready,
  .close = http_teacher_close,
  .body = embeddings_body,
  .parse = embeddings_parse,
  .begin = http_teacher_begin,
  .step = http_teacher_step,
  .end = http_teacher_end,
};

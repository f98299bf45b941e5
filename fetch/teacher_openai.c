/* SPDX-License-Identifier: Apache-2.0
 * Dialect `openai`: chat completions (OpenAI, vLLM, llama.cpp server, Ollama, LM Studio, SGLang). Request and answer only; the
 * engine of teacher_http.c sends and repeats. */
#include "json.h"
#include "teacher_http.h"

static const struct http_api api = { .path = "/chat/completions", .key_env = "OPENAI_API_KEY", .key_header = "Authorization: Bearer " };

static int openai_matches(const char *spec)
{
  return http_teacher_matches(&api, spec);
}

static enum status openai_body(const struct teacher *t, const struct question *q, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_puts(b, "{\"model\":", e));
  TRY(json_put_cstr(b, t->model, e));
  TRY(buf_puts(b, ",\"messages\":", e));
  TRY(buf_put(b, q->messages.p, q->messages.n, e));
  if (q->tools.n > 0) {
    TRY(buf_puts(b, ",\"tools\":", e));
    TRY(buf_put(b, q->tools.p, q->tools.n, e));
  }
  TRY(teacher_put_parameters(&q->sampling, b, e));
  if (q->form.kind == FORM_SCHEMA) { /* choices and patterns have no member that every server knows: checked when they come back */
    TRY(buf_puts(b, ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\",\"schema\":", e));
    TRY(buf_put(b, q->form.text.p, q->form.text.n, e));
    TRY(buf_puts(b, ",\"strict\":true}}", e));
  }
  TRY(buf_putc(b, '}', e));
out:
  return st;
}

static struct usage read_usage(const struct json *root)
{
  const struct json *u = json_get(root, "usage"), *in = json_get(u, "prompt_tokens"), *out = json_get(u, "completion_tokens");
  const struct json *cached = json_path(u, "prompt_tokens_details.cached_tokens");
  if (json_int(in, -1) < 0 || json_int(out, -1) < 0) {
    return (struct usage){ 0 };
  }
  struct usage n = { (uint64_t)json_int(in, 0), 0, (uint64_t)json_int(out, 0), 1 };
  if (json_int(cached, 0) > 0) {
    n.cached_tok = (uint64_t)json_int(cached, 0) < n.in_tok ? (uint64_t)json_int(cached, 0) : n.in_tok;
  }
  return n;
}

static enum status openai_parse(const struct teacher *t, struct span text, const struct question *q, struct arena *a, struct answer *out, struct err *e)
{
  enum status st = STATUS_OK;
  struct json *root = NULL;
  (void)t;
  (void)q;
  TRY(json_parse(text, "answer", &root, e));
  const struct json *choice = json_at(json_get(root, "choices"), 0), *message = json_get(choice, "message");
  const struct json *content = json_get(message, "content"), *why = json_get(message, "reasoning_content");
  const char *finish = json_cstr(json_get(choice, "finish_reason"), "stop");
  int filtered = strcmp(finish, "content_filter") == 0, refusal = json_type(json_get(message, "refusal")) == JSON_STRING;
  if (json_type(message) != JSON_OBJECT || (json_type(content) != JSON_STRING && !filtered && !refusal)) {
    st = err_set(e, STATUS_DATA, "no string at choices[0].message.content");
    goto out;
  }
  struct span c = json_type(content) == JSON_STRING ? json_str(content) : refusal ? json_str(json_get(message, "refusal")) : (struct span){ "", 0 };
  struct span r = json_str(why);
  char *copy = arena_strndup(a, c.p ? c.p : "", c.n), *reasoning = r.n ? arena_strndup(a, r.p, r.n) : NULL;
  if (copy == NULL || (r.n && reasoning == NULL)) {
    st = err_nomem(e, c.n + r.n);
    goto out;
  }
  out->content = (struct span){ copy, c.n };
  out->reasoning = (struct span){ reasoning, reasoning ? r.n : 0 };
  out->usage = read_usage(root);
  out->finish = filtered ? "content_filter" : strcmp(finish, "length") == 0 ? "length" : "stop";
out:
  json_free(root);
  return st;
}

const struct dialect dialect_openai = {
  .name = "openai",
  .needs_book = 1,
  .http = &api,
  .matches = openai_matches,
  .open = http_teacher_open,
  .ready = http_teacher_ready,
  .close = http_teacher_close,
  .body = openai_body,
  .parse = openai_parse,
  .run = http_teacher_run,
};

/* SPDX-License-Identifier: Apache-2.0
 * Dialect `openai`: chat completions (OpenAI, vLLM, llama.cpp server, Ollama, LM Studio, SGLang). Request and answer only; the
 * engine of teacher_http.c sends and repeats. */
#include "teacher_answer.h"
#include "teacher_http.h"

static const struct http_api api = { .path = "/chat/completions", .key_env = "OPENAI_API_KEY", .key_header = "Authorization: Bearer " };

static int openai_matches(const char *spec)
{
  return http_teacher_matches(&api, spec);
}

/* OpenAI's own models know the limit under its new name only, other servers under the old one only. By the identity, so that a
 * replay builds the same body. */
static const char *limit_name(const struct teacher *t)
{
  return strncmp(t->identity, "openai:https://api.openai.com/", 30) == 0 ? "max_completion_tokens" : "max_tokens";
}

static enum status openai_body(const struct teacher *t, const struct question *q, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  if (q->kind != QUESTION_ANSWER || q->messages.n == 0) {
    return err_set(e, STATUS_USAGE, "'%s': chat completions answer messages; for plain text and its log-probabilities name the teacher completions:http(s)://...",
                   t->name);
  }
  TRY(buf_puts(b, "{\"model\":", e));
  TRY(json_put_cstr(b, t->model, e));
  TRY(buf_puts(b, ",\"messages\":", e));
  TRY(buf_put(b, q->messages.p, q->messages.n, e));
  if (q->tools.n > 0) {
    TRY(buf_puts(b, ",\"tools\":", e));
    TRY(buf_put(b, q->tools.p, q->tools.n, e));
  }
  TRY(teacher_put_parameters(&q->sampling, limit_name(t), b, e));
  if (q->form.kind == FORM_SCHEMA) { /* choices and patterns have no member that every server knows: checked when they come back */
    TRY(buf_puts(b, ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\",\"schema\":", e));
    TRY(buf_put(b, q->form.text.p, q->form.text.n, e));
    TRY(buf_puts(b, ",\"strict\":true}}", e));
  }
  if (q->sampling.top_logprobs > 0) {
    TRY(buf_printf(b, e, ",\"logprobs\":true,\"top_logprobs\":%lld", (long long)q->sampling.top_logprobs));
  }
  if (q->choices > 1) {
    TRY(buf_printf(b, e, ",\"n\":%u", (unsigned)q->choices));
  }
  TRY(buf_put(b, t->request.p, t->request.n, e));
  TRY(buf_putc(b, '}', e));
out:
  return st;
}

/* Calls must be what tools and templates expect: a name, and arguments as a string of JSON. */
static enum status read_tool_calls(const struct json *calls, struct arena *a, struct answer *out, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  if (json_type(calls) != JSON_ARRAY || json_size(calls) == 0) {
    return json_type(calls) > JSON_NULL && json_type(calls) != JSON_ARRAY ? err_set(e, STATUS_DATA, "message.tool_calls is no array") : STATUS_OK;
  }
  for (size_t i = 0; i < json_size(calls); i++) {
    const struct json *f = json_get(json_at(calls, i), "function");
    if (json_type(json_get(f, "name")) != JSON_STRING || json_type(json_get(f, "arguments")) != JSON_STRING) {
      return err_set(e, STATUS_DATA, "message.tool_calls[%zu]: no strings at function.name and function.arguments", i);
    }
  }
  TRY(json_put(&b, calls, e));
  TRY(answer_keep(a, b.p, b.n, &out->tool_calls, e));
out:
  buf_free(&b);
  return st;
}

/* Some servers answer 400 when their filter stopped the question itself. */
static int filtered_question(const struct json *root)
{
  const char *code = json_cstr(json_path(root, "error.code"), "");
  return strcmp(code, "content_filter") == 0 || strcmp(code, "content_policy_violation") == 0;
}

static enum status openai_parse(const struct teacher *t, struct span text, const struct question *q, struct arena *a, struct answer *out, struct err *e)
{
  enum status st = STATUS_OK;
  struct json *root = NULL;
  struct buf b = { 0 };
  int has = 0;
  (void)t;
  TRY(json_parse(text, "answer", &root, e));
  if (filtered_question(root)) {
    *out = (struct answer){ .content = { "", 0 }, .finish = "content_filter" };
    goto out;
  }
  const struct json *choice = openai_choice(root, q), *message = json_get(choice, "message"), *refusal = json_get(message, "refusal");
  if (choice == NULL && q->choice > 0 && json_size(json_get(root, "choices")) > 0) { /* the request is paid and answered: not again */
    *out = (struct answer){ .failed = STATUS_DATA, .reason = "fewer answers than --choices", .finish = "" };
    goto out;
  }
  out->finish = openai_finish(choice);
  TRY(content_text(json_get(message, "content"), &b, &has, e));
  TRY(read_tool_calls(json_get(message, "tool_calls"), a, out, e));
  if (out->tool_calls.n > 0) {
    out->finish = strcmp(out->finish, "length") == 0 ? "length" : "tool_calls";
  } else if (json_type(refusal) == JSON_STRING && json_str(refusal).n > 0) {
    out->finish = "refusal";
    buf_clear(&b);
    TRY(buf_put(&b, json_str(refusal).p, json_str(refusal).n, e));
  } else if (json_type(message) != JSON_OBJECT || (!has && strcmp(out->finish, "content_filter") != 0)) {
    st = err_set(e, STATUS_DATA, "no text at choices[].message.content");
    goto out;
  }
  TRY(answer_keep(a, b.p, b.n, &out->content, e));
  struct span why = json_str(json_get(message, "reasoning_content")); /* vLLM, SGLang, DeepSeek, llama.cpp; */
  why = why.n ? why : json_str(json_get(message, "reasoning"));       /* Ollama, OpenRouter, later vLLM */
  if (why.n > 0) {
    TRY(answer_keep(a, why.p, why.n, &out->reasoning, e));
  }
  TRY(token_logprobs_chat(json_get(choice, "logprobs"), a, &out->logprobs, e));
  out->usage = openai_usage(root);
out:
  json_free(root);
  buf_free(&b);
  return st;
}

const struct dialect dialect_openai = {
  .name = "openai",
  .needs_book = 1,
  .choices = 1,
  .http = &api,
  .matches = openai_matches,
  .open = http_teacher_open,
  .ready = http_teacher_ready,
  .close = http_teacher_close,
  .body = openai_body,
  .parse = openai_parse,
  .begin = http_teacher_begin,
  .step = http_teacher_step,
  .end = http_teacher_end,
};

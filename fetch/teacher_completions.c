/* SPDX-License-Identifier: Apache-2.0
 * Dialects `completions` and `vllm`: plain text in, its continuation out (OpenAI's older API; vLLM, llama.cpp server, SGLang), and
 * log-probabilities of the text itself: echoed by the first, as `prompt_logprobs` with token ids by the second. Messages are put
 * through the chat template of --chat-template, for servers that have none. */
#include "teacher_answer.h"
#include "teacher_http.h"
#include "template.h"

static const struct http_api echo_api = { .prefix = "completions:", .path = "/completions", .key_env = "OPENAI_API_KEY", .key_header = "Authorization: Bearer " };
static const struct http_api vllm_api = { .prefix = "vllm:", .path = "/completions", .key_env = "OPENAI_API_KEY", .key_header = "Authorization: Bearer " };

static int echo_matches(const char *spec)
{
  return http_teacher_matches(&echo_api, spec);
}

static int vllm_matches(const char *spec)
{
  return http_teacher_matches(&vllm_api, spec);
}

static enum status completions_open(struct teacher *t, struct err *e)
{
  enum status st = STATUS_OK;
  const struct chat_template *row;
  TRY(http_teacher_open(t, e));
  if (t->o.chat_template != NULL) {
    TRY(template_find(t->o.chat_template, NULL, &row, e));
    t->template_name = arena_printf(t->a, "%s", template_name(row));
    st = t->template_name ? STATUS_OK : err_nomem(e, 16);
  }
out:
  return st;
}

static enum status put_prompt(const struct teacher *t, const struct question *q, struct buf *out, struct err *e)
{
  enum status st = STATUS_OK;
  struct json *messages = NULL, *tools = NULL;
  const struct chat_template *row;
  struct buf text = { 0 };
  if (q->text.p != NULL) {
    return json_put_string(out, q->text, e);
  }
  if (t->template_name == NULL) {
    return err_set(e, STATUS_USAGE, "'%s': completions take plain text; name the chat template that makes it of messages with --chat-template", t->name);
  }
  TRY(template_find(t->template_name, NULL, &row, e));
  TRY(json_parse(q->messages, "messages", &messages, e));
  if (q->tools.n > 0) {
    TRY(json_parse(q->tools, "tools", &tools, e));
  }
  TRY(template_render(row, messages, tools, 1, &text, e));
  TRY(json_put_string(out, (struct span){ text.p ? text.p : "", text.n }, e));
out:
  json_free(messages);
  json_free(tools);
  buf_free(&text);
  return st;
}

/* A text of its own is scored with one token of answer, which is left out: servers read 0 as "without a limit" (llama-cpp-python) or
 * refuse it. */
static enum status completions_body(const struct teacher *t, const struct question *q, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  long long k = q->sampling.top_logprobs > 0 ? q->sampling.top_logprobs : 1;
  int vllm = t->body_of == &dialect_vllm;
  TRY(buf_puts(b, "{\"model\":", e));
  TRY(json_put_cstr(b, t->model, e));
  TRY(buf_puts(b, ",\"prompt\":", e));
  TRY(put_prompt(t, q, b, e));
  if (q->kind == QUESTION_SCORE) {
    TRY(buf_puts(b, ",\"temperature\":0,\"max_tokens\":1", e));
    TRY(buf_printf(b, e, vllm ? ",\"prompt_logprobs\":%lld" : ",\"echo\":true,\"logprobs\":%lld", k));
  } else {
    TRY(teacher_put_parameters(&q->sampling, "max_tokens", b, e));
    if (q->sampling.top_logprobs > 0) {
      TRY(buf_printf(b, e, ",\"logprobs\":%lld", k));
    }
    if (q->choices > 1) {
      TRY(buf_printf(b, e, ",\"n\":%u", (unsigned)q->choices));
    }
  }
  TRY(buf_put(b, t->request.p, t->request.n, e));
  TRY(buf_putc(b, '}', e));
out:
  return st;
}

static enum status read_scores(const struct json *root, const struct json *choice, const struct question *q, struct arena *a, struct answer *out,
                               struct err *e)
{
  enum status st = STATUS_OK;
  const struct json *prompt = json_get(choice, "prompt_logprobs");
  prompt = prompt ? prompt : json_get(root, "prompt_logprobs");
  if (json_type(prompt) > JSON_NULL) {
    TRY(token_logprobs_vllm(prompt, a, &out->logprobs, e));
  } else {
    TRY(token_logprobs_completions(json_get(choice, "logprobs"), &q->text, (size_t)out->usage.in_tok, a, &out->logprobs, e));
  }
  if (out->logprobs.n == 0) {
    st = err_set(e, STATUS_DATA, "no log-probabilities of the text: the server does not echo them");
  }
out:
  return st;
}

static enum status completions_parse(const struct teacher *t, struct span text, const struct question *q, struct arena *a, struct answer *out,
                                     struct err *e)
{
  enum status st = STATUS_OK;
  struct json *root = NULL;
  (void)t;
  TRY(json_parse(text, "answer", &root, e));
  const struct json *choice = openai_choice(root, q);
  if (choice == NULL && q->choice > 0 && json_size(json_get(root, "choices")) > 0) {
    *out = (struct answer){ .failed = STATUS_DATA, .reason = "fewer answers than --choices", .finish = "" };
    goto out;
  }
  if (json_type(json_get(choice, "text")) != JSON_STRING) {
    st = err_set(e, STATUS_DATA, "no string at choices[].text");
    goto out;
  }
  out->usage = openai_usage(root);
  out->finish = openai_finish(choice);
  if (q->kind == QUESTION_SCORE) {
    out->content = (struct span){ "", 0 };
    out->finish = "stop";
    TRY(read_scores(root, choice, q, a, out, e));
    goto out;
  }
  TRY(answer_keep(a, json_str(json_get(choice, "text")).p, json_str(json_get(choice, "text")).n, &out->content, e));
  TRY(token_logprobs_completions(json_get(choice, "logprobs"), NULL, 0, a, &out->logprobs, e));
out:
  json_free(root);
  return st;
}

const struct dialect dialect_completions = {
  .name = "completions",
  .needs_book = 1,
  .choices = 1,
  .http = &echo_api,
  .matches = echo_matches,
  .open = completions_open,
  .ready = http_teacher_ready,
  .close = http_teacher_close,
  .body = completions_body,
  .parse = completions_parse,
  .begin = http_teacher_begin,
  .step = http_teacher_step,
  .end = http_teacher_end,
};

const struct dialect dialect_vllm = {
  .name = "vllm",
  .needs_book = 1,
  .choices = 1,
  .http = &vllm_api,
  .matches = vllm_matches,
  .open = completions_open,
  .ready = http_teacher_ready,
  .close = http_teacher_close,
  .body = completions_body,
  .parse = completions_parse,
  .begin = http_teacher_begin,
  .step = http_teacher_step,
  .end = http_teacher_end,
};

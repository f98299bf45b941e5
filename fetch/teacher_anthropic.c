/* SPDX-License-Identifier: Apache-2.0
 * Dialect `anthropic`: the messages API (anthropic:http(s)://..., or the host api.anthropic.com). System messages stand apart,
 * max_tokens is a must, tool calls and results are content blocks, thinking blocks become reasoning. Requests have no seed:
 * samples of one question differ by their ordinal in the journal only. */
#include "teacher_answer.h"
#include "teacher_http.h"

static const char *const version_header[] = { "anthropic-version: 2023-06-01", NULL };
static const struct http_api api = { .prefix = "anthropic:", .path = "/messages", .key_env = "ANTHROPIC_API_KEY", .key_header = "x-api-key: ",
                                     .header = version_header };

static int anthropic_matches(const char *spec)
{
  return http_teacher_matches(&api, spec) || strncmp(spec, "https://api.anthropic.com/", 26) == 0;
}

/* ---- the request ---- */

static int role_is(const struct json *m, const char *role)
{
  return strcmp(json_cstr(json_get(m, "role"), ""), role) == 0;
}

static int is_system(const struct json *m)
{
  return role_is(m, "system") || role_is(m, "developer");
}

static enum status put_system(const struct json *messages, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf text = { 0 };
  int has;
  for (size_t i = 0; i < json_size(messages); i++) {
    if (is_system(json_at(messages, i))) {
      TRY(buf_puts(&text, text.n ? "\n\n" : "", e));
      TRY(content_text(json_get(json_at(messages, i), "content"), &text, &has, e));
    }
  }
  if (text.n > 0) {
    TRY(buf_puts(b, ",\"system\":", e));
    TRY(json_put_string(b, (struct span){ text.p, text.n }, e));
  }
out:
  buf_free(&text);
  return st;
}

static enum status put_text_of(const struct json *m, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf text = { 0 };
  int has;
  TRY(content_text(json_get(m, "content"), &text, &has, e));
  TRY(json_put_string(b, (struct span){ text.p ? text.p : "", text.n }, e));
out:
  buf_free(&text);
  return st;
}

/* {"role":"assistant","content":[text?, tool_use...]} */
static enum status put_calls(const struct json *m, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  const struct json *calls = json_get(m, "tool_calls");
  struct json *input = NULL;
  struct buf text = { 0 };
  int has;
  TRY(content_text(json_get(m, "content"), &text, &has, e));
  TRY(buf_puts(b, "{\"role\":\"assistant\",\"content\":[", e));
  if (text.n > 0) {
    TRY(buf_puts(b, "{\"type\":\"text\",\"text\":", e));
    TRY(json_put_string(b, (struct span){ text.p, text.n }, e));
    TRY(buf_puts(b, "},", e));
  }
  for (size_t i = 0; i < json_size(calls); i++) {
    const struct json *call = json_at(calls, i), *f = json_get(call, "function"), *arguments = json_get(f, "arguments");
    TRY(buf_puts(b, i ? ",{\"type\":\"tool_use\",\"id\":" : "{\"type\":\"tool_use\",\"id\":", e));
    TRY(json_put_string(b, json_str(json_get(call, "id")), e));
    TRY(buf_puts(b, ",\"name\":", e));
    TRY(json_put_string(b, json_str(json_get(f, "name")), e));
    TRY(buf_puts(b, ",\"input\":", e));
    if (json_type(arguments) == JSON_STRING) { /* OpenAI's arguments are JSON in a string, Anthropic's an object */
      st = json_parse(json_str(arguments), "tool_calls[].function.arguments", &input, e);
      if (st != STATUS_OK) {
        goto out;
      }
      arguments = input;
    }
    if (json_type(arguments) == JSON_OBJECT) {
      TRY(json_put(b, arguments, e));
    } else {
      TRY(buf_puts(b, "{}", e));
    }
    TRY(buf_putc(b, '}', e));
    json_free(input);
    input = NULL;
  }
  TRY(buf_puts(b, "]}", e));
out:
  json_free(input);
  buf_free(&text);
  return st;
}

/* Results of one turn of calls stand in one user message, or the API refuses them. */
static enum status put_results(const struct json *messages, size_t *at, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_puts(b, "{\"role\":\"user\",\"content\":[", e));
  for (size_t first = *at; *at < json_size(messages) && role_is(json_at(messages, *at), "tool"); ++*at) {
    const struct json *m = json_at(messages, *at);
    TRY(buf_puts(b, *at > first ? ",{\"type\":\"tool_result\",\"tool_use_id\":" : "{\"type\":\"tool_result\",\"tool_use_id\":", e));
    TRY(json_put_string(b, json_str(json_get(m, "tool_call_id")), e));
    TRY(buf_puts(b, ",\"content\":", e));
    TRY(put_text_of(m, b, e));
    TRY(buf_putc(b, '}', e));
  }
  TRY(buf_puts(b, "]}", e));
out:
  return st;
}

static enum status put_messages(const struct json *messages, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  size_t i = 0, written = 0;
  TRY(buf_puts(b, ",\"messages\":[", e));
  while (i < json_size(messages)) {
    const struct json *m = json_at(messages, i);
    if (is_system(m)) {
      i++;
      continue;
    }
    TRY(buf_puts(b, written++ ? "," : "", e));
    if (role_is(m, "tool")) {
      TRY(put_results(messages, &i, b, e));
      continue;
    }
    if (role_is(m, "assistant") && json_size(json_get(m, "tool_calls")) > 0) {
      TRY(put_calls(m, b, e));
    } else {
      TRY(buf_printf(b, e, "{\"role\":\"%s\",\"content\":", role_is(m, "assistant") ? "assistant" : "user"));
      TRY(put_text_of(m, b, e));
      TRY(buf_putc(b, '}', e));
    }
    i++;
  }
  TRY(buf_putc(b, ']', e));
out:
  return st;
}

static enum status put_tools(const struct json *tools, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_puts(b, ",\"tools\":[", e));
  for (size_t i = 0; i < json_size(tools); i++) {
    const struct json *f = json_get(json_at(tools, i), "function"), *schema, *about;
    f = f ? f : json_at(tools, i);
    schema = json_get(f, "parameters");
    about = json_get(f, "description");
    TRY(buf_puts(b, i ? ",{\"name\":" : "{\"name\":", e));
    TRY(json_put_string(b, json_str(json_get(f, "name")), e));
    if (json_type(about) == JSON_STRING) {
      TRY(buf_puts(b, ",\"description\":", e));
      TRY(json_put_string(b, json_str(about), e));
    }
    TRY(buf_puts(b, ",\"input_schema\":", e));
    if (json_type(schema) == JSON_OBJECT) {
      TRY(json_put(b, schema, e));
    } else {
      TRY(buf_puts(b, "{\"type\":\"object\",\"properties\":{}}", e));
    }
    TRY(buf_putc(b, '}', e));
  }
  TRY(buf_putc(b, ']', e));
out:
  return st;
}

static enum status put_sampling(const struct teacher *t, const struct sampling *s, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  const char *wrong = s->max_tokens <= 0 ? "needs --max-tokens" : s->temperature > 1 ? "takes a --temperature of at most 1" :
                      s->min_p > 0 ? "has no --min-p" : s->repetition_penalty > 0 && (s->repetition_penalty < 1 || s->repetition_penalty > 1) ?
                      "has no --repetition-penalty" : s->top_logprobs > 0 ? "gives no log-probabilities (--logprobs)" : NULL;
  if (wrong != NULL) {
    return err_set(e, STATUS_USAGE, "'%s': Anthropic's API %s", t->name, wrong);
  }
  TRY(buf_printf(b, e, ",\"max_tokens\":%lld,\"temperature\":", (long long)s->max_tokens));
  TRY(json_put_num(b, s->temperature, e));
  if (s->top_p < 1) {
    TRY(buf_puts(b, ",\"top_p\":", e));
    TRY(json_put_num(b, s->top_p, e));
  }
  if (s->top_k > 0) {
    TRY(buf_printf(b, e, ",\"top_k\":%lld", (long long)s->top_k));
  }
  for (size_t i = 0; i < s->n_stop; i++) {
    TRY(buf_puts(b, i ? "," : ",\"stop_sequences\":[", e));
    TRY(json_put_cstr(b, s->stop[i], e));
  }
  TRY(buf_puts(b, s->n_stop ? "]" : "", e));
out:
  return st;
}

static enum status anthropic_body(const struct teacher *t, const struct question *q, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  struct json *messages = NULL, *tools = NULL;
  if (q->kind != QUESTION_ANSWER || q->messages.n == 0) {
    return err_set(e, STATUS_USAGE, "'%s': Anthropic's API answers messages; it gives no log-probabilities of a text", t->name);
  }
  TRY(json_parse(q->messages, "messages", &messages, e));
  TRY(buf_puts(b, "{\"model\":", e));
  TRY(json_put_cstr(b, t->model, e));
  TRY(put_sampling(t, &q->sampling, b, e));
  TRY(put_system(messages, b, e));
  TRY(put_messages(messages, b, e));
  if (q->tools.n > 0) {
    TRY(json_parse(q->tools, "tools", &tools, e));
    TRY(put_tools(tools, b, e));
  }
  if (q->form.kind == FORM_SCHEMA) {
    TRY(buf_puts(b, ",\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":", e));
    TRY(buf_put(b, q->form.text.p, q->form.text.n, e));
    TRY(buf_puts(b, "}}", e));
  }
  TRY(buf_put(b, t->request.p, t->request.n, e));
  TRY(buf_putc(b, '}', e));
out:
  json_free(messages);
  json_free(tools);
  return st;
}

/* ---- the answer ---- */

static const char *finish_of(const char *stop_reason)
{
  static const struct { const char *theirs, *ours; } row[] = { { "max_tokens", "length" }, { "model_context_window_exceeded", "length" },
                                                               { "tool_use", "tool_calls" }, { "refusal", "refusal" } };
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    if (strcmp(stop_reason, row[i].theirs) == 0) {
      return row[i].ours;
    }
  }
  return "stop"; /* end_turn, stop_sequence, pause_turn (of tools that run at the server, which are never asked for) */
}

/* A tool_use block in OpenAI's form, which records and chat templates have. */
static enum status put_call(const struct json *block, struct buf *calls, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf input = { 0 };
  if (json_type(json_get(block, "name")) != JSON_STRING || json_type(json_get(block, "input")) != JSON_OBJECT) {
    return err_set(e, STATUS_DATA, "a tool_use block without a name and an input object");
  }
  TRY(json_put(&input, json_get(block, "input"), e));
  TRY(buf_puts(calls, calls->n ? ",{\"id\":" : "[{\"id\":", e));
  TRY(json_put_string(calls, json_str(json_get(block, "id")), e));
  TRY(buf_puts(calls, ",\"type\":\"function\",\"function\":{\"name\":", e));
  TRY(json_put_string(calls, json_str(json_get(block, "name")), e));
  TRY(buf_puts(calls, ",\"arguments\":", e));
  TRY(json_put_string(calls, (struct span){ input.p, input.n }, e));
  TRY(buf_puts(calls, "}}", e));
out:
  buf_free(&input);
  return st;
}

static struct usage read_usage(const struct json *root)
{
  const struct json *u = json_get(root, "usage");
  int64_t in = json_int(json_get(u, "input_tokens"), -1), out = json_int(json_get(u, "output_tokens"), -1), bound = (int64_t)1 << 40;
  int64_t cached = json_int(json_get(u, "cache_read_input_tokens"), 0), made = json_int(json_get(u, "cache_creation_input_tokens"), 0);
  if (in < 0 || out < 0 || in > bound || out > bound) {
    return (struct usage){ 0 };
  }
  cached = cached > 0 && cached < bound ? cached : 0;
  made = made > 0 && made < bound ? made : 0;
  return (struct usage){ (uint64_t)(in + cached + made), (uint64_t)cached, (uint64_t)out, 1 }; /* theirs counts what was not cached */
}

static enum status anthropic_parse(const struct teacher *t, struct span text, const struct question *q, struct arena *a, struct answer *out, struct err *e)
{
  enum status st = STATUS_OK;
  struct json *root = NULL;
  struct buf said = { 0 }, thought = { 0 }, calls = { 0 };
  (void)t;
  (void)q;
  TRY(json_parse(text, "answer", &root, e));
  const struct json *content = json_get(root, "content");
  if (strcmp(json_cstr(json_get(root, "type"), ""), "message") != 0 || json_type(content) != JSON_ARRAY) {
    st = err_set(e, STATUS_DATA, "no message with an array of content");
    goto out;
  }
  for (size_t i = 0; i < json_size(content); i++) {
    const struct json *block = json_at(content, i), *text_of = json_get(block, "text"), *thinking = json_get(block, "thinking");
    const char *type = json_cstr(json_get(block, "type"), "");
    if (strcmp(type, "text") == 0) {
      if (json_type(text_of) != JSON_STRING) {
        st = err_set(e, STATUS_DATA, "content[%zu].text is no string", i);
        goto out;
      }
      TRY(buf_put(&said, json_str(text_of).p, json_str(text_of).n, e));
    } else if (strcmp(type, "thinking") == 0 && json_type(thinking) == JSON_STRING) {
      TRY(buf_puts(&thought, thought.n ? "\n" : "", e));
      TRY(buf_put(&thought, json_str(thinking).p, json_str(thinking).n, e));
    } else if (strcmp(type, "tool_use") == 0) {
      TRY(put_call(block, &calls, e));
    } /* redacted_thinking and blocks yet unknown say nothing to a student */
  }
  out->finish = finish_of(json_cstr(json_get(root, "stop_reason"), "end_turn"));
  TRY(answer_keep(a, said.p, said.n, &out->content, e));
  if (thought.n > 0) {
    TRY(answer_keep(a, thought.p, thought.n, &out->reasoning, e));
  }
  if (calls.n > 0) {
    TRY(buf_putc(&calls, ']', e));
    TRY(answer_keep(a, calls.p, calls.n, &out->tool_calls, e));
  }
  out->usage = read_usage(root);
out:
  json_free(root);
  buf_free(&said);
  buf_free(&thought);
  buf_free(&calls);
  return st;
}

const struct dialect dialect_anthropic = {
  .name = "anthropic",
  .needs_book = 1,
  .http = &api,
  .matches = anthropic_matches,
  .open = http_teacher_open,
  .ready = http_teacher_ready,
  .close = http_teacher_close,
  .body = anthropic_body,
  .parse = anthropic_parse,
  .begin = http_teacher_begin,
  .step = http_teacher_step,
  .end = http_teacher_end,
};

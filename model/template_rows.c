/* SPDX-License-Identifier: Apache-2.0
 * The table of chat templates: what the jinja templates of these models print, written as C (tests/golden/data/tokenizer/
 * templates holds their texts; 40 conversations each are compared with jinja2). A row that would lose part of a
 * conversation (tools without a place for them, an unknown role) refuses it, where jinja2 prints without it. */
#include "template_impl.h"
#include "tokenizer_utf8.h"

#define SMOLLM2_SYSTEM "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
#define QWEN_SYSTEM "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."

/* ------------------------------------------------------------------------------------------------------------- helpers */

static const char *role_of(const struct render *r, size_t i) { return json_cstr(json_get(json_at(r->messages, i), "role"), ""); }
static int role_is(const struct render *r, size_t i, const char *role) { return i < r->n_messages && strcmp(role_of(r, i), role) == 0; }

static enum status content_of(const struct render *r, size_t i, struct span *s) {
  const struct json *c = json_get(json_at(r->messages, i), "content");
  *s = json_str(c);
  if (!s->p) return err_set(r->e, STATUS_DATA, "message %zu (%s): \"content\" is not a string", i, role_of(r, i));
  return STATUS_OK;
}

/* Content is written in its lossy form, so that offsets in the text stay right for the tokenizer. */
static enum status put(struct render *r, struct span s) { return utf8_lossy(s, r->out, r->e); }
static enum status puts_(struct render *r, const char *s) { return buf_puts(r->out, s, r->e); }

static enum status mark_from(struct render *r, size_t from) {
  if (r->n_mark == r->cap_mark) {
    size_t cap = r->cap_mark ? r->cap_mark * 2 : 8;
    struct mark *m = mem_realloc(r->mark, cap * sizeof *m);
    if (!m) return err_nomem(r->e, cap * sizeof *m);
    r->mark = m, r->cap_mark = cap;
  }
  r->mark[r->n_mark++] = (struct mark){ from, r->out->n };
  return STATUS_OK;
}

/* json.dumps(ensure_ascii=False): ", " and ": " between. */
static enum status put_tojson(struct render *r, const struct json *j) {
  enum status st = STATUS_OK;
  struct span key;
  const struct json *v;
  void *it = NULL;
  int n = 0;
  switch (json_type(j)) {
    case JSON_OBJECT:
      TRY(puts_(r, "{"));
      while (json_next(j, &it, &key, &v)) {
        if (n++) TRY(puts_(r, ", "));
        TRY(json_put_string(r->out, key, r->e));
        TRY(puts_(r, ": "));
        TRY(put_tojson(r, v));
      }
      st = puts_(r, "}");
      break;
    case JSON_ARRAY:
      TRY(puts_(r, "["));
      for (size_t i = 0; i < json_size(j); i++) {
        if (i) TRY(puts_(r, ", "));
        TRY(put_tojson(r, json_at(j, i)));
      }
      st = puts_(r, "]");
      break;
    default: st = json_put(r->out, j, r->e);
  }
out:
  return st;
}

/* "<|im_start|>ROLE\nCONTENT<|im_end|>\n": the turn of all ChatML-like templates. */
static enum status put_im(struct render *r, const char *role, struct span content) {
  enum status st = STATUS_OK;
  TRY(puts_(r, "<|im_start|>"));
  TRY(puts_(r, role));
  TRY(puts_(r, "\n"));
  size_t from = r->out->n;
  TRY(put(r, content));
  TRY(puts_(r, "<|im_end|>"));
  if (strcmp(role, "assistant") == 0) TRY(mark_from(r, from));
  TRY(puts_(r, "\n"));
out:
  return st;
}

/* -------------------------------------------------------------------------------------------------------- ChatML, SmolLM2 */

static enum status chatml(struct render *r) {
  enum status st = STATUS_OK;
  struct span content;
  for (size_t i = 0; i < r->n_messages; i++) {
    TRY(content_of(r, i, &content));
    TRY(put_im(r, role_of(r, i), content));
  }
  if (r->generate) TRY(puts_(r, "<|im_start|>assistant\n"));
out:
  return st;
}

static enum status smollm2(struct render *r) {
  enum status st = STATUS_OK;
  if (r->n_messages && !role_is(r, 0, "system")) TRY(put_im(r, "system", (struct span){ SMOLLM2_SYSTEM, strlen(SMOLLM2_SYSTEM) }));
  st = chatml(r);
out:
  return st;
}

/* ------------------------------------------------------------------------------------------------------------- Qwen 2.5 */

static enum status qwen_system(struct render *r) {
  enum status st = STATUS_OK;
  struct span system = { QWEN_SYSTEM, strlen(QWEN_SYSTEM) };
  if (role_is(r, 0, "system")) TRY(content_of(r, 0, &system));
  if (!r->tools) return put_im(r, "system", system);
  TRY(puts_(r, "<|im_start|>system\n"));
  TRY(put(r, system));
  TRY(puts_(r, "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures "
               "within <tools></tools> XML tags:\n<tools>"));
  for (size_t i = 0; i < json_size(r->tools); i++) {
    TRY(puts_(r, "\n"));
    TRY(put_tojson(r, json_at(r->tools, i)));
  }
  TRY(puts_(r, "\n</tools>\n\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> "
               "XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n"));
out:
  return st;
}

/* An assistant turn that calls tools. The newline behind the role belongs to the prompt, whatever follows it. */
static enum status qwen_calls(struct render *r, size_t i, const struct json *calls) {
  enum status st = STATUS_OK;
  struct span content = json_str(json_get(json_at(r->messages, i), "content"));
  TRY(puts_(r, "<|im_start|>assistant"));
  size_t from = r->out->n + 1;
  if (content.n) {
    TRY(puts_(r, "\n"));
    TRY(put(r, content));
  }
  for (size_t k = 0; k < json_size(calls); k++) {
    const struct json *call = json_at(calls, k), *f = json_get(call, "function");
    if (f) call = f;
    struct span name = json_str(json_get(call, "name"));
    if (!name.p || !json_get(call, "arguments")) {
      st = err_set(r->e, STATUS_DATA, "message %zu: tool_calls[%zu] has no \"name\" or no \"arguments\"", i, k);
      goto out;
    }
    TRY(puts_(r, "\n<tool_call>\n{\"name\": \""));
    TRY(put(r, name));
    TRY(puts_(r, "\", \"arguments\": "));
    TRY(put_tojson(r, json_get(call, "arguments")));
    TRY(puts_(r, "}\n</tool_call>"));
  }
  TRY(puts_(r, "<|im_end|>"));
  TRY(mark_from(r, from));
  TRY(puts_(r, "\n"));
out:
  return st;
}

/* Answers of tools stand together in one user turn. */
static enum status qwen_tool(struct render *r, size_t i) {
  enum status st = STATUS_OK;
  struct span content;
  TRY(content_of(r, i, &content));
  if (i == 0 || !role_is(r, i - 1, "tool")) TRY(puts_(r, "<|im_start|>user"));
  TRY(puts_(r, "\n<tool_response>\n"));
  TRY(put(r, content));
  TRY(puts_(r, "\n</tool_response>"));
  if (!role_is(r, i + 1, "tool")) TRY(puts_(r, "<|im_end|>\n"));
out:
  return st;
}

static enum status qwen2_5(struct render *r) {
  enum status st = STATUS_OK;
  struct span content;
  if (!r->n_messages) return err_set(r->e, STATUS_DATA, "no messages");
  TRY(qwen_system(r));
  for (size_t i = role_is(r, 0, "system") ? 1 : 0; i < r->n_messages; i++) {
    const struct json *calls = json_get(json_at(r->messages, i), "tool_calls");
    if (role_is(r, i, "tool")) {
      TRY(qwen_tool(r, i));
    } else if (role_is(r, i, "assistant") && json_size(calls)) {
      TRY(qwen_calls(r, i, calls));
    } else if (role_is(r, i, "user") || role_is(r, i, "system") || role_is(r, i, "assistant")) {
      TRY(content_of(r, i, &content));
      TRY(put_im(r, role_of(r, i), content));
    } else {
      st = err_set(r->e, STATUS_DATA, "message %zu: role '%.40s'; template qwen2_5 knows system, user, assistant, tool", i, role_of(r, i));
      goto out;
    }
  }
  if (r->generate) TRY(puts_(r, "<|im_start|>assistant\n"));
out:
  return st;
}

/* -------------------------------------------------------------------------------------------------------------- Llama 3 */

/* Python's str.strip(): Unicode white space and U+001C to U+001F. */
static int strips(uint32_t c) { return utf8_is_space(c) || (c >= 0x1c && c <= 0x1f); }

static struct span trim(struct span s) {
  int len;
  while (s.n && strips(utf8_decode(s.p, &len))) s.p += len, s.n -= (size_t)len;
  while (s.n) {
    size_t k = s.n - 1;
    while (k > 0 && ((unsigned char)s.p[k] & 0xc0) == 0x80) k--;
    if (!strips(utf8_decode(s.p + k, &len))) break;
    s.n = k;
  }
  return s;
}

static enum status llama3(struct render *r) {
  enum status st = STATUS_OK;
  struct span content;
  for (size_t i = 0; i < r->n_messages; i++) {
    TRY(content_of(r, i, &content));
    TRY(puts_(r, i ? "<|start_header_id|>" : "<|begin_of_text|><|start_header_id|>"));
    TRY(puts_(r, role_of(r, i)));
    TRY(puts_(r, "<|end_header_id|>\n\n"));
    size_t from = r->out->n;
    TRY(put(r, trim(content)));
    TRY(puts_(r, "<|eot_id|>"));
    if (role_is(r, i, "assistant")) TRY(mark_from(r, from));
  }
  if (r->generate) TRY(puts_(r, "<|start_header_id|>assistant<|end_header_id|>\n\n"));
out:
  return st;
}

/* -------------------------------------------------------------------------------------------------------------- Mistral */

static enum status mistral(struct render *r) {
  enum status st = STATUS_OK;
  struct span content;
  TRY(puts_(r, "<s>"));
  for (size_t i = 0; i < r->n_messages; i++) {
    if (role_is(r, i, "user") != (i % 2 == 0))
      return err_set(r->e, STATUS_DATA, "message %zu: Conversation roles must alternate user/assistant/user/assistant/... (template mistral)", i);
    TRY(content_of(r, i, &content));
    if (role_is(r, i, "user")) {
      TRY(puts_(r, "[INST] "));
      TRY(put(r, content));
      TRY(puts_(r, " [/INST]"));
    } else if (role_is(r, i, "assistant")) {
      size_t from = r->out->n;
      TRY(put(r, content));
      TRY(puts_(r, "</s>"));
      TRY(mark_from(r, from));
      TRY(puts_(r, " "));
    } else {
      return err_set(r->e, STATUS_DATA, "message %zu: Only user and assistant roles are supported! (template mistral)", i);
    }
  }
out:
  return st;
}

const struct chat_template template_table[] = {
  { "smollm2", { 0x8d817c1e5d6e94d9u }, { "<|im_start|>", "<|im_end|>", NULL }, "<|im_end|>", 0, smollm2 },
  { "chatml", { 0xac2f7ac5b3905062u }, { "<|im_start|>", "<|im_end|>", NULL }, "<|im_end|>", 0, chatml },
  { "qwen2_5", { 0x4ab170590cd41a0cu }, { "<|im_start|>", "<|im_end|>", NULL }, "<|im_end|>", 1, qwen2_5 },
  { "llama3", { 0x1730b0da3c0f3d4fu }, { "<|begin_of_text|>", "<|start_header_id|>", "<|eot_id|>", NULL }, "<|eot_id|>", 0, llama3 },
  { "mistral", { 0xc587690ee348198eu }, { "<s>", "</s>", NULL }, "</s>", 0, mistral },
  { NULL, { 0 }, { NULL }, NULL, 0, NULL },
};

/* SPDX-License-Identifier: Apache-2.0
 * Qwen 2.5: ChatML with a system message of its own, tools as JSON lines, calls and their answers in XML tags. */
#include "template_impl.h"

#define QWEN_SYSTEM "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."

static enum status qwen_system(struct render *r) {
  enum status st = STATUS_OK;
  struct span system = { QWEN_SYSTEM, strlen(QWEN_SYSTEM) };
  if (render_role_is(r, 0, "system")) TRY(render_content(r, 0, &system));
  if (!r->tools) return render_im(r, "system", system);
  TRY(render_puts(r, "<|im_start|>system\n"));
  TRY(render_put(r, system));
  TRY(render_puts(r, "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures "
               "within <tools></tools> XML tags:\n<tools>"));
  for (size_t i = 0; i < json_size(r->tools); i++) {
    TRY(render_puts(r, "\n"));
    TRY(render_tojson(r, json_at(r->tools, i)));
  }
  TRY(render_puts(r, "\n</tools>\n\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> "
               "XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n"));
out:
  return st;
}

/* An assistant turn that calls tools. The newline behind the role belongs to the prompt, whatever follows it. */
static enum status qwen_calls(struct render *r, size_t i, const struct json *calls) {
  enum status st = STATUS_OK;
  struct span content = json_str(json_get(json_at(r->messages, i), "content"));
  TRY(render_puts(r, "<|im_start|>assistant"));
  size_t from = r->out->n + 1;
  if (content.n) {
    TRY(render_puts(r, "\n"));
    TRY(render_put(r, content));
  }
  for (size_t k = 0; k < json_size(calls); k++) {
    const struct json *call = json_at(calls, k), *f = json_get(call, "function");
    if (f) call = f;
    struct span name = json_str(json_get(call, "name"));
    if (!name.p || !json_get(call, "arguments")) {
      st = err_set(r->e, STATUS_DATA, "message %zu: tool_calls[%zu] has no \"name\" or no \"arguments\"", i, k);
      goto out;
    }
    TRY(render_puts(r, "\n<tool_call>\n{\"name\": \""));
    TRY(render_put(r, name));
    TRY(render_puts(r, "\", \"arguments\": "));
    TRY(render_tojson(r, json_get(call, "arguments")));
    TRY(render_puts(r, "}\n</tool_call>"));
  }
  TRY(render_puts(r, "<|im_end|>"));
  TRY(render_mark(r, from));
  TRY(render_puts(r, "\n"));
out:
  return st;
}

/* Answers of tools stand together in one user turn. */
static enum status qwen_tool(struct render *r, size_t i) {
  enum status st = STATUS_OK;
  struct span content;
  TRY(render_content(r, i, &content));
  if (i == 0 || !render_role_is(r, i - 1, "tool")) TRY(render_puts(r, "<|im_start|>user"));
  TRY(render_puts(r, "\n<tool_response>\n"));
  TRY(render_put(r, content));
  TRY(render_puts(r, "\n</tool_response>"));
  if (!render_role_is(r, i + 1, "tool")) TRY(render_puts(r, "<|im_end|>\n"));
out:
  return st;
}

static enum status render(struct render *r) {
  enum status st = STATUS_OK;
  struct span content;
  if (!r->n_messages) return err_set(r->e, STATUS_DATA, "no messages");
  TRY(qwen_system(r));
  for (size_t i = render_role_is(r, 0, "system") ? 1 : 0; i < r->n_messages; i++) {
    const struct json *calls = json_get(json_at(r->messages, i), "tool_calls");
    if (render_role_is(r, i, "tool")) {
      TRY(qwen_tool(r, i));
    } else if (render_role_is(r, i, "assistant") && json_size(calls)) {
      TRY(qwen_calls(r, i, calls));
    } else if (render_role_is(r, i, "user") || render_role_is(r, i, "system") || render_role_is(r, i, "assistant")) {
      TRY(render_content(r, i, &content));
      TRY(render_im(r, render_role(r, i), content));
    } else {
      st = err_set(r->e, STATUS_DATA, "message %zu: role '%.40s'; template qwen2_5 knows system, user, assistant, tool", i, render_role(r, i));
      goto out;
    }
  }
  if (r->generate) TRY(render_puts(r, "<|im_start|>assistant\n"));
out:
  return st;
}

const struct chat_template template_qwen2_5 = { "qwen2_5", { 0x4ab170590cd41a0cu }, { "<|im_start|>", "<|im_end|>", NULL }, "<|im_end|>", 1, render };

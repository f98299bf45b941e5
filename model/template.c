/* SPDX-License-Identifier: Apache-2.0
 * Chat templates: finding the row, rendering, tokens with the assistant's mask. The rows stand in template_NAME.c and templates.def. */
#include "template.h"
#include "hash.h"
#include "opt.h"
#include "template_impl.h"

static const struct chat_template *const table[] = {
#define TEMPLATE(name) &template_##name,
#include "templates.def"
#undef TEMPLATE
};
enum { TEMPLATES = sizeof table / sizeof *table };
static const char names[] =
#define TEMPLATE(name) ", " #name
#include "templates.def"
#undef TEMPLATE
    ;
#define NAMES (names + 2)

static const struct chat_template *by_name(const char *name) {
  for (int k = 0; k < TEMPLATES; k++)
    if (strcmp(table[k]->name, name) == 0) return table[k];
  return NULL;
}

static const struct chat_template *by_hash(uint64_t h) {
  for (int k = 0; k < TEMPLATES; k++)
    for (int i = 0; i < 4 && table[k]->hash[i]; i++)
      if (table[k]->hash[i] == h) return table[k];
  return NULL;
}

/* A template of another family would be read as plain text by this tokenizer: wrong without anybody noticing. */
static enum status check_needs(const struct chat_template *row, const struct tokenizer *t, struct err *e) {
  for (int i = 0; t && row->needs[i]; i++) {
    enum token_type type = tokenizer_token_type(t, tokenizer_id(t, row->needs[i])); /* a plain word of that text will not do */
    if (type != TOKEN_CONTROL && type != TOKEN_USER)
      return err_set(e, STATUS_DATA, "chat template '%s' needs the token \"%s\", which this tokenizer lacks; choose another with --chat-template (%s)",
                     row->name, row->needs[i], NAMES);
  }
  return STATUS_OK;
}

enum status template_find(const char *name, const struct tokenizer *t, const struct chat_template **row, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  *row = NULL;
  if (name && *name) {
    *row = by_name(name);
    if (!*row) return err_set(e, STATUS_USAGE, "'%s': unknown chat template; known: %s", name, NAMES);
  } else {
    const char *text = t ? tokenizer_template(t) : NULL;
    if (!text) return err_set(e, STATUS_DATA, "the model has no chat template; choose one with --chat-template (%s)", NAMES);
    TRY(template_canonical((struct span){ text, strlen(text) }, &b, e));
    uint64_t h = xxh3(b.p, b.n);
    *row = by_hash(h);
    if (!*row) {
      st = err_set(e, STATUS_DATA, "the model's chat template is none of the known ones (canonical hash 0x%016llx); choose one with --chat-template (%s)",
                   (unsigned long long)h, NAMES);
      goto out;
    }
  }
  TRY(check_needs(*row, t, e));
out:
  buf_free(&b);
  if (st != STATUS_OK) *row = NULL;
  return st;
}

const char *template_name(const struct chat_template *row) { return row->name; }

/* What every row may rely on: an array of objects with a role; tools and tool calls only where the row has a place for them. */
static enum status check_messages(const struct chat_template *row, const struct json *messages, const struct json *tools, struct err *e) {
  if (json_type(messages) != JSON_ARRAY) return err_set(e, STATUS_DATA, "\"messages\" is not an array");
  if (tools && json_type(tools) != JSON_ARRAY) return err_set(e, STATUS_DATA, "\"tools\" is not an array");
  if (tools && !row->has_tools) return err_set(e, STATUS_DATA, "chat template '%s' has no place for tools", row->name);
  for (size_t i = 0; i < json_size(messages); i++) {
    const struct json *m = json_at(messages, i);
    if (!json_cstr(json_get(m, "role"), NULL)) return err_set(e, STATUS_DATA, "message %zu has no \"role\"", i);
    if (!row->has_tools && json_size(json_get(m, "tool_calls")))
      return err_set(e, STATUS_DATA, "message %zu: chat template '%s' has no place for tool calls", i, row->name);
  }
  return STATUS_OK;
}

static enum status render(const struct chat_template *row, const struct json *messages, const struct json *tools, int generate, struct render *r,
                          struct buf *out, struct err *e) {
  if (json_type(tools) == JSON_NULL || (json_type(tools) == JSON_ARRAY && !json_size(tools))) tools = NULL;
  enum status st = check_messages(row, messages, tools, e);
  if (st != STATUS_OK) return st;
  *r = (struct render){ .out = out, .messages = messages, .tools = tools, .n_messages = json_size(messages), .generate = generate, .e = e };
  return row->render(r);
}

enum status template_render(const struct chat_template *row, const struct json *messages, const struct json *tools, int add_generation_prompt,
                            struct buf *out, struct err *e) {
  struct render r = { 0 };
  enum status st = render(row, messages, tools, add_generation_prompt, &r, out, e);
  mem_free(r.mark);
  mem_free(r.guard);
  return st;
}

static enum status tokens_of(const struct chat_template *row, const struct tokenizer *t, const struct json *messages, const struct json *tools,
                             int add_generation_prompt, int guarded, struct arena *a, struct tokens *out, unsigned char **mask, struct err *e) {
  enum status st = STATUS_OK;
  struct render r = { 0 };
  struct buf text = { 0 };
  size_t *end = NULL;
  TRY(render(row, messages, tools, add_generation_prompt, &r, &text, e));
  /* The whole text is tokenised at once, as the model's users do: cutting it at the borders would give other ids where
   * an answer starts with white space. A token belongs to the assistant when any of its bytes does. */
  TRY(tokenizer_encode_guarded(t, (struct span){ text.p, text.n }, r.guard, guarded ? r.n_guard : 0, a, out, &end, e));
  *mask = arena_calloc(a, out->n + 1, 1);
  if (!*mask) {
    st = err_nomem(e, out->n + 1);
    goto out;
  }
  size_t m = 0, from = 0;
  for (size_t i = 0; i < out->n; from = end[i], i++) {
    while (m < r.n_mark && r.mark[m].to <= from) m++;
    (*mask)[i] = m < r.n_mark && end[i] > r.mark[m].from && end[i] > from;
  }
out:
  mem_free(r.mark);
  mem_free(r.guard);
  buf_free(&text);
  return st;
}

enum status template_tokens(const struct chat_template *row, const struct tokenizer *t, const struct json *messages, const struct json *tools,
                            int add_generation_prompt, struct arena *a, struct tokens *out, unsigned char **mask, struct err *e) {
  return tokens_of(row, t, messages, tools, add_generation_prompt, 0, a, out, mask, e);
}

enum status template_tokens_guarded(const struct chat_template *row, const struct tokenizer *t, const struct json *messages,
                                    const struct json *tools, int add_generation_prompt, struct arena *a, struct tokens *out,
                                    unsigned char **mask, struct err *e) {
  return tokens_of(row, t, messages, tools, add_generation_prompt, 1, a, out, mask, e);
}

size_t template_stop_ids(const struct chat_template *row, const struct tokenizer *t, int32_t out[8]) {
  out[0] = tokenizer_id(t, row->turn_end);
  return out[0] >= 0 ? 1 : 0;
}

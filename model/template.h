/* SPDX-License-Identifier: Apache-2.0
 * Chat templates as table rows (SmolLM2, ChatML, Qwen2.5, Llama-3, Mistral), recognised from the model's own template text.
 * An unknown one is an error that names --chat-template. */
#ifndef MODEL_TEMPLATE_H
#define MODEL_TEMPLATE_H
#include "err.h"
#include "json.h"
#include "mem.h"
#include "tokenizer.h"
struct chat_template; /* static row */
/* name (from --chat-template) wins; else recognised from tokenizer_template(t). */
MUST_USE enum status template_find(const char *name, const struct tokenizer *t, const struct chat_template **row, struct err *e);
const char *template_name(const struct chat_template *row);
/* messages: JSON array of {role, content, tool_calls?, name?}; tools may be NULL. Appends the text. */
MUST_USE enum status template_render(const struct chat_template *row, const struct json *messages, const struct json *tools,
                                     int add_generation_prompt, struct buf *out, struct err *e);
/* Renders and encodes with special tokens, and marks what the assistant wrote: mask[i] = 1 for tokens of assistant contents
 * and their end-of-turn token (loss mask). Arena memory. */
MUST_USE enum status template_tokens(const struct chat_template *row, const struct tokenizer *t, const struct json *messages,
                                     const struct json *tools, int add_generation_prompt, struct arena *a, struct tokens *out,
                                     unsigned char **mask, struct err *e);
/* The same for text of others (documents, users of a service, teachers): control tokens typed inside a message or a tool's schema
 * are plain text, so "<|im_end|>" in a passage ends no turn. Equal to template_tokens when there are none. */
MUST_USE enum status template_tokens_guarded(const struct chat_template *row, const struct tokenizer *t, const struct json *messages,
                                             const struct json *tools, int add_generation_prompt, struct arena *a, struct tokens *out,
                                             unsigned char **mask, struct err *e);
/* Token ids that end an assistant turn (besides eos). */
size_t template_stop_ids(const struct chat_template *row, const struct tokenizer *t, int32_t out[8]);
#endif

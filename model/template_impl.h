/* SPDX-License-Identifier: Apache-2.0
 * Inside of the chat templates: a row of the table and what a row's function writes to. "Add a chat template": (1) a
 * render function and a row in template_rows.c; (2) the hash of its canonical text, which the error about an unknown
 * template prints; (3) cases in tests/golden/data/tokenizer/chat.jsonl made by jinja2. */
#ifndef MODEL_TEMPLATE_IMPL_H
#define MODEL_TEMPLATE_IMPL_H
#include <stdint.h>
#include "template.h"

struct mark { size_t from, to; }; /* bytes of out that the assistant wrote, its end-of-turn token included */
struct render {
  struct buf *out;
  struct mark *mark; /* mem_alloc'ed */
  size_t n_mark, cap_mark;
  const struct json *messages, *tools; /* tools: NULL when there are none */
  size_t n_messages;
  int generate; /* add_generation_prompt */
  struct err *e;
};
struct chat_template {
  const char *name;
  uint64_t hash[4];            /* xxh3 of canonical texts known to be this template; 0 ends */
  const char *needs[4];        /* tokens the vocabulary must have; NULL ends */
  const char *turn_end;        /* ends an assistant turn */
  int has_tools;               /* renders tools, tool_calls and the role tool */
  enum status (*render)(struct render *r);
};
extern const struct chat_template template_table[]; /* ends with name NULL */
/* The template text without what does not change its output: white space in tags, kind of quotes, trimmed text. */
MUST_USE enum status template_canonical(struct span text, struct buf *out, struct err *e);
#endif

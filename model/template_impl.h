/* SPDX-License-Identifier: Apache-2.0
 * Inside of the chat templates: a row of the table and what a row's function writes to. "Add a chat template": (1)
 * template_NAME.c with its render function and row, and a line in templates.def; (2) the hash of its canonical text, which the error about an unknown
 * template prints; (3) cases in tests/golden/data/tokenizer/chat.jsonl made by jinja2. */
#ifndef MODEL_TEMPLATE_IMPL_H
#define MODEL_TEMPLATE_IMPL_H
#include <stdint.h>
#include "template.h"

struct render {
  struct buf *out;
  struct text_range *mark; /* bytes of out that the assistant wrote, its end-of-turn token included; mem_alloc'ed */
  size_t n_mark, cap_mark;
  struct text_range *guard; /* bytes of out that come from the messages and tools, not from the template; mem_alloc'ed */
  size_t n_guard, cap_guard;
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
#define TEMPLATE(name) extern const struct chat_template template_##name;
#include "templates.def"
#undef TEMPLATE

/* What the rows print with (template_put.c). All texts of messages go through render_put: in their lossy form, so that offsets
 * in the text stay right for the tokenizer. */
const char *render_role(const struct render *r, size_t i);
int render_role_is(const struct render *r, size_t i, const char *role); /* 0 beyond the last message */
MUST_USE enum status render_content(const struct render *r, size_t i, struct span *s);
MUST_USE enum status render_put(struct render *r, struct span s);
MUST_USE enum status render_puts(struct render *r, const char *s);
MUST_USE enum status render_mark(struct render *r, size_t from); /* the assistant wrote from here to the end of out */
MUST_USE enum status render_tojson(struct render *r, const struct json *j); /* json.dumps(ensure_ascii=False) */
MUST_USE enum status render_im(struct render *r, const char *role, struct span content); /* one turn of ChatML-like templates */
MUST_USE enum status render_chatml(struct render *r); /* all messages as ChatML, and the opened turn */
/* The template text without what does not change its output: white space in tags, kind of quotes, trimmed text. */
MUST_USE enum status template_canonical(struct span text, struct buf *out, struct err *e);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * What the chat templates print with: roles, contents, Python's tojson, the ChatML turn, and marks over what the assistant
 * wrote. A template that would lose part of a conversation (tools without a place for them, an unknown role) refuses it,
 * where jinja2 prints without it. */
#include "template_impl.h"
#include "tokenizer_utf8.h"

const char *render_role(const struct render *r, size_t i) { return json_cstr(json_get(json_at(r->messages, i), "role"), ""); }
int render_role_is(const struct render *r, size_t i, const char *role) { return i < r->n_messages && strcmp(render_role(r, i), role) == 0; }

enum status render_content(const struct render *r, size_t i, struct span *s) {
  const struct json *c = json_get(json_at(r->messages, i), "content");
  *s = json_str(c);
  if (!s->p) return err_set(r->e, STATUS_DATA, "message %zu (%s): \"content\" is not a string", i, render_role(r, i));
  return STATUS_OK;
}

static enum status add_range(struct render *r, struct text_range **list, size_t *n, size_t *cap, size_t from) {
  if (*n == *cap) {
    size_t more = *cap ? *cap * 2 : 8;
    struct text_range *m = mem_realloc(*list, more * sizeof *m);
    if (!m) return err_nomem(r->e, more * sizeof *m);
    *list = m, *cap = more;
  }
  (*list)[(*n)++] = (struct text_range){ from, r->out->n };
  return STATUS_OK;
}

/* What was written since `from` is not the template's own text. */
static enum status guard_from(struct render *r, size_t from) {
  return from == r->out->n ? STATUS_OK : add_range(r, &r->guard, &r->n_guard, &r->cap_guard, from);
}

/* Content is written in its lossy form, so that offsets in the text stay right for the tokenizer. */
enum status render_put(struct render *r, struct span s) {
  size_t from = r->out->n;
  enum status st = utf8_lossy(s, r->out, r->e);
  return st != STATUS_OK ? st : guard_from(r, from);
}
enum status render_puts(struct render *r, const char *s) { return buf_puts(r->out, s, r->e); }

enum status render_mark(struct render *r, size_t from) { return add_range(r, &r->mark, &r->n_mark, &r->cap_mark, from); }

/* json.dumps(ensure_ascii=False): ", " and ": " between. */
static enum status write_json(struct render *r, const struct json *j) {
  enum status st = STATUS_OK;
  struct span key;
  const struct json *v;
  void *it = NULL;
  int n = 0;
  switch (json_type(j)) {
    case JSON_OBJECT:
      TRY(render_puts(r, "{"));
      while (json_next(j, &it, &key, &v)) {
        if (n++) TRY(render_puts(r, ", "));
        TRY(json_put_string(r->out, key, r->e));
        TRY(render_puts(r, ": "));
        TRY(write_json(r, v));
      }
      st = render_puts(r, "}");
      break;
    case JSON_ARRAY:
      TRY(render_puts(r, "["));
      for (size_t i = 0; i < json_size(j); i++) {
        if (i) TRY(render_puts(r, ", "));
        TRY(write_json(r, json_at(j, i)));
      }
      st = render_puts(r, "]");
      break;
    default: st = json_put(r->out, j, r->e);
  }
out:
  return st;
}

enum status render_tojson(struct render *r, const struct json *j) {
  size_t from = r->out->n;
  enum status st = write_json(r, j);
  return st != STATUS_OK ? st : guard_from(r, from);
}

/* "<|im_start|>ROLE\nCONTENT<|im_end|>\n": the turn of all ChatML-like templates. */
enum status render_im(struct render *r, const char *role, struct span content) {
  enum status st = STATUS_OK;
  TRY(render_puts(r, "<|im_start|>"));
  TRY(render_put(r, (struct span){ role, strlen(role) }));
  TRY(render_puts(r, "\n"));
  size_t from = r->out->n;
  TRY(render_put(r, content));
  TRY(render_puts(r, "<|im_end|>"));
  if (strcmp(role, "assistant") == 0) TRY(render_mark(r, from));
  TRY(render_puts(r, "\n"));
out:
  return st;
}

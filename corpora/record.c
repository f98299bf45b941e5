/* SPDX-License-Identifier: Apache-2.0
 * Records as stages see them: messages out of four layouts, text, ids. Works on raw spans (the line was validated by
 * record_split), so no parser's types appear and large rows cost one pass. */
#include "record.h"
#include <string.h>
#include "hash.h"

const char *record_type_name(struct span v) {
  switch (span_type(v)) {
    case 's': return "a string";
    case 'n': return "a number";
    case '{': return "an object";
    case '[': return "an array";
    case 't':
    case 'f': return "true or false";
    case '0': return "null";
    default: return "nothing";
  }
}

/* The field, or {NULL,0} when absent or null. */
static struct span field(const struct record *r, const char *key) {
  struct span v = record_get(r, key);
  return span_type(v) == '0' ? (struct span){ NULL, 0 } : v;
}

static enum status wrong_type(struct err *e, const char *key, struct span found, const char *expected) {
  return err_set(e, STATUS_DATA, "field '%s' is %s, expected %s", key, record_type_name(found), expected);
}

static int is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/* End of the JSON value that starts at s.p[at]; the text is known to be valid. */
static size_t value_end(struct span s, size_t at) {
  int depth = 0;
  for (; at < s.n; at++) {
    char c = s.p[at];
    if (c == '"') {
      for (at++; at < s.n && s.p[at] != '"'; at++)
        if (s.p[at] == '\\') at++;
      if (depth == 0) return at + 1 <= s.n ? at + 1 : s.n;
    } else if (c == '{' || c == '[') {
      depth++;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return at;
      if (--depth == 0) return at + 1;
    } else if (depth == 0 && (c == ',' || is_space(c))) {
      return at;
    }
  }
  return s.n;
}

int record_next_element(struct span array, size_t *at, struct span *element) {
  size_t i = *at;
  if (array.n < 2) return 0;
  if (i == 0) i = 1; /* behind '[' */
  while (i < array.n && (is_space(array.p[i]) || array.p[i] == ',')) i++;
  if (i >= array.n - 1) return 0; /* at ']' */
  size_t end = value_end(array, i);
  *element = (struct span){ array.p + i, end - i };
  *at = end;
  return end > i;
}

enum status record_string(const struct record *r, const char *key, struct arena *a, struct span *out, struct err *e) {
  struct span v = field(r, key);
  *out = (struct span){ NULL, 0 };
  if (v.p == NULL) return STATUS_OK;
  if (span_type(v) != 's') return wrong_type(e, key, v, "a string");
  enum status st = span_string(v, a, out, e);
  return st == STATUS_OK ? st : err_prefix(e, "field '%s'", key);
}

enum status record_number(const struct record *r, const char *key, double *out, int *found, struct err *e) {
  struct span v = field(r, key);
  char text[64], *end = NULL;
  *found = 0;
  if (v.p == NULL) return STATUS_OK;
  if (span_type(v) != 'n') return wrong_type(e, key, v, "a number");
  if (v.n >= sizeof text) return err_set(e, STATUS_DATA, "field '%s' is a number of %zu digits, expected at most 63", key, v.n);
  memcpy(text, v.p, v.n);
  text[v.n] = 0;
  *out = strtod(text, &end);
  *found = 1;
  return STATUS_OK;
}

enum status record_id(const struct record *r, struct arena *a, struct span *id, struct err *e) {
  enum status st = record_string(r, "id", a, id, e);
  if (st != STATUS_OK || (id->p != NULL && id->n > 0)) return st;
  char *p = arena_printf(a, "r%016llx", (unsigned long long)xxh3(r->line.p, r->line.n));
  if (p == NULL) return err_nomem(e, 18);
  *id = (struct span){ p, 17 };
  return STATUS_OK;
}

enum status record_path(const struct record *r, const char *dotted, struct arena *a, struct span *value, struct err *e) {
  struct record inner = *r;
  char part[256];
  *value = (struct span){ NULL, 0 };
  for (const char *p = dotted;;) {
    const char *dot = strchr(p, '.');
    size_t n = dot ? (size_t)(dot - p) : strlen(p);
    if (n == 0 || n >= sizeof part) return err_set(e, STATUS_USAGE, "'%s': not a field name", dotted);
    memcpy(part, p, n);
    part[n] = 0;
    struct span v = field(&inner, part);
    if (!dot || v.p == NULL || span_type(v) != '{') {
      if (!dot) *value = v;
      return STATUS_OK;
    }
    enum status st = record_split(v, a, &inner, e);
    if (st != STATUS_OK) return st;
    p = dot + 1;
  }
}

/* ---- messages ---- */
struct builder {
  struct buf b;
  size_t n;
};

static enum status add_message(struct builder *w, const char *role, struct span raw_content, struct err *e) {
  enum status st;
  TRY(buf_printf(&w->b, e, "%s{\"role\":\"%s\",\"content\":", w->n++ ? "," : "", role));
  TRY(buf_put(&w->b, raw_content.p, raw_content.n, e));
  TRY(buf_putc(&w->b, '}', e));
out:
  return st;
}

static enum status check_messages(const char *key, struct span array, struct arena *a, struct err *e) {
  struct span el;
  size_t at = 0;
  for (size_t i = 0; record_next_element(array, &at, &el); i++) {
    struct record m;
    if (span_type(el) != '{') return err_set(e, STATUS_DATA, "field '%s[%zu]' is %s, expected an object", key, i, record_type_name(el));
    enum status st = record_split(el, a, &m, e);
    if (st != STATUS_OK) return err_prefix(e, "field '%s[%zu]'", key, i);
    struct span role = record_get(&m, "role"), content = field(&m, "content");
    if (span_type(role) != 's')
      return err_set(e, STATUS_DATA, "field '%s[%zu].role' is %s, expected a string", key, i, record_type_name(role));
    char t = span_type(content);
    if (content.p != NULL && t != 's' && t != '[')
      return err_set(e, STATUS_DATA, "field '%s[%zu].content' is %s, expected a string", key, i, record_type_name(content));
  }
  return STATUS_OK;
}

/* ShareGPT's speakers; rows of a table because every data set has its own spelling. */
static const struct speaker { const char *from, *role; } speakers[] = {
  { "human", "user" }, { "user", "user" }, { "prompter", "user" }, { "gpt", "assistant" }, { "assistant", "assistant" },
  { "chatgpt", "assistant" }, { "bing", "assistant" }, { "bard", "assistant" }, { "model", "assistant" }, { "system", "system" },
  { "tool", "tool" }, { "observation", "tool" }, { "function", "tool" }, { "function_response", "tool" },
  { "function_call", "assistant" }, { NULL, NULL },
};

static enum status from_conversations(struct span array, struct arena *a, struct builder *w, struct err *e) {
  struct span el;
  size_t at = 0;
  if (span_type(array) != '[') return wrong_type(e, "conversations", array, "an array of {\"from\",\"value\"}");
  for (size_t i = 0; record_next_element(array, &at, &el); i++) {
    struct record m;
    struct span from, name;
    enum status st;
    if (span_type(el) != '{')
      return err_set(e, STATUS_DATA, "field 'conversations[%zu]' is %s, expected an object", i, record_type_name(el));
    if ((st = record_split(el, a, &m, e)) != STATUS_OK) return err_prefix(e, "field 'conversations[%zu]'", i);
    struct span value = record_get(&m, "value");
    from = record_get(&m, "from");
    if (from.p == NULL) from = record_get(&m, "role");
    if (value.p == NULL) value = record_get(&m, "content");
    if (span_type(from) != 's')
      return err_set(e, STATUS_DATA, "field 'conversations[%zu].from' is %s, expected a string", i, record_type_name(from));
    if (span_type(value) != 's')
      return err_set(e, STATUS_DATA, "field 'conversations[%zu].value' is %s, expected a string", i, record_type_name(value));
    if ((st = span_string(from, a, &name, e)) != STATUS_OK) return st;
    const struct speaker *s = speakers;
    while (s->from && !span_is(name, s->from)) s++;
    if (!s->from)
      return err_set(e, STATUS_DATA, "field 'conversations[%zu].from' is '%.*s', expected human, gpt, system or tool", i,
                     (int)(name.n > 60 ? 60 : name.n), name.p);
    if ((st = add_message(w, s->role, value, e)) != STATUS_OK) return st;
  }
  return STATUS_OK;
}

static enum status from_alpaca(const struct record *r, struct span instruction, struct arena *a, struct builder *w, struct err *e) {
  enum status st;
  struct buf q = { 0 }, joined = { 0 };
  struct span input = field(r, "input"), output = field(r, "output"), text;
  if (span_type(instruction) != 's') return wrong_type(e, "instruction", instruction, "a string");
  if (input.p && span_type(input) != 's') return wrong_type(e, "input", input, "a string");
  if (output.p && span_type(output) != 's') return wrong_type(e, "output", output, "a string");
  if (input.p && input.n > 2) {
    TRY(span_string(instruction, a, &text, e));
    TRY(buf_put(&joined, text.p, text.n, e));
    TRY(buf_puts(&joined, "\n\n", e));
    TRY(span_string(input, a, &text, e));
    TRY(buf_put(&joined, text.p, text.n, e));
    TRY(json_put_string(&q, (struct span){ joined.p, joined.n }, e));
    instruction = (struct span){ q.p, q.n };
  }
  TRY(add_message(w, "user", instruction, e));
  if (output.p && output.n > 2) TRY(add_message(w, "assistant", output, e));
out:
  buf_free(&q);
  buf_free(&joined);
  return st;
}

/* A half of TRL's prompt/completion: a string becomes one message of the role, an array of messages is appended. */
static enum status add_half(const char *key, struct span v, const char *role, struct arena *a, struct builder *w, struct err *e) {
  enum status st;
  struct span el;
  size_t at = 0;
  if (span_type(v) == 's') return add_message(w, role, v, e);
  if (span_type(v) != '[') return wrong_type(e, key, v, "a string or an array of messages");
  TRY(check_messages(key, v, a, e));
  while (record_next_element(v, &at, &el)) {
    if (w->n++) TRY(buf_putc(&w->b, ',', e));
    TRY(buf_put(&w->b, el.p, el.n, e));
  }
out:
  return st;
}

enum status record_messages(const struct record *r, struct arena *a, struct span *messages, struct err *e) {
  enum status st = STATUS_OK;
  struct builder w = { { 0 }, 0 };
  struct span v;
  *messages = (struct span){ NULL, 0 };
  if ((v = field(r, "messages")).p != NULL) {
    if (span_type(v) != '[') return wrong_type(e, "messages", v, "an array of {\"role\",\"content\"}");
    if ((st = check_messages("messages", v, a, e)) == STATUS_OK) *messages = v;
    return st;
  }
  TRY(buf_putc(&w.b, '[', e));
  if ((v = field(r, "conversations")).p != NULL) {
    TRY(from_conversations(v, a, &w, e));
  } else if ((v = field(r, "instruction")).p != NULL) {
    TRY(from_alpaca(r, v, a, &w, e));
  } else if ((v = field(r, "completion")).p != NULL && field(r, "prompt").p != NULL) {
    TRY(add_half("prompt", field(r, "prompt"), "user", a, &w, e));
    TRY(add_half("completion", v, "assistant", a, &w, e));
  } else {
    goto out;
  }
  TRY(buf_putc(&w.b, ']', e));
  char *p = arena_strndup(a, w.b.p, w.b.n);
  if (p == NULL) {
    st = err_nomem(e, w.b.n);
    goto out;
  }
  *messages = (struct span){ p, w.b.n };
out:
  buf_free(&w.b);
  return st;
}

/* ---- text ---- */
static enum status put_content(struct span content, struct arena *a, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  struct span text, el;
  size_t at = 0;
  if (span_type(content) == 's') {
    TRY(span_string(content, a, &text, e));
    if (b->n && text.n) TRY(buf_putc(b, '\n', e));
    TRY(buf_put(b, text.p, text.n, e));
  } else if (span_type(content) == '[') { /* parts: {"type":"text","text":...} or whole messages */
    while (record_next_element(content, &at, &el)) {
      struct record part;
      if (span_type(el) != '{') continue;
      TRY(record_split(el, a, &part, e));
      struct span t = field(&part, "text");
      TRY(put_content(t.p ? t : field(&part, "content"), a, b, e));
    }
  }
out:
  return st;
}

enum status record_text(const struct record *r, struct arena *a, struct span *text, struct err *e) {
  enum status st;
  struct buf b = { 0 };
  struct span messages;
  *text = (struct span){ "", 0 };
  struct span own;
  TRY(record_string(r, "text", a, &own, e));
  if (own.p != NULL) {
    *text = own;
    goto out;
  }
  TRY(record_messages(r, a, &messages, e));
  if (messages.p != NULL) {
    TRY(put_content(messages, a, &b, e));
  } else {
    TRY(put_content(field(r, "prompt"), a, &b, e));
    TRY(put_content(field(r, "chosen"), a, &b, e));
  }
  if (b.n) {
    char *p = arena_strndup(a, b.p, b.n);
    if (p == NULL) {
      st = err_nomem(e, b.n);
      goto out;
    }
    *text = (struct span){ p, b.n };
  }
out:
  buf_free(&b);
  return st;
}

enum status record_scores(const struct record *r, const struct record_number *set, size_t n, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  struct json *old = NULL;
  void *it = NULL;
  struct span key;
  const struct json *value;
  struct span raw = field(r, "scores");
  if (raw.p != NULL && span_type(raw) != '{') return wrong_type(e, "scores", raw, "an object");
  if (raw.p != NULL) TRY(json_parse(raw, "scores", &old, e));
  TRY(buf_putc(out, '{', e));
  size_t start = out->n;
  while (json_next(old, &it, &key, &value)) {
    int replaced = 0;
    for (size_t i = 0; i < n; i++) replaced |= span_is(key, set[i].name);
    if (replaced) continue;
    if (out->n > start) TRY(buf_putc(out, ',', e));
    TRY(json_put_string(out, key, e));
    TRY(buf_putc(out, ':', e));
    TRY(json_put(out, value, e));
  }
  for (size_t i = 0; i < n; i++) {
    if (out->n > start) TRY(buf_putc(out, ',', e));
    TRY(json_put_cstr(out, set[i].name, e));
    TRY(buf_putc(out, ':', e));
    TRY(json_put_num(out, set[i].value, e));
  }
  TRY(buf_putc(out, '}', e));
out:
  json_free(old);
  return st;
}

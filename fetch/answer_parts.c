/* SPDX-License-Identifier: Apache-2.0
 * Parts of answers (final answer, code, JSON, tags, sections), whether two say the same, and the message that asks again; the
 * second half of answer_parse.h. */
#include <math.h>
#include <string.h>
#include "answer_parse.h"
#include "opt.h"

#define NONE ((struct span){ NULL, 0 })

static struct span from(struct span s, size_t n)
{
  return (struct span){ s.p + n, s.n - n };
}

static struct span whole_or_none(struct span s)
{
  s = span_trim(s);
  return s.n > 0 ? s : NONE;
}

/* \boxed{...}: braces may be nested. */
static struct span boxed(struct span s, size_t i)
{
  size_t k = i + strlen("\\boxed{"), from_at = k;
  for (int depth = 1; k < s.n; k++) {
    depth += s.p[k] == '{' ? 1 : s.p[k] == '}' ? -1 : 0;
    if (depth == 0) {
      return whole_or_none((struct span){ s.p + from_at, k - from_at });
    }
  }
  return NONE;
}

static int line_starts(struct span s, size_t i)
{
  while (i > 0 && strchr(" \t*#_>", s.p[i - 1]) != NULL) {
    i--;
  }
  return i == 0 || s.p[i - 1] == '\n';
}

int answer_final(struct span s, struct span *reasoning, struct span *answer)
{
  static const struct { const char *mark; int at_line; } marks[] = { { "final answer:", 0 }, { "answer:", 1 }, { "the answer is", 0 }, { "the final answer is", 0 },
                                                                      { "####", 1 }, { NULL, 0 } };
  struct span found = NONE;
  size_t cut = 0;
  for (size_t i = s.n; i-- > 0 && found.p == NULL;) {
    if (span_begins(from(s, i), "\\boxed{")) {
      found = boxed(s, i);
      cut = i;
      while (found.p != NULL && cut > 0 && s.p[cut - 1] != '\n') {
        cut--; /* the line that boxes it belongs to the answer, not to the reasoning */
      }
      continue;
    }
    for (size_t m = 0; marks[m].mark != NULL && found.p == NULL; m++) {
      if (!span_begins(from(s, i), marks[m].mark) || (marks[m].at_line && !line_starts(s, i))) {
        continue;
      }
      struct span rest = from(s, i + strlen(marks[m].mark)), line = NONE;
      while (rest.n > 0 && answer_core(line).n == 0) {
        line = span_line(&rest);
      }
      while (line.n > 0 && strchr(" \t*_:", line.p[0]) != NULL) {
        line = from(line, 1);
      }
      line = span_trim(line);
      while (line.n > 0 && (line.p[line.n - 1] == '*' || line.p[line.n - 1] == '_')) {
        line.n--;
      }
      found = whole_or_none(line);
      cut = i;
    }
  }
  if (found.p == NULL) {
    return 0;
  }
  struct span before = { s.p, cut };
  before = span_trim(before);
  while (before.n > 0 && strchr("*#_", before.p[before.n - 1]) != NULL) {
    before.n--;
  }
  *reasoning = span_trim(before);
  *answer = found;
  return 1;
}

struct span answer_code(struct span s, struct span *language)
{
  for (size_t i = 0; i + 3 <= s.n; i++) {
    if (memcmp(s.p + i, "```", 3) != 0 || !line_starts(s, i)) {
      continue;
    }
    struct span rest = from(s, i + 3), lang = span_trim(span_line(&rest));
    for (size_t k = 0; k + 3 <= rest.n; k++) {
      if (memcmp(rest.p + k, "```", 3) == 0 && (k == 0 || rest.p[k - 1] == '\n')) {
        struct span code = { rest.p, k };
        while (code.n > 0 && code.p[code.n - 1] == '\n') {
          code.n--;
        }
        if (language != NULL) {
          *language = lang;
        }
        return span_trim(code).n > 0 ? code : NONE;
      }
    }
    return NONE;
  }
  return NONE;
}

struct span answer_json(struct span s)
{
  for (size_t i = 0; i < s.n; i++) {
    char open = s.p[i], close = open == '{' ? '}' : ']';
    if (open != '{' && open != '[') {
      continue;
    }
    size_t depth = 0;
    int text = 0;
    for (size_t k = i; k < s.n; k++) {
      char c = s.p[k];
      if (text) {
        k += c == '\\';
        text = c != '"';
      } else if (c == '"') {
        text = 1;
      } else if (c == '{' || c == '[') {
        depth++;
      } else if ((c == '}' || c == ']') && --depth == 0) {
        struct span v = { s.p + i, k - i + 1 };
        struct err e;
        if (c == close && span_check_json(v, &e) == STATUS_OK) {
          return v;
        }
        break;
      }
    }
  }
  return NONE;
}

struct span answer_tag(struct span s, const char *tag)
{
  size_t n = strlen(tag);
  for (size_t i = 0; i + n + 2 <= s.n; i++) {
    if (s.p[i] != '<' || !span_begins(from(s, i + 1), tag) || s.p[i + 1 + n] != '>') {
      continue;
    }
    for (size_t k = i + n + 2; k + n + 3 <= s.n; k++) {
      if (s.p[k] == '<' && s.p[k + 1] == '/' && span_begins(from(s, k + 2), tag) && s.p[k + 2 + n] == '>') {
        return whole_or_none((struct span){ s.p + i + n + 2, k - i - n - 2 });
      }
    }
  }
  return NONE;
}

/* Is line a heading with this name? *rest: what stands behind it on the line. */
static int heading(struct span line, const char *name, struct span *rest)
{
  line = span_trim(line);
  while (line.n > 0 && strchr("*#_ ", line.p[0]) != NULL) {
    line = from(line, 1);
  }
  if (!span_begins(line, name)) {
    return 0;
  }
  line = from(line, strlen(name));
  int colon = 0, marked = 0;
  while (line.n > 0 && strchr("*_: ", line.p[0]) != NULL) {
    colon |= line.p[0] == ':';
    marked |= line.p[0] == '*' || line.p[0] == '_';
    line = from(line, 1);
  }
  *rest = line;
  return colon || line.n == 0 || (marked && line.n == 0);
}

struct span answer_section(struct span s, const char *name, const char *const *names, size_t n)
{
  struct span rest = s, behind, other;
  while (rest.n > 0) {
    struct span line = span_line(&rest);
    if (!heading(line, name, &behind)) {
      continue;
    }
    const char *at = behind.n > 0 ? behind.p : rest.p, *end = at;
    struct span tail = rest;
    end = behind.n > 0 ? behind.p + behind.n : rest.p;
    while (tail.n > 0) {
      struct span next = span_line(&tail);
      int stop = 0;
      for (size_t i = 0; i < n && !stop; i++) {
        stop = heading(next, names[i], &other);
      }
      if (stop) {
        break;
      }
      end = next.p + next.n;
    }
    return whole_or_none((struct span){ at, (size_t)(end - at) });
  }
  return NONE;
}

/* ---- equal answers ---- */

static int is_word(unsigned char c)
{
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

/* The whole of s as a number: currency in front, per cent or a unit-free end behind. */
static int as_number(struct span s, double *v)
{
  char text[64];
  size_t n = 0;
  static const char *const money[] = { "$", "\xe2\x82\xac", "\xc2\xa3", "\xc2\xa5", "usd", "eur", NULL };
  s = answer_core(s);
  for (const char *const *m = money; *m != NULL; m++) {
    if (span_begins(s, *m)) {
      s = span_trim(from(s, strlen(*m)));
    }
  }
  if (s.n > 0 && s.p[s.n - 1] == '%') {
    s.n--;
  }
  s = span_trim(s);
  for (size_t i = 0; i < s.n; i++) {
    if (s.p[i] == ',' && i + 3 < s.n) {
      continue;
    }
    if (n + 1 >= sizeof text || strchr("0123456789.-+eE", s.p[i]) == NULL) {
      return 0;
    }
    text[n++] = s.p[i];
  }
  text[n] = '\0';
  struct err e;
  return n > 0 && opt_parse_num(text, v, &e) == STATUS_OK;
}

static int has_word(struct span s)
{
  for (size_t i = 0; i < s.n; i++) {
    if (is_word((unsigned char)s.p[i])) {
      return 1;
    }
  }
  return 0;
}

/* The next word that is not an article (one at the very end is none), in order. */
static struct span next_word(struct span *s)
{
  for (;;) {
    size_t i = 0, k;
    while (i < s->n && !is_word((unsigned char)s->p[i])) {
      i++;
    }
    k = i;
    while (k < s->n && (is_word((unsigned char)s->p[k]) || (s->p[k] == '.' && k + 1 < s->n && s->p[k + 1] >= '0' && s->p[k + 1] <= '9'))) {
      k++;
    }
    struct span w = { s->p + i, k - i };
    *s = from(*s, k);
    if (w.n == 0 || !(span_same(w, (struct span){ "the", 3 }) || span_same(w, (struct span){ "a", 1 }) || span_same(w, (struct span){ "an", 2 })) ||
        !has_word(*s)) {
      return w;
    }
  }
}

int answer_equal(struct span a, struct span b)
{
  double x, y;
  int nx = as_number(a, &x), ny = as_number(b, &y);
  if (nx && ny) {
    return fabs(x - y) <= 1e-9 * (fabs(x) > 1 ? fabs(x) : 1);
  }
  if (nx != ny) {
    return 0;
  }
  for (int any = 0;; any = 1) {
    struct span v = next_word(&a), w = next_word(&b);
    if (v.n == 0 && w.n == 0) {
      return any;
    }
    if (!span_same(v, w)) {
      return 0;
    }
  }
}

/* ---- program text ---- */

static size_t skip_string(struct span s, size_t i)
{
  char q = s.p[i];
  int triple = i + 2 < s.n && s.p[i + 1] == q && s.p[i + 2] == q && q != '`';
  for (size_t k = i + (triple ? 3 : 1); k < s.n; k++) {
    if (s.p[k] == '\\') {
      k++;
    } else if (triple ? k + 2 < s.n && s.p[k] == q && s.p[k + 1] == q && s.p[k + 2] == q : s.p[k] == q) {
      return k + (triple ? 3 : 1);
    } else if (!triple && q != '`' && s.p[k] == '\n') {
      return 0; /* a string that runs over the line */
    }
  }
  return 0;
}

int answer_balanced(struct span s)
{
  char stack[256];
  size_t depth = 0;
  for (size_t i = 0; i < s.n;) {
    char c = s.p[i];
    if (c == '"' || c == '`' || (c == '\'' && (i == 0 || !is_word((unsigned char)s.p[i - 1])))) {
      i = skip_string(s, i);
      if (i == 0) {
        return 0;
      }
      continue;
    }
    if (c == '#' || (c == '/' && i + 1 < s.n && s.p[i + 1] == '/')) {
      const char *nl = memchr(s.p + i, '\n', s.n - i);
      i = nl ? (size_t)(nl - s.p) : s.n;
      continue;
    }
    if (c == '/' && i + 1 < s.n && s.p[i + 1] == '*') {
      size_t k = i + 2;
      while (k + 1 < s.n && !(s.p[k] == '*' && s.p[k + 1] == '/')) {
        k++;
      }
      if (k + 1 >= s.n) {
        return 0;
      }
      i = k + 2;
      continue;
    }
    if (strchr("([{", c) != NULL && c != '\0') {
      if (depth == sizeof stack) {
        return 0;
      }
      stack[depth++] = c;
    } else if (strchr(")]}", c) != NULL && c != '\0') {
      char want = c == ')' ? '(' : c == ']' ? '[' : '{';
      if (depth == 0 || stack[--depth] != want) {
        return 0;
      }
    }
    i++;
  }
  return depth == 0;
}

/* ---- asking ---- */

enum status message_put(struct buf *b, const char *role, struct span content, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_puts(b, b->n > 0 && b->p[b->n - 1] == '[' ? "{\"role\":" : ",{\"role\":", e));
  TRY(json_put_cstr(b, role, e));
  TRY(buf_puts(b, ",\"content\":", e));
  TRY(json_put_string(b, content, e));
  TRY(buf_putc(b, '}', e));
out:
  return st;
}

enum status message_again(struct span messages, struct span answer, const char *why, struct buf *out, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf text = { 0 };
  TRY(buf_put(out, messages.p, messages.n - 1, e)); /* without the closing bracket */
  TRY(message_put(out, "assistant", answer, e));
  TRY(buf_printf(&text, e, "That answer was not accepted: %s. Answer again, only in the form that was asked for.", why));
  TRY(message_put(out, "user", (struct span){ text.p, text.n }, e));
  TRY(buf_putc(out, ']', e));
out:
  buf_free(&text);
  return st;
}

/* SPDX-License-Identifier: Apache-2.0
 * Parsers of teacher outputs, one row each, on the pieces of fetch/answer_parse.h. A parser finds the part that counts; whether it
 * is good is for the validators. */
#include "recipe.h"

static int put_part(struct parsed *p, const char *name, struct span text)
{
  if (text.n > 0 && name != NULL && p->n_part < RECIPE_PARTS) {
    p->part[p->n_part].name = name;
    p->part[p->n_part++].text = text;
  }
  return text.n > 0;
}

static int found(struct parsed *p, struct span text)
{
  p->text = text;
  return text.n > 0;
}

/* The first line with a question mark, up to it. A colon before the question ends a preamble ("The question is: What ...?"). */
static int first_question(struct span output, const struct json *arg, struct arena *a, struct parsed *p)
{
  (void)arg;
  (void)a;
  while (output.n > 0) {
    struct span line = answer_bare(span_line(&output));
    const char *mark = line.n ? memchr(line.p, '?', line.n) : NULL;
    if (mark == NULL) {
      continue;
    }
    line.n = (size_t)(mark - line.p) + 1;
    for (size_t i = line.n; i-- > 1;) {
      if (line.p[i - 1] == ':' && strchr(" \t\r", line.p[i]) != NULL) {
        line.p += i;
        line.n -= i;
        break;
      }
    }
    return found(p, answer_bare(line));
  }
  return 0;
}

static int first_line(struct span output, const struct json *arg, struct arena *a, struct parsed *p)
{
  (void)arg;
  (void)a;
  while (output.n > 0) {
    struct span line = answer_bare(span_line(&output));
    if (line.n > 0) {
      return found(p, line);
    }
  }
  return 0;
}

static int whole(struct span output, const struct json *arg, struct arena *a, struct parsed *p)
{
  (void)arg;
  (void)a;
  return found(p, span_trim(output));
}

/* Answer as text, what stands before it as the part "reasoning". */
static int final(struct span output, const struct json *arg, struct arena *a, struct parsed *p)
{
  struct span reasoning, answer;
  (void)arg;
  (void)a;
  return answer_final(output, &reasoning, &answer) && found(p, answer) && (put_part(p, "reasoning", reasoning), 1);
}

/* sections: [Critique, Revision]: each a part (lower case), all needed; the last is the text. */
static int sections(struct span output, const struct json *arg, struct arena *a, struct parsed *p)
{
  const char *names[RECIPE_PARTS];
  size_t n = json_size(arg) < RECIPE_PARTS ? json_size(arg) : RECIPE_PARTS;
  for (size_t i = 0; i < n; i++) {
    names[i] = json_cstr(json_at(arg, i), "");
  }
  for (size_t i = 0; i < n; i++) {
    char *low = arena_printf(a, "%s", names[i]);
    for (char *c = low; c != NULL && *c != '\0'; c++) {
      *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c == ' ' ? '_' : *c;
    }
    struct span s = answer_section(output, names[i], names, n);
    if (low == NULL || !put_part(p, low, s)) {
      return 0;
    }
    p->text = s;
  }
  return n > 0;
}

static int tag(struct span output, const struct json *arg, struct arena *a, struct parsed *p)
{
  (void)a;
  return found(p, answer_tag(output, json_cstr(arg, "answer")));
}

static int code(struct span output, const struct json *arg, struct arena *a, struct parsed *p)
{
  struct span language = { NULL, 0 };
  (void)arg;
  (void)a;
  return found(p, answer_code(output, &language)) && (put_part(p, "language", language), 1);
}

/* The JSON value as text; members of an object that are texts or numbers are parts (texts decoded). */
static int json_text(struct span output, const struct json *arg, struct arena *a, struct parsed *p)
{
  struct record r;
  struct err e;
  (void)arg;
  if (!found(p, answer_json(output))) {
    return 0;
  }
  if (p->text.p[0] != '{' || record_split(p->text, a, &r, &e) != STATUS_OK) {
    return 1;
  }
  for (size_t i = 0; i < r.n_fields; i++) {
    struct span v = r.field[i].value;
    char *key = arena_strndup(a, r.field[i].key.p, r.field[i].key.n);
    if (span_type(v) == 's' && span_string(v, a, &v, &e) != STATUS_OK) {
      return 0;
    }
    put_part(p, key, v);
  }
  return 1;
}

/* choice: [...]: the one that was named, as the list writes it. */
static int choice(struct span output, const struct json *arg, struct arena *a, struct parsed *p)
{
  size_t n = json_size(arg);
  struct span *c = arena_calloc(a, n + 1, sizeof *c);
  for (size_t i = 0; c != NULL && i < n; i++) {
    c[i] = json_str(json_at(arg, i));
  }
  int k = c ? answer_choice(output, c, n) : -1;
  return k >= 0 && found(p, c[k]);
}

/* score: [1, 10]: the number as text; what the judge said as the part "feedback". */
static int score(struct span output, const struct json *arg, struct arena *a, struct parsed *p)
{
  double v;
  if (!answer_number(output, json_num(json_at(arg, 0), 1), json_num(json_at(arg, 1), 10), &v)) {
    return 0;
  }
  char *text = arena_printf(a, "%g", v);
  put_part(p, "feedback", span_trim(output));
  return text != NULL && found(p, (struct span){ text, strlen(text) });
}

static int verdict(struct span output, const struct json *arg, struct arena *a, struct parsed *p)
{
  int v = answer_verdict(output);
  (void)arg;
  (void)a;
  put_part(p, "feedback", span_trim(output));
  return v != 0 && found(p, v == 'A' ? (struct span){ "A", 1 } : v == 'B' ? (struct span){ "B", 1 } : (struct span){ "tie", 3 });
}

const struct parser parser_table[] = {
  { "first_question", "", first_question },
  { "first_line", "", first_line },
  { "whole", "", whole },
  { "final", "", final },
  { "sections", "list of strings", sections },
  { "tag", "string", tag },
  { "code", "", code },
  { "json", "", json_text },
  { "choice", "list of strings", choice },
  { "score", "[min, max]", score },
  { "verdict", "", verdict },
  { NULL, "", NULL },
};

/* SPDX-License-Identifier: Apache-2.0
 * Parsers of teacher outputs, one row each. A parser finds the part that counts; whether it is good is for validate.c. */
#include "recipe.h"

static int is_space(char c)
{
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct span trim(struct span s)
{
  while (s.n > 0 && is_space(s.p[0])) {
    s.p++;
    s.n--;
  }
  while (s.n > 0 && is_space(s.p[s.n - 1])) {
    s.n--;
  }
  return s;
}

static int starts(struct span s, const char *word)
{
  size_t n = strlen(word);
  for (size_t i = 0; i < n; i++) {
    if (i >= s.n || (s.p[i] | 32) != (word[i] | 32)) {
      return 0;
    }
  }
  return 1;
}

/* "1. ", "- ", "Q3: ", "**Question:** ", quotes: what models put in front of a line. */
static struct span bare(struct span s)
{
  static const char *const labels[] = { "question:", "q:", "answer:", "a:", NULL };
  for (int again = 1; again;) {
    again = 0;
    s = trim(s);
    while (s.n > 0 && strchr("\"'*#->", s.p[0]) != NULL) {
      s.p++;
      s.n--;
      again = 1;
    }
    size_t i = 0;
    while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9') {
      i++;
    }
    if (i > 0 && i < 4 && i + 1 < s.n && (s.p[i] == '.' || s.p[i] == ')') && is_space(s.p[i + 1])) {
      s.p += i + 1;
      s.n -= i + 1;
      again = 1;
    }
    for (const char *const *l = labels; *l != NULL; l++) {
      if (starts(s, *l)) {
        s.p += strlen(*l);
        s.n -= strlen(*l);
        again = 1;
      }
    }
  }
  return s;
}

static struct span cut_line(struct span *rest)
{
  const char *nl = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
  size_t n = nl ? (size_t)(nl - rest->p) : rest->n, skip = nl ? n + 1 : n;
  struct span line = { rest->p, n };
  rest->p += skip;
  rest->n -= skip;
  return line;
}

/* The first line with a question mark, up to it. A colon before the question ends a preamble ("The question is: What ...?"). */
static struct span first_question(struct span output)
{
  while (output.n > 0) {
    struct span line = bare(cut_line(&output));
    const char *mark = line.n ? memchr(line.p, '?', line.n) : NULL;
    if (mark == NULL) {
      continue;
    }
    line.n = (size_t)(mark - line.p) + 1;
    for (size_t i = line.n; i-- > 1;) {
      if (line.p[i - 1] == ':' && is_space(line.p[i])) {
        line.p += i;
        line.n -= i;
        break;
      }
    }
    return bare(line);
  }
  return (struct span){ NULL, 0 };
}

static struct span first_line(struct span output)
{
  while (output.n > 0) {
    struct span line = bare(cut_line(&output));
    if (line.n > 0) {
      return line;
    }
  }
  return (struct span){ NULL, 0 };
}

static struct span whole(struct span output)
{
  output = trim(output);
  return output.n > 0 ? output : (struct span){ NULL, 0 };
}

const struct parser parser_table[] = {
  { "first_question", first_question },
  { "first_line", first_line },
  { "whole", whole },
  { NULL, NULL },
};

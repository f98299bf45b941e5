/* SPDX-License-Identifier: Apache-2.0
 * Taking answers apart; see answer_parse.h. */
#include "answer_parse.h"
#include <stdint.h>
#include <string.h>
#include "opt.h"

#define NONE ((struct span){ NULL, 0 })

static int is_space(char c)
{
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int is_digit(char c)
{
  return c >= '0' && c <= '9';
}

static int low(char c)
{
  return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

static int is_word_byte(char c)
{
  return is_digit(c) || (low(c) >= 'a' && low(c) <= 'z') || (unsigned char)c >= 0x80 || c == '_';
}

struct span span_trim(struct span s)
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

struct span span_line(struct span *rest)
{
  const char *nl = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
  size_t n = nl ? (size_t)(nl - rest->p) : rest->n, skip = nl ? n + 1 : n;
  struct span line = { rest->p, n };
  rest->p += skip;
  rest->n -= skip;
  return line;
}

int span_begins(struct span s, const char *word)
{
  size_t n = strlen(word);
  for (size_t i = 0; i < n; i++) {
    if (i >= s.n || low(s.p[i]) != low(word[i])) {
      return 0;
    }
  }
  return 1;
}

int span_same(struct span a, struct span b)
{
  for (size_t i = 0; a.n == b.n && i < a.n; i++) {
    if (low(a.p[i]) != low(b.p[i])) {
      return 0;
    }
  }
  return a.n == b.n;
}

static struct span from(struct span s, size_t n)
{
  return (struct span){ s.p + n, s.n - n };
}

struct span answer_bare(struct span s)
{
  static const char *const labels[] = { "question:", "q:", "answer:", "a:", "task:", "instruction:", "query:", NULL };
  for (int again = 1; again;) {
    again = 0;
    s = span_trim(s);
    while (s.n > 0 && strchr("\"'*#->", s.p[0]) != NULL) {
      s = from(s, 1);
      again = 1;
    }
    size_t i = 0;
    while (i < s.n && is_digit(s.p[i])) {
      i++;
    }
    if (i > 0 && i < 4 && i + 1 < s.n && (s.p[i] == '.' || s.p[i] == ')') && is_space(s.p[i + 1])) {
      s = from(s, i + 1);
      again = 1;
    }
    for (const char *const *l = labels; *l != NULL; l++) {
      if (span_begins(s, *l)) {
        s = from(s, strlen(*l));
        again = 1;
      }
    }
  }
  return s;
}

struct span answer_core(struct span s)
{
  for (size_t n = s.n + 1; n != s.n;) {
    n = s.n;
    s = span_trim(s);
    while (s.n > 0 && strchr("\"'*`([{<", s.p[0]) != NULL) {
      s = from(s, 1);
    }
    while (s.n > 0 && strchr("\"'*`)]}>.,;:!", s.p[s.n - 1]) != NULL) {
      s.n--;
    }
  }
  return s;
}

/* ---- numbers ---- */

/* The number at s.p[i], which is a digit; *end behind it. Thousands commas are read ("1,250"). */
static double number_at(struct span s, size_t i, size_t *end)
{
  char text[40];
  size_t n = 0, k = i;
  int point = 0;
  for (; k < s.n && n + 1 < sizeof text; k++) {
    if (is_digit(s.p[k]) || (s.p[k] == '.' && !point && k + 1 < s.n && is_digit(s.p[k + 1]))) {
      point |= s.p[k] == '.';
      text[n++] = s.p[k];
    } else if (!(s.p[k] == ',' && !point && k + 3 < s.n && is_digit(s.p[k + 1]) && is_digit(s.p[k + 2]) && is_digit(s.p[k + 3]) &&
                 (k + 4 >= s.n || !is_digit(s.p[k + 4])))) {
      break;
    }
  }
  text[n] = '\0';
  *end = k;
  double v = 0;
  struct err e;
  return opt_parse_num(text, &v, &e) == STATUS_OK ? v : 0;
}

static int negative(struct span s, size_t i)
{
  return i > 0 && s.p[i - 1] == '-' && (i == 1 || !is_word_byte(s.p[i - 2]));
}

/* Behind a label ("score", "rating", "grade"): only signs and blanks and "is" may stand between. */
static int labelled(struct span s, size_t i)
{
  static const char *const labels[] = { "score", "rating", "grade", "points", NULL };
  while (i > 0 && (is_space(s.p[i - 1]) || strchr(":=*[(_", s.p[i - 1]) != NULL)) {
    i--;
  }
  if (i >= 3 && span_same((struct span){ s.p + i - 3, 3 }, (struct span){ " is", 3 })) {
    i -= 3;
  }
  for (const char *const *l = labels; *l != NULL; l++) {
    size_t n = strlen(*l);
    if (i >= n && span_begins((struct span){ s.p + i - n, n }, *l)) {
      return 1;
    }
  }
  return 0;
}

/* "/10", " out of 10": the number in front is the score, the one behind is the scale. */
static int scaled(struct span s, size_t end, size_t *behind)
{
  size_t i = end;
  while (i < s.n && (is_space(s.p[i]) || s.p[i] == '*' || s.p[i] == ']' || s.p[i] == ')')) {
    i++;
  }
  if (i < s.n && s.p[i] == '/') {
    i++;
  } else if (span_begins(from(s, i), "out of")) {
    i += 6;
  } else {
    return 0;
  }
  while (i < s.n && (is_space(s.p[i]) || s.p[i] == '*')) {
    i++;
  }
  if (i >= s.n || !is_digit(s.p[i])) {
    return 0;
  }
  (void)number_at(s, i, behind);
  return 1;
}

int answer_number(struct span s, double lo, double hi, double *score)
{
  int best = 0, clash = 0; /* 3: [[7]]; 2: labelled or scaled; 1: any number */
  double found = 0;
  for (size_t i = 0; i < s.n;) {
    size_t end, behind;
    if (!is_digit(s.p[i]) || (i > 0 && is_word_byte(s.p[i - 1]))) {
      i++;
      continue;
    }
    double v = number_at(s, i, &end);
    v = negative(s, i) ? -v : v;
    int grade = i >= 2 && s.p[i - 1] == '[' && s.p[i - 2] == '[' ? 3 : labelled(s, i) ? 2 : 1;
    if (scaled(s, end, &behind)) {
      grade = grade > 2 ? grade : 2;
      end = behind;
    }
    if (grade > best) {
      best = grade;
      found = v;
      clash = 0;
    } else if (grade == best && (v < found || v > found)) {
      clash = 1;
    }
    i = end > i ? end : i + 1;
  }
  if (best == 0 || clash || found < lo || found > hi) {
    return 0;
  }
  *score = found;
  return 1;
}

/* ---- verdicts, choices, rankings ---- */

static int verdict_word(struct span s)
{
  static const struct { const char *word; int v; } words[] = {
    { "a", 'A' }, { "b", 'B' }, { "c", 'T' }, { "tie", 'T' }, { "answer a", 'A' }, { "answer b", 'B' }, { "response a", 'A' }, { "response b", 'B' },
    { "assistant a", 'A' }, { "assistant b", 'B' }, { "both", 'T' }, { "equal", 'T' }, { "neither", 'T' }, { "draw", 'T' },
    { "answer a is better", 'A' }, { "answer b is better", 'B' }, { "a is better", 'A' }, { "b is better", 'B' }, { "it is a tie", 'T' },
    { "both are equal", 'T' }, { "both are equally good", 'T' }, { "they are equal", 'T' }, { "a wins", 'A' }, { "b wins", 'B' },
    { "response a is better", 'A' }, { "response b is better", 'B' }, { NULL, 0 } };
  s = answer_core(s);
  for (size_t i = 0; words[i].word != NULL; i++) {
    if (span_same(s, (struct span){ words[i].word, strlen(words[i].word) })) {
      return words[i].v;
    }
  }
  return 0;
}

int answer_verdict(struct span s)
{
  int marked = 0;
  for (size_t i = 0; i + 4 < s.n; i++) { /* [[A]] */
    if (s.p[i] == '[' && s.p[i + 1] == '[') {
      size_t k = i + 2;
      while (k < s.n && s.p[k] != ']') {
        k++;
      }
      int v = verdict_word((struct span){ s.p + i + 2, k - i - 2 });
      if (v != 0 && marked != 0 && v != marked) {
        return 0;
      }
      marked = v ? v : marked;
    }
  }
  if (marked != 0) {
    return marked;
  }
  struct span rest = s;
  int found = 0;
  while (rest.n > 0) {
    struct span line = span_trim(span_line(&rest));
    static const char *const labels[] = { "verdict:", "better:", "winner:", "choice:", "final verdict:", "better answer:", "preference:", NULL };
    struct span bare = line;
    while (bare.n > 0 && strchr("*#- ", bare.p[0]) != NULL) {
      bare = from(bare, 1);
    }
    for (const char *const *l = labels; *l != NULL; l++) {
      if (span_begins(bare, *l)) {
        int v = verdict_word(from(bare, strlen(*l)));
        if (v == 0 || (found != 0 && found != v)) {
          return 0;
        }
        found = v;
      }
    }
  }
  if (found != 0) {
    return found;
  }
  rest = span_trim(s); /* the first or the last line alone */
  struct span first = span_line(&rest), last = first;
  int v = verdict_word(first);
  while (rest.n > 0) {
    struct span line = span_line(&rest);
    last = span_trim(line).n > 0 ? line : last;
  }
  int w = verdict_word(last);
  return v != 0 && w != 0 && v != w ? 0 : v != 0 ? v : w;
}

static int occurs(struct span s, struct span word, size_t *at)
{
  for (size_t i = *at; word.n > 0 && i + word.n <= s.n; i++) {
    if (span_same((struct span){ s.p + i, word.n }, word) && (i == 0 || !is_word_byte(s.p[i - 1])) &&
        (i + word.n == s.n || !is_word_byte(s.p[i + word.n]))) {
      *at = i;
      return 1;
    }
  }
  return 0;
}

/* Does choice k occur at a place that is not part of a longer choice? */
static int stands_alone(struct span s, const struct span *choice, size_t n, size_t k)
{
  for (size_t at = 0; occurs(s, choice[k], &at); at++) {
    int hidden = 0;
    for (size_t j = 0; j < n && !hidden; j++) {
      for (size_t b = 0; j != k && choice[j].n > choice[k].n && !hidden && occurs(s, choice[j], &b); b++) {
        hidden = b <= at && at + choice[k].n <= b + choice[j].n;
      }
    }
    if (!hidden) {
      return 1;
    }
  }
  return 0;
}

int answer_choice(struct span s, const struct span *choice, size_t n)
{
  struct span rest = span_trim(s), first = span_line(&rest);
  static const char *const labels[] = { "label:", "category:", "class:", "answer:", "choice:", NULL };
  for (const char *const *l = labels; *l != NULL; l++) {
    struct span b = answer_bare(first);
    if (span_begins(b, *l)) {
      first = from(b, strlen(*l));
    }
  }
  for (size_t i = 0; i < n; i++) {
    if (span_same(answer_core(answer_bare(first)), choice[i]) || span_same(span_trim(first), choice[i])) {
      return (int)i;
    }
  }
  int found = -1;
  for (size_t i = 0; i < n; i++) {
    if (stands_alone(s, choice, n, i)) {
      if (found >= 0) {
        return -1;
      }
      found = (int)i;
    }
  }
  return found;
}

int answer_ranking(struct span s, size_t n, size_t *order)
{
  size_t k = 0;
  for (size_t i = 0; i < s.n;) {
    size_t end;
    if (!is_digit(s.p[i]) || (i > 0 && is_word_byte(s.p[i - 1]))) {
      i++;
      continue;
    }
    double v = number_at((struct span){ s.p, s.n }, i, &end);
    size_t id = v >= 1 && v <= (double)n ? (size_t)v : 0;
    if (id == 0 || (double)id < v || k == n) {
      return 0;
    }
    for (size_t j = 0; j < k; j++) {
      if (order[j] == id - 1) {
        return 0;
      }
    }
    order[k++] = id - 1;
    i = end;
  }
  return n > 0 && k == n;
}

/* SPDX-License-Identifier: Apache-2.0
 * Validators that compare an output with the text it was made from: what may be said, cited and counted. */
#include <math.h>
#include "validate.h"

/* ROUGE-L to the text (F1) below the bound: not a copy. */
static int good_differs(const struct check *c)
{
  double f;
  struct err e;
  return rouge_l(c->answer, c->text, c->a, &f, &e) == STATUS_OK && f < json_num(c->arg, 0.8);
}

/* Share of the answer's content words that the text has at or above the bound: nothing made up. */
static int good_supported(const struct check *c)
{
  struct word_list w = words_of(c->answer, c->a), t = words_of(c->text, c->a);
  size_t of, have = words_shared(&w, &t, &of);
  return of > 0 && (double)have / (double)of >= json_num(c->arg, 0.5);
}

static double ratio(const struct check *c)
{
  struct word_list w = words_of(c->answer, c->a), t = words_of(c->text, c->a);
  return t.n > 0 && w.n > 0 ? (double)w.n / (double)t.n : -1;
}

static int good_shorter(const struct check *c)
{
  double r = ratio(c);
  return r > 0 && r <= json_num(c->arg, 1);
}

static int good_longer(const struct check *c)
{
  double r = ratio(c);
  return r > 0 && r >= json_num(c->arg, 1);
}

/* At least N citations [k], each of a passage that was shown. */
static int good_cites(const struct check *c)
{
  int64_t n = 0;
  for (size_t i = 0; i < c->answer.n; i++) {
    if (c->answer.p[i] != '[') {
      continue;
    }
    size_t k = i + 1;
    uint64_t v = 0;
    while (k < c->answer.n && c->answer.p[k] >= '0' && c->answer.p[k] <= '9' && v < 100000) {
      v = v * 10 + (uint64_t)(c->answer.p[k++] - '0');
    }
    if (k == i + 1 || k >= c->answer.n || c->answer.p[k] != ']') {
      continue;
    }
    if (v == 0 || v > c->n_passages) {
      return 0;
    }
    n++;
  }
  return n >= json_int(c->arg, 1);
}

/* Does text hold s, whatever white space and case? */
static int holds_text(const struct check *c, struct span s)
{
  struct word_list w = words_of(s, c->a), t = words_of(c->text, c->a);
  return w.n > 0 && words_hold_run(&t, &w);
}

/* Every quotation of three words or more stands in the text. */
static int good_quotes(const struct check *c)
{
  for (size_t i = 0; i < c->answer.n; i++) {
    if (c->answer.p[i] != '"') {
      continue;
    }
    size_t k = i + 1;
    while (k < c->answer.n && c->answer.p[k] != '"') {
      k++;
    }
    struct span quote = { c->answer.p + i + 1, k - i - 1 };
    if (k == c->answer.n || (words_of(quote, c->a).n >= 3 && !holds_text(c, quote))) {
      return 0;
    }
    i = k;
  }
  return c->answer.n > 0;
}

int next_number(struct span *rest, struct span *number)
{
  size_t i = 0;
  while (i < rest->n && !(rest->p[i] >= '0' && rest->p[i] <= '9')) {
    i++;
  }
  size_t k = i;
  while (k < rest->n && ((rest->p[k] >= '0' && rest->p[k] <= '9') ||
                         ((rest->p[k] == ',' || rest->p[k] == '.') && k + 1 < rest->n && rest->p[k + 1] >= '0' && rest->p[k + 1] <= '9'))) {
    k++;
  }
  *number = (struct span){ rest->p + i, k - i };
  rest->p += k;
  rest->n -= k;
  return number->n > 0;
}

/* Every number of the answer stands in the text ("1,250" is 1250). A citation [k] and the number of a list item are none. */
static int good_numbers(const struct check *c)
{
  struct span rest = c->answer, n, m;
  while (next_number(&rest, &n)) {
    int known = (n.p > c->answer.p && n.p[-1] == '[' && rest.n > 0 && rest.p[0] == ']') ||
                ((n.p == c->answer.p || n.p[-1] == '\n') && rest.n > 0 && (rest.p[0] == '.' || rest.p[0] == ')'));
    for (struct span t = c->text; !known && next_number(&t, &m);) {
      known = answer_equal(n, m);
    }
    if (!known) {
      return 0;
    }
  }
  return c->answer.n > 0;
}

/* Every reference to a part of a law or contract ("Section 3(b)", "Article 5", "§ 12", "clause 4.2") stands in the text; at least N. */
static int good_references(const struct check *c)
{
  static const char *const kinds[] = { "section", "article", "clause", "paragraph", "\xc2\xa7", "rule", "chapter", "schedule", NULL };
  int64_t n = 0;
  for (size_t i = 0; i < c->answer.n; i++) {
    for (const char *const *k = kinds; *k != NULL; k++) {
      size_t len = strlen(*k), at = i + len;
      struct span here = { c->answer.p + i, c->answer.n - i };
      if (!span_begins(here, *k) || (i > 0 && ((c->answer.p[i - 1] | 32) >= 'a' && (c->answer.p[i - 1] | 32) <= 'z'))) {
        continue;
      }
      while (at < c->answer.n && (c->answer.p[at] == ' ' || c->answer.p[at] == 's' || c->answer.p[at] == '.')) {
        at++;
      }
      size_t end = at;
      while (end < c->answer.n && ((c->answer.p[end] >= '0' && c->answer.p[end] <= '9') || (end > at && c->answer.p[end] == '.' && end + 1 < c->answer.n && c->answer.p[end + 1] >= '0' && c->answer.p[end + 1] <= '9'))) {
        end++;
      }
      if (end == at) {
        continue; /* "this section" */
      }
      struct span number = { c->answer.p + at, end - at }, t = c->text;
      int found = 0;
      while (!found && t.n > 0) { /* the same kind with the same number */
        const char *hit = NULL;
        for (size_t j = 0; j + len < t.n && hit == NULL; j++) {
          hit = span_begins((struct span){ t.p + j, t.n - j }, *k) ? t.p + j : NULL;
        }
        if (hit == NULL) {
          break;
        }
        t.n -= (size_t)(hit - t.p) + len;
        t.p = hit + len;
        size_t s = 0;
        while (s < t.n && (t.p[s] == ' ' || t.p[s] == 's' || t.p[s] == '.')) {
          s++;
        }
        found = s + number.n <= t.n && memcmp(t.p + s, number.p, number.n) == 0 && (s + number.n == t.n || t.p[s + number.n] < '0' || t.p[s + number.n] > '9');
      }
      if (!found) {
        return 0;
      }
      n++;
    }
  }
  return n >= json_int(c->arg, 0);
}

/* A search for the answer finds the row's own text among the first K of all texts. */
static int good_round_trip(const struct check *c)
{
  struct bm25_hit *hit;
  struct err e;
  size_t n, k = (size_t)json_int(c->arg, 1);
  if (c->corpus == NULL || bm25_top(c->corpus, c->answer, k, c->a, &hit, &n, &e) != STATUS_OK) {
    return 0;
  }
  for (size_t i = 0; i < n; i++) {
    if (hit[i].n == c->own) {
      return 1;
    }
  }
  return 0;
}

/* The same final answer as another slot has. */
static int good_agrees(const struct check *c)
{
  struct span other = c->slot(c->ctx, json_cstr(c->arg, ""));
  return other.n > 0 && answer_equal(c->answer, other);
}

static int good_unlike(const struct check *c)
{
  struct span other = c->slot(c->ctx, json_cstr(c->arg, ""));
  double f;
  struct err e;
  return other.n > 0 && rouge_l(c->answer, other, c->a, &f, &e) == STATUS_OK && f < 0.9;
}

const struct validator validators_text[] = {
  { "differs", "a copy of the text", "number", good_differs },
  { "supported", "not supported by the text", "number", good_supported },
  { "shorter", "too long for the text", "number", good_shorter },
  { "longer", "too short for the text", "number", good_longer },
  { "cites", "a citation is missing or of no passage", "number", good_cites },
  { "quotes", "a quotation is not in the text", "true", good_quotes },
  { "numbers", "a number is not in the text", "true", good_numbers },
  { "references", "a reference is missing or not in the text", "number", good_references },
  { "round_trip", "the query does not find its text", "number", good_round_trip },
  { "agrees", "another answer than before", "slot", good_agrees },
  { "unlike", "the same as before", "slot", good_unlike },
  { NULL, NULL, NULL, NULL },
};

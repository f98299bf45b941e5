/* SPDX-License-Identifier: Apache-2.0
 * Validators of what a teacher made, one row each: a recipe lists the ones it wants. Words are runs of letters and digits in lower
 * case (ASCII folding; other scripts count byte for byte), so that punctuation and case never decide. */
#include "recipe.h"

struct words {
  struct span *w;
  size_t n;
};

static int is_word_byte(unsigned char c)
{
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

/* Lower-case copy and its words; n = 0 when memory runs out (then every check fails closed). */
static struct words words_of(struct span s, struct arena *a)
{
  struct words out = { NULL, 0 };
  char *low = arena_strndup(a, s.p ? s.p : "", s.n);
  out.w = arena_alloc(a, (s.n / 2 + 1) * sizeof *out.w);
  if (low == NULL || out.w == NULL) {
    return (struct words){ NULL, 0 };
  }
  for (size_t i = 0; i < s.n;) {
    size_t k = i;
    while (k < s.n && is_word_byte((unsigned char)low[k])) {
      low[k] = (char)(low[k] >= 'A' && low[k] <= 'Z' ? low[k] + 32 : low[k]);
      k++;
    }
    if (k > i) {
      out.w[out.n++] = (struct span){ low + i, k - i };
    }
    i = k + 1;
  }
  return out;
}

static int same(struct span a, struct span b)
{
  return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

static int holds(const struct words *w, struct span x)
{
  for (size_t i = 0; i < w->n; i++) {
    if (same(w->w[i], x)) {
      return 1;
    }
  }
  return 0;
}

static int holds_run(const struct words *hay, const struct words *needle)
{
  for (size_t i = 0; needle->n > 0 && i + needle->n <= hay->n; i++) {
    size_t k = 0;
    while (k < needle->n && same(hay->w[i + k], needle->w[k])) {
      k++;
    }
    if (k == needle->n) {
      return 1;
    }
  }
  return 0;
}

static int good_ends_with(const struct check *c)
{
  struct span end = json_str(c->arg);
  return c->answer.n >= end.n && memcmp(c->answer.p + c->answer.n - end.n, end.p, end.n) == 0;
}

static int good_words(const struct check *c)
{
  int64_t n = (int64_t)words_of(c->answer, c->a).n;
  return n >= json_int(json_at(c->arg, 0), 0) && n <= json_int(json_at(c->arg, 1), INT64_MAX);
}

static int good_chars(const struct check *c)
{
  int64_t n = 0;
  for (size_t i = 0; i < c->answer.n; i++) {
    n += ((unsigned char)c->answer.p[i] & 0xc0) != 0x80;
  }
  return n >= json_int(json_at(c->arg, 0), 0) && n <= json_int(json_at(c->arg, 1), INT64_MAX);
}

static int good_starts_with(const struct check *c)
{
  struct words w = words_of(c->answer, c->a);
  for (size_t i = 0; w.n > 0 && i < json_size(c->arg); i++) {
    if (same(w.w[0], json_str(json_at(c->arg, i)))) {
      return 1;
    }
  }
  return 0;
}

/* None of the phrases, whatever their case; a phrase of letters only matches whole words. */
static int good_without(const struct check *c)
{
  struct words w = words_of(c->answer, c->a);
  for (size_t i = 0; i < json_size(c->arg); i++) {
    struct span phrase = json_str(json_at(c->arg, i));
    struct words p = words_of(phrase, c->a);
    if (p.n > 0 ? holds_run(&w, &p) : 0) {
      return 0;
    }
    for (size_t k = 0; p.n == 0 && k + phrase.n <= c->answer.n; k++) { /* signs only */
      if (memcmp(c->answer.p + k, phrase.p, phrase.n) == 0) {
        return 0;
      }
    }
  }
  return w.n > 0;
}

/* Not a sentence of the prompt: neither of the passage nor of the examples. */
static int good_not_in_prompt(const struct check *c)
{
  struct words w = words_of(c->answer, c->a), p = words_of(c->prompt, c->a), t = words_of(c->text, c->a);
  return w.n > 0 && !holds_run(&p, &w) && !holds_run(&t, &w);
}

static int is_common(struct span w)
{
  static const char *const common[] = { "what", "which", "when", "where", "whom", "whose", "does", "this", "that", "these", "those", "with", "from", "have",
                                        "been", "were", "will", "would", "should", "could", "must", "shall", "into", "than", "then", "they", "them", "their",
                                        "there", "here", "your", "under", "about", "after", "before", "following", "author", "question", "mean", "term",
                                        "some", "such", "other", "also", "used", "using", "being", "between", "main", "purpose", NULL };
  for (const char *const *k = common; *k != NULL; k++) {
    if (span_is(w, *k)) {
      return 1;
    }
  }
  return 0;
}

/* At least N different words of four letters or more that the passage has too, leaving out words any question has. A plural or
 * other ending is forgiven: the first max(4, n - 2) letters must agree. */
static int good_grounded(const struct check *c)
{
  struct words w = words_of(c->answer, c->a), t = words_of(c->text, c->a);
  int64_t want = json_int(c->arg, 1), have = 0;
  for (size_t i = 0; i < w.n; i++) {
    struct words earlier = { w.w, i };
    if (w.w[i].n < 4 || is_common(w.w[i]) || holds(&earlier, w.w[i])) {
      continue;
    }
    size_t stem = w.w[i].n > 6 ? w.w[i].n - 2 : 4;
    for (size_t k = 0; k < t.n; k++) {
      if (t.w[k].n >= stem && memcmp(t.w[k].p, w.w[i].p, stem) == 0) {
        have++;
        break;
      }
    }
  }
  return have >= want;
}

/* Share of words in common (Jaccard of the two sets) with each earlier one below the bound. */
static int good_unique(const struct check *c)
{
  struct words w = words_of(c->answer, c->a);
  for (size_t b = 0; b < c->n_before; b++) {
    struct words o = words_of(c->before[b], c->a);
    size_t both = 0, either = 0;
    for (size_t i = 0; i < w.n; i++) {
      struct words earlier = { w.w, i };
      if (!holds(&earlier, w.w[i])) {
        either++;
        both += (size_t)holds(&o, w.w[i]);
      }
    }
    for (size_t i = 0; i < o.n; i++) {
      struct words earlier = { o.w, i };
      either += (size_t)(!holds(&earlier, o.w[i]) && !holds(&w, o.w[i]));
    }
    if (either == 0 || (double)both / (double)either >= json_num(c->arg, 0.8)) {
      return 0;
    }
  }
  return 1;
}

const struct validator validator_table[] = {
  { "ends_with", "wrong ending", "string", good_ends_with },
  { "words", "wrong length", "[min, max]", good_words },
  { "chars", "wrong length", "[min, max]", good_chars },
  { "starts_with", "wrong beginning", "list of strings", good_starts_with },
  { "without", "unwanted phrase", "list of strings", good_without },
  { "not_in_prompt", "copy of the prompt", "true", good_not_in_prompt },
  { "grounded", "not about the text", "number", good_grounded },
  { "unique", "duplicate", "number", good_unique },
  { NULL, NULL, NULL, NULL },
};

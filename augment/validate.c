/* SPDX-License-Identifier: Apache-2.0
 * Validators of what a teacher made, one row each: a recipe lists the ones it wants. These look at words, length and phrases. */
#include "validate.h"

const struct validator *const validator_tables[] = { validators_words, validators_text, validators_form, NULL };

const struct validator *validator_find(struct span name)
{
  for (const struct validator *const *t = validator_tables; *t != NULL; t++) {
    for (const struct validator *v = *t; v->name != NULL; v++) {
      if (span_is(name, v->name)) {
        return v;
      }
    }
  }
  return NULL;
}

static int is_word_byte(unsigned char c)
{
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

struct word_list words_of(struct span s, struct arena *a)
{
  struct word_list out = { NULL, 0 };
  char *low = arena_strndup(a, s.p ? s.p : "", s.n);
  out.w = arena_alloc(a, (s.n / 2 + 1) * sizeof *out.w);
  if (low == NULL || out.w == NULL) {
    return (struct word_list){ NULL, 0 };
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

int word_same(struct span a, struct span b)
{
  return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

int words_hold(const struct word_list *w, struct span x)
{
  for (size_t i = 0; i < w->n; i++) {
    if (word_same(w->w[i], x)) {
      return 1;
    }
  }
  return 0;
}

int words_hold_run(const struct word_list *hay, const struct word_list *needle)
{
  for (size_t i = 0; needle->n > 0 && i + needle->n <= hay->n; i++) {
    size_t k = 0;
    while (k < needle->n && word_same(hay->w[i + k], needle->w[k])) {
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
  struct word_list w = words_of(c->answer, c->a);
  for (size_t i = 0; w.n > 0 && i < json_size(c->arg); i++) {
    if (word_same(w.w[0], json_str(json_at(c->arg, i)))) {
      return 1;
    }
  }
  return 0;
}

/* None of the phrases, whatever their case; a phrase of letters only matches whole words. */
static int good_without(const struct check *c)
{
  struct word_list w = words_of(c->answer, c->a);
  for (size_t i = 0; i < json_size(c->arg); i++) {
    struct span phrase = json_str(json_at(c->arg, i));
    struct word_list p = words_of(phrase, c->a);
    if (p.n > 0 ? words_hold_run(&w, &p) : 0) {
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
  struct word_list w = words_of(c->answer, c->a), p = words_of(c->prompt, c->a), t = words_of(c->text, c->a);
  return w.n > 0 && !words_hold_run(&p, &w) && !words_hold_run(&t, &w);
}

int word_is_common(struct span w)
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

size_t words_shared(const struct word_list *w, const struct word_list *text, size_t *of)
{
  size_t have = 0;
  *of = 0;
  for (size_t i = 0; i < w->n; i++) {
    struct word_list earlier = { w->w, i };
    if (w->w[i].n < 4 || word_is_common(w->w[i]) || words_hold(&earlier, w->w[i])) {
      continue;
    }
    size_t stem = w->w[i].n > 6 ? w->w[i].n - 2 : 4;
    ++*of;
    for (size_t k = 0; k < text->n; k++) {
      if (text->w[k].n >= stem && memcmp(text->w[k].p, w->w[i].p, stem) == 0) {
        have++;
        break;
      }
    }
  }
  return have;
}

/* At least N different content words that the text has too. */
static int good_grounded(const struct check *c)
{
  struct word_list w = words_of(c->answer, c->a), t = words_of(c->text, c->a);
  size_t of;
  return (int64_t)words_shared(&w, &t, &of) >= json_int(c->arg, 1);
}

/* Share of words in common (Jaccard of the two sets) with each earlier one below the bound. */
static int good_unique(const struct check *c)
{
  struct word_list w = words_of(c->answer, c->a);
  for (size_t b = 0; b < c->n_before; b++) {
    struct word_list o = words_of(c->before[b], c->a);
    size_t both = 0, either = 0;
    for (size_t i = 0; i < w.n; i++) {
      struct word_list earlier = { w.w, i };
      if (!words_hold(&earlier, w.w[i])) {
        either++;
        both += (size_t)words_hold(&o, w.w[i]);
      }
    }
    for (size_t i = 0; i < o.n; i++) {
      struct word_list earlier = { o.w, i };
      either += (size_t)(!words_hold(&earlier, o.w[i]) && !words_hold(&w, o.w[i]));
    }
    if (either == 0 || (double)both / (double)either >= json_num(c->arg, 0.8)) {
      return 0;
    }
  }
  return 1;
}

/* Sentences: ends with . ! ? (and what closes behind them) before white space or the end; the rest counts as one. */
static int good_sentences(const struct check *c)
{
  int64_t n = 0;
  int open = 0;
  for (size_t i = 0; i < c->answer.n; i++) {
    char ch = c->answer.p[i];
    open |= is_word_byte((unsigned char)ch);
    if (open && strchr(".!?", ch) != NULL && (i + 1 == c->answer.n || strchr(" \t\r\n\"')", c->answer.p[i + 1]) != NULL)) {
      n++;
      open = 0;
    }
  }
  n += open;
  return n >= json_int(json_at(c->arg, 0), 0) && n <= json_int(json_at(c->arg, 1), INT64_MAX);
}

/* At least one of the phrases (a disclaimer, a marker). */
static int good_has(const struct check *c)
{
  struct word_list w = words_of(c->answer, c->a);
  for (size_t i = 0; i < json_size(c->arg); i++) {
    struct span phrase = json_str(json_at(c->arg, i));
    struct word_list p = words_of(phrase, c->a);
    if (p.n > 0 ? words_hold_run(&w, &p) : c->answer.n >= phrase.n && memmem(c->answer.p, c->answer.n, phrase.p, phrase.n) != NULL) {
      return 1;
    }
  }
  return 0;
}

/* What models say instead of an answer. */
static int good_no_refusal(const struct check *c)
{
  static const char *const said[] = { "as an ai", "as a language model", "i cannot help", "i can't help", "i am unable to", "i'm unable to", "i'm sorry but", "i am sorry but", "i apologize but", "i cannot assist",
                                      "i can't assist", "i cannot provide", "i can't provide", "i cannot answer", "i can't answer", "i do not have access", "i don't have access", NULL };
  struct word_list w = words_of(c->answer, c->a);
  struct word_list head = { w.w, w.n < 24 ? w.n : 24 };
  for (const char *const *s = said; *s != NULL; s++) {
    struct word_list p = words_of((struct span){ *s, strlen(*s) }, c->a);
    if (words_hold_run(&head, &p)) {
      return 0;
    }
  }
  return w.n > 0;
}

/* Share of word 4-grams that occurred before in the answer below the bound: loops of small models. */
static int good_no_loop(const struct check *c)
{
  struct word_list w = words_of(c->answer, c->a);
  size_t again = 0, n = w.n >= 4 ? w.n - 3 : 0;
  for (size_t i = 1; i < n; i++) {
    struct word_list gram = { w.w + i, 4 }, before = { w.w, i + 3 };
    again += (size_t)words_hold_run(&before, &gram);
  }
  return w.n > 0 && (n == 0 || (double)again / (double)n < json_num(c->arg, 0.3));
}

/* At most this share of letters of one script that the text does not have: a drift into another language. */
static int good_same_script(const struct check *c)
{
  size_t mine[2] = { 0, 0 }, text[2] = { 0, 0 };
  for (size_t i = 0; i < c->answer.n; i++) {
    mine[(unsigned char)c->answer.p[i] >= 0x80] += is_word_byte((unsigned char)c->answer.p[i]) != 0;
  }
  for (size_t i = 0; i < c->text.n; i++) {
    text[(unsigned char)c->text.p[i] >= 0x80] += is_word_byte((unsigned char)c->text.p[i]) != 0;
  }
  double m = mine[0] + mine[1] ? (double)mine[1] / (double)(mine[0] + mine[1]) : 1, t = text[0] + text[1] ? (double)text[1] / (double)(text[0] + text[1]) : 0;
  return mine[0] + mine[1] > 0 && m - t < 0.3 && t - m < 0.3;
}

const struct validator validators_words[] = {
  { "ends_with", "wrong ending", "string", good_ends_with },
  { "words", "wrong length", "[min, max]", good_words },
  { "chars", "wrong length", "[min, max]", good_chars },
  { "starts_with", "wrong beginning", "list of strings", good_starts_with },
  { "without", "unwanted phrase", "list of strings", good_without },
  { "not_in_prompt", "copy of the prompt", "true", good_not_in_prompt },
  { "grounded", "not about the text", "number", good_grounded },
  { "unique", "duplicate", "number", good_unique },
  { "sentences", "wrong number of sentences", "[min, max]", good_sentences },
  { "has", "something needed is missing", "list of strings", good_has },
  { "no_refusal", "refusal", "true", good_no_refusal },
  { "no_loop", "repeats itself", "number", good_no_loop },
  { "same_script", "another language", "true", good_same_script },
  { NULL, NULL, NULL, NULL },
};

/* SPDX-License-Identifier: Apache-2.0
 * Token masks of regular expressions and choices against brute force: every text over a small alphabet is matched by PCRE2, and
 * a token must be allowed after a beginning exactly when beginning and token together begin some text that matches. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include "check.h"
#include "constrain.h"
#include "rng.h"

#define UNITS 6
static const char *const unit[UNITS] = {"a", "b", "c", "1", "\n", "\xC3\xA9"};
/* single bytes of the alphabet, then longer tokens: across borders, half characters, a duplicate */
static const char *const token_text[] = {"a", "b", "c", "1", "\n", "\xC3", "\xA9", "ab", "ba", "bc", "abc", "aa", "aaa", "a\xC3", ("\xA9" "b"), "\xC3\xA9",
                                         "\xC3\xA9\xC3", "1a", "11", "b1", "cc", "ccc", "a\n", "ab", "abab", "bca"};
#define TOKENS (sizeof token_text / sizeof *token_text)
enum { LONG = 7, SHORT = 4, WITH_TOKEN = 5 }; /* two more characters end every text of these patterns */

struct text { char p[LONG * 2 + 1]; size_t n; };
static struct text *prefix;
static size_t n_prefix;

static int by_text(const void *a, const void *b) {
  const struct text *x = a, *y = b;
  size_t n = x->n < y->n ? x->n : y->n;
  int c = memcmp(x->p, y->p, n);
  return c ? c : x->n < y->n ? -1 : x->n > y->n;
}
static int is_prefix(struct text t) { return bsearch(&t, prefix, n_prefix, sizeof t, by_text) != NULL; }

static int full_match(pcre2_code *re, pcre2_match_data *md, const char *p, size_t n) {
  return pcre2_match(re, (PCRE2_SPTR)p, n, 0, 0, md, NULL) >= 0;
}

/* All beginnings of matching texts of up to LONG characters, sorted. */
static void brute(pcre2_code *re, pcre2_match_data *md) {
  size_t total = 1, cap = 0;
  for (int i = 0; i < LONG; i++) total = total * UNITS + 1;
  n_prefix = 0;
  for (int len = 0; len <= LONG; len++) {
    size_t count = 1;
    for (int i = 0; i < len; i++) count *= UNITS;
    for (size_t k = 0; k < count; k++) {
      struct text t = {.n = 0};
      size_t x = k;
      for (int i = 0; i < len; i++, x /= UNITS) {
        size_t n = strlen(unit[x % UNITS]);
        memcpy(t.p + t.n, unit[x % UNITS], n);
        t.n += n;
      }
      if (!full_match(re, md, t.p, t.n)) continue;
      for (size_t n = 0; n <= t.n; n++) {
        if (n_prefix == cap) {
          cap = cap ? cap * 2 : 4096;
          prefix = mem_realloc(prefix, cap * sizeof *prefix);
          assert_non_null(prefix);
        }
        prefix[n_prefix] = (struct text){.n = n};
        memcpy(prefix[n_prefix++].p, t.p, n);
      }
    }
  }
  if (n_prefix) qsort(prefix, n_prefix, sizeof *prefix, by_text);
  size_t m = 0;
  for (size_t i = 0; i < n_prefix; i++) {
    if (m == 0 || by_text(&prefix[m - 1], &prefix[i])) prefix[m++] = prefix[i];
  }
  n_prefix = m;
}

static struct trie *make_trie(void) {
  static struct span s[TOKENS];
  struct trie *t = NULL;
  for (size_t i = 0; i < TOKENS; i++) s[i] = (struct span){token_text[i], strlen(token_text[i])};
  OK(trie_from_texts(s, (int32_t)TOKENS, &t, e));
  return t;
}

static size_t n_checked;

/* Every beginning of up to SHORT characters, made of single bytes; then each token. */
static void compare(const char *pattern, struct constraint *c, pcre2_code *re, pcre2_match_data *md) {
  for (size_t i = 0; i < n_prefix; i++) {
    struct matcher *m = NULL;
    const uint64_t *bits;
    int end, over;
    if (prefix[i].n > SHORT) continue;
    OK(matcher_new(c, &m, e));
    for (size_t k = 0; k < prefix[i].n; k++) {
      int32_t id = 0;
      while (token_text[id][0] != prefix[i].p[k] || token_text[id][1]) id++;
      OK(matcher_take(m, &id, 0, &over, e));
    }
    OK(matcher_allowed(m, &bits, &end, e));
    if (end != full_match(re, md, prefix[i].p, prefix[i].n)) fail_msg("%s: after '%.*s': may end %d", pattern, (int)prefix[i].n, prefix[i].p, end);
    for (size_t k = 0; k < TOKENS; k++) {
      struct text t = prefix[i];
      size_t n = strlen(token_text[k]);
      memcpy(t.p + t.n, token_text[k], n);
      t.n += n;
      if (t.n > WITH_TOKEN) continue;
      int want = is_prefix(t), found = (int)(bits[k >> 6] >> (k & 63) & 1);
      if (want != found) fail_msg("%s: after '%.*s' token '%s': found %d, expected %d", pattern, (int)prefix[i].n, prefix[i].p, token_text[k], found, want);
      n_checked++;
    }
    matcher_free(m);
  }
}

static pcre2_code *pcre(const char *pattern) {
  int number;
  PCRE2_SIZE at;
  pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, strlen(pattern), PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY,
                                 &number, &at, NULL);
  if (!re) fail_msg("PCRE2 refuses %s", pattern);
  return re;
}

static void masks_are_exact(void **state) {
  static const char *const patterns[] = {
    "", "a", "ab|ac", "(ab)*", "(ab)+", "a?b?c?", "a{2}", "a{1,3}", "a{2,}", "(a|b){3}", "[ab]{2,4}c", "(ab|a)(bc|c)", "[^a]*", "[^ab1\\n]{0,2}", ".", ".*", ".{2}", "\\d+",
    "\\D*", "\\w{1,2}", "\\s?a", "\\S+", "(a{1,2}b){1,2}", "(a*)*", "(a*){2,3}b", "(a?){3}", "(?:ab|ba)+1?", "(?<n>a)b", "^ab$", "^a|b$", "\\x61\\x{62}", "\\x{e9}+", "\xC3\xA9?a",
    ("[\xC3\xA9" "b]{2}"), "[a-c]1", "[\\d\\n]+", "[^\\W1]{2}", "a{0}b", "a{0,2}b{0,2}", "((a|b)?c){0,2}", "a+?b", "(a|ab|abc)(c|bc)?", "\\p{L}+", "\\p{Lu}*|1", "\\PL{1,2}", "[\\p{N}a]+",
    "a|", "(|a)b", "(a{2}|b){2}", "(a{0,2}){0,2}", "([ab]{1,2}c?){1,2}", "a{,3}|a", "a{x", "b{1", "((((a))))", "[]a]", "[a^-]+", "[\\x{80}-\\x{10FFFF}]", "(a+b+)+", "(1|11|111)a",
  };
  struct trie *trie = make_trie();
  (void)state;
  for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
    struct constraint *c = NULL;
    struct form f = {FORM_REGEX, {patterns[i], strlen(patterns[i])}};
    struct err e = {0};
    if (strcmp(patterns[i], "a{,3}|a") == 0) continue; /* a plain brace in PCRE2 10.42, a repetition from 10.43 on: braces are outside the alphabet anyway */
    pcre2_code *re = pcre(patterns[i]);
    pcre2_match_data *md = pcre2_match_data_create(1, NULL);
    brute(re, md);
    enum status st = constraint_new(trie, &f, &c, &e);
    if (n_prefix == 0) {
      if (st != STATUS_DATA) fail_msg("%s: nothing matches it, found status %d", patterns[i], st);
    } else {
      if (st != STATUS_OK) fail_msg("%s: %s", patterns[i], e.msg);
      compare(patterns[i], c, re, md);
    }
    constraint_free(c);
    pcre2_match_data_free(md);
    pcre2_code_free(re);
  }
  trie_free(trie);
  mem_free(prefix);
  print_message("%zu mask bits checked\n", n_checked);
  assert_true(n_checked > 15000);
}

static void refused(void **state) {
  static const char *const rows[][2] = {
    {"a(?=b)", "looking around"}, {"a(?<!b)", "looking around"}, {"(?i)a", "option"}, {"(a)\\1", "a reference to a group"}, {"a++", "possessive"}, {"\\ba", "an escape outside the subset"},
    {"a**", "two repetitions"}, {"*a", "nothing before it"}, {"(a", "a ( without its )"}, {"a)", "a ) without its ("}, {"[a", "a [ without its ]"}, {"a{3,2}", "wrong order"},
    {"a{20000}", "more than 10000"}, {"a^b", "^ and $ can only stand"}, {"(^a)", "^ and $ can only stand"}, {"a\\", "nothing behind it"}, {"[[:alpha:]]", "a named class"},
    {"\\p{Foo}", "general categories"}, {"[b-a]", "the lower one first"}, {"(*FAIL)", "VERB"}, {"\\x{110000}", "hexadecimal"}, {"\\u0061", "written as"}, {"\xFF", "invalid UTF-8"}};
  struct trie *trie = make_trie();
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct constraint *c = NULL;
    struct form f = {FORM_REGEX, {rows[i][0], strlen(rows[i][0])}};
    FAILS(STATUS_USAGE, rows[i][1], constraint_new(trie, &f, &c, e));
    assert_null(c);
  }
  struct constraint *c = NULL;
  struct form f = {FORM_REGEX, {"z+", 2}}; /* no token has a z */
  FAILS(STATUS_DATA, "bytes that the vocabulary lacks", constraint_new(trie, &f, &c, e));
  trie_free(trie);
}

static void choices(void **state) {
  struct trie *trie = make_trie();
  struct constraint *c = NULL;
  struct matcher *m = NULL;
  const uint64_t *bits;
  int end, over;
  (void)state;
  struct form f = {FORM_CHOICES, {"[\"ab\",\"abc\",\"\\u00e9\"]", 21}};
  OK(constraint_new(trie, &f, &c, e));
  OK(matcher_new(c, &m, e));
  OK(matcher_allowed(m, &bits, &end, e));
  for (size_t k = 0; k < TOKENS; k++) {
    const char *t = token_text[k];
    int want = !strcmp(t, "a") || !strcmp(t, "ab") || !strcmp(t, "abc") || !strcmp(t, "\xC3") || !strcmp(t, "\xC3\xA9");
    assert_int_equal(bits[0] >> k & 1, want);
  }
  assert_int_equal(end, 0);
  int32_t id = 7; /* ab */
  OK(matcher_take(m, &id, 0, &over, e));
  assert_int_equal(over, 0);
  OK(matcher_allowed(m, &bits, &end, e));
  assert_int_equal(end, 1);
  assert_int_equal(bits[0], 1 << 2);
  id = 2; /* c */
  OK(matcher_take(m, &id, 0, &over, e));
  assert_int_equal(over, 1);
  matcher_free(m);
  constraint_free(c);
  f.text = (struct span){"[]", 2};
  FAILS(STATUS_USAGE, "at least one string", constraint_new(trie, &f, &c, e));
  f.text = (struct span){"[1]", 3};
  FAILS(STATUS_USAGE, "number 1 is not a string", constraint_new(trie, &f, &c, e));
  trie_free(trie);
}

/* With so many tokens left the answer always ends in time: random walks, every budget that fits the shortest text. */
static void closes_in_time(void **state) {
  static const struct { const char *pattern; int least; } rows[] = {{"a*", 0}, {"(ab|cc)*1", 1}, {"a{3,9}b+1", 3}, {"((a|b)c){2,5}", 3}, {".*\xC3\xA9", 1}, {"abab(abab)*", 1}};
  struct trie *trie = make_trie();
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct constraint *c = NULL;
    struct form f = {FORM_REGEX, {rows[i].pattern, strlen(rows[i].pattern)}};
    pcre2_code *re = pcre(rows[i].pattern);
    pcre2_match_data *md = pcre2_match_data_create(1, NULL);
    OK(constraint_new(trie, &f, &c, e));
    struct rng r = {7, i, 0};
    for (int round = 0; round < 300; round++) {
      int64_t budget = rows[i].least + 1 + round % 9, left = budget;
      struct matcher *m = NULL;
      struct buf text = {0};
      int over = 0;
      OK(matcher_new(c, &m, e));
      while (left > 0 && !over) {
        const uint64_t *bits;
        int end;
        int32_t some[TOKENS], n = 0;
        OK(matcher_allowed(m, &bits, &end, e));
        for (int32_t k = 0; k < (int32_t)TOKENS; k++) {
          if (bits[k >> 6] >> (k & 63) & 1) some[n++] = k;
        }
        if (end && (n == 0 || rng_below(&r, 8) == 0)) break;
        assert_true(n > 0);
        int32_t id = some[rng_below(&r, (uint64_t)n)];
        OK(matcher_take(m, &id, left, &over, e));
        if (over == 2) break;
        OK(buf_puts(&text, token_text[id], e));
        left--;
      }
      if (!full_match(re, md, text.p ? text.p : "", text.n)) fail_msg("%s with %d tokens: '%s'", rows[i].pattern, (int)budget, text.p);
      buf_free(&text);
      matcher_free(m);
      if (round % 50 == 0) { /* forgetting changes nothing */
        constraint_set_bytes(c, 1);
        OK(constraint_breathe(c, e));
      }
    }
    constraint_free(c);
    pcre2_match_data_free(md);
    pcre2_code_free(re);
  }
  trie_free(trie);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(masks_are_exact), cmocka_unit_test(refused), cmocka_unit_test(choices), cmocka_unit_test(closes_in_time)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

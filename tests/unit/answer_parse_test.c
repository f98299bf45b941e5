/* SPDX-License-Identifier: Apache-2.0
 * Taking answers apart: outputs as models write them, sorted by hand; doubtful ones must give nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "answer_parse.h"
#include "similar.h"

static struct span sp(const char *s)
{
  return (struct span){ s, strlen(s) };
}

static void text_is(const char *what, struct span got, const char *want)
{
  if (got.n != strlen(want) || memcmp(got.p ? got.p : "", want, got.n) != 0) {
    fail_msg("'%s' gave '%.*s', expected '%s'", what, (int)got.n, got.p ? got.p : "", want);
  }
}

static void scores(void **state)
{
  (void)state;
  static const struct { const char *text; double want; } rows[] = { /* -1: unclear */
    { "Score: 7", 7 }, { "7/10", 7 }, { "[[8]]", 8 }, { "Rating: **9** out of 10", 9 }, { "**Score:** 4", 4 }, { "The answer is fine. Score: 6.5", 6.5 },
    { "I would give it 3 out of 10.", 3 }, { "10", 10 }, { "It has 2 errors and 3 gaps. [[5]]", 5 }, { "score = 1", 1 }, { "Grade: 8 / 10 because 2 facts are wrong", 8 },
    { "The score is 7", 7 }, { "Score: 7\nScore: 7/10", 7 },
    { "", -1 }, { "good", -1 }, { "Score: 11", -1 }, { "0", -1 }, { "-3", -1 }, { "Score: 3 Score: 7", -1 }, { "between 6 and 8", -1 }, { "[[2]] or [[3]]", -1 },
    { "Score: seven", -1 }, { "v7", -1 }, { "1000", -1 }, { "12/10", -1 },
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    double v = -1;
    int ok = answer_number(sp(rows[i].text), 1, 10, &v);
    if (ok != (rows[i].want > 0) || (ok && (v < rows[i].want || v > rows[i].want))) {
      fail_msg("'%s' gave %d %g, expected %g", rows[i].text, ok, v, rows[i].want);
    }
  }
}

static void verdicts(void **state)
{
  (void)state;
  static const struct { const char *text; int want; } rows[] = {
    { "[[A]]", 'A' }, { "[[B]]", 'B' }, { "[[tie]]", 'T' }, { "A", 'A' }, { "**B**", 'B' }, { "Verdict: A", 'A' }, { "Answer B is better.", 'B' }, { "Tie.", 'T' },
    { "Both cite the rule, but the first is wrong about the date.\n[[B]]", 'B' }, { "Better answer: A\nBecause it is short.", 'A' }, { "[[C]]", 'T' },
    { "Answer A names the licence.\nAnswer B does not.\n\nA", 'A' }, { "Winner: tie", 'T' }, { "[[Answer A]]", 'A' },
    { "", 0 }, { "I cannot decide", 0 }, { "[[A]] and [[B]]", 0 }, { "A\nno wait\nB", 0 }, { "Apples", 0 }, { "The first one", 0 }, { "Verdict: A\nVerdict: B", 0 },
    { "Answer A is good and Answer B is good", 0 }, { "D", 0 }, { "Verdict: unclear", 0 }, { "A or B", 0 },
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    int v = answer_verdict(sp(rows[i].text));
    if (v != rows[i].want) {
      fail_msg("'%s' gave %d, expected %d", rows[i].text, v, rows[i].want);
    }
  }
}

static void choices(void **state)
{
  (void)state;
  const struct span set[] = { sp("positive"), sp("negative"), sp("very negative"), sp("not sure") };
  static const struct { const char *text; int want; } rows[] = {
    { "positive", 0 }, { "Positive.", 0 }, { "**negative**", 1 }, { "Label: very negative", 2 }, { "The text is very negative.", 2 }, { "Answer: not sure", 3 },
    { "I think the sentiment is positive here", 0 }, { "\"negative\"", 1 }, { "very negative\nbecause it complains", 2 }, { "1. positive", 0 }, { "[negative]", 1 },
    { "", -1 }, { "neutral", -1 }, { "positive or negative", -1 }, { "positively charged", -1 }, { "both positive and not sure", -1 }, { "none", -1 }, { "negatives", -1 },
    { "It is either very negative or positive", -1 }, { "very", -1 }, { "sure", -1 }, { "nonnegative", -1 },
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    int k = answer_choice(sp(rows[i].text), set, 4);
    if (k != rows[i].want) {
      fail_msg("'%s' gave %d, expected %d", rows[i].text, k, rows[i].want);
    }
  }
}

static void rankings(void **state)
{
  (void)state;
  static const struct { const char *text; int ok; size_t order[3]; } rows[] = {
    { "[2] > [1] > [3]", 1, { 1, 0, 2 } }, { "2, 1, 3", 1, { 1, 0, 2 } }, { "3>2>1", 1, { 2, 1, 0 } }, { "1\n3\n2", 1, { 0, 2, 1 } }, { "Ranking: [1] > [2] > [3].", 1, { 0, 1, 2 } },
    { "[3], [1], [2]", 1, { 2, 0, 1 } }, { "2 1 3", 1, { 1, 0, 2 } }, { "(1) (2) (3)", 1, { 0, 1, 2 } }, { "first 3, then 1, then 2", 1, { 2, 0, 1 } }, { "[2] > [3] > [1]\n", 1, { 1, 2, 0 } },
    { "", 0, { 0 } }, { "[1] > [2]", 0, { 0 } }, { "[1] > [1] > [2]", 0, { 0 } }, { "[1] > [2] > [4]", 0, { 0 } }, { "[0] > [1] > [2]", 0, { 0 } }, { "1.5 2 3", 0, { 0 } },
    { "[1] > [2] > [3] > [1]", 0, { 0 } }, { "one two three", 0, { 0 } }, { "1,2,3,4", 0, { 0 } }, { "I rank 3 of them: 1 2 3", 0, { 0 } },
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    size_t order[3] = { 9, 9, 9 };
    int ok = answer_ranking(sp(rows[i].text), 3, order);
    if (ok != rows[i].ok || (ok && memcmp(order, rows[i].order, sizeof order) != 0)) {
      fail_msg("'%s' gave %d (%zu %zu %zu)", rows[i].text, ok, order[0], order[1], order[2]);
    }
  }
}

static void finals(void **state)
{
  (void)state;
  static const struct { const char *text, *reasoning, *answer; } rows[] = {
    { "Two and two.\nAnswer: 4", "Two and two.", "4" }, { "Steps.\n**Answer:** 12 km", "Steps.", "12 km" }, { "So the answer is 7.", "So", "7." },
    { "a\nFinal answer: Paris\n", "a", "Paris" }, { "x = 3\n#### 3", "x = 3", "3" }, { "Then \\boxed{\\frac{1}{2}}", "", "\\frac{1}{2}" },
    { "Answer: no\nBecause.\nAnswer: yes", "Answer: no\nBecause.", "yes" }, { "r\nAnswer:\nblue", "r", "blue" }, { "First.\n\nanswer: B", "First.", "B" },
    { "We add.\nThen \\boxed{42}.", "We add.", "42" }, { "why\n**Final Answer: 5**", "why", "5" },
    { "", NULL, NULL }, { "4", NULL, NULL }, { "Answer:", NULL, NULL }, { "The answer may be 4", NULL, NULL }, { "no answer", NULL, NULL }, { "Question: 4?", NULL, NULL },
    { "My answers: 4", NULL, NULL }, { "\\boxed{4", NULL, NULL }, { "Answer:\n\n", NULL, NULL }, { "we answer: in the middle", NULL, NULL },
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct span r = { NULL, 0 }, a = { NULL, 0 };
    int ok = answer_final(sp(rows[i].text), &r, &a);
    if (ok != (rows[i].answer != NULL)) {
      fail_msg("'%s' gave %d '%.*s'", rows[i].text, ok, (int)a.n, a.p ? a.p : "");
    }
    if (ok) {
      text_is(rows[i].text, r, rows[i].reasoning);
      text_is(rows[i].text, a, rows[i].answer);
    }
  }
}

static void parts(void **state)
{
  (void)state;
  static const char *const names[] = { "Critique", "Revision" };
  struct span lang = { NULL, 0 };
  text_is("code", answer_code(sp("Here:\n```python\nprint(1)\n```\nDone."), &lang), "print(1)");
  text_is("lang", lang, "python");
  text_is("bare", answer_code(sp("```\nx\ny\n```"), &lang), "x\ny");
  assert_null(answer_code(sp("```python\nprint(1)\n"), &lang).p);
  assert_null(answer_code(sp("no code"), &lang).p);
  assert_null(answer_code(sp("```\n\n```"), &lang).p);
  text_is("json", answer_json(sp("Sure: {\"a\": \"}\", \"b\": [1]} ok")), "{\"a\": \"}\", \"b\": [1]}");
  text_is("array", answer_json(sp("```json\n[{\"x\":1}]\n```")), "[{\"x\":1}]");
  text_is("second", answer_json(sp("{not json} {\"a\":1}")), "{\"a\":1}");
  assert_null(answer_json(sp("{\"a\":1")).p);
  assert_null(answer_json(sp("{'a': 1}")).p);
  text_is("tag", answer_tag(sp("<think>no</think><answer> 5 </answer>"), "answer"), "5");
  assert_null(answer_tag(sp("<answer>5"), "answer").p);
  text_is("s1", answer_section(sp("**Critique:** too long.\nIndeed.\n**Revision:** short"), "Critique", names, 2), "too long.\nIndeed.");
  text_is("s2", answer_section(sp("## Critique\nbad\n\n## Revision\ngood\nbetter"), "Revision", names, 2), "good\nbetter");
  assert_null(answer_section(sp("Critique of reason"), "Critique", names, 2).p);
  assert_null(answer_section(sp("Revision:\n\nCritique: x"), "Revision", names, 2).p);
}

static void equal(void **state)
{
  (void)state;
  static const struct { const char *a, *b; int want; } rows[] = {
    { "4", "4.0", 1 }, { "1,250", "1250", 1 }, { "$5", "5", 1 }, { "12%", "12", 1 }, { "Paris", "paris.", 1 }, { "the blue car", "Blue car", 1 }, { "-3", "-3.00", 1 },
    { "**7**", "7", 1 }, { "A", "a", 1 }, { "\xe2\x82\xac 10", "10", 1 }, { "yes, always", "Yes always", 1 },
    { "4", "5", 0 }, { "4", "four", 0 }, { "Paris", "Rome", 0 }, { "blue car", "car blue", 0 }, { "12 km", "12", 0 }, { "", "", 0 }, { "x", "", 0 }, { "0.1", "0.11", 0 },
    { "yes", "yes no", 0 }, { "-3", "3", 0 }, { "1.5.2", "1.5", 0 },
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if (answer_equal(sp(rows[i].a), sp(rows[i].b)) != rows[i].want || answer_equal(sp(rows[i].b), sp(rows[i].a)) != rows[i].want) {
      fail_msg("'%s' and '%s': expected %d", rows[i].a, rows[i].b, rows[i].want);
    }
  }
}

static void balanced(void **state)
{
  (void)state;
  static const char *const good[] = { "f(a[1], {2: 3})", "s = \")\"", "x = 'it\\'s'", "# :( comment\ny", "\"\"\"doc (\n\"\"\"\nf()", "/* ( */ int x;", "// {\nint f(void) { return 0; }",
                                      "it = don_t[0]", "`a ${b}`", "" };
  static const char *const bad[] = { "f(", "f)", "[1, 2", "{(})", "s = \"open\nnext", "'''open", "/* open", "((a)", "x = 'a", "`a" };
  for (size_t i = 0; i < 10; i++) {
    if (!answer_balanced(sp(good[i]))) {
      fail_msg("'%s' is balanced", good[i]);
    }
    if (answer_balanced(sp(bad[i]))) {
      fail_msg("'%s' is not balanced", bad[i]);
    }
  }
}

static void asks_again(void **state)
{
  (void)state;
  struct buf b = { 0 };
  assert_int_equal(message_again(sp("[{\"role\":\"user\",\"content\":\"q\"}]"), sp("x\"y"), "too short", &b, NULL), STATUS_OK);
  text_is("again", (struct span){ b.p, b.n }, "[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"x\\\"y\"},{\"role\":\"user\",\"content\":"
          "\"That answer was not accepted: too short. Answer again, only in the form that was asked for.\"}]");
  buf_free(&b);
}

/* Values from the formula in Python: idf = ln(1 + (N - df + 0.5) / (df + 0.5)), k1 1.2, b 0.75. */
static void similarity(void **state)
{
  (void)state;
  struct arena *a = arena_new(0);
  struct bm25 *b = bm25_new();
  struct bm25_hit *hit;
  size_t n;
  double f1;
  static const char *const docs[] = { "the cat sat on the mat", "the dog barked", "a cat and a dog met the cat", "copyright notice" };
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(bm25_add(b, sp(docs[i]), NULL), STATUS_OK);
  }
  assert_int_equal(bm25_top(b, sp("Cat dog!"), 10, a, &hit, &n, NULL), STATUS_OK);
  assert_int_equal(n, 3);
  assert_int_equal(hit[0].n, 2);
  assert_int_equal(hit[1].n, 1);
  assert_int_equal(hit[2].n, 0);
  /* N 4, mean 4.75; cat and dog: df 2, idf ln 2. doc 2 (8 words): norm 1.2 (0.25 + 0.75 * 8 / 4.75) */
  assert_true(hit[0].score > 1.340831 && hit[0].score < 1.340833);
  assert_true(hit[1].score > 0.816155 && hit[1].score < 0.816157 && hit[2].score > 0.625778 && hit[2].score < 0.625780);
  assert_int_equal(bm25_top(b, sp("nothing here"), 10, a, &hit, &n, NULL), STATUS_OK);
  assert_int_equal(n, 0);
  /* police killed the gunman / police kill the gunman: LCS 3 of 4 words each (Lin 2004): 0.75; "the gunman kill police": 0.5 */
  assert_int_equal(rouge_l(sp("police killed the gunman"), sp("police kill the gunman"), a, &f1, NULL), STATUS_OK);
  assert_true(f1 > 0.7499 && f1 < 0.7501);
  assert_int_equal(rouge_l(sp("police killed the gunman"), sp("the gunman kill police"), a, &f1, NULL), STATUS_OK);
  assert_true(f1 > 0.4999 && f1 < 0.5001);
  assert_int_equal(rouge_l(sp(""), sp("x"), a, &f1, NULL), STATUS_OK);
  assert_true(f1 <= 0);
  bm25_free(b);
  arena_free(a);
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(scores), cmocka_unit_test(verdicts), cmocka_unit_test(choices), cmocka_unit_test(rankings), cmocka_unit_test(finals),
                                      cmocka_unit_test(parts), cmocka_unit_test(equal), cmocka_unit_test(balanced), cmocka_unit_test(asks_again), cmocka_unit_test(similarity) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

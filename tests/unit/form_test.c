/* SPDX-License-Identifier: Apache-2.0
 * The form of an answer: what fits, what the message says, what a journal gets. */
#include "check.h"
#include "form.h"

static struct span text(const char *s) { return (struct span){ s, strlen(s) }; }
static struct form form(enum form_kind k, const char *s) { return (struct form){ k, text(s) }; }

static void choices(void **state) {
  (void)state;
  struct form f = form(FORM_CHOICES, "[\"yes\",\"no\",\"not \\u00e9\"]");
  OK(form_check(&f, text("yes"), e));
  OK(form_check(&f, text("not \xC3\xA9"), e));
  FAILS(STATUS_DATA, "the answer 'Yes' is none of the 3 choices", form_check(&f, text("Yes"), e));
  FAILS(STATUS_DATA, "the answer '' is none", form_check(&f, text(""), e));
  FAILS(STATUS_DATA, "none", form_check(&f, text("yes "), e));
  f = form(FORM_CHOICES, "[]");
  FAILS(STATUS_USAGE, "at least one", form_check(&f, text("yes"), e));
}

static void regex(void **state) {
  (void)state;
  struct form f = form(FORM_REGEX, "\\d{4}-(0[1-9]|1[0-2])");
  OK(form_check(&f, text("2024-12"), e));
  FAILS(STATUS_DATA, "the answer '2024-13' does not match", form_check(&f, text("2024-13"), e));
  FAILS(STATUS_DATA, "does not match", form_check(&f, text("2024-12\n"), e));
  FAILS(STATUS_DATA, "does not match", form_check(&f, text("x2024-12"), e));
  f = form(FORM_REGEX, "a(");
  FAILS(STATUS_USAGE, "'a(': missing closing parenthesis at byte 2", form_check(&f, text("a"), e));
}

static void schema(void **state) {
  (void)state;
  struct form f = form(FORM_SCHEMA, "{\"type\":\"object\",\"required\":[\"a\"]}");
  OK(form_check(&f, text(" {\"a\":1} "), e));
  FAILS(STATUS_DATA, "expected the member 'a'", form_check(&f, text("{}"), e));
  FAILS(STATUS_DATA, "not valid JSON", form_check(&f, text("{\"a\":1"), e));
  f = form(FORM_SCHEMA, "{\"type\":\"int\"}");
  FAILS(STATUS_USAGE, "#/type", form_check(&f, text("1"), e));
}

static void journal(void **state) {
  (void)state;
  struct buf b = { 0 };
  struct form none = { 0 }, re = form(FORM_REGEX, "\"\\d"), sc = form(FORM_SCHEMA, "{\"type\":\"null\"}");
  OK(form_put(&none, &b, e));
  assert_int_equal(b.n, 0);
  OK(form_put(&re, &b, e));
  assert_string_equal(b.p, ",\"form\":{\"regex\":\"\\\"\\\\d\"}");
  buf_clear(&b);
  OK(form_put(&sc, &b, e));
  assert_string_equal(b.p, ",\"form\":{\"schema\":{\"type\":\"null\"}}");
  buf_free(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(choices), cmocka_unit_test(regex), cmocka_unit_test(schema), cmocka_unit_test(journal) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

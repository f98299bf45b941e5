/* SPDX-License-Identifier: Apache-2.0
 * JSON Schema: messages, what is refused, limits, what differs from jsonschema on purpose. The verdicts themselves are
 * compared with Python's jsonschema in tests/golden/schema_golden_test.c. */
#include "check.h"
#include "schema.h"

static struct schema *open_ok(const char *text) {
  struct schema *s = NULL;
  struct err e = { 0 };
  if (schema_open((struct span){ text, strlen(text) }, "s.json", &s, &e) != STATUS_OK) fail_msg("%s: %s", text, e.msg);
  return s;
}

static void says(const char *schema, const char *value, enum status want, const char *message) {
  struct schema *s = open_ok(schema);
  struct err e = { 0 };
  enum status st = schema_check_text(s, (struct span){ value, strlen(value) }, "answer", &e);
  if (st != want || strcmp(e.msg, message) != 0) fail_msg("%s on %s: found %d '%s', expected %d '%s'", schema, value, st, e.msg, want, message);
  schema_close(s);
}

static void messages(void **state) {
  (void)state;
  says("{\"properties\":{\"items\":{\"items\":{\"properties\":{\"age\":{\"type\":\"integer\"}}}}}}", "{\"items\":[{},{},{},{\"age\":\"twelve\"}]}", STATUS_DATA,
       "'/items/3/age': found \"twelve\", expected integer");
  says("{\"type\":\"object\",\"required\":[\"q\"]}", "{}", STATUS_DATA, "'': found no such member, expected the member 'q'");
  says("{\"type\":\"object\"}", "[1,2]", STATUS_DATA, "'': found array of 2, expected object");
  says("{\"properties\":{\"a/b~\":{\"enum\":[\"x\",2]}}}", "{\"a/b~\":3}", STATUS_DATA, "'/a~1b~0': found 3, expected one of \"x\", 2");
  says("{\"properties\":{},\"additionalProperties\":false}", "{\"z\":null}", STATUS_DATA, "'/z': found null, expected no member of this name (schema #)");
  says("{\"type\":[\"number\",\"null\"]}", "\"x\"", STATUS_DATA, "'': found \"x\", expected number or null");
  says("{\"minimum\":3}", "2.5", STATUS_DATA, "'': found 2.5, expected a number at least 3");
  says("{\"pattern\":\"^a+$\"}", "\"ab\"", STATUS_DATA, "'': found \"ab\", expected a string that matches '^a+$'");
  says("{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}", "5", STATUS_DATA, "'': found 5, expected string or null");
  says("{\"anyOf\":[{\"type\":\"string\"},{\"properties\":{\"a\":{\"type\":\"null\"}}}]}", "{\"a\":1}", STATUS_DATA, "'/a': found 1, expected null");
  says("{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}", "5", STATUS_DATA, "'': found 5, expected exactly one of the alternatives of #/oneOf, and several fit");
  says("{\"uniqueItems\":true}", "[1,2,1.0]", STATUS_DATA, "'/2': found 1.0, expected an item that differs from all others (item 0 is the same)");
  says("{\"maxLength\":2}", "\"\xC3\xA9\xC3\xA9\xC3\xA9\"", STATUS_DATA, "'': found \"\xC3\xA9\xC3\xA9\xC3\xA9\", expected a string of at most 2 characters");
  says("{}", "{\"a\":", STATUS_DATA, "'answer': not valid JSON at byte 5 (line 1): unexpected token near end of file");
  says("{\"const\":7}", "\"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"", STATUS_DATA,
       "'': found \"0123456789012345678901234567890123456789012345678901234567890123456789012345678..., expected 7");
}

static void refused(void **state) {
  static const char *const rows[][2] = {
    { "{\"patternProperties\":{}}", "'s.json': schema keyword '#/patternProperties' is outside the subset" },
    { "{\"properties\":{\"a\":{\"if\":true}}}", "'s.json': schema keyword '#/properties/a/if' is outside the subset" },
    { "{\"reqired\":[]}", "'s.json': schema keyword '#/reqired' is not known" },
    { "{\"type\":\"int\"}", "'s.json': schema keyword '#/type': found int, expected null, boolean" },
    { "{\"type\":[]}", "found an empty array" },
    { "{\"items\":[true]}", "prefixItems" },
    { "{\"exclusiveMinimum\":true}", "'#/exclusiveMinimum': found true, expected a number" },
    { "{\"minLength\":-1}", "found a negative number" },
    { "{\"minLength\":1.5}", "expected a whole number" },
    { "{\"multipleOf\":0}", "above 0" },
    { "{\"pattern\":\"a(\"}", "'#/pattern': 'a(': missing closing parenthesis at byte 2" },
    { "{\"$ref\":\"#/$defs/none\"}", "leads nowhere" },
    { "{\"$ref\":\"other.json\"}", "leads nowhere" },
    { "{\"$ref\":\"#\"}", "refers to itself" },
    { "{\"$defs\":{\"a\":{\"anyOf\":[{\"$ref\":\"#/$defs/b\"}]},\"b\":{\"not\":{\"$ref\":\"#/$defs/a\"}}}}", "refers to itself" },
    { "{\"anyOf\":[]}", "at least one schema" },
    { "{\"properties\":{\"a\":1}}", "schema '#/properties/a': found a number" },
    { "[]", "schema '#': found an array" },
    { "{", "not valid JSON" },
    { "{\"properties\":{\"a\":{\"$id\":\"x\"}}}", "outside the subset" },
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct schema *s = NULL;
    struct err e = { 0 };
    assert_int_equal(schema_open((struct span){ rows[i][0], strlen(rows[i][0]) }, "s.json", &s, &e), STATUS_DATA);
    assert_null(s);
    if (!strstr(e.msg, rows[i][1])) fail_msg("%s: found '%s', expected '%s'", rows[i][0], e.msg, rows[i][1]);
  }
}

static void decimal_multiples(void **state) {
  (void)state;
  says("{\"multipleOf\":0.01}", "19.99", STATUS_OK, "");
  says("{\"multipleOf\":0.1}", "0.3", STATUS_OK, "");
  says("{\"multipleOf\":0.01}", "19.995", STATUS_DATA, "'': found 19.995, expected a number a multiple of 0.01");
  says("{\"multipleOf\":1}", "10000000000.5", STATUS_DATA, "'': found 10000000000.5, expected a number a multiple of 1");
}

/* ECMA-262: \d is 0 to 9, $ is the end and not before a last newline. */
static void patterns_of_ecma(void **state) {
  (void)state;
  says("{\"pattern\":\"^\\\\d$\"}", "\"\xD9\xA3\"", STATUS_DATA, "'': found \"\xD9\xA3\", expected a string that matches '^\\d$'");
  says("{\"pattern\":\"^a$\"}", "\"a\\n\"", STATUS_DATA, "'': found \"a\\n\", expected a string that matches '^a$'");
  says("{\"pattern\":\"^\\\\u0041$\"}", "\"A\"", STATUS_OK, "");
}

static char *repeat(const char *head, const char *part, int n, const char *tail) {
  struct buf b = { 0 };
  assert_int_equal(buf_puts(&b, head, NULL), STATUS_OK);
  for (int i = 0; i < n; i++) assert_int_equal(buf_puts(&b, part, NULL), STATUS_OK);
  assert_int_equal(buf_puts(&b, tail, NULL), STATUS_OK);
  return b.p;
}

static void limits(void **state) {
  (void)state;
  struct err e = { 0 };
  struct schema *s = open_ok("{\"pattern\":\"^(a+)+$\"}");
  char *text = repeat("\"", "a", 5000, "b\"");
  assert_int_equal(schema_check_text(s, (struct span){ text, strlen(text) }, "v", &e), STATUS_LIMIT);
  assert_non_null(strstr(e.msg, "'^(a+)+$'"));
  mem_free(text);
  schema_close(s);

  s = open_ok("{\"items\":{\"$ref\":\"#\"}}");
  char *deep = repeat("", "[", 200, ""), *tail = repeat(deep, "]", 200, "");
  assert_int_equal(schema_check_text(s, (struct span){ tail, strlen(tail) }, "v", &e), STATUS_OK);
  mem_free(deep);
  mem_free(tail);
  deep = repeat("", "[", 300, "");
  tail = repeat(deep, "]", 300, "");
  assert_int_equal(schema_check_text(s, (struct span){ tail, strlen(tail) }, "v", &e), STATUS_LIMIT);
  mem_free(deep);
  mem_free(tail);
  schema_close(s);

  /* each level doubles the work */
  s = open_ok("{\"$defs\":{\"a\":{\"anyOf\":[{\"items\":{\"$ref\":\"#/$defs/a\"},\"maxItems\":2,\"type\":\"array\"},{\"items\":{\"$ref\":\"#/$defs/a\"},\"maxItems\":1,\"type\":\"array\"}]}},\"$ref\":\"#/$defs/a\"}");
  deep = repeat("", "[", 60, "1");
  tail = repeat(deep, "]", 60, "");
  assert_int_equal(schema_check_text(s, (struct span){ tail, strlen(tail) }, "v", &e), STATUS_LIMIT);
  mem_free(deep);
  mem_free(tail);
  schema_close(s);

  deep = repeat("", "{\"not\":", 300, "{}");
  tail = repeat(deep, "}", 300, "");
  assert_int_equal(schema_open((struct span){ tail, strlen(tail) }, "s", &s, &e), STATUS_LIMIT);
  mem_free(deep);
  mem_free(tail);
}

/* Every allocation that fails is an error of memory, never another verdict. */
static void memory_runs_out(void **state) {
  (void)state;
  const char *schema = "{\"$defs\":{\"n\":{\"type\":\"integer\"}},\"properties\":{\"a\":{\"anyOf\":[{\"$ref\":\"#/$defs/n\"},{\"enum\":[\"x\"]}]}},\"required\":[\"a\"]}";
  const char *value = "{\"a\":\"no\"}";
  for (long n = 1;; n++) {
    struct schema *s = NULL;
    struct err e = { 0 };
    mem_fail_at(n);
    enum status st = schema_open((struct span){ schema, strlen(schema) }, "s", &s, &e);
    if (st == STATUS_OK) st = schema_check_text(s, (struct span){ value, strlen(value) }, "v", &e);
    int hit = mem_failed();
    mem_fail_at(0);
    schema_close(s);
    if (!hit) {
      assert_int_equal(st, STATUS_DATA);
      assert_true(n > 10);
      return;
    }
    if (st != STATUS_NOMEM) fail_msg("allocation %ld failed: found status %d '%s', expected NOMEM", n, st, e.msg);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(messages), cmocka_unit_test(refused), cmocka_unit_test(decimal_multiples),
                                      cmocka_unit_test(patterns_of_ecma), cmocka_unit_test(limits), cmocka_unit_test(memory_runs_out) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

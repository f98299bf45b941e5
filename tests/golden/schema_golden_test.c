/* SPDX-License-Identifier: Apache-2.0
 * core/schema.h against the verdicts of Python's jsonschema (make_schema_cases.py wrote them): every keyword on a set of
 * values, and a thousand random schemas. */
#include "check.h"
#include "file.h"
#include "schema.h"

static size_t n_valid, n_invalid;

static void check_all(const struct schema *s, const struct json *values, int valid, size_t line) {
  for (size_t i = 0; i < json_size(values); i++) {
    struct err e = { 0 };
    enum status st = schema_check(s, json_at(values, i), &e);
    if (st != (valid ? STATUS_OK : STATUS_DATA)) {
      struct buf v = { 0 };
      assert_int_equal(json_put(&v, json_at(values, i), NULL), STATUS_OK);
      fail_msg("line %zu: schema %.*s, value %s: jsonschema says %s, found: %s", line, (int)schema_text(s).n, schema_text(s).p, v.p,
               valid ? "valid" : "invalid", st == STATUS_OK ? "valid" : e.msg);
    }
    if (!valid) assert_non_null(strstr(e.msg, "expected"));
    *(valid ? &n_valid : &n_invalid) += 1;
  }
}

static void agrees_with_jsonschema(void **state) {
  (void)state;
  struct buf b = { 0 };
  struct err e = { 0 };
  size_t line = 0;
  if (file_read(TEST_SOURCE "/tests/golden/data/schema/cases.jsonl", (size_t)16 << 20, &b, &e) != STATUS_OK) fail_msg("%s", e.msg);
  for (char *p = b.p, *end; p < b.p + b.n; p = end + 1) {
    struct json *row = NULL;
    struct schema *s = NULL;
    struct buf text = { 0 };
    end = strchr(p, '\n');
    assert_non_null(end);
    line++;
    if (json_parse((struct span){ p, (size_t)(end - p) }, "case", &row, &e) != STATUS_OK) fail_msg("%s", e.msg);
    assert_int_equal(json_put(&text, json_get(row, "schema"), &e), STATUS_OK);
    if (schema_open((struct span){ text.p, text.n }, "schema", &s, &e) != STATUS_OK) fail_msg("line %zu: %s: %s", line, text.p, e.msg);
    check_all(s, json_get(row, "valid"), 1, line);
    check_all(s, json_get(row, "invalid"), 0, line);
    schema_close(s);
    buf_free(&text);
    json_free(row);
  }
  buf_free(&b);
  assert_true(n_valid > 3000 && n_invalid > 3000);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(agrees_with_jsonschema) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

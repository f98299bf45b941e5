/* SPDX-License-Identifier: Apache-2.0
 * JSON schemas as bounds of tokens. Sound: whatever random walks under the mask write is valid by core/schema.h, for every schema
 * of the jsonschema goldens. Complete: hand-made texts that must be possible, and numbers tried one by one. */
#include <math.h>
#include "check.h"
#include "constrain.h"
#include "file.h"
#include "json.h"
#include "rng.h"
#include "schema.h"

static const char *const more[] = {"\", \"", "\": ", "\": \"", "true", "false", "null", "{\"", "\"}", "[[", "]]", ", ", "ab", "12", "0.", "-1", "\\\"", "\\n", "aaa", "}}", "\"a\": ", "]}"};
#define MORE (sizeof more / sizeof *more)
static char one[256];
static struct span text_of[256 + MORE];
static struct trie *trie;

static int setup(void **state) {
  (void)state;
  for (int i = 0; i < 256; i++) {
    one[i] = (char)i;
    text_of[i] = (struct span){&one[i], 1};
  }
  for (size_t i = 0; i < MORE; i++) text_of[256 + i] = (struct span){more[i], strlen(more[i])};
  OK(trie_from_texts(text_of, (int32_t)(256 + MORE), &trie, e));
  return 0;
}
static int teardown(void **state) {
  (void)state;
  trie_free(trie);
  return 0;
}

static struct constraint *open_schema(const char *schema) {
  struct constraint *c = NULL;
  struct form f = {FORM_SCHEMA, {schema, strlen(schema)}};
  struct err e = {0};
  if (constraint_new(trie, &f, &c, &e) != STATUS_OK) fail_msg("%s: %s", schema, e.msg);
  return c;
}

static int takes(struct constraint *c, const char *text) {
  struct matcher *m = NULL;
  const uint64_t *bits;
  int end = 0, ok = 1, over;
  OK(matcher_new(c, &m, e));
  for (const char *p = text; ok && *p; p++) {
    int32_t id = (unsigned char)*p;
    OK(matcher_allowed(m, &bits, &end, e));
    ok = (int)(bits[id >> 6] >> (id & 63) & 1);
    if (ok) OK(matcher_take(m, &id, 0, &over, e));
  }
  if (ok) OK(matcher_allowed(m, &bits, &end, e));
  matcher_free(m);
  return ok && end;
}

static void hand_made(void **state) {
  static const struct { const char *schema; const char *good[8], *wrong[8]; } rows[] = {
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"string\"}},\"required\":[\"a\"]}",
     {"{\"a\": 1}", "{\"a\": -20, \"b\": \"x\xC3\xA9\"}", "{\"a\": 0, \"b\": \"\\n\\\"\"}"}, {"{}", "{\"b\": \"x\"}", "{\"a\":1}", "{\"a\": 1 }", "{\"a\": 01}", "{\"b\": \"x\", \"a\": 1}", "{\"a\": 1.0}"}},
    {"{\"properties\":{\"a\":true,\"b\":{\"const\":1},\"c\":{\"enum\":[null,\"x\"]}},\"type\":\"object\"}",
     {"{}", "{\"b\": 1}", "{\"c\": null}", "{\"a\": [1, {\"q\": []}], \"c\": \"x\"}", "{\"a\": 1.5e3, \"b\": 1, \"c\": null}"}, {"{\"b\": 2}", "{, \"b\": 1}", "{\"b\": 1,}", "{\"d\": 1}", "{\"c\": null, \"b\": 1}"}},
    {"{\"type\":\"array\",\"items\":{\"enum\":[\"p\",\"q\"]},\"minItems\":1,\"maxItems\":3}", {"[\"p\"]", "[\"q\", \"p\", \"p\"]"}, {"[]", "[\"r\"]", "[\"p\", \"p\", \"p\", \"p\"]", "[\"p\",\"p\"]", "[\"p\", ]"}},
    {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"}],\"items\":false}", {"[]", "[1]", "[1, \"\"]"}, {"[\"\"]", "[1, 2]", "[1, \"\", 3]"}},
    {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"}],\"items\":{\"type\":\"null\"},\"minItems\":2}", {"[1, null]", "[1, null, null]"}, {"[]", "[1]", "[1, 1]"}},
    {"{\"type\":[\"string\",\"null\"],\"minLength\":2,\"maxLength\":3}", {"null", "\"ab\"", "\"\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80\"", "\"\\n\\\\\""}, {"\"a\"", "\"abcd\"", "1", "\"\xC3\xA9\"", "\"\\\""}},
    {"{\"type\":\"string\",\"pattern\":\"^[a-c]+$\"}", {"\"a\"", "\"abc\""}, {"\"\"", "\"d\"", "\"aD\""}},
    {"{\"type\":\"string\",\"pattern\":\"b\"}", {"\"b\"", "\"xxb\\\"\""}, {"\"\"", "\"a\""}},
    {"{\"type\":\"string\",\"pattern\":\"^\\\"\\\\\\\\\\\\n$\"}", {"\"\\\"\\\\\\n\""}, {"\"\"\\\\n\""}},
    {"{\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},\"next\":{\"anyOf\":[{\"type\":\"null\"},{\"$ref\":\"#/$defs/n\"}]}},\"required\":[\"v\",\"next\"]}},\"$ref\":\"#/$defs/n\"}",
     {"{\"v\": 1, \"next\": null}", "{\"v\": 1, \"next\": {\"v\": 2, \"next\": {\"v\": 3, \"next\": null}}}"}, {"{\"v\": 1}", "{\"v\": 1, \"next\": {}}"}},
    {"{\"allOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"minimum\":3}},\"required\":[\"a\"]},{\"properties\":{\"a\":{\"type\":\"integer\",\"maximum\":5}}}]}", {"{\"a\": 3}", "{\"a\": 5}"}, {"{\"a\": 6}", "{\"a\": 2}", "{}"}},
    {"{\"anyOf\":[{\"minimum\":2,\"maximum\":4},{\"const\":9}],\"type\":\"integer\"}", {"2", "4", "9"}, {"5", "1", "\"x\""}},
    {"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"boolean\"},\"maxProperties\":2}", {"{}", "{\"x\": true}", "{\"\": true, \"y\": false}"}, {"{\"x\": 1}", "{\"x\": true, \"y\": true, \"z\": true}"}},
    {"{\"type\":\"object\",\"required\":[\"k\"],\"additionalProperties\":{\"type\":\"null\"}}", {"{\"k\": null}"}, {"{}", "{\"k\": 1}"}},
    {"{\"enum\":[{\"a\":[1,2]},\"z\"]}", {"{\"a\": [1, 2]}", "\"z\""}, {"{\"a\":[1,2]}"}},
    {"{\"enum\":[1,2,\"3\",4],\"type\":\"integer\",\"not\":{\"const\":4}}", {"1", "2"}, {"\"3\"", "4"}},
    {"true", {"null", "\"x\"", "[[[]]]", "{\"a\": {\"b\": -0.5}}", "-12.25e-3"}, {"nul", "[,]", ""}},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct constraint *c = open_schema(rows[i].schema);
    for (int k = 0; k < 8; k++) {
      if (rows[i].good[k] && !takes(c, rows[i].good[k])) fail_msg("%s: cannot write %s", rows[i].schema, rows[i].good[k]);
      if (rows[i].wrong[k] && takes(c, rows[i].wrong[k])) fail_msg("%s: can write %s", rows[i].schema, rows[i].wrong[k]);
    }
    constraint_free(c);
  }
}

static void whole_numbers(void **state) {
  static const int bounds[][2] = {{0, 0}, {-3, 12}, {7, 203}, {-105, -9}, {99, 101}, {-1, 1}, {10, 10}, {-250, 250}, {100, 199}, {1, 1000}};
  (void)state;
  for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
    char schema[100], text[20];
    snprintf(schema, sizeof schema, "{\"type\":\"integer\",\"minimum\":%d,\"exclusiveMaximum\":%d}", bounds[i][0], bounds[i][1] + 1);
    struct constraint *c = open_schema(schema);
    for (int v = -1100; v <= 1100; v++) {
      snprintf(text, sizeof text, "%d", v);
      if (takes(c, text) != (v >= bounds[i][0] && v <= bounds[i][1])) fail_msg("%s: %s", schema, text);
    }
    assert_false(takes(c, "007"));
    constraint_free(c);
  }
}

static void decimals(void **state) {
  static const char *const rows[] = {"\"minimum\":0,\"maximum\":1", "\"exclusiveMinimum\":0,\"exclusiveMaximum\":1", "\"minimum\":-0.25,\"maximum\":1.5", "\"minimum\":0.125",
                                     "\"exclusiveMaximum\":-1.05", "\"minimum\":1.31,\"maximum\":1.37", "\"exclusiveMinimum\":-2.2,\"maximum\":-0.3", "\"minimum\":1.5,\"maximum\":1.5",
                                     "\"minimum\":0.9,\"exclusiveMaximum\":2.1", "\"maximum\":2.5,\"minimum\":2.45"};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char schema[120], text[40];
    struct schema *s = NULL;
    snprintf(schema, sizeof schema, "{\"type\":\"number\",%s}", rows[i]);
    struct constraint *c = open_schema(schema);
    OK(schema_open((struct span){schema, strlen(schema)}, "s", &s, e));
    for (int v = -3000; v <= 3000; v++) {
      for (int digits = 0; digits <= 3; digits++) {
        if ((digits == 0 && v % 1000) || (digits == 1 && v % 100) || (digits == 2 && v % 10)) continue;
        snprintf(text, sizeof text, "%.*f", digits, v / 1000.0);
        if (text[0] == '-' && v == 0) continue;
        int valid = schema_check_text(s, (struct span){text, strlen(text)}, "v", NULL) == STATUS_OK;
        if (takes(c, text) != valid) fail_msg("%s: %s is %s", schema, text, valid ? "valid" : "invalid");
      }
    }
    schema_close(s);
    constraint_free(c);
  }
}

/* One random walk; prefers structure to letters, so that values end. */
static void walk(struct constraint *c, struct rng *r, int64_t left, struct buf *out, int *closed) {
  struct matcher *m = NULL;
  int over = 0;
  OK(matcher_new(c, &m, e));
  while (left > 0 && !over) {
    const uint64_t *bits;
    int end;
    int32_t some[256 + MORE], n = 0;
    OK(matcher_allowed(m, &bits, &end, e));
    for (int32_t k = 0; k < (int32_t)(256 + MORE); k++) {
      if (bits[k >> 6] >> (k & 63) & 1) some[n++] = k;
    }
    if (end && (n == 0 || rng_below(r, 4) == 0)) break;
    if (n == 0) fail_msg("dead end after '%s'", out->p ? out->p : "");
    int32_t id = some[rng_below(r, (uint64_t)n)];
    OK(matcher_take(m, &id, left, &over, e));
    if (over == 2) break;
    OK(buf_put(out, text_of[id].p, text_of[id].n, e));
    left--;
  }
  *closed = matcher_closed(m);
  matcher_free(m);
}

static void walks_are_valid(void **state) {
  struct buf b = {0};
  size_t n_valid = 0, n_closed = 0, n_loose = 0, n_impossible = 0, line = 0, n_short = 0;
  (void)state;
  OK(file_read(TEST_SOURCE "/tests/golden/data/schema/cases.jsonl", (size_t)16 << 20, &b, e));
  for (char *p = b.p, *end; p < b.p + b.n; p = end + 1) {
    struct json *row = NULL;
    struct buf text = {0};
    struct err e = {0};
    struct constraint *c = NULL;
    struct schema *s = NULL;
    end = strchr(p, '\n');
    line++;
    assert_int_equal(json_parse((struct span){p, (size_t)(end - p)}, "case", &row, &e), STATUS_OK);
    assert_int_equal(json_put(&text, json_get(row, "schema"), &e), STATUS_OK);
    struct form f = {FORM_SCHEMA, {text.p, text.n}};
    enum status st = constraint_new(trie, &f, &c, &e);
    if (st == STATUS_DATA) {
      n_impossible++; /* `false`, contradictions: then jsonschema must have found nothing valid either, but for what is left out by rule */
      if (json_size(json_get(row, "valid")) > 0 && !strstr(text.p, "additionalProperties") && !strstr(text.p, "oneOf") && !strstr(e.msg, "cannot bind")) fail_msg("line %zu: %s: %s", line, text.p, e.msg);
    } else if (st != STATUS_OK) {
      fail_msg("line %zu: %s: %s", line, text.p, e.msg);
    } else {
      assert_int_equal(schema_open((struct span){text.p, text.n}, "s", &s, &e), STATUS_OK);
      struct rng r = {11, line, 0};
      for (int k = 0; k < 12; k++) {
        struct buf out = {0};
        int closed;
        walk(c, &r, k % 2 ? 25 : 400, &out, &closed);
        st = schema_check_text(s, (struct span){out.p, out.n}, "answer", &e);
        n_loose += st != STATUS_OK && constraint_loose(c) != NULL;
        n_closed += (size_t)closed;
        n_valid += st == STATUS_OK;
        if (st != STATUS_OK && !constraint_loose(c)) {
          if (k % 2 && strlen(out.p ? out.p : "") >= 20 && !closed) n_short++; /* 25 tokens were not enough for its shortest value */
          else fail_msg("line %zu: %s wrote %s: %s", line, text.p, out.p ? out.p : "", e.msg);
        }
        buf_free(&out);
      }
    }
    schema_close(s);
    constraint_free(c);
    buf_free(&text);
    json_free(row);
  }
  buf_free(&b);
  print_message("%zu valid (%zu of them or of the others closed), %zu loose and invalid, %zu too short, %zu schemas impossible\n", n_valid, n_closed, n_loose, n_short, n_impossible);
  assert_true(n_valid > 8000 && n_closed > 1000 && n_impossible < 150);
}

static void says_what_is_loose(void **state) {
  (void)state;
  struct constraint *c = open_schema("{\"type\":\"array\",\"uniqueItems\":true,\"items\":{\"type\":\"integer\",\"multipleOf\":3}}");
  assert_non_null(strstr(constraint_loose(c), "uniqueItems at #"));
  assert_non_null(strstr(constraint_loose(c), "multipleOf at #/items"));
  constraint_free(c);
  c = open_schema("{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}]}");
  assert_null(constraint_loose(c));
  constraint_free(c);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(hand_made), cmocka_unit_test(whole_numbers), cmocka_unit_test(decimals), cmocka_unit_test(walks_are_valid),
                                     cmocka_unit_test(says_what_is_loose)};
  return cmocka_run_group_tests(tests, setup, teardown);
}

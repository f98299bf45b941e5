/* SPDX-License-Identifier: Apache-2.0
 * Parsed documents: paths, types, defaults, order, what jansson alone would refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "json.h"
#include "mem.h"

static struct json *parse(const char *s) {
  struct json *j = NULL;
  struct err e = { 0 };
  if (json_parse((struct span){ s, strlen(s) }, "test", &j, &e) != STATUS_OK) fail_msg("%s", e.msg);
  return j;
}

static void paths_and_types(void **state) {
  (void)state;
  struct json *j = parse("{\"choices\":[{\"message\":{\"content\":\"hi\"}},{\"n\":3,\"r\":2.0,\"t\":true,\"z\":null}],\"e\":\"\"}");
  assert_string_equal(json_cstr(json_path(j, "choices.0.message.content"), "?"), "hi");
  assert_int_equal(json_int(json_path(j, "choices.1.n"), -1), 3);
  assert_int_equal(json_int(json_path(j, "choices.1.r"), -1), 2);
  assert_true(json_num(json_path(j, "choices.1.n"), 0) == 3.0);
  assert_int_equal(json_bool(json_path(j, "choices.1.t"), 0), 1);
  assert_int_equal(json_type(json_path(j, "choices.1.z")), JSON_NULL);
  assert_int_equal(json_type(json_path(j, "choices.2")), JSON_NONE);
  assert_int_equal(json_type(json_path(j, "choices.x.n")), JSON_NONE);
  assert_int_equal(json_type(json_path(j, "e.f")), JSON_NONE);
  assert_int_equal(json_int(json_get(NULL, "a"), 7), 7);
  assert_string_equal(json_cstr(json_path(j, "choices"), "dflt"), "dflt");
  assert_int_equal(json_size(json_get(j, "choices")), 2);
  assert_non_null(json_str(json_get(j, "e")).p);
  json_free(j);
  json_free(NULL);
}

static void writes_compact_in_order(void **state) {
  (void)state;
  const char *text = "{\"z\":1,\"a\":[true,null,0.1,2.0,-5],\"m\":{\"k\\u0000\":\"\xC3\xA9\\n\"}}";
  struct json *j = NULL;
  struct err e = { 0 };
  assert_int_equal(json_parse((struct span){ text, strlen(text) }, "test", &j, &e), STATUS_DATA); /* NUL in a key */
  j = parse("{ \"z\":1, \"a\":[true,null,0.1,2.0,-5,1e300],\"m\":{\"k\":\"\\u00e9\\n\\u0000\"}}");
  struct buf b = { 0 };
  assert_int_equal(json_put(&b, j, NULL), STATUS_OK);
  assert_string_equal(b.p, "{\"z\":1,\"a\":[true,null,0.1,2.0,-5,1e+300],\"m\":{\"k\":\"\xC3\xA9\\n\\u0000\"}}");
  buf_free(&b);
  json_free(j);
}

static void writes_integers(void **state) {
  (void)state;
  static const struct { int64_t v; const char *text; } c[] = { { 0, "0" }, { -1, "-1" }, { 10, "10" }, { 49151, "49151" },
    { INT64_MAX, "9223372036854775807" }, { INT64_MIN, "-9223372036854775808" } };
  struct buf b = { 0 };
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    buf_clear(&b);
    assert_int_equal(json_put_int(&b, c[i].v, NULL), STATUS_OK);
    assert_string_equal(b.p, c[i].text);
  }
  buf_clear(&b);
  assert_int_equal(json_put_ids(&b, NULL, 0, NULL), STATUS_OK);
  assert_int_equal(json_put_ids(&b, (int32_t[]){ 7, INT32_MIN, INT32_MAX, 0 }, 4, NULL), STATUS_OK);
  assert_string_equal(b.p, "[][7,-2147483648,2147483647,0]");
  buf_free(&b);
  static int32_t many[5000];
  for (int i = 0; i < 5000; i++) many[i] = i % 2 ? INT32_MIN : i;
  struct buf want = { 0 }, got = { 0 };
  for (int i = 0; i < 5000; i++) assert_int_equal(buf_printf(&want, NULL, i ? ",%d" : "[%d", many[i]), STATUS_OK);
  assert_int_equal(buf_putc(&want, ']', NULL), STATUS_OK);
  assert_int_equal(json_put_ids(&got, many, 5000, NULL), STATUS_OK);
  assert_string_equal(got.p, want.p);
  buf_free(&want);
  buf_free(&got);
}

static void takes_what_jansson_refuses(void **state) {
  (void)state;
  struct json *j = parse("[\"a\\ud83d\", \"\\ud83d\\ude00\", \"\\\\ud800\", \"\\udc00\\u0041\"]");
  assert_string_equal(json_cstr(json_at(j, 0), ""), "a\xEF\xBF\xBD");
  assert_string_equal(json_cstr(json_at(j, 1), ""), "\xF0\x9F\x98\x80");
  assert_string_equal(json_cstr(json_at(j, 2), ""), "\\ud800");
  assert_string_equal(json_cstr(json_at(j, 3), ""), "\xEF\xBF\xBD" "A");
  json_free(j);
  j = parse("[123456789012345678901234567890, 7]");
  assert_true(json_num(json_at(j, 0), 0) == 123456789012345678901234567890.0);
  assert_int_equal(json_int(json_at(j, 0), -1), -1);
  assert_int_equal(json_int(json_at(j, 1), -1), 7);
  json_free(j);
}

static void errors_name_the_place(void **state) {
  (void)state;
  struct json *j = NULL;
  struct err e = { 0 };
  assert_int_equal(json_parse((struct span){ "{\"a\":}", 6 }, "x.json", &j, &e), STATUS_DATA);
  assert_non_null(strstr(e.msg, "'x.json'"));
  assert_non_null(strstr(e.msg, "byte 6"));
  assert_null(j);
  assert_int_equal(json_parse((struct span){ NULL, 0 }, "x.json", &j, &e), STATUS_DATA);
  assert_int_equal(json_parse_file("/nonexistent/x.json", 1000, &j, &e), STATUS_IO);
}

static void iterates(void **state) {
  (void)state;
  struct json *j = parse("{\"b\":1,\"a\":2,\"c\":3}");
  void *it = NULL;
  struct span key;
  const struct json *val;
  char keys[8] = "";
  int sum = 0, n = 0;
  while (json_next(j, &it, &key, &val)) keys[n++] = key.p[0], sum = sum * 10 + (int)json_int(val, 0);
  assert_string_equal(keys, "bac");
  assert_int_equal(sum, 123);
  json_free(j);
}

/* Each allocation fails once, for strings that end where the parser's buffer grows: what is refused is "no memory", what comes back is whole. */
static void memory_runs_out(void **state) {
  (void)state;
  char text[1400], want[1300];
  int refused = 0;
  for (size_t n = 1; n < 1200; n += n < 140 ? 1 : 97) {
    memset(want, 'x', n);
    want[n] = 0;
    int len = snprintf(text, sizeof text, "{\"a\":[1,\"%s\"],\"b\":{\"c\":\"y\\\"\"}}", want);
    for (long at = 1, hit = 1; hit; at++) {
      struct json *j = NULL;
      struct err e = { STATUS_OK, "" };
      mem_fail_at(at);
      enum status st = json_parse((struct span){ text, (size_t)len }, "x", &j, &e);
      hit = mem_failed();
      mem_fail_at(0);
      if (st == STATUS_OK ? strcmp(json_cstr(json_path(j, "a.1"), ""), want) != 0 || strcmp(json_cstr(json_path(j, "b.c"), ""), "y\"") != 0 : st != STATUS_NOMEM)
        fail_msg("%zu bytes, allocation %ld: %s", n, at, st == STATUS_OK ? json_cstr(json_path(j, "a.1"), "?") : e.msg);
      refused += st != STATUS_OK;
      json_free(j);
    }
  }
  assert_true(refused > 1500);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(paths_and_types), cmocka_unit_test(writes_compact_in_order),
    cmocka_unit_test(writes_integers), cmocka_unit_test(takes_what_jansson_refuses), cmocka_unit_test(errors_name_the_place),
    cmocka_unit_test(iterates), cmocka_unit_test(memory_runs_out) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 * Record lines: what is accepted, where errors point, that foreign bytes survive, strings and numbers both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <float.h>
#include <math.h>
#include "scan.h"
#include "span.h"
#include "rng.h"

static struct span S(const char *s) { return (struct span){ s, strlen(s) }; }
static struct arena *arena;

static int set_up(void **state) { (void)state; return (arena = arena_new(0)) == NULL; }
static int tear_down(void **state) { (void)state; arena_free(arena); return 0; }

static void accepts(void **state) {
  (void)state;
  static const char *good[] = { "{}", " { } ", "[]", "0", "-0", "1.5e-3", "1E+9", "\"\"", "\"\\u0000\\ud800\"", "true", "[[],{},[{}]]",
                                "{\"a\":[1,{\"b\":null}],\"a\":false}\r", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"", NULL };
  static const char *bad[] = { "", " ", "{", "}", "[1,]", "{\"a\":1,}", "{a:1}", "{\"a\" 1}", "01", "1.", ".5", "+1", "1e", "-", "tru", "nulll",
                               "\"\t\"", "\"\\x\"", "\"\\u12g4\"", "\"", "[1 2]", "{} {}", "\"\x80\"", "\"\xC0\xAF\"", "\"\xED\xA0\x80\"",
                               "\"\xF4\x90\x80\x80\"", "\"\xE2\x82\"", "[1}", "{\"a\":1]", "NaN", "'a'", NULL };
  for (int i = 0; good[i]; i++) {
    struct err e = { 0 };
    if (span_check_json(S(good[i]), &e) != STATUS_OK) fail_msg("refused %s: %s", good[i], e.msg);
  }
  for (int i = 0; bad[i]; i++)
    if (span_check_json(S(bad[i]), NULL) != STATUS_DATA) fail_msg("accepted %s", bad[i]);
}

static void depth_is_bounded(void **state) {
  (void)state;
  char text[2 * 600 + 1];
  for (int depth = 511; depth <= 514; depth++) {
    memset(text, '[', (size_t)depth);
    memset(text + depth, ']', (size_t)depth);
    assert_int_equal(span_check_json((struct span){ text, (size_t)depth * 2 }, NULL), depth <= 512 ? STATUS_OK : STATUS_DATA);
  }
  /* objects and arrays mixed across the 64-bit words of the level stack */
  struct buf b = { 0 };
  for (int i = 0; i < 200; i++) assert_int_equal(buf_puts(&b, i % 3 ? "[" : "{\"k\":", NULL), STATUS_OK);
  assert_int_equal(buf_puts(&b, "1", NULL), STATUS_OK);
  for (int i = 199; i >= 0; i--) assert_int_equal(buf_puts(&b, i % 3 ? "]" : "}", NULL), STATUS_OK);
  assert_int_equal(span_check_json((struct span){ b.p, b.n }, NULL), STATUS_OK);
  b.p[b.n - 70] = b.p[b.n - 70] == ']' ? '}' : ']';
  assert_int_equal(span_check_json((struct span){ b.p, b.n }, NULL), STATUS_DATA);
  buf_free(&b);
}

static void errors_name_the_byte(void **state) {
  (void)state;
  struct err e = { 0 };
  struct record r;
  assert_int_equal(record_split(S("{\"text\":\"caf\xE9\"}"), arena, &r, &e), STATUS_DATA);
  assert_non_null(strstr(e.msg, "byte 13"));
  assert_non_null(strstr(e.msg, "0xe9"));
  assert_non_null(strstr(e.msg, "UTF-8"));
  assert_int_equal(record_split(S("[1]"), arena, &r, &e), STATUS_DATA);
  assert_non_null(strstr(e.msg, "byte 1: found '['"));
  assert_int_equal(record_split(S("{\"a\":1"), arena, &r, &e), STATUS_DATA);
  assert_non_null(strstr(e.msg, "byte 7: found the end, expected ',' or '}'"));
  assert_int_equal(record_split(S("\xEF\xBB\xBF{}"), arena, &r, &e), STATUS_DATA);
  assert_non_null(strstr(e.msg, "byte order mark"));
  assert_int_equal(record_split((struct span){ NULL, 0 }, arena, &r, &e), STATUS_DATA);
  assert_int_equal(record_split((struct span){ "{\"a\0\":1}", 8 }, arena, &r, &e), STATUS_DATA);
}

static void splits_and_gets(void **state) {
  (void)state;
  struct record r;
  assert_int_equal(record_split(S(" {\"id\" : \"x\",\"n\":123456789012345678901234567890 , \"t\\u0065xt\":\"a\",\"id\":[1, 2]} "), arena, &r, NULL), STATUS_OK);
  assert_int_equal(r.n_fields, 4);
  assert_true(span_is(record_get(&r, "id"), "[1, 2]"));
  assert_true(span_is(record_get(&r, "n"), "123456789012345678901234567890"));
  assert_true(span_is(record_get(&r, "text"), "\"a\""));
  assert_null(record_get(&r, "tex").p);
  assert_null(record_get(&r, "texts").p);
  assert_int_equal(span_type(record_get(&r, "n")), 'n');
  /* more fields than the first block of the field table */
  struct buf b = { 0 };
  assert_int_equal(buf_putc(&b, '{', NULL), STATUS_OK);
  for (int i = 0; i < 1000; i++) assert_int_equal(buf_printf(&b, NULL, "%s\"k%d\":%d", i ? "," : "", i, i), STATUS_OK);
  assert_int_equal(buf_putc(&b, '}', NULL), STATUS_OK);
  assert_int_equal(record_split((struct span){ b.p, b.n }, arena, &r, NULL), STATUS_OK);
  assert_int_equal(r.n_fields, 1000);
  assert_true(span_is(record_get(&r, "k777"), "777"));
  buf_free(&b);
}

static void check_edit(const char *line, const struct field_edit *edits, size_t n, const char *want) {
  struct record r;
  struct buf out = { 0 };
  struct err e = { 0 };
  assert_int_equal(record_split(S(line), arena, &r, &e), STATUS_OK);
  assert_int_equal(record_edit(&r, edits, n, &out, &e), STATUS_OK);
  assert_string_equal(out.p, want);
  assert_int_equal(span_check_json((struct span){ out.p, out.n }, &e), STATUS_OK);
  buf_free(&out);
}

static void edits_keep_foreign_bytes(void **state) {
  (void)state;
  struct span none = { NULL, 0 };
#define ED(...) ((struct field_edit[]){ __VA_ARGS__ }), sizeof((struct field_edit[]){ __VA_ARGS__ }) / sizeof(struct field_edit)
  check_edit("{ \"a\" : 1e400 ,\t\"b\": 2 }", ED({ "b", S("3") }), "{ \"a\" : 1e400 ,\t\"b\": 3 }");
  check_edit("{\"a\":1}", ED({ "b", S("3") }), "{\"a\":1,\"b\":3}");
  check_edit(" {} ", ED({ "b", S("3") }, { "c", S("4") }), " {\"b\":3,\"c\":4} ");
  check_edit("{\"a\":1, \"b\":2, \"c\":3}", ED({ "a", none }), "{\"b\":2, \"c\":3}");
  check_edit("{\"a\":1, \"b\":2, \"c\":3}", ED({ "b", none }), "{\"a\":1, \"c\":3}");
  check_edit("{\"a\":1, \"b\":2, \"c\":3}", ED({ "c", none }), "{\"a\":1, \"b\":2}");
  check_edit("{\"a\":1, \"b\":2}", ED({ "a", none }, { "b", none }), "{}");
  check_edit("{\"a\":1, \"b\":2}", ED({ "a", none }, { "b", none }, { "z", S("[]") }), "{\"z\":[]}");
  check_edit("{\"a\":1,\"a\":2}", ED({ "a", S("9") }), "{\"a\":1,\"a\":9}");
  check_edit("{\"a\":1,\"a\":2,\"b\":0}", ED({ "a", none }), "{\"b\":0}");
  check_edit("{\"\\u0061\":1}", ED({ "a", S("2") }), "{\"\\u0061\":2}");
  check_edit("{\"a\":1}", ED({ "a", S("{\n\"x\": 1\n}") }), "{\"a\":{ \"x\": 1 }}");
  check_edit("{\"a\":1}", ED({ "q\"", S("1") }, { "q\"", S("2") }), "{\"a\":1,\"q\\\"\":2}");
}

static void strings_both_ways(void **state) {
  (void)state;
  struct span out;
  assert_int_equal(span_string(S("\"a\\n\\u00e9\\ud83d\\ude00\\/\\\"\""), arena, &out, NULL), STATUS_OK);
  assert_true(span_is(out, "a\n\xC3\xA9\xF0\x9F\x98\x80/\""));
  assert_int_equal(span_string(S("\"x\\ud800y\\udc00\\ud800\\ud83d\\ude00\""), arena, &out, NULL), STATUS_OK);
  assert_true(span_is(out, "x\xEF\xBF\xBDy\xEF\xBF\xBD\xEF\xBF\xBD\xF0\x9F\x98\x80"));
  assert_int_equal(span_string(S("\"a\\u0000b\""), arena, &out, NULL), STATUS_OK);
  assert_int_equal(out.n, 3);
  assert_memory_equal(out.p, "a\0b", 3);
  assert_int_equal(span_string(S("12"), arena, &out, NULL), STATUS_DATA);
  assert_int_equal(span_string(S("\"a\"b"), arena, &out, NULL), STATUS_DATA);
  struct buf b = { 0 };
  assert_int_equal(json_put_string(&b, (struct span){ "a\"\\\n\x01\0\x7f\xC3\xA9\xFF\xE2\x82z", 13 }, NULL), STATUS_OK);
  assert_string_equal(b.p, "\"a\\\"\\\\\\n\\u0001\\u0000\x7f\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBDz\"");
  buf_free(&b);
}

static void put_then_get_is_identity(void **state) {
  (void)state;
  struct rng g = { 7, 1, 0 };
  for (int round = 0; round < 3000; round++) {
    char text[200];
    size_t n = (size_t)rng_below(&g, sizeof text), k = 0;
    while (k < n) { /* mostly ASCII with special bytes, some code points of each length */
      static const char *const piece[] = { "a", "\"", "\\", "\n", "\x1f", "\x7f", "\xC2\x80", "\xEF\xBF\xBF", "\xF4\x8F\xBF\xBF", "plain text of some length" };
      const char *p = piece[rng_below(&g, 10)];
      if (k + strlen(p) > n) break;
      memcpy(text + k, p, strlen(p));
      k += strlen(p);
    }
    struct buf b = { 0 };
    struct span back;
    assert_int_equal(json_put_string(&b, (struct span){ text, k }, NULL), STATUS_OK);
    assert_int_equal(span_string((struct span){ b.p, b.n }, arena, &back, NULL), STATUS_OK);
    assert_int_equal(back.n, k);
    assert_memory_equal(back.p, text, k);
    buf_free(&b);
    arena_reset(arena);
  }
}

static void numbers_round_trip(void **state) {
  (void)state;
  static const struct { double v; const char *text; } want[] = { { 0.1, "0.1" }, { 1, "1" }, { -0.0, "-0" }, { 1e21, "1e+21" }, { 2.5, "2.5" },
    { 1.0 / 3, "0.3333333333333333" }, { 9007199254740993.0, "9007199254740992" }, { NAN, "null" }, { -INFINITY, "null" } };
  struct buf b = { 0 };
  for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
    buf_clear(&b);
    assert_int_equal(json_put_num(&b, want[i].v, NULL), STATUS_OK);
    assert_string_equal(b.p, want[i].text);
  }
  struct rng g = { 3, 1, 0 };
  for (int i = 0; i < 20000; i++) {
    uint64_t bits = rng_u64(&g);
    double v;
    memcpy(&v, &bits, 8);
    if (!isfinite(v)) continue;
    buf_clear(&b);
    assert_int_equal(json_put_num(&b, v, NULL), STATUS_OK);
    assert_true(strtod(b.p, NULL) == v);
    assert_int_equal(span_check_json((struct span){ b.p, b.n }, NULL), STATUS_OK);
  }
  buf_free(&b);
}

/* The block-wise search against the plain definition, at every offset. */
static void plain_search_agrees(void **state) {
  (void)state;
  unsigned char t[80];
  for (int c = 0; c < 256; c++) {
    for (int at = 0; at < 64; at++) {
      memset(t, '!', sizeof t);
      t[at] = (unsigned char)c;
      int special = c < 0x20 || c == '"' || c == '\\' || c >= 0x80;
      assert_int_equal(scan_plain(t, t + 70) - t, special ? at : 70);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(accepts), cmocka_unit_test(depth_is_bounded), cmocka_unit_test(errors_name_the_byte),
    cmocka_unit_test(splits_and_gets), cmocka_unit_test(edits_keep_foreign_bytes), cmocka_unit_test(strings_both_ways),
    cmocka_unit_test(put_then_get_is_identity), cmocka_unit_test(numbers_round_trip), cmocka_unit_test(plain_search_agrees),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}

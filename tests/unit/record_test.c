/* SPDX-License-Identifier: Apache-2.0
 * Records: messages from four layouts, text, ids, dotted paths, and errors that name field and type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "record.h"

static struct arena *arena;

static struct record split(const char *line) {
  struct record r;
  struct err e = { 0 };
  if (record_split((struct span){ line, strlen(line) }, arena, &r, &e) != STATUS_OK) fail_msg("%s", e.msg);
  return r;
}

static void messages_are(const char *line, const char *expected) {
  struct record r = split(line);
  struct span m;
  struct err e = { 0 };
  if (record_messages(&r, arena, &m, &e) != STATUS_OK) fail_msg("%s: %s", line, e.msg);
  if (!expected) assert_null(m.p);
  else {
    assert_non_null(m.p);
    assert_int_equal(m.n, strlen(expected));
    assert_memory_equal(m.p, expected, m.n);
  }
}

static void refused(const char *line, const char *words) {
  struct record r = split(line);
  struct span m;
  struct err e = { 0 };
  assert_int_equal(record_messages(&r, arena, &m, &e), STATUS_DATA);
  if (!strstr(e.msg, words)) fail_msg("'%s' is not in '%s'", words, e.msg);
}

static void text_is(const char *line, const char *expected) {
  struct record r = split(line);
  struct span t;
  struct err e = { 0 };
  if (record_text(&r, arena, &t, &e) != STATUS_OK) fail_msg("%s: %s", line, e.msg);
  assert_int_equal(t.n, strlen(expected));
  assert_memory_equal(t.p, expected, t.n);
}

static void layouts(void **state) {
  (void)state;
  messages_are("{\"messages\": [ {\"role\":\"user\",\"content\":\"a\\u00e9\"} ] }", "[ {\"role\":\"user\",\"content\":\"a\\u00e9\"} ]");
  messages_are("{\"instruction\":\"add\",\"input\":\"\",\"output\":\"3\"}",
               "[{\"role\":\"user\",\"content\":\"add\"},{\"role\":\"assistant\",\"content\":\"3\"}]");
  messages_are("{\"instruction\":\"ad\\td\",\"input\":\"1 2\",\"output\":\"3\"}",
               "[{\"role\":\"user\",\"content\":\"ad\\td\\n\\n1 2\"},{\"role\":\"assistant\",\"content\":\"3\"}]");
  messages_are("{\"instruction\":\"add\"}", "[{\"role\":\"user\",\"content\":\"add\"}]");
  messages_are("{\"conversations\":[{\"from\":\"system\",\"value\":\"s\"},{\"from\":\"human\",\"value\":\"q]\"},{\"from\":\"gpt\",\"value\":\"\\\"a\"}]}",
               "[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"q]\"},{\"role\":\"assistant\",\"content\":\"\\\"a\"}]");
  messages_are("{\"prompt\":\"p\",\"completion\":\"c\"}", "[{\"role\":\"user\",\"content\":\"p\"},{\"role\":\"assistant\",\"content\":\"c\"}]");
  messages_are("{\"prompt\":[{\"role\":\"user\",\"content\":\"p\"}],\"completion\":[{\"role\":\"assistant\",\"content\":\"c\"}]}",
               "[{\"role\":\"user\",\"content\":\"p\"},{\"role\":\"assistant\",\"content\":\"c\"}]");
  messages_are("{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"r\"}", NULL);
  messages_are("{\"text\":\"only\"}", NULL);
  messages_are("{\"messages\":null,\"instruction\":\"x\"}", "[{\"role\":\"user\",\"content\":\"x\"}]");
}

static void errors_name_field_and_type(void **state) {
  (void)state;
  refused("{\"messages\":\"hi\"}", "field 'messages' is a string, expected an array");
  refused("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},7]}", "field 'messages[1]' is a number");
  refused("{\"messages\":[{\"role\":1}]}", "field 'messages[0].role' is a number");
  refused("{\"messages\":[{\"role\":\"user\",\"content\":{}}]}", "field 'messages[0].content' is an object");
  refused("{\"instruction\":[]}", "field 'instruction' is an array");
  refused("{\"instruction\":\"a\",\"output\":1}", "field 'output' is a number");
  refused("{\"conversations\":{}}", "field 'conversations' is an object");
  refused("{\"conversations\":[{\"from\":\"alien\",\"value\":\"x\"}]}", "'alien'");
  refused("{\"conversations\":[{\"from\":\"human\"}]}", "field 'conversations[0].value' is nothing");
  refused("{\"prompt\":1,\"completion\":\"x\"}", "field 'prompt' is a number");
}

static void texts(void **state) {
  (void)state;
  text_is("{\"text\":\"a\\nb\"}", "a\nb");
  text_is("{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"tool\",\"content\":null},{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"text\",\"text\":\"y\"}]}]}", "q\nx\ny");
  text_is("{\"prompt\":[{\"role\":\"user\",\"content\":\"p\"}],\"chosen\":\"c\",\"rejected\":\"r\"}", "p\nc");
  text_is("{\"n\":1}", "");
}

static void ids_and_paths(void **state) {
  (void)state;
  struct span v;
  double num;
  int found;
  struct err e = { 0 };
  struct record r = split("{\"id\":\"d\\u0031#2\",\"meta\":{\"family\":\"MIT\",\"n\":{\"x\":3}},\"weight\":2.5e-1,\"s\":\"t\"}");
  assert_int_equal(record_id(&r, arena, &v, &e), STATUS_OK);
  assert_string_equal(v.p, "d1#2");
  assert_int_equal(record_path(&r, "meta.family", arena, &v, &e), STATUS_OK);
  assert_true(span_is(v, "\"MIT\""));
  assert_int_equal(record_path(&r, "meta.n.x", arena, &v, &e), STATUS_OK);
  assert_true(span_is(v, "3"));
  assert_int_equal(record_path(&r, "meta.family.x", arena, &v, &e), STATUS_OK);
  assert_null(v.p);
  assert_int_equal(record_path(&r, "none.x", arena, &v, &e), STATUS_OK);
  assert_null(v.p);
  assert_int_equal(record_number(&r, "weight", &num, &found, &e), STATUS_OK);
  assert_true(found && num == 0.25);
  assert_int_equal(record_number(&r, "s", &num, &found, &e), STATUS_DATA);
  assert_int_equal(record_string(&r, "weight", arena, &v, &e), STATUS_DATA);
  r = split("{\"a\":1}");
  assert_int_equal(record_id(&r, arena, &v, &e), STATUS_OK);
  assert_int_equal(v.n, 17);
  assert_int_equal(v.p[0], 'r');
}

int main(void) {
  arena = arena_new(0);
  const struct CMUnitTest tests[] = { cmocka_unit_test(layouts), cmocka_unit_test(errors_name_field_and_type), cmocka_unit_test(texts),
    cmocka_unit_test(ids_and_paths) };
  int rc = cmocka_run_group_tests(tests, NULL, NULL);
  arena_free(arena);
  return rc;
}

/* SPDX-License-Identifier: Apache-2.0
 * Every validator on its own hand-made outputs (tests/augment/validators_*.yaml): at least ten good ones and ten bad ones each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "file.h"
#include "recipe.h"
#include "yaml_json.h"

static struct span slot_of(const void *ctx, const char *name)
{
  return json_str(json_get(json_get(ctx, "slots"), name));
}

static int seen(const struct validator *v, int mark)
{
  static const struct validator *list[100];
  static size_t n;
  for (size_t i = 0; i < n; i++) {
    if (list[i] == v) {
      return 1;
    }
  }
  if (mark) {
    list[n++] = v;
  }
  return 0;
}

static int prove(const struct json *entry, struct arena *a)
{
  int wrong = 0;
  struct err e;
  struct span name = json_str(json_get(entry, "validator")), before[8];
  const struct validator *v = validator_find(name);
  if (v == NULL) {
    fail_msg("no validator '%.*s'", (int)name.n, name.p);
  }
  struct check c = { .text = json_str(json_get(entry, "text")), .prompt = json_str(json_get(entry, "prompt")), .arg = json_get(entry, "arg"), .a = a,
                     .before = before, .slot = slot_of, .ctx = entry, .own = (size_t)json_int(json_get(entry, "own"), 0),
                     .n_passages = (size_t)json_int(json_get(entry, "passages"), 0) };
  struct schema *schema = NULL;
  const struct json *list = json_get(entry, "before"), *corpus = json_get(entry, "corpus");
  for (; c.n_before < json_size(list); c.n_before++) {
    before[c.n_before] = json_str(json_at(list, c.n_before));
  }
  if (strcmp(v->arg, "schema") == 0) {
    struct buf b = { 0 };
    assert_int_equal(json_put(&b, c.arg, &e), STATUS_OK);
    assert_int_equal(schema_open((struct span){ b.p, b.n }, "test", &schema, &e), STATUS_OK);
    buf_free(&b);
    c.schema = schema;
  }
  if (corpus != NULL) {
    c.corpus = bm25_new();
    for (size_t i = 0; i < json_size(corpus); i++) {
      assert_int_equal(bm25_add(c.corpus, json_str(json_at(corpus, i)), &e), STATUS_OK);
    }
  }
  for (int good = 0; good < 2; good++) {
    const struct json *set = json_get(entry, good ? "good" : "bad");
    if (json_size(set) < 10) {
      fail_msg("%s: %zu %s outputs, expected at least 10", v->name, json_size(set), good ? "good" : "bad");
    }
    for (size_t i = 0; i < json_size(set); i++) {
      c.answer = json_str(json_at(set, i));
      assert_non_null(c.answer.p);
      if (v->good(&c) != good) {
        print_error("%s: '%.*s' is %s\n", v->name, (int)c.answer.n, c.answer.p, good ? "good, but was refused" : "bad, but was accepted");
        wrong++;
      }
    }
  }
  schema_close(schema);
  bm25_free(c.corpus);
  seen(v, 1);
  return wrong;
}

static void outputs(void **state)
{
  (void)state;
  static const char *const files[] = { "words", "text", "form" };
  int wrong = 0;
  for (size_t f = 0; f < 3; f++) {
    char path[500];
    struct buf text = { 0 }, json = { 0 };
    struct json *root;
    struct err e;
    struct arena *a = arena_new(0);
    snprintf(path, sizeof path, TEST_SOURCE "/tests/augment/validators_%s.yaml", files[f]);
    if (file_read(path, 1 << 20, &text, &e) != STATUS_OK || yaml_to_json((struct span){ text.p, text.n }, path, 0, &json, &e) != STATUS_OK) {
      fail_msg("%s", e.msg);
    }
    assert_int_equal(json_parse((struct span){ json.p, json.n }, path, &root, &e), STATUS_OK);
    for (size_t i = 0; i < json_size(root); i++) {
      wrong += prove(json_at(root, i), a);
    }
    json_free(root);
    arena_free(a);
    buf_free(&text);
    buf_free(&json);
  }
  assert_int_equal(wrong, 0);
}

static void all_are_proved(void **state)
{
  (void)state;
  for (const struct validator *const *t = validator_tables; *t != NULL; t++) {
    for (const struct validator *v = *t; v->name != NULL; v++) {
      if (!seen(v, 0)) {
        fail_msg("no outputs for validator '%s' in tests/augment/", v->name);
      }
    }
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(outputs), cmocka_unit_test(all_are_proved) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

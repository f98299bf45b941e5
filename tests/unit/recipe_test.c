/* SPDX-License-Identifier: Apache-2.0
 * Recipes: the shipped ones load; parser and validators against outputs that small models really give, sorted by hand into good
 * and bad; broken recipes are refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "asset.h"
#include "recipe.h"
#include "yaml_json.h"

static struct span sp(const char *s)
{
  return (struct span){ s, strlen(s) };
}

static const char passage[] = "If the Licensee modifies the Flowplayer, the logo must be replaced by a new name that is not confusingly similar. The "
                              "copyright holder provides the program without warranty; distribution of copies requires that this notice is kept.";

static struct span no_slot(const void *ctx, const char *name)
{
  (void)ctx;
  (void)name;
  return (struct span){ NULL, 0 };
}

static const char *verdict(const struct recipe *r, const char *output, const struct span *before, size_t n, char *parsed, size_t size)
{
  struct arena *a = arena_new(0);
  static const char prompt[] = "You write one short exam question about a passage.\n|\nWhat must you keep when you give away copies of the handbook?";
  struct check c = { .text = sp(passage), .prompt = sp(prompt), .before = before, .n_before = n, .a = a, .slot = no_slot };
  struct parsed p;
  const char *why = NULL;
  struct err e;
  assert_int_equal(recipe_take(&r->step[0], sp(output), &c, &p, &why, &e), STATUS_OK);
  snprintf(parsed, size, "%.*s", (int)p.text.n, p.text.p ? p.text.p : "");
  arena_free(a);
  return why;
}

static void good_outputs(void **state)
{
  (void)state;
  static const struct { const char *output, *parsed; } rows[] = {
    { "What must replace the Flowplayer logo?", NULL },
    { "1. What happens when the Licensee modifies the Flowplayer?", "What happens when the Licensee modifies the Flowplayer?" },
    { "Question: Who provides the program without warranty?", "Who provides the program without warranty?" },
    { "\"Which notice is kept when copies are distributed?\"", "Which notice is kept when copies are distributed?" },
    { "Sure! Here is one:\n\n**Question:** Does distribution of copies require a notice?", "Does distribution of copies require a notice?" },
    { "The question is: Who is the copyright holder of the program?", "Who is the copyright holder of the program?" },
    { "Under which condition may copies be given to others with the notice?\n\nAnswer: the notice is kept.",
      "Under which condition may copies be given to others with the notice?" },
    { "Q: May the Licensee keep the Flowplayer logo? A: No.", "May the Licensee keep the Flowplayer logo?" },
    { "- Why must the logo of the Flowplayer be replaced?", "Why must the logo of the Flowplayer be replaced?" },
    { "How is the distribution of copies of the program allowed?", NULL },
  };
  struct recipe *r;
  struct err e;
  char parsed[500];
  assert_int_equal(recipe_open("qa", &r, &e), STATUS_OK);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const char *why = verdict(r, rows[i].output, NULL, 0, parsed, sizeof parsed);
    if (why != NULL) {
      fail_msg("'%s' was refused: %s", rows[i].output, why);
    }
    assert_string_equal(parsed, rows[i].parsed ? rows[i].parsed : rows[i].output);
  }
  recipe_close(r);
}

static void bad_outputs(void **state)
{
  (void)state;
  static const struct { const char *output, *why; } rows[] = {
    { "", "nothing to parse" },
    { "The licensee must replace the logo.", "nothing to parse" },
    { "I'm sorry, as an AI I cannot answer. Can you give the copyright holder's program?", "wrong beginning" },
    { "What is the license?", "wrong length" },
    { "What is the main idea of this passage about the copyright program?", "unwanted phrase" },
    { "What does the Licensee do with the program in this text?", "unwanted phrase" },
    { "What is the capital of the largest country on Earth?", "not about the text" },
    { "What is the purpose of this?", "not about the text" },
    { "You may ask: is the copyright program warranty logo similar notice Licensee distribution copies holder replaced confusingly modifies "
      "provides without requires kept new name and the logo must be replaced by a name that is not similar to the Flowplayer name of the holder?",
      "wrong length" },
    { "What must you keep when you give away copies of the handbook?", "copy of the prompt" },
    { "Copyright holder program: [insert logo here]?", "wrong length" },
    { "What is the [program] of the copyright holder?", "unwanted phrase" },
    { "What may the Licensee replace in the Flowplayer logo?", "duplicate" },
  };
  struct span before = sp("What must the Licensee replace in the Flowplayer logo?");
  struct recipe *r;
  struct err e;
  char parsed[500];
  assert_int_equal(recipe_open("qa", &r, &e), STATUS_OK);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const char *why = verdict(r, rows[i].output, &before, 1, parsed, sizeof parsed);
    if (why == NULL || strcmp(why, rows[i].why) != 0) {
      fail_msg("'%s' (parsed '%s') gave '%s', expected '%s'", rows[i].output, parsed, why ? why : "good", rows[i].why);
    }
  }
  recipe_close(r);
}

static enum status two_slots(void *ctx, struct span name, struct arena *a, struct span *out, int *found, struct err *e)
{
  (void)ctx;
  (void)a;
  (void)e;
  *out = span_is(name, "text") ? sp("a {answer} \"quoted\"\n{text}") : span_is(name, "n") ? sp("3") : span_is(name, "list") ? sp("[1, {\"x\": null}]") : sp("Who?");
  *found = span_is(name, "text") || span_is(name, "answer") || span_is(name, "n") || span_is(name, "list");
  return STATUS_OK;
}

/* A passage with braces, quotes and line ends goes through templates untouched; unknown slots and other braces stay. */
static void templates(void **state)
{
  (void)state;
  struct arena *a = arena_new(0);
  struct buf b = { 0 };
  struct json *j;
  struct err e;
  assert_int_equal(recipe_fill("{text}\n\nQuestion: {answer} {unknown} {} { {answer", two_slots, NULL, a, &b, &e), STATUS_OK);
  assert_string_equal(b.p, "a {answer} \"quoted\"\n{text}\n\nQuestion: Who? {unknown} {} { {answer");
  buf_clear(&b);
  const char *t = "{\"messages\":[{\"role\":\"user\",\"content\":\"{answer}\"}],\"n\":\"{num:n}\",\"l\":\"{json:list}\",\"s\":\"{n}\",\"k\":7}";
  assert_int_equal(json_parse(sp(t), "t", &j, &e), STATUS_OK);
  assert_int_equal(recipe_value(j, two_slots, NULL, a, &b, &e), STATUS_OK);
  assert_string_equal(b.p, "{\"messages\":[{\"role\":\"user\",\"content\":\"Who?\"}],\"n\":3,\"l\":[1, {\"x\": null}],\"s\":\"3\",\"k\":7}");
  json_free(j);
  buf_clear(&b);
  assert_int_equal(json_parse(sp("[\"{json:answer}\"]"), "t", &j, &e), STATUS_OK);
  assert_int_equal(recipe_value(j, two_slots, NULL, a, &b, &e), STATUS_DATA);
  json_free(j);
  buf_free(&b);
  arena_free(a);
}

static void broken_recipes(void **state)
{
  (void)state;
  static const struct { const char *change, *text; } rows[] = {
    { "", "recipe key 'name'" },
    { "name: [1", "not YAML" },
    { "name: x\nskill: x\nelicitation: x\nparse: nothing\noutput: x\nprompts: ['{text}']\nvalidate: [{words: [1, 2]}]\n", "unknown parser 'nothing'" },
    { "name: x\nskill: x\nelicitation: x\nparse: whole\noutput: x\nprompts: ['no slot']\nvalidate: [{words: [1, 2]}]\n", "slot {text}" },
    { "name: x\nskill: x\nelicitation: x\nparse: whole\noutput: x\nprompts: ['{text}']\n", "recipe key 'validate'" },
    { "name: x\nskill: x\nelicitation: x\nparse: whole\noutput: x\nprompts: ['{text}']\nvalidate: [{word: [1, 2]}]\n", "unknown validator 'word'" },
    { "name: x\nskill: x\nelicitation: x\nparse: whole\noutput: x\nprompts: ['{text}']\nvalidate: [{words: 3}]\n", "[min, max]" },
    { "name: x\nskil: x\n", "did you mean 'skill'" },
    { "name: x\nskill: x\nelicitation: x\nparse: whole\noutput: x\nper_row: 0\nprompts: ['{text}']\nvalidate: [{words: [1, 2]}]\n", "per_row" },
  };
  char path[] = "/tmp/retort-recipe-XXXXXX.yaml";
  struct recipe *r;
  struct err e;
  int fd = mkstemps(path, 5);
  assert_true(fd >= 0);
  fclose(fdopen(fd, "w"));
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    FILE *f = fopen(path, "w");
    fputs(rows[i].change[0] ? rows[i].change : "skill: x\n", f);
    fclose(f);
    assert_int_equal(recipe_open(path, &r, &e), STATUS_DATA);
    if (strstr(e.msg, rows[i].text) == NULL) {
      fail_msg("recipe %zu: '%s' does not say '%s'", i, e.msg, rows[i].text);
    }
  }
  remove(path);
  assert_int_equal(recipe_open("nothing", &r, &e), STATUS_USAGE);
  assert_non_null(strstr(e.msg, "qa"));
}

static void yaml_as_json(void **state)
{
  (void)state;
  static const struct { const char *yaml; int flags; const char *json; } rows[] = {
    { "", 0, "null" },
    { "a: 1\nb: yes\nc: true\nd: ~\ne: 1.50\nf: '1'\ng: 010\n", 0, "{\"a\":1,\"b\":\"yes\",\"c\":true,\"d\":null,\"e\":1.50,\"f\":\"1\",\"g\":\"010\"}" },
    { "a: 1\nb: true\nc:\n", YAML_ALL_STRINGS, "{\"a\":\"1\",\"b\":\"true\",\"c\":\"\"}" },
    { "- x\n- {y: [1, 2]}\n- &t z\n- *t\n", 0, "[\"x\",{\"y\":[1,2]},\"z\",\"z\"]" },
    { "a: |\n  two\n  lines\n", 0, "{\"a\":\"two\\nlines\\n\"}" },
  };
  struct err e;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct buf b = { 0 };
    assert_int_equal(yaml_to_json(sp(rows[i].yaml), "t", rows[i].flags, &b, &e), STATUS_OK);
    assert_string_equal(b.p, rows[i].json);
    buf_free(&b);
  }
  struct buf b = { 0 };
  assert_int_equal(yaml_to_json(sp("a: [\n"), "t", 0, &b, &e), STATUS_DATA);
  buf_clear(&b);
  /* nine levels of ten references each: 10^9 scalars when unfolded */
  assert_int_equal(yaml_to_json(sp("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                                   "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
                                   "g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g,*g]\ni: [*h,*h,*h,*h,*h,*h,*h,*h,*h,*h]\n"),
                                "t", 0, &b, &e), STATUS_LIMIT);
  buf_free(&b);
}

static void every_recipe_loads(void **state)
{
  (void)state;
  size_t n = 0;
  for (const struct asset *s = asset_table; s->name != NULL; s++) {
    if (strncmp(s->name, "augment/recipes/", 16) == 0) {
      struct recipe *r;
      struct err e;
      char name[100];
      snprintf(name, sizeof name, "%.*s", (int)strcspn(s->name + 16, "."), s->name + 16);
      if (recipe_open(name, &r, &e) != STATUS_OK) {
        fail_msg("%s", e.msg);
      }
      assert_string_equal(r->name, name);
      recipe_close(r);
      n++;
    }
  }
  assert_true(n > 0);
}

static int known_slot(const struct recipe *r, const char *name)
{
  static const char *const built_in[] = { "text", "user", "assistant", "id", "n", "turn", "dialog", "messages", "demos", "next", NULL };
  static const char *const shown[] = { "passages", "passages_list", "others", "others_list", NULL };
  const char *colon = strchr(name, ':');
  if (strncmp(name, "json:", 5) == 0 || strncmp(name, "num:", 4) == 0) {
    return known_slot(r, colon + 1);
  }
  if (strncmp(name, "pick:", 5) == 0 || strncmp(name, "nth:", 4) == 0) {
    return json_size(json_get(r->lists, colon + 1)) > 0;
  }
  for (size_t i = 0; built_in[i] != NULL; i++) {
    if (strcmp(name, built_in[i]) == 0) {
      return 1;
    }
  }
  for (size_t i = 0; r->passages > 0 && shown[i] != NULL; i++) {
    if (strcmp(name, shown[i]) == 0) {
      return 1;
    }
  }
  for (size_t i = 0; i < json_size(r->grid); i++) {
    if (strcmp(name, json_cstr(json_at(r->grid, i), "")) == 0) {
      return 1;
    }
  }
  for (size_t i = 0; i < r->n_step; i++) {
    size_t n = strlen(r->step[i].name);
    if (strncmp(name, r->step[i].name, n) == 0 && (name[n] == '\0' || name[n] == '.')) {
      return 1;
    }
  }
  return strncmp(name, "row:", 4) == 0 || strcmp(name, "...") == 0;
}

static enum status look_slot(void *ctx, struct span name, struct arena *a, struct span *out, int *found, struct err *e)
{
  char text[100];
  (void)a;
  (void)e;
  snprintf(text, sizeof text, "%.*s", (int)name.n, name.p);
  if (!known_slot(ctx, text)) {
    fail_msg("recipe %s: nothing fills the slot {%s}", ((const struct recipe *)ctx)->name, text);
  }
  *out = sp("1");
  *found = 1;
  return STATUS_OK;
}

/* Every slot of every shipped recipe is filled by something: a typo would be printed as it stands. */
static void slots_are_known(void **state)
{
  (void)state;
  for (const struct asset *s = asset_table; s->name != NULL; s++) {
    if (strncmp(s->name, "augment/recipes/", 16) != 0) {
      continue;
    }
    struct recipe *r;
    struct err e;
    struct buf b = { 0 };
    struct arena *a = arena_new(0);
    char name[100];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(s->name + 16, "."), s->name + 16);
    assert_int_equal(recipe_open(name, &r, &e), STATUS_OK);
    for (size_t i = 0; i < r->n_step; i++) {
      if (r->step[i].system != NULL) {
        assert_int_equal(recipe_fill(r->step[i].system, look_slot, r, a, &b, &e), STATUS_OK);
      }
      for (size_t k = 0; k < json_size(r->step[i].prompts); k++) {
        assert_int_equal(recipe_fill(json_cstr(json_at(r->step[i].prompts, k), ""), look_slot, r, a, &b, &e), STATUS_OK);
      }
    }
    assert_int_equal(recipe_value(r->output, look_slot, r, a, &b, &e), STATUS_OK);
    buf_free(&b);
    arena_free(a);
    recipe_close(r);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = { cmocka_unit_test(good_outputs), cmocka_unit_test(bad_outputs), cmocka_unit_test(templates),
                                      cmocka_unit_test(broken_recipes), cmocka_unit_test(slots_are_known), cmocka_unit_test(yaml_as_json), cmocka_unit_test(every_recipe_loads) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

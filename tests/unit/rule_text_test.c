/* SPDX-License-Identifier: Apache-2.0
 * Rules that change words: substitute, slots, typos, ocr, casing. Expectations written by hand. */
#include "rule_case.h"

static void substitute(void **state) {
  static const char *const rows[][3] = {
    {"{pattern: cat, with: dog}", "cat concat Cat", "dog condog Cat"},
    {"{pattern: '\\bcat\\b', with: dog, ignore_case: true, case: match}", "cat CAT Cat concat", "dog DOG Dog concat"},
    {"{pattern: '(\\w+)@(\\w+)', with: '$2 at $1'}", "joe@home, ann@work", "home at joe, work at ann"},
    {"{pattern: '(?<first>\\w+) (?<last>\\w+)', with: '${last:upper}, ${first}'}", "ada byron", "BYRON, ada"},
    {"{pattern: '\xC3\xA9t\xC3\xA9', with: summer, case: match, ignore_case: true}", "\xC3\x89T\xC3\x89 \xC3\xA9t\xC3\xA9 \xC3\x89t\xC3\xA9", "SUMMER summer Summer"},
    {"{pattern: 'EUR ([0-9]+)', with: '$$$1'}", "EUR 5 and EUR 70", "$5 and $70"},
    {"{pattern: 'x*', with: '-'}", "axb", "-a--b-"},
    {"{pattern: '^', with: '> '}", "one", "> one"},
    {"{pattern: '(a)|(b)', with: '[$1$2]'}", "abc", "[a][b]c"},
    {"{pattern: '\\p{Lu}\\w*', with: '${0:lower}'}", "Die \xC3\x9C" "bung Hier", "die \xC3\xBC" "bung hier"},
    {"{pattern: 'nothing', with: x}", "stays", "stays"},
    {"{pattern: '(?<=a)b', with: '${0:title}'}", "ab bb", "aB bb"},
    {"{pattern: hello, with: good day, case: match, ignore_case: true}", "HELLO Hello hello", "GOOD DAY Good day good day"},
    {"{pattern: a, with: b, chance: 0}", "aaa", "aaa"},
  };
  char yaml[400];
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    snprintf(yaml, sizeof yaml, "rules:\n  - substitute: %s\n", rows[i][0]);
    rule_text_gives(yaml, rows[i][1], rows[i][2]);
  }
}

static void substitute_at_random(void **state) {
  struct rules *r = NULL;
  size_t dog = 0, cow = 0, cat = 0;
  (void)state;
  OK(rule_case_open("rules: [{substitute: {pattern: cat, with: [dog, cow], chance: 0.5}}]", &r, e));
  for (uint64_t seed = 0; seed < 1000; seed++) {
    struct buf out = {0};
    OK(rule_case_row(r, "{\"text\":\"cat\"}", 1, seed, &out, e));
    dog += strcmp(out.p, "{\"text\":\"dog\"}") == 0;
    cow += strcmp(out.p, "{\"text\":\"cow\"}") == 0;
    cat += strcmp(out.p, "{\"text\":\"cat\"}") == 0;
    buf_free(&out);
  }
  assert_int_equal(dog + cow + cat, 1000);
  assert_in_range(cat, 440, 560); /* half of 1000, four standard deviations wide */
  assert_in_range(dog, 195, 305);
  rules_close(r);
}

static void hostile_patterns(void **state) {
  struct rules *r = NULL;
  struct buf out = {0}, line = {0};
  (void)state;
  OK(rule_case_open("rules: [{substitute: {pattern: '(a+)+$', with: x}}]", &r, e));
  OK(buf_puts(&line, "{\"text\":\"", e));
  for (int i = 0; i < 2000; i++) OK(buf_putc(&line, 'a', e));
  OK(buf_puts(&line, "b\"}", e));
  FAILS(STATUS_LIMIT, "'(a+)+$' on a text of 2001 bytes", rule_case_row(r, line.p, 1, 1, &out, e));
  buf_free(&line);
  buf_free(&out);
  rules_close(r);
  rule_refused("rules: [{substitute: {pattern: 'a(', with: x}}]", STATUS_USAGE, "'a(': missing closing parenthesis at byte 2");
  rule_refused("rules: [{substitute: {pattern: '(a)', with: '$2'}}]", STATUS_USAGE, "with a group of '(a)' at byte 1");
  rule_refused("rules: [{substitute: {pattern: 'a', with: '${b}'}}]", STATUS_USAGE, "group");
  rule_refused("rules: [{substitute: {pattern: 'a', with: '${0:big}'}}]", STATUS_USAGE, "upper|lower|title");
  rule_refused("rules: [{substitute: {pattern: 'a'}}]", STATUS_USAGE, "'pattern' and 'with' are needed");
}

static void who_speaks(void **state) {
  const char *row = "{\"id\":\"cat\",\"n\":1e400,\"messages\":[{\"role\":\"system\",\"content\":\"cat\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"cat\"}]},"
                    "{\"role\":\"assistant\",\"content\":\"cat\"}],\"meta\":{\"title\":\"cat\"},\"task\":{\"recipe\":\"cat\"}}";
  (void)state;
  rule_gives("rules: [{substitute: {pattern: cat, with: dog}, on: user}]", row,
             "{\"id\":\"cat\",\"n\":1e400,\"messages\":[{\"role\":\"system\",\"content\":\"cat\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"dog\"}]},"
             "{\"role\":\"assistant\",\"content\":\"cat\"}],\"meta\":{\"title\":\"cat\"},\"task\":{\"recipe\":\"cat\"}}");
  rule_gives("rules: [{substitute: {pattern: cat, with: dog}, on: [system, assistant]}]", row,
             "{\"id\":\"cat\",\"n\":1e400,\"messages\":[{\"role\":\"system\",\"content\":\"dog\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"cat\"}]},"
             "{\"role\":\"assistant\",\"content\":\"dog\"}],\"meta\":{\"title\":\"cat\"},\"task\":{\"recipe\":\"cat\"}}");
  rule_gives("rules: [{substitute: {pattern: cat, with: dog}, on: all}]", row,
             "{\"id\":\"cat\",\"n\":1e400,\"messages\":[{\"role\":\"system\",\"content\":\"dog\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"dog\"}]},"
             "{\"role\":\"assistant\",\"content\":\"dog\"}],\"meta\":{\"title\":\"dog\"},\"task\":{\"recipe\":\"cat\"}}");
  rule_gives("rules: [{substitute: {pattern: cat, with: dog}, on: assistant}]", "{\"instruction\":\"cat\",\"output\":\"cat\"}", "{\"instruction\":\"cat\",\"output\":\"dog\"}");
  rule_gives("rules: [{substitute: {pattern: cat, with: dog}, on: user}]", "{\"conversations\":[{\"from\":\"human\",\"value\":\"cat\"},{\"from\":\"gpt\",\"value\":\"cat\"}]}",
             "{\"conversations\":[{\"from\":\"human\",\"value\":\"dog\"},{\"from\":\"gpt\",\"value\":\"cat\"}]}");
}

static void slots(void **state) {
  const char *yaml = "copies: 4\nrules:\n  - slots: {table: t.csv, pick: each}\n", *json = "copies: 4\nrules:\n  - slots: {table: t.jsonl, pick: each}\n";
  static const struct { int64_t copy; const char *text, *want; } rows[] = {
    {1, "{{city}} lies in {{country}}", "Paris lies in France"}, {2, "{{city}} lies in {{country}}", "Rome lies in Italy"}, {3, "{{city}}", "Oslo, \"the\" town"},
    {4, "{{city}} again", "Paris again"}, {1, "{{city:upper}} {{country:lower}}", "PARIS france"}, {2, "no slot", "no slot"}, {1, "{{city", "{{city"},
    {1, "{ {city} }", "{ {city} }"}, {3, "[{{note}}]", "[]"}, {1, "{{note}}{{note}}", "line\none" "line\none"}, {2, "{{city}}{{city}}", "RomeRome"}, {2, "{{note:title}}", "Two"}};
  (void)state;
  rule_case_write("t.csv", "city,country,note\r\nParis,France,\"line\none\"\nRome,Italy,two\n\n\"Oslo, \"\"the\"\" town\",Norway,\n");
  rule_case_write("t.jsonl", "{\"city\":\"Paris\",\"pop\":2.10}\n{\"pop\":7,\"city\":\"R\\u00f6m\"}\n");
  struct rules *r = NULL;
  OK(rule_case_open(yaml, &r, e));
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct buf line = {0}, want = {0}, out = {0};
    OK(buf_puts(&line, "{\"messages\":[{\"role\":\"user\",\"content\":", e));
    OK(json_put_cstr(&line, rows[i].text, e));
    OK(buf_puts(&line, "},{\"role\":\"assistant\",\"content\":\"\"}]}", e));
    OK(buf_puts(&want, "{\"messages\":[{\"role\":\"user\",\"content\":", e));
    OK(json_put_cstr(&want, rows[i].want, e));
    OK(buf_puts(&want, "},{\"role\":\"assistant\",\"content\":\"\"}]}", e));
    OK(rule_case_row(r, line.p, rows[i].copy, 1, &out, e));
    assert_string_equal(out.p, want.p);
    buf_free(&line);
    buf_free(&want);
    buf_free(&out);
  }
  struct buf out = {0};
  FAILS(STATUS_DATA, "'{{town}}'", rule_case_row(r, "{\"text\":\"{{town}}\"}", 1, 1, &out, e));
  rules_close(r);
  OK(rule_case_open(json, &r, e));
  OK(rule_case_row(r, "{\"text\":\"{{city}} {{pop}}\",\"output\":\"{{pop}}\"}", 2, 1, &out, e));
  assert_string_equal(out.p, "{\"text\":\"R\xC3\xB6m 7\",\"output\":\"7\"}");
  buf_free(&out);
  rules_close(r);
  rule_case_write("t.csv", "a,b\n1\n");
  rule_refused(yaml, STATUS_DATA, "row 2: 1 columns, expected 2");
  rule_case_write("t.csv", "a,b\n");
  rule_refused(yaml, STATUS_DATA, "without rows");
  rule_case_write("t.csv", "a\n\"x\n");
  rule_refused(yaml, STATUS_DATA, "not closed");
  rule_refused("rules: [{slots: {table: none.csv}}]", STATUS_IO, "none.csv");
}

static void ocr(void **state) {
  static const char *const rows[][2] = {{"modern", "rn0clcm"}, {"", ""}, {"xyz", "xyz"}, {"I SIT", "l 5lT"}, {"barn", "ham"}, {"clear", "dcar"}, {"1984", "1984"},
                                        {"[PERSON_1] li", "[PERSON_1] h"}, {"{{slot}} e", "{{slot}} c"}, {"http://lib.org e", "http://lib.org c"}, {"\xC3\xA9t\xC3\xA9", "efe"}, {"a,b", "a.h"}, {"OBZ", "082"}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) rule_text_gives("rules: [{ocr: 1}]", rows[i][0], rows[i][1]);
  rule_text_gives("rules: [{ocr: 0}]", "modern", "modern");
}

static void casing(void **state) {
  static const char *const rows[][3] = {
    {"{text: upper}", "na\xC3\xAFve Caf\xC3\xA9 7", "NA\xC3\x8FVE CAF\xC3\x89 7"}, {"{text: lower}", "NA\xC3\x8FVE Caf\xC3\xA9 7", "na\xC3\xAFve caf\xC3\xA9 7"}, {"{text: title}", "the big house", "The Big House"},
    {"{text: upper}", "see [PERSON_1] now", "SEE [PERSON_1] NOW"}, {"{text: lower}", "[A_1] http://X.Org/A B", "[A_1] http://X.Org/A b"}, {"{text: upper}", "", ""}, {"{text: title}", "x-ray o'neil", "X-Ray O'Neil"},
    {"{text: lower, chance: 0}", "ABC", "ABC"}, {"0", "Abc dEF", "Abc dEF"}, {"{rate: 0}", "Abc", "Abc"}, {"{text: upper}", "stra\xC3\x9F" "e", "STRA\xE1\xBA\x9E" "E"}, {"{text: lower}", "{{Name}} A", "{{Name}} a"}};
  char yaml[100];
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    snprintf(yaml, sizeof yaml, "rules: [{casing: %s}]", rows[i][0]);
    rule_text_gives(yaml, rows[i][1], rows[i][2]);
  }
  rule_refused("rules: [{casing: {text: big}}]", STATUS_USAGE, "expected lower, upper or title");
}

/* One letter has seven possible slips, each kind as often as the others; the rate is what was asked for. */
static void typos(void **state) {
  static const char *const can[] = {"q", "w", "s", "z", "", "", "aa"};
  size_t seen[7] = {0}, changed = 0;
  struct rules *r = NULL;
  (void)state;
  rule_text_gives("rules: [{typos: 0}]", "nothing here", "nothing here");
  rule_text_gives("rules: [{typos: 1}]", "123 \xC3\xA9\xC3\xA9 [PERSON_2] {{slot}} http://a.b/c", "123 \xC3\xA9\xC3\xA9 [PERSON_2] {{slot}} http://a.b/c");
  OK(rule_case_open("rules: [{typos: 1}]", &r, e));
  for (uint64_t seed = 0; seed < 2000; seed++) {
    struct buf out = {0};
    char want[40];
    int k = 0;
    OK(rule_case_row(r, "{\"text\":\"a\"}", 1, seed, &out, e));
    for (; k < 7; k++) {
      snprintf(want, sizeof want, "{\"text\":\"%s\"}", can[k]);
      if (strcmp(out.p, want) == 0) break;
    }
    if (k == 7) fail_msg("a slip that no finger makes: %s", out.p);
    seen[k]++;
    buf_free(&out);
  }
  for (int k = 0; k < 4; k++) assert_in_range(seen[k], 80, 170); /* 125 expected: a quarter of 2000, by four keys */
  assert_in_range(seen[4], 900, 1100);                           /* left out, or swapped with nothing */
  assert_in_range(seen[6], 420, 580);
  rules_close(r);
  OK(rule_case_open("rules: [{typos: 0.05}]", &r, e));
  for (uint64_t seed = 0; seed < 2000; seed++) {
    struct buf out = {0};
    OK(rule_case_row(r, "{\"text\":\"b1c1d1e1f1\"}", 1, seed, &out, e));
    changed += strcmp(out.p, "{\"text\":\"b1c1d1e1f1\"}") != 0;
    buf_free(&out);
  }
  assert_in_range(changed, 380, 525); /* 1 - 0.95^5 = 0.226 of 2000 */
  rules_close(r);
  rule_refused("rules: [{typos: 2}]", STATUS_USAGE, "from 0 to 1");
}

static void files_are_checked(void **state) {
  (void)state;
  rule_refused("rules: [{tpyos: 0.1}]", STATUS_USAGE, "unknown method 'tpyos'; did you mean 'typos'");
  rule_refused("rules: [{typos: 0.1, ocr: 0.1}]", STATUS_USAGE, "two methods");
  rule_refused("rules: [{on: user}]", STATUS_USAGE, "names no method");
  rule_refused("rules: []", STATUS_USAGE, "at least one rule");
  rule_refused("copies: 2", STATUS_USAGE, "at least one rule");
  rule_refused("copys: 2\nrules: [{typos: 0.1}]", STATUS_USAGE, "unknown key 'copys'; did you mean 'copies'");
  rule_refused("copies: -1\nrules: [{typos: 0.1}]", STATUS_USAGE, "copies: expected 0");
  rule_refused("copies: many\nrules: [{typos: 0.1}]", STATUS_USAGE, "found a text, expected a number");
  rule_refused("copies: 0\nkeep_row: true\nrules: [{typos: 0.1}]", STATUS_USAGE, "no meaning");
  rule_refused("rules: [{typos: 0.1}, {deidentify: all}]", STATUS_USAGE, "must stand before");
  rule_refused("rules: [{typos: 0.1, on: robot}]", STATUS_USAGE, "found 'robot'");
  rule_refused("rules: [{substitute: {pattern: a, with: b, chanse: 1}}]", STATUS_USAGE, "did you mean 'chance'");
  rule_refused("rules: [", STATUS_DATA, "r.yaml");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(substitute), cmocka_unit_test(substitute_at_random), cmocka_unit_test(hostile_patterns), cmocka_unit_test(who_speaks),
                                     cmocka_unit_test(slots), cmocka_unit_test(ocr), cmocka_unit_test(casing), cmocka_unit_test(typos), cmocka_unit_test(files_are_checked)};
  return cmocka_run_group_tests(tests, rule_case_setup, rule_case_teardown);
}

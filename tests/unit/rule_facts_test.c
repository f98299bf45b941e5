/* SPDX-License-Identifier: Apache-2.0
 * Rules that change facts: dates, numbers, de-identification. Expectations written by hand (dates by the calendar). */
#include <sys/stat.h>
#include "rule_case.h"
#include "pii.h"

/* `dates: 1` moves by one day; which way is read off the ISO date in front. */
static void dates(void **state) {
  static const char *const rows[][3] = { /* text, a day later, a day earlier */
    {"2024-02-28", "2024-02-29", "2024-02-27"}, {"2023-02-28", "2023-03-01", "2023-02-27"}, {"1999-12-31", "2000-01-01", "1999-12-30"}, {"31.01.2024", "01.02.2024", "30.01.2024"},
    {"1.3.2024", "2.3.2024", "29.2.2024"}, {"31 January 2024", "1 February 2024", "30 January 2024"}, {"January 31, 2024", "February 1, 2024", "January 30, 2024"},
    {"31 Jan 2024", "1 Feb 2024", "30 Jan 2024"}, {"the 1st March 2024", "the 2nd March 2024", "the 29th February 2024"}, {"March 22nd, 2024", "March 23rd, 2024", "March 21st, 2024"},
    {"Wednesday, January 31, 2024", "Thursday, February 1, 2024", "Tuesday, January 30, 2024"}, {"Friday 1 March 2024", "Saturday 2 March 2024", "Thursday 29 February 2024"},
    {"from 2024-01-01 to 2024-12-31.", "from 2024-01-02 to 2025-01-01.", "from 2023-12-31 to 2024-12-30."},
    {"2024-02-30 is none", "2024-02-30 is none", "2024-02-30 is none"}, {"version 2024-01-01-beta3", "version 2024-01-01-beta3", "version 2024-01-01-beta3"}, {"01/31/2024", "01/31/2024", "01/31/2024"},
    {"May 3, 2024", "May 4, 2024", "May 2, 2024"}, {"no date", "no date", "no date"}, {"1999-12-31T10:00", "2000-01-01T10:00", "1999-12-30T10:00"}};
  struct rules *r = NULL;
  int later = 0, earlier = 0;
  (void)state;
  OK(rule_case_open("rules: [{dates: 1}]", &r, e));
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    for (uint64_t seed = 0; seed < 8; seed++) {
      char line[300], want[300];
      struct buf out = {0};
      snprintf(line, sizeof line, "{\"instruction\":\"2001-06-15 %s\",\"output\":\"%s\"}", rows[i][0], rows[i][0]);
      OK(rule_case_row(r, line, 1, seed, &out, e));
      int up = strstr(out.p, "2001-06-16") != NULL;
      *(up ? &later : &earlier) += 1;
      snprintf(want, sizeof want, "{\"instruction\":\"2001-06-%d %s\",\"output\":\"%s\"}", up ? 16 : 14, rows[i][up ? 1 : 2], rows[i][up ? 1 : 2]);
      assert_string_equal(out.p, want);
      buf_free(&out);
    }
  }
  assert_true(later > 20 && earlier > 20);
  rules_close(r);
  OK(rule_case_open("rules: [{dates: {days: 1, slash: mdy}}]", &r, e));
  struct buf out = {0};
  OK(rule_case_row(r, "{\"text\":\"01/31/2024\"}", 1, 1, &out, e));
  assert_true(strstr(out.p, "\"02/01/2024\"") || strstr(out.p, "\"01/30/2024\""));
  buf_free(&out);
  rules_close(r);
  OK(rule_case_open("rules: [{dates: {days: 1, slash: dmy}}]", &r, e));
  OK(rule_case_row(r, "{\"text\":\"01/03/2024 01/31/2024\"}", 1, 1, &out, e));
  assert_true(strstr(out.p, "\"02/03/2024 01/31/2024\"") || strstr(out.p, "\"29/02/2024 01/31/2024\""));
  buf_free(&out);
  rules_close(r);
  rule_refused("rules: [{dates: 0}]", STATUS_USAGE, "from 1 to 36500");
  rule_refused("rules: [{dates: {days: 3, slash: ymd}}]", STATUS_USAGE, "mdy or dmy");
}

static double number_behind(const char *text, const char *key) {
  const char *p = strstr(text, key);
  double v = 0, unit = 0;
  assert_non_null(p);
  for (p += strlen(key); (*p >= '0' && *p <= '9') || *p == ',' || *p == '.'; p++) {
    if (*p == '.') unit = 1;
    else if (*p != ',') v = v * 10 + (*p - '0'), unit *= 10;
  }
  return unit > 0 ? v / unit : v;
}

static void numbers_in_step(void **state) {
  struct rules *r = NULL;
  size_t differ = 0;
  (void)state;
  OK(rule_case_open("rules: [{numbers: {spread: 0.4}}]", &r, e));
  for (uint64_t seed = 0; seed < 200; seed++) {
    struct buf out = {0};
    OK(rule_case_row(r, "{\"instruction\":\"a=1,250.50 b=2,501.00 c=400 d=7 in 1999\",\"output\":\"b is 2,501.00, c is 400\"}", 1, seed, &out, e));
    double a = number_behind(out.p, "a="), b = number_behind(out.p, "b="), c = number_behind(out.p, "c=");
    assert_true(a >= 1250.5 * 0.6 - 0.01 && a <= 1250.5 * 1.4 + 0.01);
    assert_true(b / a > 1.999 && b / a < 2.001 && a / c > 3.1 && a / c < 3.16); /* proportions hold up to rounding: 3.12625 */
    assert_true(number_behind(out.p, "b is ") == b && number_behind(out.p, "c is ") == c && number_behind(out.p, "d=") == 7);
    assert_non_null(strstr(out.p, "in 1999"));
    const char *point = strchr(strstr(out.p, "a="), '.');
    assert_true(point && point[1] >= '0' && point[2] >= '0' && point[3] == ' '); /* as many decimals as before */
    differ += a != 1250.5;
    buf_free(&out);
  }
  assert_true(differ > 190);
  rules_close(r);
}

/* Rows that must stay as they are, whatever the factor. */
static void numbers_left_alone(void **state) {
  static const char *const rows[] = {
    "{\"instruction\":\"17 apples and 25 pears, how many?\",\"output\":\"42\"}", "{\"text\":\"GPL-2 and v2.50 and x86\"}", "{\"text\":\"1.2.30\"}", "{\"text\":\"in 1989 and 2021\"}", "{\"text\":\"on 2024-10-31\"}",
    "{\"text\":\"on 31.10.2024\"}", "{\"text\":\"October 31, 2024 and 12 May 1999\"}", "{\"text\":\"007 and 0815\"}", "{\"text\":\"at 10:30\"}", "{\"text\":\"3 of 9\"}", "{\"text\":\"[PERSON_12] and {{a12}} #44\"}",
    "{\"text\":\"10/20\"}", "{\"text\":\"12e5 1e30\"}", "{\"n\":5000,\"text\":\"\"}", "{\"text\":\"see http://a.b/1234 or a.1234\"}"};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) rule_gives("rules: [{numbers: 0.5}]", rows[i], rows[i]);
}

static void deidentify(void **state) {
  static const char *const rows[][2] = {
    {"Mail ada@example.org or bob@example.org, not ada@example.org.", "Mail [EMAIL_1] or [EMAIL_2], not [EMAIL_1]."},
    {"Dr. Ada Byron came. Ada Byron spoke. Byron left.", "Dr. [PERSON_1] came. [PERSON_1] spoke. [PERSON_1] left."},
    {"Byronic verse by Dr. Ada Byron", "Byronic verse by Dr. [PERSON_1]"},
    {"Mr. John Smith met Mrs. Jane Doe. Smith and Doe talked.", "Mr. [PERSON_1] met Mrs. [PERSON_2]. [PERSON_1] and [PERSON_2] talked."},
    {"Nothing private here.", "Nothing private here."},
    {"IBAN DE89 3704 0044 0532 0130 00.", "IBAN [IBAN_1]."},
    {"Card 4111 1111 1111 1111", "Card [CARD_1]"},
    {"host 192.168.10.77 is up", "host [IP_1] is up"},
    {"Name: Maria Gomez\nMaria Gomez was seen. Gomez agreed.", "Name: [PERSON_1]\n[PERSON_1] was seen. [PERSON_1] agreed."},
    {"Mr. Smith (smith@example.org) and Mr. Smith", "Mr. [PERSON_1] ([EMAIL_1]) and Mr. [PERSON_1]"},
    {"ADA@EXAMPLE.ORG ada@example.org", "[EMAIL_1] [EMAIL_1]"}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) rule_text_gives("rules: [{deidentify: all}]", rows[i][0], rows[i][1]);
  rule_text_gives("rules: [{deidentify: email}]", "Dr. Ada Byron, ada@example.org", "Dr. Ada Byron, [EMAIL_1]");
  rule_gives("rules: [{deidentify: all}]", "{\"id\":\"ada@example.org\",\"meta\":{\"by\":\"Dr. Ada Byron\"},\"passages\":[{\"id\":\"p\",\"text\":\"Ada Byron wrote\"}],\"messages\":[{\"role\":\"user\",\"content\":\"Who is Byron?\"}]}",
             "{\"id\":\"ada@example.org\",\"meta\":{\"by\":\"Dr. [PERSON_1]\"},\"passages\":[{\"id\":\"p\",\"text\":\"[PERSON_1] wrote\"}],\"messages\":[{\"role\":\"user\",\"content\":\"Who is [PERSON_1]?\"}]}");
  rule_refused("rules: [{deidentify: emial}]", STATUS_USAGE, "emial");
}

/* The same person keeps the number over rows and runs; the mapping file is private and complete. */
static void mapping(void **state) {
  static const char *const first[][2] = {{"{\"text\":\"Dr. Ada Byron\"}", "{\"text\":\"Dr. [PERSON_1]\"}"}, {"{\"text\":\"Mr. John Smith and Ada Byron\"}", "{\"text\":\"Mr. [PERSON_2] and [PERSON_1]\"}"},
                                         {"{\"text\":\"John Smith again, a@b.org\"}", "{\"text\":\"[PERSON_2] again, [EMAIL_1]\"}"}};
  static const char *const second[][2] = {{"{\"text\":\"Mrs. Eva Lund and John Smith\"}", "{\"text\":\"Mrs. [PERSON_3] and [PERSON_2]\"}"}, {"{\"text\":\"c@d.org a@b.org\"}", "{\"text\":\"[EMAIL_2] [EMAIL_1]\"}"}};
  const char *yaml = "rules: [{deidentify: {map: map.jsonl}}]";
  struct rules *r = NULL;
  struct buf out = {0};
  struct stat s;
  char path[200];
  (void)state;
  OK(rule_case_open(yaml, &r, e));
  for (int i = 0; i < 3; i++) {
    buf_clear(&out);
    OK(rule_case_row(r, first[i][0], 1, 1, &out, e));
    assert_string_equal(out.p, first[i][1]);
  }
  OK(r->rule[0].c->finish(r->rule[0].state, e));
  rules_close(r);
  snprintf(path, sizeof path, "%s/map.jsonl", rule_folder);
  assert_int_equal(stat(path, &s), 0);
  assert_int_equal(s.st_mode & 0777, 0600);
  OK(rule_case_open(yaml, &r, e));
  for (int i = 0; i < 2; i++) {
    buf_clear(&out);
    OK(rule_case_row(r, second[i][0], 1, 1, &out, e));
    assert_string_equal(out.p, second[i][1]);
  }
  OK(r->rule[0].c->finish(r->rule[0].state, e));
  rules_close(r);
  FILE *f = fopen(path, "r");
  char text[2000] = "";
  assert_true(fread(text, 1, sizeof text - 1, f) > 0);
  fclose(f);
  assert_string_equal(text, "{\"kind\":\"name\",\"number\":1,\"placeholder\":\"[PERSON_1]\",\"value\":\"Ada Byron\"}\n{\"kind\":\"name\",\"number\":2,\"placeholder\":\"[PERSON_2]\",\"value\":\"John Smith\"}\n"
                            "{\"kind\":\"email\",\"number\":1,\"placeholder\":\"[EMAIL_1]\",\"value\":\"a@b.org\"}\n{\"kind\":\"name\",\"number\":3,\"placeholder\":\"[PERSON_3]\",\"value\":\"Eva Lund\"}\n"
                            "{\"kind\":\"email\",\"number\":2,\"placeholder\":\"[EMAIL_2]\",\"value\":\"c@d.org\"}\n");
  rule_case_write("map.jsonl", "{\"kind\":\"name\",\"number\":2,\"value\":\"John Smith\"}\n");
  rule_refused(yaml, STATUS_DATA, "row 1: found number 2, expected 1");
  rule_case_write("map.jsonl", "{\"kind\":\"person\"}\n");
  rule_refused(yaml, STATUS_DATA, "as deidentify writes it");
  unlink(path);
  buf_free(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(dates), cmocka_unit_test(numbers_in_step), cmocka_unit_test(numbers_left_alone), cmocka_unit_test(deidentify), cmocka_unit_test(mapping)};
  return cmocka_run_group_tests(tests, rule_case_setup, rule_case_teardown);
}

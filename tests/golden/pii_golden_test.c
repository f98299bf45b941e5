/* SPDX-License-Identifier: Apache-2.0
 * The scanner for personal data against the curation goldens (113 planted values, 26 lookalikes, 580 documents) and against
 * lines made by hand for what those do not have: record numbers, dates of birth, names. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "file.h"
#include "json.h"
#include "line.h"
#include "pii.h"

#define DATA TEST_SOURCE "/tests/golden/data/"
static void ok(enum status st, const struct err *e) {
  if (st != STATUS_OK) fail_msg("%s: %s", status_name(st), e->msg);
}

static enum pii_kind kind_of(const char *type) {
  if (strncmp(type, "phone", 5) == 0) return PII_phone;
  if (strncmp(type, "ipv", 3) == 0) return PII_ip;
  if (strcmp(type, "ssn_us") == 0 || strcmp(type, "my_number_jp") == 0) return PII_national_id;
  if (strcmp(type, "credit_card") == 0) return PII_card;
  for (int k = 0; k < PII_KINDS; k++)
    if (strcmp(pii_kind_name((enum pii_kind)k), type) == 0) return (enum pii_kind)k;
  fail_msg("golden type '%s'", type);
  return PII_KINDS;
}

static void planted_values(void **state) {
  (void)state;
  struct err e = { 0 };
  struct json *truth = NULL;
  struct pii *p;
  struct arena *a = arena_new(0);
  int found = 0, wrong = 0, got = 1, total;
  ok(json_parse_file(DATA "curate/pii.json", 1 << 24, &truth, &e), &e);
  const struct json *list = json_get(truth, "pii");
  total = (int)json_size(list);
  ok(pii_new("all,-name,-dob,-mrn", PII_SCORE_DEFAULT, &p, &e), &e);
  int fd = open(DATA "curate/corpus.jsonl", O_RDONLY);
  assert_true(fd >= 0);
  struct line_reader *lr = line_reader_new(fd, "corpus.jsonl", LINE_MAX_DEFAULT);
  for (;;) {
    struct span line, id, text;
    struct record rec;
    struct pii_hit *hit;
    size_t n;
    ok(line_next(lr, &line, &got, &e), &e);
    if (!got) break;
    arena_reset(a);
    ok(record_split(line, a, &rec, &e), &e);
    ok(span_string(record_get(&rec, "id"), a, &id, &e), &e);
    ok(span_string(record_get(&rec, "text"), a, &text, &e), &e);
    ok(pii_scan(p, text, a, &hit, &n, &e), &e);
    for (size_t h = 0; h < n; h++) {
      int hits = 0;
      assert_true(h == 0 || hit[h].offset >= hit[h - 1].offset + hit[h - 1].bytes);
      for (size_t k = 0; k < json_size(list); k++) {
        const struct json *x = json_at(list, k);
        if (!span_is(id, json_cstr(json_get(x, "doc"), ""))) continue;
        hits |= (int64_t)hit[h].offset == json_int(json_get(x, "byte_start"), -1) && (int64_t)(hit[h].offset + hit[h].bytes) == json_int(json_get(x, "byte_end"), -1) &&
                hit[h].kind == kind_of(json_cstr(json_get(x, "type"), ""));
      }
      if (hits) found++;
      else {
        wrong++;
        print_message("%.*s: %s '%.*s'\n", (int)id.n, id.p, pii_kind_name(hit[h].kind), (int)hit[h].bytes, text.p + hit[h].offset);
      }
    }
  }
  print_message("planted %d, found %d, wrong %d\n", total, found, wrong);
  assert_true(found >= 0.98 * total);
  assert_true(found >= 0.95 * (found + wrong));
  line_reader_free(lr);
  close(fd);
  pii_free(p);
  json_free(truth);
  arena_free(a);
}

/* Each line of FILE: text, tab, what must be found (exactly that), or no tab: nothing. */
static void by_hand(const char *name) {
  struct err e = { 0 };
  struct pii *p;
  struct arena *a = arena_new(0);
  struct buf b = { 0 };
  char path[200];
  int good = 0, good_found = 0, bad = 0, bad_found = 0;
  snprintf(path, sizeof path, DATA "pii/%s.tsv", name);
  ok(file_read(path, 1 << 20, &b, &e), &e);
  ok(pii_new(name, PII_SCORE_DEFAULT, &p, &e), &e);
  for (char *line = b.p; line < b.p + b.n;) {
    char *end = strchr(line, '\n'), *tab = memchr(line, '\t', (size_t)(end - line));
    size_t n = (size_t)((tab ? tab : end) - line), m = 0, hits;
    if (line[0] != '#') {
      char *text = arena_alloc(a, n + 1);
      for (size_t i = 0; i < n; i++) text[m++] = line[i] == '\\' && line[i + 1] == 'n' ? (i++, '\n') : line[i];
      struct pii_hit *hit;
      ok(pii_scan(p, (struct span){ text, m }, a, &hit, &hits, &e), &e);
      int right = tab && hits == 1 && hit[0].bytes == (size_t)(end - tab - 1) && !memcmp(text + hit[0].offset, tab + 1, hit[0].bytes);
      if (tab) good++, good_found += right;
      else bad++, bad_found += hits > 0;
      if (tab ? !right : hits > 0) print_message("%s: '%.*s' gave '%.*s'\n", name, (int)n, line, hits ? (int)hit[0].bytes : 0, hits ? text + hit[0].offset : "");
    }
    line = end + 1;
  }
  print_message("%s: %d of %d found, %d of %d others reported\n", name, good_found, good, bad_found, bad);
  assert_true(good >= 40 && bad >= 40);
  assert_true(good_found >= 0.98 * good);
  assert_true(good_found >= 0.95 * (good_found + bad_found));
  pii_free(p);
  buf_free(&b);
  arena_free(a);
}
static void record_numbers(void **state) { (void)state; by_hand("mrn"); }
static void births(void **state) { (void)state; by_hand("dob"); }
static void names(void **state) { (void)state; by_hand("name"); }

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(planted_values), cmocka_unit_test(record_numbers), cmocka_unit_test(births), cmocka_unit_test(names) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 * The published web rules against datatrove's own filters (tests/golden/make_web_rules.py): same verdict, same reason, same
 * text, on 240 texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "curate_scan.h"
#include "file.h"
#include "json.h"

#define DATA TEST_SOURCE "/tests/golden/data/curate/web_rules.jsonl"
static struct curate_options defaults;

static void ok(enum status st, const struct err *e) {
  if (st != STATUS_OK) fail_msg("%s: %s", status_name(st), e->msg);
}

/* The reason of `f` for the row, "" = kept; r holds what it left. sets: as with --near, which gives a filter more to go by. */
static const char *verdict(const struct filter *f, struct span line, int sets, struct arena *a, struct row *r) {
  struct err e = { 0 };
  *r = (struct row){ .a = a };
  ok(record_split(line, a, &r->rec, &e), &e);
  ok(record_text(&r->rec, a, &r->text, &e), &e);
  ok(words_scan(r->text, a, &r->words, &e), &e);
  if (sets) ok(words_shingles(&r->words, NEAR_WORDS, a, &r->shingle, &r->n_shingle, &e), &e);
  ok(f->scan(NULL, &defaults, r, &e), &e);
  return r->v.reason ? r->v.reason : "";
}

static void against_datatrove(const struct filter *f, const char *field, int expected_drops) {
  struct err e = { 0 };
  struct arena *a = arena_new(0);
  struct buf b = { 0 };
  int rows = 0, drops = 0, wrong = 0;
  ok(file_read(DATA, 1 << 24, &b, &e), &e);
  for (char *p = b.p; p < b.p + b.n; rows++) {
    char *end = memchr(p, '\n', (size_t)(b.p + b.n - p));
    struct row r;
    struct span line = { p, (size_t)(end - p) }, want, id;
    arena_reset(a);
    const char *got = verdict(f, line, rows % 2, a, &r);
    struct record in;
    ok(record_split(line, a, &in, &e), &e);
    ok(span_string(record_get(&in, field), a, &want, &e), &e);
    ok(span_string(record_get(&in, "id"), a, &id, &e), &e);
    if (!span_is(want, got)) wrong++, print_message("%.*s: %s is '%s' (%g), expected '%.*s'\n", (int)id.n, id.p, field, got, r.v.score, (int)want.n, want.p);
    if (f->early && !*got) { /* what it left of the text */
      struct span now, text;
      ok(record_string(&r.rec, "text", a, &now, &e), &e);
      ok(span_string(record_get(&in, "c4_text"), a, &text, &e), &e);
      if (now.n != text.n || memcmp(now.p, text.p, now.n)) wrong++, print_message("%.*s: text '%.*s', expected '%.*s'\n", (int)id.n, id.p, (int)now.n, now.p, (int)text.n, text.p);
    }
    drops += want.n > 0;
    p = end + 1;
  }
  assert_int_equal(wrong, 0);
  assert_int_equal(rows, 240);
  assert_int_equal(drops, expected_drops);
  buf_free(&b);
  arena_free(a);
}

static void repetition(void **state) {
  (void)state;
  against_datatrove(&filter_repetition, "repetition", 120);
}
static void quality(void **state) {
  (void)state;
  against_datatrove(&filter_quality, "quality", 158);
}

static void c4(void **state) {
  (void)state;
  against_datatrove(&filter_c4, "c4", 99);
}

static void fineweb(void **state) {
  (void)state;
  against_datatrove(&filter_fineweb, "fineweb", 131);
}

int main(void) {
  struct err e = { 0 };
  struct opt_list rest;
  struct arena *a = arena_new(0);
  char name[] = "curate", *argv[] = { name, NULL };
  if (!a || opt_parse("curate", curate_rows, &defaults, NULL, NULL, 1, argv, &rest, a, &e) != STATUS_OK) return 1;
  defaults.repetition_min_words = 0; /* datatrove has no bound */
  const struct CMUnitTest tests[] = { cmocka_unit_test(repetition), cmocka_unit_test(quality), cmocka_unit_test(c4), cmocka_unit_test(fineweb) };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  arena_free(a);
  return failed;
}

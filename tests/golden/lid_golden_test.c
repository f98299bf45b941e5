/* SPDX-License-Identifier: Apache-2.0
 * Language models against fasttext-predict (tests/golden/make_lid.py): six small models, one of each kind, and lid.176.ftz when
 * the cache has it (tools/data.sh languages). Damaged files are refused or read, never more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <math.h>
#include <cmocka.h>
#include "file.h"
#include "json.h"
#include "lid.h"
#include "rng.h"

#define DATA TEST_SOURCE "/tests/golden/data/lid/"
static const char *const small[] = { "hs", "softmax", "ova", "ns_words", "quantised", "quantised_out" };

static void ok(enum status st, const struct err *e) {
  if (st != STATUS_OK) fail_msg("%s: %s", status_name(st), e->msg);
}

/* All predictions of the file for this model; returns how many there were. */
static int compare(const char *model, const char *path, double tolerance) {
  struct err e = { 0 };
  struct lid *l;
  struct buf b = { 0 };
  int n = 0;
  double worst = 0;
  ok(lid_open(path, &l, &e), &e);
  ok(file_read(DATA "predictions.jsonl", 1 << 20, &b, &e), &e);
  for (char *p = b.p, *end; p < b.p + b.n; p = end + 1) {
    struct json *j;
    struct span label;
    double q;
    end = memchr(p, '\n', (size_t)(b.p + b.n - p));
    ok(json_parse((struct span){ p, (size_t)(end - p) }, "row", &j, &e), &e);
    if (strcmp(json_cstr(json_get(j, "model"), ""), model) == 0) {
      struct span text = json_str(json_get(j, "text")), want = json_str(json_get(j, "label"));
      double p_want = json_num(json_get(j, "p"), -1);
      ok(lid_predict(l, text, &label, &q, &e), &e);
      if (label.n != want.n || memcmp(label.p, want.p, want.n) != 0 || fabs(q - p_want) > tolerance)
        fail_msg("%s: '%.60s': '%.*s' %.7f, expected '%s' %.7f", model, text.p, (int)label.n, label.p, q, want.p, p_want);
      if (fabs(q - p_want) > worst) worst = fabs(q - p_want);
      n++;
    }
    json_free(j);
  }
  print_message("%s: %d texts, largest difference %.1e\n", model, n, worst);
  buf_free(&b);
  lid_close(l);
  return n;
}

static void small_models(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
    char path[300];
    snprintf(path, sizeof path, DATA "%s.bin", small[i]);
    assert_int_equal(compare(small[i], path, 1e-5), 18); /* observed: 1.3e-7 */
  }
}

static void lid_176(void **state) {
  (void)state;
  const char *cache = getenv("RETORT_CACHE");
  char path[300];
  snprintf(path, sizeof path, "%s/lid.176.ftz", cache ? cache : "");
  if (!file_exists(path)) {
    print_message("'%s' is not there (tools/data.sh languages)\n", path);
    skip();
  }
  assert_int_equal(compare("lid.176", path, 1e-4), 108); /* observed: 5e-7 */
}

static void damage(void **state) {
  (void)state;
  struct err e = { 0 };
  int refused = 0;
  for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
    char path[300];
    struct buf b = { 0 };
    snprintf(path, sizeof path, DATA "%s.bin", small[i]);
    ok(file_read(path, 1 << 20, &b, &e), &e);
    for (uint32_t k = 0; k < 3000; k++) {
      uint32_t r[4];
      rng_philox(i, 7, k, r);
      char *copy = malloc(b.n);
      size_t n = k % 4 == 0 ? r[0] % b.n : b.n;
      memcpy(copy, b.p, b.n);
      if (k % 4) copy[r[1] % (k % 2 ? 400 : b.n)] ^= (char)(1u << r[2] % 8);
      struct lid *l = NULL;
      struct span label;
      double p;
      enum status st = lid_from_memory("damaged", (struct span){ copy, n }, &l, &e);
      refused += st == STATUS_DATA;
      assert_true(st == STATUS_OK || st == STATUS_DATA || st == STATUS_NOMEM);
      if (k % 4 == 0) assert_int_equal(st, STATUS_DATA); /* cut */
      if (st == STATUS_OK) ok(lid_predict(l, (struct span){ "the word1 \xC3\xBC" "ber x", 16 }, &label, &p, &e), &e);
      lid_close(l);
      free(copy);
    }
    buf_free(&b);
  }
  print_message("%d of 18000 damaged files refused\n", refused);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(small_models), cmocka_unit_test(lid_176), cmocka_unit_test(damage) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 * Words, shingles and signatures: boundaries in several scripts, what exact duplicates share, the two MinHash loops against
 * each other, the bands' promise, and the estimate of a known Jaccard value. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "near.h"
#include "rng.h"
#include "words.h"

static struct arena *arena;

static struct words scan(const char *s) {
  struct words w;
  struct err e = { 0 };
  if (words_scan((struct span){ s, strlen(s) }, arena, &w, &e) != STATUS_OK) fail_msg("%s", e.msg);
  return w;
}

static void words_are(const char *text, const char *expected) {
  struct words w = scan(text);
  char got[1024] = "";
  size_t n = 0;
  for (size_t i = 0; i < w.n; i++) n += (size_t)snprintf(got + n, sizeof got - n, "%s%.*s", i ? "|" : "", (int)(w.end[i] - w.start[i]), text + w.start[i]);
  assert_string_equal(got, expected);
}

static void boundaries(void **state) {
  (void)state;
  words_are("Hello, World-2.0 it's", "Hello|World|2|0|it|s");
  words_are("caf\xC3\xA9 na\xC3\xAFve", "caf\xC3\xA9|na\xC3\xAFve");
  words_are("\xE7\xA8\x8E\xE6\xB3\x95" "A1", "\xE7\xA8\x8E|\xE6\xB3\x95|A1"); /* Han one by one */
  words_are("a\xFF\xFE" "b\xE7\xA8", "a|b");                              /* invalid UTF-8 separates */
  words_are("\xE2\x80\x9Cquoted\xE2\x80\x9D", "quoted");
  words_are("", "");
  words_are(" .,!", "");
  assert_true(scan("CAF\xC3\x89").hash[0] == scan("caf\xC3\xA9").hash[0]);
}

static void exact_key(void **state) {
  (void)state;
  static const char *const same[][2] = { { "Hello,  World", "hello world!" }, { "GPL-2.0", "GPL 2.0" }, { "a/b", "a b" }, { "2 + 3", "2+3" } };
  static const char *const differ[][2] = { { "2+3", "2-3" }, { "2 * 3", "2 / 3" }, { "x+5", "x 5" }, { "GPL 2+", "GPL 2" }, { "a b", "ab" }, { "?!", "..." } };
  for (size_t i = 0; i < sizeof same / sizeof *same; i++) assert_true(scan(same[i][0]).normal == scan(same[i][1]).normal);
  for (size_t i = 0; i < sizeof differ / sizeof *differ; i++) assert_true(scan(differ[i][0]).normal != scan(differ[i][1]).normal);
}

static void long_words_are_cut_not_lost(void **state) {
  (void)state;
  char *text = arena_alloc(arena, 20001);
  memset(text, 'x', 20000);
  text[20000] = 0;
  struct words w = scan(text);
  size_t bytes = 0;
  for (size_t i = 0; i < w.n; i++) bytes += w.end[i] - w.start[i];
  assert_int_equal(bytes, 20000);
}

static void shingles_are_sorted_and_distinct(void **state) {
  (void)state;
  struct err e = { 0 };
  uint64_t *v;
  size_t n;
  struct words w = scan("a b c a b c a b c a b c a b c a b c a b c a b c a b c a b c a b c a b c a b c a b c a b c a b c a b c a b c a b c a b c a b c a b c");
  assert_int_equal(words_shingles(&w, 5, arena, &v, &n, &e), STATUS_OK);
  assert_int_equal(n, 3);
  assert_true(v[0] < v[1] && v[1] < v[2]);
  w = scan("one two three");
  assert_int_equal(words_shingles(&w, 5, arena, &v, &n, &e), STATUS_OK);
  assert_int_equal(n, 1);
  w = scan("");
  assert_int_equal(words_shingles(&w, 5, arena, &v, &n, &e), STATUS_OK);
  assert_int_equal(n, 0);
  static const uint64_t a[] = { 1, 3, 5, 7 }, b[] = { 3, 4, 5, 9, 11 };
  assert_true(fabs(words_jaccard(a, 4, b, 5) - 2.0 / 7) < 1e-15);
  assert_true(words_jaccard(a, 0, b, 0) == 0);
}

static void signatures(void **state) {
  (void)state;
  enum { N = 4000, PAIRS = 40 };
  static uint64_t a[N], b[N];
  static uint32_t x[NEAR_HASHES], y[NEAR_HASHES], g[NEAR_HASHES];
  struct rng r = { 3, 0, 0 };
  double mean = 0, want = 0;
  for (int p = 0; p < PAIRS; p++) {
    size_t n = 300 + (size_t)rng_below(&r, 1000), shared = n * (size_t)(p + 1) / (PAIRS + 1);
    for (size_t i = 0; i < n; i++) {
      a[i] = rng_u64(&r);
      b[i] = i < shared ? a[i] : rng_u64(&r);
    }
    near_signature(a, n, x);
    near_minima_generic(a, n, g);
    assert_memory_equal(x, g, sizeof x); /* whichever loop this processor takes */
    near_signature(b, n, y);
    double equal = 0, jaccard = (double)shared / (double)(2 * n - shared);
    for (int i = 0; i < NEAR_HASHES; i++) equal += x[i] == y[i];
    assert_true(fabs(equal / NEAR_HASHES - jaccard) < 0.2); /* 4.5 standard deviations; observed 0.085 */
    mean += equal / NEAR_HASHES / PAIRS;
    want += jaccard / PAIRS;
  }
  assert_true(fabs(mean - want) < 0.015); /* unbiased; observed 0.0024 */
}

static void bands_find_pairs_at_the_threshold(void **state) {
  (void)state;
  for (double t = 0.3; t < 0.99; t += 0.05) {
    int rows, bands;
    near_bands(t, &rows, &bands);
    assert_true(rows >= 1 && rows * bands <= NEAR_HASHES);
    assert_true(pow(1 - pow(t, rows), bands) < 1e-3);
  }
}

int main(void) {
  arena = arena_new(0);
  const struct CMUnitTest tests[] = { cmocka_unit_test(boundaries), cmocka_unit_test(exact_key), cmocka_unit_test(long_words_are_cut_not_lost),
    cmocka_unit_test(shingles_are_sorted_and_distinct), cmocka_unit_test(signatures), cmocka_unit_test(bands_find_pairs_at_the_threshold) };
  int rc = cmocka_run_group_tests(tests, NULL, NULL);
  arena_free(arena);
  return rc;
}

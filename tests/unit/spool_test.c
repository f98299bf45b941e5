/* SPDX-License-Identifier: Apache-2.0
 * Spools and the external sorter: the same bytes with and without spilling, any record size, order by memcmp against qsort. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "rng.h"
#include "sorter.h"
#include "spool.h"

static void ok(enum status st, const struct err *e) {
  if (st != STATUS_OK) fail_msg("%s: %s", status_name(st), e->msg);
}
static uint32_t any(uint64_t i, uint64_t j) {
  uint32_t r[4];
  rng_philox(1, i, j, r);
  return r[0];
}

static void spools(void **state) {
  (void)state;
  enum { N = 4000 };
  static uint64_t at[N];
  struct err e = { 0 };
  for (int small = 0; small < 2; small++) {
    struct spool *s;
    struct buf scratch = { 0 };
    const void *p;
    ok(spool_new(small ? 1 << 19 : 1 << 30, &s, &e), &e);
    unsigned char *record = mem_alloc(1 << 20);
    for (uint32_t i = 0; i < N; i++) {
      size_t n = i % 500 == 7 ? 700000 : any(i, 0) % 3000;
      memset(record, (int)(i % 251), n);
      ok(spool_add(s, record, n, &at[i], &e), &e);
    }
    assert_int_equal(spool_spilled(s) > 0, small);
    for (int walk = 0; walk < 2; walk++)
      for (uint32_t k = 0; k < N; k++) {
        uint32_t i = walk ? k : any(k, 5) % N;
        size_t n = i % 500 == 7 ? 700000 : any(i, 0) % 3000;
        ok(walk ? spool_walk(s, at[i], n, &scratch, &p, &e) : spool_view(s, at[i], n, &scratch, &p, &e), &e);
        const unsigned char *b = p;
        for (size_t m = 0; m < n; m += 97) assert_int_equal(b[m], i % 251);
        if (n) assert_int_equal(b[n - 1], i % 251);
      }
    assert_int_equal(spool_view(s, at[N - 1], 1u << 20, &scratch, &p, &e), STATUS_DATA);
    spool_free(s);
    buf_free(&scratch);
    mem_free(record);
  }
  struct spool *s; /* equal records lie at number * size */
  ok(spool_new(1 << 19, &s, &e), &e);
  for (uint64_t i = 0; i < 40000; i++) {
    uint64_t r[8] = { i }, where;
    ok(spool_add(s, r, sizeof r, &where, &e), &e);
    assert_int_equal(where, i * 64);
  }
  spool_free(s);
}

struct record { unsigned char p[40]; size_t n; };
static int by_bytes(const void *x, const void *y) {
  const struct record *a = x, *b = y;
  size_t n = a->n < b->n ? a->n : b->n;
  int d = memcmp(a->p, b->p, n);
  return d ? d : (a->n > b->n) - (a->n < b->n);
}

static void sorting(void **state) {
  (void)state;
  enum { N = 200000 };
  struct err e = { 0 };
  struct record *v = mem_calloc(N, sizeof *v);
  for (int kind = 0; kind < 3; kind++) { /* many equal prefixes; short ones; random keys */
    for (uint32_t i = 0; i < N; i++) {
      v[i].n = kind == 2 ? 12 : any(i, 7) % 20 + (kind ? 0 : 8);
      for (size_t k = 0; k < v[i].n; k++) v[i].p[k] = (unsigned char)(kind == 2 ? any(i, 100 + k) : kind == 0 && k < 8 ? 'x' : any(i, 100 + k) % 3);
    }
    struct sorter *s[2];
    for (int small = 0; small < 2; small++) {
      ok(sorter_new(small ? 1 << 20 : 1 << 28, &s[small], &e), &e);
      for (uint32_t i = 0; i < N; i++) ok(sorter_add(s[small], v[i].p, v[i].n, &e), &e);
    }
    qsort(v, N, sizeof *v, by_bytes);
    for (int again = 0; again < 2; again++)
      for (int small = 0; small < 2; small++) {
        const unsigned char *p;
        size_t n;
        int got;
        ok(sorter_rewind(s[small], &e), &e);
        for (uint32_t i = 0; i < N; i++) {
          ok(sorter_next(s[small], &p, &n, &got, &e), &e);
          assert_true(got && n == v[i].n && memcmp(p, v[i].p, n) == 0);
        }
        ok(sorter_next(s[small], &p, &n, &got, &e), &e);
        assert_false(got);
      }
    sorter_free(s[0]);
    sorter_free(s[1]);
  }
  mem_free(v);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(spools), cmocka_unit_test(sorting) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

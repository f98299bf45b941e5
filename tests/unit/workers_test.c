/* SPDX-License-Identifier: Apache-2.0
 * The ordered pipeline: order, window, errors at every place, nothing leaked, nothing stuck, no wait with output held back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdatomic.h>
#include <unistd.h>
#include "mem.h"
#include "rng.h"
#include "workers.h"

struct job { int n; long long square; };
struct run {
  int total, read, written, read_fails_at, write_fails_at;
  int work_fails_at[2];
  size_t item_bytes, window, in_window, most; /* counted by read and write, on one thread */
  atomic_int alive, worked;
};

static enum status rd(void *ctx, struct work_item *it, int *got, struct err *e) {
  struct run *r = ctx;
  *got = 0;
  if (r->read == r->read_fails_at) return err_set(e, STATUS_IO, "read %d", r->read);
  if (r->read == r->total) return STATUS_OK;
  struct job *j = mem_alloc(sizeof *j);
  j->n = r->read++;
  it->user = j;
  it->bytes = r->item_bytes;
  r->in_window += it->bytes;
  if (r->in_window > r->most) r->most = r->in_window;
  atomic_fetch_add(&r->alive, 1);
  *got = 1;
  return STATUS_OK;
}

static enum status wk(void *ctx, struct work_item *it, int worker, struct err *e) {
  struct run *r = ctx;
  struct job *j = it->user;
  struct rng g = { 1, (uint64_t)j->n, 0 };
  (void)worker;
  if (rng_below(&g, 16) == 0) usleep((useconds_t)rng_below(&g, 300)); /* finish out of order */
  /* the earlier failure is noted while the later item is in work already, and must not be overwritten by it */
  if (j->n == r->work_fails_at[1] - 1) usleep(8000); /* so that the caller waits for the item before */
  if (j->n == r->work_fails_at[1]) usleep(1000);
  if (j->n == r->work_fails_at[0]) usleep(4000);
  for (int k = 0; k < 2; k++)
    if (j->n == r->work_fails_at[k]) return err_set(e, STATUS_DATA, "work %d", j->n);
  j->square = (long long)j->n * j->n;
  atomic_fetch_add(&r->worked, 1);
  return STATUS_OK;
}

static enum status wr(void *ctx, struct work_item *it, struct err *e) {
  struct run *r = ctx;
  struct job *j = it->user;
  enum status st = STATUS_OK;
  if (j->n != r->written || j->square != (long long)j->n * j->n) fail_msg("row %d came as %d", r->written, j->n);
  if (j->n == r->write_fails_at) st = err_set(e, STATUS_STOPPED, "write %d", j->n);
  else r->written++;
  r->in_window -= it->bytes;
  atomic_fetch_sub(&r->alive, 1);
  mem_free(j);
  return st;
}

static void dr(void *ctx, struct work_item *it) {
  struct run *r = ctx;
  atomic_fetch_sub(&r->alive, 1);
  mem_free(it->user);
}

static const struct workers_ops ops = { rd, wk, wr, dr, NULL };
static struct run fresh(int total) {
  struct run r = { .total = total, .read_fails_at = -1, .write_fails_at = -1, .work_fails_at = { -1, -1 }, .item_bytes = 100, .window = 5000 };
  return r;
}

static void keeps_order_within_the_window(void **state) {
  (void)state;
  for (int threads = 1; threads <= 5; threads++) {
    struct run r = fresh(5000);
    assert_int_equal(workers_run(&ops, &r, threads, r.window, NULL), STATUS_OK);
    assert_int_equal(r.written, 5000);
    assert_int_equal(atomic_load(&r.alive), 0);
    assert_true(r.most <= r.window + r.item_bytes);
    r = fresh(50);
    r.item_bytes = 1000000; /* each larger than the window */
    assert_int_equal(workers_run(&ops, &r, threads, r.window, NULL), STATUS_OK);
    assert_int_equal(r.written, 50);
    r = fresh(0);
    assert_int_equal(workers_run(&ops, &r, threads, r.window, NULL), STATUS_OK);
  }
}

static void earliest_error_wins(void **state) {
  (void)state;
  for (int threads = 1; threads <= 4; threads++) {
    for (int at = 0; at < 400; at += 57) {
      struct err e = { STATUS_OK, "" };
      struct run r = fresh(400);
      r.work_fails_at[0] = at + 1;
      r.work_fails_at[1] = at;
      assert_int_equal(workers_run(&ops, &r, threads, r.window, &e), STATUS_DATA);
      char want[32];
      snprintf(want, sizeof want, "work %d", at);
      assert_string_equal(e.msg, want);
      assert_int_equal(r.written, at);
      assert_int_equal(atomic_load(&r.alive), 0);
      r = fresh(400);
      r.read_fails_at = at;
      assert_int_equal(workers_run(&ops, &r, threads, r.window, &e), STATUS_IO);
      assert_int_equal(r.written, at); /* all that was read is written first */
      assert_int_equal(atomic_load(&r.alive), 0);
      r = fresh(400);
      r.write_fails_at = at;
      r.work_fails_at[0] = at + 30;
      assert_int_equal(workers_run(&ops, &r, threads, r.window, &e), STATUS_STOPPED);
      assert_int_equal(r.written, at);
      assert_int_equal(atomic_load(&r.alive), 0);
    }
  }
}

/* Input that never comes while an item is in flight: its result must be written before the read that would wait. */
static int not_ready(void *ctx) { (void)ctx; return 0; }
static enum status rd_patient(void *ctx, struct work_item *it, int *got, struct err *e) {
  struct run *r = ctx;
  assert_int_equal(r->written, r->read);
  return rd(ctx, it, got, e);
}
static void nothing_is_held_back_while_waiting(void **state) {
  (void)state;
  const struct workers_ops patient = { rd_patient, wk, wr, dr, not_ready };
  struct run r = fresh(200);
  assert_int_equal(workers_run(&patient, &r, 3, r.window, NULL), STATUS_OK);
  assert_int_equal(r.written, 200);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(keeps_order_within_the_window), cmocka_unit_test(earliest_error_wins),
                                      cmocka_unit_test(nothing_is_held_back_while_waiting) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 * The book's map: keys that look alike in it are told apart by their records, parts grow, more segments than open descriptors, and
 * memory that runs out at any allocation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>
#include "book.h"
#include "file.h"
#include "log.h"

static struct err err;
#define OK(call) do { if ((call) != STATUS_OK) fail_msg("%s: %s", #call, err.msg); } while (0)
static char dir[64];
static struct arena *arena;

static int set_up(void **state) {
  (void)state;
  memcpy(dir, "/tmp/retort-bookmap-XXXXXX", 27);
  return !mkdtemp(dir) || (arena = arena_new(0)) == NULL;
}
static int tear_down(void **state) {
  (void)state;
  arena_free(arena);
  return folder_remove(dir, &err) != STATUS_OK;
}

/* alike: the bytes that the map keeps of a key are all the same. */
static int key_of(int i, int alike, unsigned char key[32]) {
  char text[32];
  int n = snprintf(text, sizeof text, "%d", i);
  int made = book_key((struct span){ "t", 1 }, (struct span){ text, (size_t)n }, 0, key);
  if (alike) memset(key, 0x5a, 4);
  return made;
}

static enum status put(struct book *b, int i, int alike, const char *word, struct err *e) {
  unsigned char key[32];
  char body[32], answer[64];
  struct book_answer a = { { body, (size_t)snprintf(body, sizeof body, "%d", i) }, { answer, (size_t)snprintf(answer, sizeof answer, "%s %d", word, i) }, { "{}", 2 } };
  return !key_of(i, alike, key) ? err_nomem(e, 32) : book_put(b, key, &a, e);
}

/* 1 found with the right text, 0 not found, -1 wrong text or an error. */
static int get(struct book *b, int i, int alike, const char *word) {
  unsigned char key[32];
  char body[32], want[64];
  struct book_answer a;
  int found = 0;
  struct span s = { body, (size_t)snprintf(body, sizeof body, "%d", i) };
  snprintf(want, sizeof want, "%s %d", word, i);
  (void)key_of(i, alike, key);
  arena_reset(arena);
  if (book_find(b, key, s, arena, &a, &found, &err) != STATUS_OK) return -1;
  return !found ? 0 : span_is(a.answer, want) ? 1 : -1;
}

static void look_alikes(void **state) {
  (void)state;
  struct book *b;
  enum { N = 200 };
  OK(book_open(dir, BOOK_CREATE, &b, &err));
  for (int i = 0; i < N; i++) {
    OK(put(b, i, 1, "first", &err)); /* the earlier ones are still in memory, not in the file */
    if (i == N / 2) OK(book_commit(b, &err));
  }
  for (int i = 0; i < N; i++) OK(put(b, i, 1, "second", &err)); /* of equal keys the earlier answer counts */
  for (int i = 0; i < 2 * N; i++) assert_int_equal(get(b, i, 1, "first"), i < N);
  OK(book_close(b, &err));
  OK(book_open(dir, BOOK_READ, &b, &err));
  for (int i = 0; i < 2 * N; i++) assert_int_equal(get(b, i, 1, "first"), i < N);
  OK(book_close(b, &err));
}

static void parts_grow(void **state) {
  (void)state;
  struct book *b;
  enum { N = 60000 }; /* some 230 a part: it has grown a dozen times; 7 MB: two chunks of addresses */
  OK(book_open(dir, BOOK_CREATE, &b, &err));
  for (int i = 0; i < N; i++) OK(put(b, i, 0, "a", &err));
  OK(book_commit(b, &err));
  for (int i = 0; i < N; i++) assert_int_equal(get(b, i, 0, "a"), 1);
  OK(book_close(b, &err));
  OK(book_open(dir, BOOK_READ, &b, &err));
  for (int i = 0; i < N; i++) assert_int_equal(get(b, i, 0, "a"), 1);
  for (int i = N; i < N + 5000; i++) assert_int_equal(get(b, i, 0, "a"), 0);
  OK(book_close(b, &err));
}

/* 64 descriptors are kept open: scanning one segment looks answers up in the others. */
static void many_segments(void **state) {
  (void)state;
  struct book *b;
  enum { N = 90 };
  for (int i = 0; i < N; i++) {
    OK(book_open(dir, BOOK_CREATE, &b, &err));
    for (int k = 0; k <= i; k++) OK(put(b, k, 0, k == i ? "first" : "later", &err));
    OK(book_close(b, &err));
  }
  OK(book_open(dir, BOOK_READ, &b, &err));
  for (int i = 0; i < N; i++) assert_int_equal(get(b, i, 0, "first"), 1);
  OK(book_close(b, &err));
}

static enum status work(const char *path, struct book **b, struct err *e) {
  struct book_failed *list = NULL;
  size_t n_failed;
  enum status st = book_open(path, BOOK_CREATE, b, e);
  for (int i = 0; i < 40 && st == STATUS_OK; i++) st = put(*b, i, 0, "a", e);
  if (st == STATUS_OK) st = book_commit(*b, e);
  if (st == STATUS_OK) st = book_failed_list(*b, &list, &n_failed, e);
  book_failed_free(list);
  return st;
}

/* Any allocation may fail: the call says so, nothing is answered wrongly, and the book goes on from where it was. */
static void memory_runs_out(void **state) {
  (void)state;
  int hit = 1, refused = 0;
  char path[96];
  for (long n = 1; hit && n < 4000; n++) {
    struct book *b = NULL;
    struct err own = { STATUS_OK, "" };
    snprintf(path, sizeof path, "%s/%ld", dir, n);
    OK(book_open(path, BOOK_CREATE, &b, &err));
    for (int i = 20; i < 60; i++) OK(put(b, i, 0, "a", &err));
    OK(book_close(b, &err));
    b = NULL;
    mem_fail_at(n);
    enum status st = work(path, &b, &own);
    hit = mem_failed();
    mem_fail_at(0);
    refused += st != STATUS_OK;
    if (st != STATUS_OK && (!hit || own.code != STATUS_NOMEM)) fail_msg("allocation %ld: %d %s", n, own.code, own.msg);
    for (int i = 0; b && i < 60; i++) {
      int got = get(b, i, 0, "a");
      if (got != 1 && (got < 0 || st == STATUS_OK || i >= 20)) fail_msg("allocation %ld: answer %d: %d", n, i, got);
    }
    if (b) OK(book_close(b, &err));
    OK(book_open(path, BOOK_CREATE, &b, &err));
    for (int i = 20; i < 60; i++) assert_int_equal(get(b, i, 0, "a"), 1);
    OK(book_close(b, &err));
    OK(folder_remove(path, &err));
  }
  assert_false(hit); /* the last round got through without meeting it */
  assert_true(refused > 100);
}

int main(void) {
  log_setup("test", LOG_ERROR, 0, 0);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(look_alikes, set_up, tear_down),
    cmocka_unit_test_setup_teardown(parts_grow, set_up, tear_down),
    cmocka_unit_test_setup_teardown(many_segments, set_up, tear_down),
    cmocka_unit_test_setup_teardown(memory_runs_out, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

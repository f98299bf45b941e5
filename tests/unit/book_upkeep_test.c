/* SPDX-License-Identifier: Apache-2.0
 * Upkeep of a book: the index gives the same answers and money as the segments, merge, compact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>
#include "book.h"
#include "file.h"
#include "log.h"

static struct err err;
#define OK(call) do { if ((call) != STATUS_OK) fail_msg("%s: %s", #call, err.msg); } while (0)
static char dir[64], other[64];
static struct arena *arena;
static struct span S(const char *s) { return (struct span){ s, strlen(s) }; }

static int set_up(void **state) {
  (void)state;
  memcpy(dir, "/tmp/retort-upkeep-XXXXXX", 26);
  memcpy(other, "/tmp/retort-upkeep-XXXXXX", 26);
  return !mkdtemp(dir) || !mkdtemp(other) || (arena = arena_new(0)) == NULL;
}
static int tear_down(void **state) {
  (void)state;
  arena_free(arena);
  return folder_remove(dir, &err) != STATUS_OK || folder_remove(other, &err) != STATUS_OK;
}

static void put(struct book *b, int i, const char *answer) {
  unsigned char key[32];
  char *body = arena_printf(arena, "question %d", i);
  struct book_answer a = { S(body), S(answer), S("{\"usd\":0.5}") };
  book_key(S("t"), S(body), 0, key);
  OK(book_put(b, key, &a, &err));
}
static const char *get(struct book *b, int i) {
  unsigned char key[32];
  char *body = arena_printf(arena, "question %d", i);
  struct book_answer a;
  int found;
  book_key(S("t"), S(body), 0, key);
  OK(book_find(b, key, S(body), arena, &a, &found, &err));
  return found ? arena_strndup(arena, a.answer.p, a.answer.n) : "";
}
static enum status collect(void *ctx, struct span json, struct err *e) { return buf_printf(ctx, e, "%.*s;", (int)json.n, json.p); }

/* Everything a reader can see of a book, as text. */
static char *picture(const char *path, int n) {
  struct book *b;
  struct buf t = { 0 };
  uint64_t spent;
  OK(book_open(path, BOOK_READ, &b, &err));
  for (int i = 0; i < n; i++) OK(buf_printf(&t, &err, "%s,", get(b, i)));
  OK(book_notes(b, "run", collect, &t, &err));
  OK(book_spent(b, &spent, &err));
  OK(buf_printf(&t, &err, "%llu", (unsigned long long)spent));
  OK(book_close(b, &err));
  char *copy = arena_strndup(arena, t.p, t.n);
  buf_free(&t);
  return copy;
}

static void fill(const char *path, int from, int to, const char *word) {
  struct book *b;
  uint64_t id;
  OK(book_open(path, BOOK_CREATE, &b, &err));
  for (int i = from; i < to; i++) put(b, i, arena_printf(arena, "%s %d", word, i));
  OK(book_note(b, "run", S("{\"a\":1}"), &err));
  OK(book_reserve(b, "m", 100, UINT64_MAX, &id, &err));
  OK(book_settle(b, id, 30, 1, 2, &err));
  OK(book_reserve(b, "m", 7, UINT64_MAX, &id, &err)); /* never settled */
  OK(book_close(b, &err));
}

static void index_says_the_same(void **state) {
  (void)state;
  fill(dir, 0, 40, "first");
  fill(dir, 20, 60, "second");
  char *want = picture(dir, 70);
  assert_non_null(strstr(want, "first 39,second 40,"));
  assert_non_null(strstr(want, ";74"));
  OK(book_reindex(dir, &err));
  assert_string_equal(picture(dir, 70), want);
  fill(dir, 55, 70, "third"); /* behind the index's back */
  char *more = picture(dir, 70);
  assert_non_null(strstr(more, "second 59,third 60,"));
  OK(book_reindex(dir, &err));
  assert_string_equal(picture(dir, 70), more);
  assert_int_equal(unlink(path_join(arena, dir, "index.sqlite")), 0);
  assert_string_equal(picture(dir, 70), more);
}

static void settles_across_the_index(void **state) {
  (void)state;
  struct book *b;
  uint64_t id, spent;
  OK(book_open(dir, BOOK_CREATE, &b, &err));
  OK(book_reserve(b, "m", 100, UINT64_MAX, &id, &err));
  OK(book_close(b, &err));
  OK(book_reindex(dir, &err));
  OK(book_open(dir, BOOK_CREATE, &b, &err));
  OK(book_spent(b, &spent, &err));
  assert_int_equal(spent, 100);
  OK(book_settle(b, id, 60, 1, 1, &err)); /* the reservation is known to the index only */
  OK(book_spent(b, &spent, &err));
  assert_int_equal(spent, 60);
  OK(book_close(b, &err));
  OK(book_open(dir, BOOK_READ, &b, &err));
  OK(book_spent(b, &spent, &err));
  assert_int_equal(spent, 60);
  OK(book_close(b, &err));
}

static void a_wrong_index_is_not_believed(void **state) {
  (void)state;
  fill(dir, 0, 10, "x");
  fill(other, 0, 10, "y");
  char *want = picture(dir, 10);
  OK(book_reindex(other, &err));
  struct buf t = { 0 };
  OK(file_read(path_join(arena, other, "index.sqlite"), 1 << 24, &t, &err));
  FILE *f = fopen(path_join(arena, dir, "index.sqlite"), "w");
  fwrite(t.p, 1, t.n, f); /* another book's */
  fclose(f);
  assert_string_equal(picture(dir, 10), want);
  f = fopen(path_join(arena, dir, "index.sqlite"), "w");
  fputs("this is not a database", f);
  fclose(f);
  assert_string_equal(picture(dir, 10), want);
  buf_free(&t);
}

static void merge_brings_all(void **state) {
  (void)state;
  uint64_t copied;
  fill(dir, 0, 10, "x");
  fill(other, 10, 20, "y");
  OK(book_merge(dir, other, &copied, &err));
  assert_int_equal(copied, 1);
  OK(book_merge(dir, other, &copied, &err));
  assert_int_equal(copied, 0);
  char *all = picture(dir, 20);
  assert_non_null(strstr(all, "x 9,y 10,"));
  assert_non_null(strstr(all, "{\"a\":1};{\"a\":1};74"));
}

static void compact_keeps_what_counts(void **state) {
  (void)state;
  uint64_t kept, dropped;
  const char **names;
  size_t n, segs = 0;
  fill(dir, 0, 10, "x");
  fill(dir, 5, 15, "y");
  char *want = picture(dir, 15);
  struct book *b;
  OK(book_open(dir, BOOK_CREATE, &b, &err));
  put(b, 14, "z");
  OK(book_commit(b, &err));
  assert_int_equal(book_compact(dir, &kept, &dropped, &err), STATUS_USAGE); /* somebody writes */
  OK(book_close(b, &err));
  OK(book_compact(dir, &kept, &dropped, &err));
  assert_int_equal(dropped, 6);
  assert_string_equal(picture(dir, 15), want);
  OK(folder_list(dir, arena, &names, &n, &err));
  for (size_t i = 0; i < n; i++) segs += !strncmp(names[i], "seg-", 4);
  assert_int_equal(segs, 1);
  /* a damaged record is dropped, its question is unanswered again */
  char *seg = NULL;
  for (size_t i = 0; i < n; i++)
    if (!strncmp(names[i], "seg-", 4)) seg = path_join(arena, dir, names[i]);
  int fd = open(seg, O_RDWR);
  assert_int_equal(pwrite(fd, "?", 1, 32 + 40 + 32 + 24 + 2), 1); /* in the first record's body */
  close(fd);
  struct buf report = { 0 };
  assert_int_equal(book_verify(dir, &report, &err), STATUS_CHECKSUM);
  OK(book_compact(dir, &kept, &dropped, &err));
  assert_int_equal(dropped, 1);
  OK(book_verify(dir, &report, &err));
  OK(book_open(dir, BOOK_READ, &b, &err));
  assert_string_equal(get(b, 0), "");
  assert_string_equal(get(b, 1), "x 1");
  OK(book_close(b, &err));
  buf_free(&report);
}

int main(void) {
  log_setup("test", LOG_ERROR, 0, 0);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(index_says_the_same, set_up, tear_down), cmocka_unit_test_setup_teardown(settles_across_the_index, set_up, tear_down),
    cmocka_unit_test_setup_teardown(a_wrong_index_is_not_believed, set_up, tear_down), cmocka_unit_test_setup_teardown(merge_brings_all, set_up, tear_down),
    cmocka_unit_test_setup_teardown(compact_keeps_what_counts, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

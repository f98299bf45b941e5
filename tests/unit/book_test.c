/* SPDX-License-Identifier: Apache-2.0
 * The book: answers come back, survive kill -9 and torn tails, are shared by processes; money; notes; damage noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "book.h"
#include "book_segment.h"
#include "file.h"
#include "log.h"

#define OK(call) do { struct err e_ = { STATUS_OK, "" }; (void)e_; enum status s_ = (call); if (s_ != STATUS_OK) fail_msg("%s: %s %s", #call, status_name(s_), err.msg); } while (0)
static struct err err;
static char dir[64];
static struct arena *arena;

static int set_up(void **state) {
  (void)state;
  memcpy(dir, "/tmp/retort-book-XXXXXX", 24);
  return mkdtemp(dir) == NULL || (arena = arena_new(0)) == NULL;
}
static int tear_down(void **state) {
  (void)state;
  arena_free(arena);
  return folder_remove(dir, &err) != STATUS_OK;
}

static struct span S(const char *s) { return (struct span){ s, strlen(s) }; }
static char *text_of(int i, const char *what) { return arena_printf(arena, "{\"%s\":%d,\"pad\":\"%.*s\"}", what, i, i % 97, "................................................................................................."); }

static void put(struct book *b, int i) {
  unsigned char key[32];
  struct span body = S(text_of(i, "q"));
  struct book_answer a = { body, S(text_of(i, "a")), S("{}") };
  book_key(S("teacher"), body, 0, key);
  OK(book_put(b, key, &a, &err));
}

static int has(struct book *b, int i) {
  unsigned char key[32];
  struct span body = S(text_of(i, "q"));
  struct book_answer a;
  int found;
  book_key(S("teacher"), body, 0, key);
  OK(book_find(b, key, body, arena, &a, &found, &err));
  if (found) assert_true(span_is(a.answer, text_of(i, "a")) && span_is(a.meta, "{}"));
  return found;
}

static char *segment(int nth) { /* path of the nth segment by name */
  const char **names;
  size_t n;
  OK(folder_list(dir, arena, &names, &n, &err));
  for (size_t i = 0; i < n; i++)
    if (!strncmp(names[i], "seg-", 4) && nth-- == 0) return path_join(arena, dir, names[i]);
  return NULL;
}

static void answers_come_back(void **state) {
  (void)state;
  struct book *b;
  assert_int_equal(book_open(dir, BOOK_READ, &b, &err), STATUS_IO); /* no book yet */
  OK(book_open(dir, BOOK_CREATE, &b, &err));
  for (int i = 0; i < 2000; i++) put(b, i);
  assert_true(has(b, 1999)); /* own, not yet committed */
  assert_false(has(b, 2000));
  OK(book_close(b, &err));
  OK(book_open(dir, BOOK_READ, &b, &err));
  for (int i = 0; i < 2000; i++) assert_true(has(b, i));
  assert_false(has(b, 2000));
  unsigned char key[32], other[32];
  struct book_answer a;
  int found;
  struct span body = S(text_of(5, "q"));
  book_key(S("teacher"), body, 0, key);
  OK(book_find(b, key, S("{}"), arena, &a, &found, &err)); /* right key, other body */
  assert_false(found);
  book_key(S("teacher"), body, 1, other); /* another sample */
  OK(book_find(b, other, body, arena, &a, &found, &err));
  assert_false(found);
  book_key(S("teache"), S("r"), 0, key);
  book_key(S("teacher"), S(""), 0, other); /* lengths are part of the key */
  assert_memory_not_equal(key, other, 32);
  assert_int_equal(book_put(b, key, &a, &err), STATUS_USAGE); /* opened for reading */
  OK(book_close(b, &err));
  OK(book_close(NULL, &err));
}

/* A child is killed in the middle of writing; what it said it had committed must be there, whole. */
static void killed_writer_loses_nothing_committed(void **state) {
  (void)state;
  for (int round = 0; round < 6; round++) {
    int p[2];
    assert_int_equal(pipe(p), 0);
    pid_t pid = fork();
    if (pid == 0) {
      struct book *b;
      if (book_open(dir, BOOK_CREATE, &b, &err) != STATUS_OK) _exit(1);
      for (int i = round * 100000;; i++) {
        put(b, i);
        if (i % 7 == 0) {
          if (book_commit(b, &err) != STATUS_OK) _exit(1);
          if (write(p[1], &i, sizeof i) != sizeof i) _exit(1);
        }
      }
    }
    close(p[1]);
    int last = -1, v;
    for (int k = 0; k < 20 + 13 * round && read(p[0], &v, sizeof v) == sizeof v; k++) last = v;
    kill(pid, SIGKILL);
    while (read(p[0], &v, sizeof v) == sizeof v) last = v;
    close(p[0]);
    waitpid(pid, NULL, 0);
    assert_true(last >= round * 100000);
    struct book *b;
    OK(book_open(dir, BOOK_READ, &b, &err));
    for (int i = round * 100000; i <= last; i++) assert_true(has(b, i));
    OK(book_close(b, &err));
    arena_reset(arena);
  }
  struct buf report = { 0 };
  OK(book_verify(dir, &report, &err));
  buf_free(&report);
}

static void torn_tail_is_cut_on_reading(void **state) {
  (void)state;
  struct book *b;
  OK(book_open(dir, BOOK_CREATE, &b, &err));
  for (int i = 0; i < 50; i++) put(b, i);
  OK(book_close(b, &err));
  uint64_t whole = file_bytes(segment(0));
  OK(book_open(dir, BOOK_CREATE, &b, &err));
  for (int i = 50; i < 60; i++) put(b, i);
  OK(book_close(b, &err));
  for (uint64_t cut = 1; cut < 130; cut += 7) {
    assert_int_equal(truncate(segment(0), (off_t)(whole - cut)), 0);
    OK(book_open(dir, BOOK_READ, &b, &err));
    for (int i = 50; i < 60; i++) assert_true(has(b, i)); /* the other segment is untouched */
    assert_true(has(b, 40));
    assert_int_equal(has(b, 49), 0);
    OK(book_close(b, &err));
    struct buf report = { 0 };
    OK(book_verify(dir, &report, &err));
    assert_non_null(strstr(report.p, "torn"));
    buf_free(&report);
  }
  /* zeros where the last write should be: what a power cut leaves */
  assert_int_equal(truncate(segment(0), (off_t)whole + 4096), 0);
  OK(book_open(dir, BOOK_READ, &b, &err));
  assert_true(has(b, 10));
  OK(book_close(b, &err));
  struct buf report = { 0 };
  OK(book_verify(dir, &report, &err));
  buf_free(&report);
}

static void flip(const char *path, uint64_t at) {
  unsigned char c;
  int fd = open(path, O_RDWR);
  assert_int_equal(pread(fd, &c, 1, (off_t)at), 1);
  c ^= 0x10;
  assert_int_equal(pwrite(fd, &c, 1, (off_t)at), 1);
  close(fd);
}

static void every_flipped_bit_is_noticed(void **state) {
  (void)state;
  struct book *b;
  OK(book_open(dir, BOOK_CREATE, &b, &err));
  for (int i = 0; i < 6; i++) put(b, i);
  OK(book_close(b, &err));
  char *path = segment(0);
  uint64_t n = file_bytes(path);
  struct buf report = { 0 };
  int padding = 0;
  for (uint64_t at = 0; at < n; at++) {
    flip(path, at);
    enum status st = book_verify(dir, &report, &err);
    if (st == STATUS_OK) padding++; /* only the zeros behind a payload are not covered */
    else assert_true(st == STATUS_CHECKSUM || (st == STATUS_DATA && at < 32));
    if (at >= 32) { /* the other records stay readable: no crash, no wrong text */
      struct book *r;
      OK(book_open(dir, BOOK_READ, &r, &err));
      int found = 0;
      for (int i = 0; i < 6; i++) {
        unsigned char key[32];
        struct span body = S(text_of(i, "q"));
        struct book_answer a;
        int one = 0;
        book_key(S("teacher"), body, 0, key);
        st = book_find(r, key, body, arena, &a, &one, &err);
        assert_true(st == STATUS_OK || st == STATUS_CHECKSUM);
        if (one) assert_true(span_is(a.answer, text_of(i, "a")));
        found += one;
      }
      assert_true(found >= 5);
      OK(book_close(r, &err));
      arena_reset(arena);
      path = segment(0);
    }
    flip(path, at);
    buf_clear(&report);
  }
  assert_true(padding <= 6 * 7);
  buf_free(&report);
}

/* Two children write at once, each finds what the other committed. */
static void two_processes_at_once(void **state) {
  (void)state;
  pid_t pid[2];
  for (int k = 0; k < 2; k++) {
    if ((pid[k] = fork()) != 0) continue;
    struct book *b;
    if (book_open(dir, BOOK_CREATE, &b, &err) != STATUS_OK) _exit(1);
    for (int i = 0; i < 300; i++) {
      put(b, i * 2 + k);
      if (book_commit(b, &err) != STATUS_OK) _exit(2);
    }
    for (int tries = 0; tries < 100 && !has(b, 599 - k); tries++) usleep(50000); /* the other's last */
    for (int i = 0; i < 600; i++)
      if (!has(b, i)) _exit(3);
    _exit(book_close(b, &err) == STATUS_OK ? 0 : 4);
  }
  for (int k = 0; k < 2; k++) {
    int status;
    waitpid(pid[k], &status, 0);
    assert_int_equal(status, 0);
  }
}

static void money_is_never_overshot(void **state) {
  (void)state;
  enum { CHILDREN = 4, LIMIT = 1000, PRICE = 7 };
  pid_t pid[CHILDREN];
  for (int k = 0; k < CHILDREN; k++) {
    if ((pid[k] = fork()) != 0) continue;
    struct book *b;
    int n = 0;
    uint64_t id;
    if (book_open(dir, BOOK_CREATE, &b, &err) != STATUS_OK) _exit(200);
    while (book_reserve(b, "m", PRICE, LIMIT, &id, &err) == STATUS_OK) { /* k = 0 never settles, others pay less */
      if (k && book_settle(b, id, PRICE - 2, 10, 20, &err) != STATUS_OK) _exit(201);
      n++;
    }
    if (err.code != STATUS_LIMIT) _exit(202);
    if (book_close(b, &err) != STATUS_OK) _exit(203);
    _exit(n);
  }
  int n[CHILDREN], paid = 0;
  for (int k = 0; k < CHILDREN; k++) {
    int status;
    waitpid(pid[k], &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 200);
    n[k] = WEXITSTATUS(status);
    paid += n[k] * (k ? PRICE - 2 : PRICE);
  }
  struct book *b;
  uint64_t spent, id;
  OK(book_open(dir, BOOK_CREATE, &b, &err));
  OK(book_spent(b, &spent, &err));
  assert_int_equal(spent, paid);
  assert_true(spent <= LIMIT && spent > LIMIT - CHILDREN * PRICE - PRICE);
  assert_int_equal(book_reserve(b, "m", LIMIT, LIMIT, &id, &err), STATUS_LIMIT);
  OK(book_reserve(b, "m", 5000, UINT64_MAX, &id, &err));
  OK(book_settle(b, id, 1, 0, 0, &err));
  OK(book_spent(b, &spent, &err));
  assert_int_equal(spent, paid + 1);
  OK(book_close(b, &err));
}

static enum status collect(void *ctx, struct span json, struct err *e) { return buf_printf(ctx, e, "%.*s;", (int)json.n, json.p); }

static void notes_in_order(void **state) {
  (void)state;
  struct book *a, *b;
  OK(book_open(dir, BOOK_CREATE, &a, &err));
  OK(book_open(dir, BOOK_CREATE, &b, &err));
  OK(book_note(a, "run", S("1"), &err));
  OK(book_note(b, "run", S("2"), &err));
  OK(book_note(a, "other", S("x"), &err));
  OK(book_note(a, "run", S("3"), &err));
  struct buf text = { 0 };
  OK(book_notes(b, "run", collect, &text, &err));
  assert_string_equal(text.p, "1;2;3;");
  buf_free(&text);
  OK(book_close(a, &err));
  OK(book_close(b, &err));
}

struct thread { struct book *b; int from; };
static void *put_and_commit(void *arg) {
  struct thread *t = arg;
  for (int i = t->from; i < t->from + 100; i++) {
    char body[32], answer[32];
    unsigned char key[32];
    struct err e;
    snprintf(body, sizeof body, "b%d", i);
    snprintf(answer, sizeof answer, "a%d", i);
    struct book_answer a = { S(body), S(answer), S("{}") };
    book_key(S("t"), S(body), 0, key);
    if (book_put(t->b, key, &a, &e) != STATUS_OK || book_commit(t->b, &e) != STATUS_OK) return t;
  }
  return NULL;
}

static void threads_share_a_commit(void **state) {
  (void)state;
  struct book *b;
  OK(book_open(dir, BOOK_CREATE, &b, &err));
  pthread_t t[4];
  struct thread arg[4];
  for (int k = 0; k < 4; k++) arg[k] = (struct thread){ b, k * 100 }, pthread_create(&t[k], NULL, put_and_commit, &arg[k]);
  for (int k = 0; k < 4; k++) {
    void *bad;
    pthread_join(t[k], &bad);
    assert_null(bad);
  }
  OK(book_close(b, &err));
  OK(book_open(dir, BOOK_READ, &b, &err));
  for (int i = 0; i < 400; i++) {
    char *body = arena_printf(arena, "b%d", i);
    unsigned char key[32];
    struct book_answer a;
    int found;
    book_key(S("t"), S(body), 0, key);
    OK(book_find(b, key, S(body), arena, &a, &found, &err));
    assert_true(found && span_is(a.answer, arena_printf(arena, "a%d", i)));
  }
  OK(book_close(b, &err));
}

static void refuses_foreign_folders(void **state) {
  (void)state;
  struct book *b;
  FILE *f = fopen(path_join(arena, dir, "thesis.tex"), "w");
  fclose(f);
  assert_int_equal(book_open(dir, BOOK_CREATE, &b, &err), STATUS_USAGE);
  assert_non_null(strstr(err.msg, "thesis.tex"));
}

int main(void) {
  log_setup("test", LOG_ERROR, 0, 0);
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(answers_come_back, set_up, tear_down),
    cmocka_unit_test_setup_teardown(killed_writer_loses_nothing_committed, set_up, tear_down),
    cmocka_unit_test_setup_teardown(torn_tail_is_cut_on_reading, set_up, tear_down),
    cmocka_unit_test_setup_teardown(every_flipped_bit_is_noticed, set_up, tear_down),
    cmocka_unit_test_setup_teardown(two_processes_at_once, set_up, tear_down),
    cmocka_unit_test_setup_teardown(money_is_never_overshot, set_up, tear_down),
    cmocka_unit_test_setup_teardown(notes_in_order, set_up, tear_down),
    cmocka_unit_test_setup_teardown(threads_share_a_commit, set_up, tear_down),
    cmocka_unit_test_setup_teardown(refuses_foreign_folders, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

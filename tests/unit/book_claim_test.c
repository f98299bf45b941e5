/* SPDX-License-Identifier: Apache-2.0
 * Claims: one asker a question among the processes of a book, whoever dies when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "book.h"
#include "file.h"

#define OK(call) do { enum status s_ = (call); if (s_ != STATUS_OK) fail_msg("%s: %s %s", #call, status_name(s_), err.msg); } while (0)
static struct err err;
static char dir[64];
static struct arena *arena;

static int set_up(void **state) {
  (void)state;
  memcpy(dir, "/tmp/retort-clm-XXXXXX", 23);
  return mkdtemp(dir) == NULL || (arena = arena_new(0)) == NULL;
}
static int tear_down(void **state) {
  (void)state;
  arena_free(arena);
  return folder_remove(dir, &err) != STATUS_OK;
}

static struct span S(const char *s) { return (struct span){ s, strlen(s) }; }

static unsigned char *key_of(int i) {
  unsigned char *key = arena_alloc(arena, 32);
  char *body = arena_printf(arena, "question %d", i);
  book_key(S("t"), S(body), 0, key);
  return key;
}

static int claim(struct book *b, int i) {
  struct book_claim c = { key_of(i), 0 };
  OK(book_claim(b, &c, 1, &err));
  return c.state;
}

/* Owners are looked for at most five times a second: waits for a change. */
static int claim_later(struct book *b, int i) {
  int state = CLAIM_ELSEWHERE;
  for (int k = 0; k < 100 && state == CLAIM_ELSEWHERE; k++) {
    usleep(20000);
    state = claim(b, i);
  }
  return state;
}

static enum status put(struct book *b, int i, int failed) {
  struct book_answer a = { S(arena_printf(arena, "question %d", i)), S("yes"), S("{}") };
  enum status st = failed ? book_put_failed(b, key_of(i), &a, &err) : book_put(b, key_of(i), &a, &err);
  return st == STATUS_OK ? book_commit(b, &err) : st;
}

static void one_asks_the_other_waits(void **state) {
  (void)state;
  struct book *a, *b;
  OK(book_open(dir, BOOK_CREATE, &a, &err));
  OK(book_open(dir, BOOK_CREATE, &b, &err));
  assert_int_equal(claim(a, 1), CLAIM_OURS);
  assert_int_equal(claim(a, 1), CLAIM_OURS);
  assert_int_equal(claim(b, 1), CLAIM_ELSEWHERE);
  assert_int_equal(claim(b, 2), CLAIM_OURS);
  assert_int_equal(claim(a, 2), CLAIM_ELSEWHERE);
  OK(put(a, 1, 0));
  assert_int_equal(claim(b, 1), CLAIM_ANSWERED);
  OK(put(b, 2, 1)); /* failed: the next may try */
  assert_int_equal(claim(a, 2), CLAIM_OURS);
  assert_int_equal(claim(b, 2), CLAIM_ELSEWHERE);
  assert_int_equal(claim(b, 3), CLAIM_OURS);
  OK(book_close(b, &err)); /* gone: its claims with it */
  assert_int_equal(claim_later(a, 3), CLAIM_OURS);
  OK(book_close(a, &err));
}

static void the_dead_are_followed(void **state) {
  (void)state;
  int ready[2];
  char c;
  assert_int_equal(pipe(ready), 0);
  pid_t pid = fork();
  if (pid == 0) {
    struct book *b;
    if (book_open(dir, BOOK_CREATE, &b, &err) != STATUS_OK || claim(b, 1) != CLAIM_OURS || claim(b, 2) != CLAIM_OURS || put(b, 2, 0) != STATUS_OK) _exit(1);
    if (write(ready[1], "x", 1) != 1) _exit(1);
    for (;;) pause();
  }
  struct book *b;
  assert_int_equal(read(ready[0], &c, 1), 1);
  OK(book_open(dir, BOOK_CREATE, &b, &err));
  assert_int_equal(claim(b, 1), CLAIM_ELSEWHERE);
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  assert_int_equal(claim_later(b, 1), CLAIM_OURS);
  assert_int_equal(claim(b, 2), CLAIM_ANSWERED);
  OK(book_close(b, &err));
  close(ready[0]);
  close(ready[1]);
}

/* An index made while a claim is open must not hide it; one made after the answer must not bring it back. */
static void the_index_knows_claims(void **state) {
  (void)state;
  struct book *a, *b;
  OK(book_open(dir, BOOK_CREATE, &a, &err));
  assert_int_equal(claim(a, 1), CLAIM_OURS);
  assert_int_equal(claim(a, 2), CLAIM_OURS);
  OK(put(a, 2, 0));
  OK(book_reindex(dir, &err));
  OK(book_open(dir, BOOK_CREATE, &b, &err));
  assert_int_equal(claim(b, 1), CLAIM_ELSEWHERE);
  assert_int_equal(claim(b, 2), CLAIM_ANSWERED);
  OK(put(a, 1, 0));
  assert_int_equal(claim(b, 1), CLAIM_ANSWERED);
  OK(book_close(a, &err));
  OK(book_close(b, &err));
}

enum { CHILDREN = 20, QUESTIONS = 300 };

/* Every child wants every answer, each in another order and in pieces; some die. What is paid is counted in a file of one byte a
 * payment (O_APPEND), written before the answer is put. */
static void twenty_share_one_book(void **state) {
  (void)state;
  char *paid = arena_printf(arena, "%s.paid", dir);
  pid_t pid[CHILDREN];
  for (int k = 0; k < CHILDREN; k++) {
    pid[k] = fork();
    if (pid[k]) continue;
    struct book *b;
    FILE *f = fopen(paid, "a");
    int have = 0, done[QUESTIONS] = { 0 }, rounds = 0;
    if (!f || book_open(dir, BOOK_CREATE, &b, &err) != STATUS_OK) _exit(1);
    setvbuf(f, NULL, _IONBF, 0);
    while (have < QUESTIONS && rounds++ < 20000) {
      struct book_claim c[16];
      int which[16], n = 0;
      for (int i = 0; i < QUESTIONS && n < 16; i++) {
        int q = (i * 7 + k * 31 + rounds * 13) % QUESTIONS;
        if (done[q]) continue;
        which[n] = q;
        c[n++].key = key_of(q);
      }
      if (book_claim(b, c, (size_t)n, &err) != STATUS_OK) _exit(2);
      for (int i = 0; i < n; i++) {
        if (c[i].state == CLAIM_ANSWERED) done[which[i]] = 1, have++;
        if (c[i].state != CLAIM_OURS) continue;
        if (k % 5 == 4 && rounds > 3) { /* dies with claims in hand */
          kill(getpid(), SIGKILL);
        }
        fputc('x', f);
        if (put(b, which[i], 0) != STATUS_OK) _exit(3);
        done[which[i]] = 1;
        have++;
      }
      if (n && c[0].state == CLAIM_ELSEWHERE) usleep(2000);
    }
    if (book_close(b, &err) != STATUS_OK) _exit(4);
    _exit(have == QUESTIONS ? 0 : 5);
  }
  for (int k = 0; k < CHILDREN; k++) {
    int status;
    waitpid(pid[k], &status, 0);
    if (WIFSIGNALED(status)) continue;
    assert_int_equal(WEXITSTATUS(status), 0);
  }
  assert_int_equal(file_bytes(paid), QUESTIONS);
  unlink(paid);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(one_asks_the_other_waits, set_up, tear_down),
    cmocka_unit_test_setup_teardown(the_dead_are_followed, set_up, tear_down),
    cmocka_unit_test_setup_teardown(the_index_knows_claims, set_up, tear_down),
    cmocka_unit_test_setup_teardown(twenty_share_one_book, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

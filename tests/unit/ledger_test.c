/* SPDX-License-Identifier: Apache-2.0
 * The ledger: sums, digests, and what a reader of a pipe learns about the writer: finished, killed, aborted, foreign, others'
 * rows in between. Writers are child processes on real pipes. */
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
#include "ledger.h"
#include "log.h"
#include "pipe_record.h"
#include "pool.h"

static struct err err;
static struct span S(const char *s) { return (struct span){ s, strlen(s) }; }
static struct span none;

enum how { DONE, KILLED, ABORTED, FOREIGN, LYING, TWICE, LOSING };

static void write_rows(int fd, enum how how) {
  struct ledger *l = ledger_new("fetch", NULL);
  if (how != FOREIGN && ledger_open(l, -1, fd, none, &err) != STATUS_OK) _exit(9);
  for (int i = 0; i < 5; i++) {
    char line[32];
    int n = snprintf(line, sizeof line, "{\"n\":%d}", i);
    ledger_made(l, (struct span){ line, (size_t)n });
    if (how == LYING && i == 2) line[5] = '9';
    if (how == LOSING && i == 2) continue;
    line[n] = '\n';
    if (write(fd, line, (size_t)n + 1) != n + 1) _exit(9);
  }
  if (how == KILLED) raise(SIGKILL);
  if (how == ABORTED) ledger_abort(l, "NET");
  else if (how != FOREIGN && ledger_close(l, &err) != STATUS_OK) _exit(9);
  ledger_free(l);
}

static enum status read_from(enum how how) {
  int p[2];
  assert_int_equal(pipe(p), 0);
  pid_t pid = fork();
  if (pid == 0) {
    close(p[0]);
    write_rows(p[1], how);
    if (how == TWICE) write_rows(p[1], DONE);
    _exit(0);
  }
  close(p[1]);
  struct ledger *l = ledger_new("curate", NULL);
  assert_int_equal(ledger_open(l, p[0], -1, none, &err), STATUS_OK);
  FILE *f = fdopen(dup(p[0]), "r");
  char line[64];
  while (fgets(line, sizeof line, f)) {
    line[strcspn(line, "\n")] = 0;
    ledger_in(l, S(line));
    ledger_kept(l);
  }
  fclose(f);
  err.msg[0] = 0;
  enum status st = ledger_check_upstream(l, &err);
  waitpid(pid, NULL, 0);
  ledger_free(l);
  close(p[0]);
  return st;
}

static void reader_knows_how_the_writer_ended(void **state) {
  (void)state;
  assert_int_equal(read_from(DONE), STATUS_OK);
  assert_int_equal(read_from(FOREIGN), STATUS_OK);
  assert_int_equal(read_from(TWICE), STATUS_OK);
  assert_int_equal(read_from(KILLED), STATUS_STOPPED);
  assert_non_null(strstr(err.msg, "'fetch'"));
  assert_non_null(strstr(err.msg, "without its closing line after 5 rows"));
  assert_int_equal(read_from(ABORTED), STATUS_STOPPED);
  assert_non_null(strstr(err.msg, "NET"));
  assert_int_equal(read_from(LYING), STATUS_DATA);
  assert_non_null(strstr(err.msg, "digest"));
  assert_int_equal(read_from(LOSING), STATUS_DATA);
  assert_non_null(strstr(err.msg, "wrote 5 rows, 4 arrived"));
}

static void records_are_removed_after_use(void **state) {
  (void)state;
  struct arena *a = arena_new(0);
  const char **names;
  size_t n, before = 0, after = 0;
  assert_int_equal(folder_list(run_folder(&err), a, &names, &n, &err), STATUS_OK);
  for (size_t i = 0; i < n; i++) before += !strncmp(names[i], "pipe-", 5);
  assert_int_equal(read_from(DONE), STATUS_OK);
  assert_int_equal(read_from(KILLED), STATUS_STOPPED);
  assert_int_equal(folder_list(run_folder(&err), a, &names, &n, &err), STATUS_OK);
  for (size_t i = 0; i < n; i++) after += !strncmp(names[i], "pipe-", 5);
  assert_int_equal(before, after);
  arena_free(a);
}

static void left_overs_are_told_from_now(void **state) {
  (void)state;
  int p[2], upstream;
  struct hash128 zero = { 0, 0 }, one = { 5, 7 };
  assert_int_equal(pipe(p), 0);
  assert_int_equal(pipe_record_open(p[1], "old", "00", &err), STATUS_OK); /* killed long ago on the same inode */
  assert_int_equal(pipe_record_check(p[0], 4e9, 3, one, &upstream, &err), STATUS_OK);
  assert_int_equal(upstream, 0);
  assert_int_equal(pipe_record_open(p[1], "old", "00", &err), STATUS_OK);
  assert_int_equal(pipe_record_close(p[1], "00", "done", 9, zero, &err), STATUS_OK);
  assert_int_equal(pipe_record_open(p[1], "new", "01", &err), STATUS_OK);
  assert_int_equal(pipe_record_close(p[1], "01", "done", 3, one, &err), STATUS_OK);
  assert_int_equal(pipe_record_check(p[0], 4e9, 3, one, &upstream, &err), STATUS_OK);
  assert_int_equal(upstream, 1);
  assert_int_equal(pipe_record_open(p[1], "now", "02", &err), STATUS_OK); /* not old: must be complained about */
  assert_int_equal(pipe_record_check(p[0], 0, 0, zero, &upstream, &err), STATUS_STOPPED);
  close(p[0]);
  close(p[1]);
}

static void sums_must_add_up(void **state) {
  (void)state;
  struct ledger *l = ledger_new("curate", NULL);
  assert_int_equal(ledger_open(l, 0, 1, none, &err), STATUS_OK);
  for (int i = 0; i < 4; i++) ledger_in(l, S("{}"));
  ledger_kept(l);
  ledger_dropped(l, "too \"short\"");
  ledger_dropped(l, "copy");
  assert_int_equal(ledger_close(l, &err), STATUS_DATA);
  assert_non_null(strstr(err.msg, "4 rows in, 1 kept + 2 dropped + 0 failed"));
  ledger_failed(l, "refused");
  struct buf b = { 0 };
  assert_int_equal(ledger_json(l, &b, &err), STATUS_OK);
  assert_int_equal(span_check_json((struct span){ b.p, b.n }, &err), STATUS_OK);
  assert_non_null(strstr(b.p, "\"in\":4,\"kept\":1,\"made\":0,\"dropped\":{\"copy\":1,\"too \\\"short\\\"\":1},\"failed\":{\"refused\":1}"));
  assert_int_equal(ledger_close(l, &err), STATUS_OK);
  ledger_free(l);
  buf_free(&b);
  ledger_in(NULL, none);
  ledger_dropped(NULL, "x");
  assert_int_equal(ledger_count_in(NULL), 0);
}

static enum status collect(void *ctx, struct span json, struct err *e) { return buf_printf(ctx, e, "%.*s\n", (int)json.n, json.p); }

static void digests_ignore_order_and_the_book_keeps_lines(void **state) {
  (void)state;
  char dir[] = "/tmp/retort-ledger-XXXXXX";
  assert_non_null(mkdtemp(dir));
  char digest[2][40];
  struct book *b;
  assert_int_equal(book_open(dir, BOOK_CREATE, &b, &err), STATUS_OK);
  for (int k = 0; k < 2; k++) {
    struct ledger *l = ledger_new("curate", k ? b : NULL);
    assert_int_equal(ledger_open(l, -1, -1, S("{\"x\":1}"), &err), STATUS_OK);
    if (!k) assert_int_equal(ledger_attach(l, b, &err), STATUS_OK);
    for (int i = 0; i < 100; i++) {
      char line[16];
      snprintf(line, sizeof line, "%d", k ? 99 - i : i);
      ledger_made(l, S(line));
    }
    struct buf j = { 0 };
    assert_int_equal(ledger_json(l, &j, &err), STATUS_OK);
    memcpy(digest[k], strstr(j.p, "out_digest") + 13, 32);
    assert_int_equal(k ? (ledger_abort(l, "IO"), STATUS_OK) : ledger_close(l, &err), STATUS_OK);
    buf_free(&j);
    ledger_free(l);
  }
  assert_memory_equal(digest[0], digest[1], 32);
  struct buf text = { 0 };
  assert_int_equal(book_notes(b, "run", collect, &text, &err), STATUS_OK);
  assert_non_null(strstr(text.p, "\"event\":\"open\""));
  assert_non_null(strstr(text.p, "\"options\":{\"x\":1}"));
  assert_non_null(strstr(text.p, "\"outcome\":\"done\""));
  assert_non_null(strstr(text.p, "\"outcome\":\"IO\""));
  buf_free(&text);
  assert_int_equal(book_close(b, &err), STATUS_OK);
  assert_int_equal(folder_remove(dir, &err), STATUS_OK);
}

int main(void) {
  log_setup("test", LOG_ERROR, 0, 0);
  const struct CMUnitTest tests[] = { cmocka_unit_test(reader_knows_how_the_writer_ended), cmocka_unit_test(records_are_removed_after_use),
    cmocka_unit_test(left_overs_are_told_from_now), cmocka_unit_test(sums_must_add_up),
    cmocka_unit_test(digests_ignore_order_and_the_book_keeps_lines) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 * Line reading from pipes and files: cuts, long lines, caps, stop requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#include "line.h"
#include "stop.h"

static int file_with(const char *p, size_t n) {
  FILE *f = tmpfile();
  assert_non_null(f);
  assert_int_equal(fwrite(p, 1, n, f), n);
  rewind(f);
  int fd = dup(fileno(f));
  fclose(f);
  lseek(fd, 0, SEEK_SET);
  return fd;
}

static void splits(void **state) {
  (void)state;
  static const char text[] = "one\r\n\n\r\ntwo\0x\n \nlast";
  int fd = file_with(text, sizeof text - 1);
  struct line_reader *r = line_reader_new(fd, "-", 100);
  struct span s;
  int got;
  assert_int_equal(line_next(r, &s, &got, NULL), STATUS_OK);
  assert_true(got && span_is(s, "one") && line_number(r) == 1);
  assert_int_equal(line_next(r, &s, &got, NULL), STATUS_OK);
  assert_true(got && s.n == 5 && !memcmp(s.p, "two\0x", 5) && line_number(r) == 4);
  assert_int_equal(line_next(r, &s, &got, NULL), STATUS_OK);
  assert_true(got && span_is(s, " ") && line_number(r) == 5);
  assert_int_equal(line_next(r, &s, &got, NULL), STATUS_OK);
  assert_true(got && span_is(s, "last") && line_number(r) == 6);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(line_next(r, &s, &got, NULL), STATUS_OK);
    assert_int_equal(got, 0);
  }
  line_reader_free(r);
  close(fd);
}

static void cap_names_the_row(void **state) {
  (void)state;
  for (int over = 0; over <= 1; over++) {
    size_t n = 3 + 1000000 + (size_t)over;
    char *text = mem_alloc(n + 1);
    memset(text, 'x', n);
    memcpy(text, "ab\n", 3);
    text[n] = '\n';
    int fd = file_with(text, n + 1);
    struct line_reader *r = line_reader_new(fd, "in", 1000000);
    struct span s;
    struct err e = { 0 };
    int got;
    assert_int_equal(line_next(r, &s, &got, &e), STATUS_OK);
    assert_int_equal(line_next(r, &s, &got, &e), over ? STATUS_LIMIT : STATUS_OK);
    if (over) assert_non_null(strstr(e.msg, "row 2"));
    else assert_int_equal(s.n, 1000000);
    line_reader_free(r);
    mem_free(text);
    close(fd);
  }
}

struct feed { int fd; size_t chunk, total; };
static void *feed_pipe(void *arg) {
  struct feed *f = arg;
  char block[70000];
  size_t sent = 0, line = 0;
  for (size_t i = 0; i < sizeof block; i++) block[i] = 'a';
  while (sent < f->total) { /* lines of growing length, so that the buffer grows and shifts */
    size_t n = line++ * 977 % f->chunk;
    block[n] = '\n';
    if (write(f->fd, block, n + 1) < 0) break;
    block[n] = 'a';
    sent += n + 1;
  }
  close(f->fd);
  return NULL;
}

static void pipe_in_pieces(void **state) {
  (void)state;
  int p[2];
  assert_int_equal(pipe(p), 0);
  struct feed f = { p[1], 69000, 40000000 };
  pthread_t t;
  pthread_create(&t, NULL, feed_pipe, &f);
  struct line_reader *r = line_reader_new(p[0], "-", 0);
  size_t bytes = 0;
  for (;;) {
    struct span s;
    int got;
    assert_int_equal(line_next(r, &s, &got, NULL), STATUS_OK);
    if (!got) break;
    assert_int_equal(s.n, (line_number(r) - 1) * 977 % f.chunk);
    assert_null(memchr(s.p, '\n', s.n));
    bytes += s.n + 1;
  }
  assert_true(bytes >= f.total - 100);
  pthread_join(t, NULL);
  line_reader_free(r);
  close(p[0]);
}

static void *stop_later(void *arg) {
  (void)arg;
  usleep(50000);
  stop_request(SIGTERM);
  return NULL;
}

static void stop_ends_a_wait(void **state) {
  (void)state;
  int p[2];
  assert_int_equal(pipe(p), 0);
  struct line_reader *r = line_reader_new(p[0], "-", 0);
  assert_int_equal(line_ready(r), 0);
  assert_int_equal(write(p[1], "a\nb", 3), 3);
  assert_int_equal(line_ready(r), 1);
  struct span s;
  int got;
  assert_int_equal(line_next(r, &s, &got, NULL), STATUS_OK);
  assert_int_equal(line_ready(r), 0);
  pthread_t t;
  pthread_create(&t, NULL, stop_later, NULL);
  assert_int_equal(line_next(r, &s, &got, NULL), STATUS_STOPPED);
  pthread_join(t, NULL);
  stop_request(0);
  line_reader_free(r);
  close(p[0]);
  close(p[1]);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(splits), cmocka_unit_test(cap_names_the_row), cmocka_unit_test(pipe_in_pieces),
                                      cmocka_unit_test(stop_ends_a_wait) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

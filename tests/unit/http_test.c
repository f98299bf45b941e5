/* SPDX-License-Identifier: Apache-2.0
 * Calls that end together (http.h): each knows how many were in flight beside it when it ended, which is what the width of a server is
 * judged by. The server here answers only when it has heard everybody. */
#include "check.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "http.h"

enum { CALLS = 8 };

static void serve(int listener) {
  static const char reply[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  int fd[CALLS];
  for (int i = 0; i < CALLS; i++) {
    char request[4096];
    fd[i] = accept(listener, NULL, NULL);
    if (fd[i] < 0 || read(fd[i], request, sizeof request) <= 0) _exit(1);
  }
  for (int i = 0; i < CALLS; i++)
    if (write(fd[i], reply, sizeof reply - 1) != (ssize_t)sizeof reply - 1) _exit(1);
  (void)!read(fd[0], fd, sizeof fd); /* until they hang up */
  _exit(0);
}

static int seen[CALLS], n_seen, in_flight_then;

static enum status note(void *ctx, struct http_call *c, struct err *e) {
  (void)e;
  assert_int_equal(c->status, 200);
  assert_string_equal(c->error, "");
  assert_in_range(c->beside, 0, CALLS - 1);
  seen[c->beside]++;
  if (n_seen++ == 0) in_flight_then = http_in_flight(ctx);
  return STATUS_OK;
}

static void calls_that_end_together_count_down(void **state) {
  (void)state;
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
  socklen_t n = sizeof a;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(listener, (struct sockaddr *)(void *)&a, sizeof a), 0);
  assert_int_equal(listen(listener, CALLS), 0);
  assert_int_equal(getsockname(listener, (struct sockaddr *)(void *)&a, &n), 0);
  setenv("no_proxy", "*", 1);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) serve(listener);
  close(listener);
  char url[64];
  snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(a.sin_port));
  struct http *h = NULL;
  struct http_options o = { .max_in_flight = CALLS, .timeout_s = 60, .connect_timeout_s = 60 };
  struct http_call call[CALLS];
  memset(call, 0, sizeof call);
  OK(http_new(&o, &h, e));
  for (int i = 0; i < CALLS; i++) {
    call[i].url = url;
    OK(http_start(h, &call[i], e));
  }
  while (n_seen < CALLS) OK(http_turn(h, 1000, -1, note, h, e));
  for (int i = 0; i < CALLS; i++) {
    if (seen[i] != 1) fail_msg("%d calls ended with %d others in flight, expected one (%d were in flight when the first was told)", seen[i], i, in_flight_then);
    buf_free(&call[i].reply);
  }
  http_free(h);
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

int main(void) {
  static const struct CMUnitTest tests[] = { cmocka_unit_test(calls_that_end_together_count_down) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 * Limits against simulated time and simulated servers: never more than was allowed in any minute, width that grows where it helps
 * and halves on overload, servers' headers; and what answers mean (http_verdict.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include "http_verdict.h"
#include "limits.h"

static struct span S(const char *s) { return (struct span){ s, strlen(s) }; }

enum { SENDS = 20000 };
static double when[SENDS], size_of[SENDS];

/* Sends whenever it may for `seconds`; returns the number sent. */
static int flood(struct limits *l, double seconds, double in_tok, double out_tok)
{
  int n = 0;
  for (double now = 1000; now < 1000 + seconds && n < SENDS;) {
    double w = limits_wait(l, now, 0, in_tok, out_tok);
    if (w > 0) {
      now += w + 1e-6;
      continue;
    }
    limits_sent(l, now, in_tok, out_tok);
    when[n] = now;
    size_of[n++] = in_tok;
  }
  return n;
}

static double busiest_minute(int n)
{
  double most = 0, sum = 0;
  for (int i = 0, j = 0; i < n; i++) {
    sum += size_of[i];
    for (; when[i] - when[j] >= 60; j++) {
      sum -= size_of[j];
    }
    most = sum > most ? sum : most;
  }
  return most;
}

static void requests_a_minute(void **state)
{
  (void)state;
  struct limits l;
  for (int rpm = 1; rpm <= 1000; rpm = rpm * 3 + 2) {
    limits_start(&l, 64, rpm, 0, 0, 1000);
    int n = flood(&l, 600, 1, 1);
    assert_true(busiest_minute(n) <= (rpm > 1 ? rpm : 2));
    assert_true(n >= 0.9 * rpm * 10 - 10);
  }
}

static void tokens_a_minute(void **state)
{
  (void)state;
  struct limits l;
  limits_start(&l, 64, 0, 60000, 0, 1000);
  int n = flood(&l, 300, 700, 5);
  assert_true(busiest_minute(n) <= 60000);
  assert_true(n * 700 >= 0.9 * 5 * 60000);
  limits_start(&l, 64, 0, 0, 1000, 1000); /* output is the limit, and one request is larger than the burst */
  n = flood(&l, 600, 1, 300);
  assert_true(n >= 25 && n <= 34); /* 10 minutes x 1,000 / 300 = 33.3 */
  limits_start(&l, 64, 0, 0, 60000, 1000); /* thought 500, cost 50: the difference comes back */
  double now = 1000;
  n = 0;
  while (now < 1300) {
    double w = limits_wait(&l, now, 0, 1, 500);
    if (w > 0) {
      now += w + 1e-6;
      continue;
    }
    limits_sent(&l, now, 1, 500);
    limits_cost(&l, 1, 500, 1, 50);
    n++;
  }
  assert_true(n > 5000);
}

/* A server that takes `latency` while at most `most` fly; more wait in its queue. */
static void serve(struct limits *l, double *now, double latency, int most, int rounds)
{
  for (int r = 0; r < rounds; r++) {
    int w = limits_width(l);
    double sent = *now;
    for (int i = 0; i < w; i++) {
      double end = sent + latency * (1 + (double)i / most - (double)(i % most) / most) + 1e-4 * i / w;
      *now = end > *now ? end : *now;
      limits_answered(l, *now, sent, w - 1);
    }
  }
}

static void width_follows_the_server(void **state)
{
  (void)state;
  struct limits l;
  double now = 10;
  limits_start(&l, 256, 0, 0, 0, now);
  assert_true(limits_width(&l) <= 16);
  serve(&l, &now, 0.1, 100000, 12);
  assert_int_equal(limits_width(&l), 256); /* an idle server: everything allowed */
  double before = now;
  limits_overload(&l, now, now - 0.05);
  assert_int_equal(limits_width(&l), 128);
  limits_overload(&l, now, before - 0.01); /* those flew before: one halving for all */
  assert_int_equal(limits_width(&l), 128);
  for (int i = 0; i < 20; i++) {
    now += 1;
    limits_overload(&l, now, now - 0.01);
  }
  assert_int_equal(limits_width(&l), 1);
  serve(&l, &now, 0.1, 100000, 60);
  assert_int_equal(limits_width(&l), 256); /* and back */
  limits_start(&l, 4096, 0, 0, 0, now);
  serve(&l, &now, 0.1, 32, 60);
  assert_true(limits_width(&l) >= 32 && limits_width(&l) <= 160); /* beyond 32 only the wait grows */
}

static void servers_headers(void **state)
{
  (void)state;
  struct limits l;
  limits_start(&l, 64, 0, 0, 0, 100);
  assert_true(limits_wait(&l, 100, 3, 10, 10) == 0);
  limits_header(&l, 100, 0, 3, S("x-ratelimit-remaining-requests"), S("3"));
  limits_header(&l, 100, 0, 3, S("X-RateLimit-Reset-Requests"), S("1.5s"));
  double w = limits_wait(&l, 100, 3, 10, 10); /* three left, and three in the air that may not be counted */
  assert_true(w > 1.4 && w < 1.6);
  assert_true(limits_wait(&l, 101.6, 3, 10, 10) == 0);
  limits_header(&l, 200, 0, 0, S("x-ratelimit-reset-tokens"), S("6m0s"));
  limits_header(&l, 200, 0, 0, S("x-ratelimit-remaining-tokens"), S("15"));
  assert_true(limits_wait(&l, 200, 1, 10, 10) > 100); /* bounded, whatever a header says */
  assert_true(limits_wait(&l, 200, 1, 10, 10) <= 120);
  assert_true(limits_wait(&l, 200, 1, 5, 10) == 0);
  limits_start(&l, 64, 0, 0, 0, 100);
  limits_header(&l, 100, 1767323000, 2, S("anthropic-ratelimit-output-tokens-reset"), S("2026-01-02T03:04:05Z")); /* = 1767323045 */
  limits_header(&l, 100, 1767323000, 2, S("anthropic-ratelimit-output-tokens-remaining"), S("0"));
  w = limits_wait(&l, 100, 2, 1, 1);
  assert_true(fabs(w - 45) < 0.01);
  const char *junk[] = { "", "-1", "1e400", "soon", "99999999999999999999999999999999999999999999999999999999999999999999", "1x", "nan" };
  limits_start(&l, 64, 0, 0, 0, 100);
  for (size_t i = 0; i < sizeof junk / sizeof *junk; i++) {
    limits_header(&l, 100, 0, 5, S("x-ratelimit-reset-requests"), S(junk[i]));
    limits_header(&l, 100, 0, 5, S("x-ratelimit-remaining-requests"), S(junk[i]));
    assert_true(limits_wait(&l, 100, 5, 1, 1) == 0);
  }
}

static void what_answers_mean(void **state)
{
  (void)state;
  static const struct { long status; const char *body; enum verdict v; } cases[] = {
    { 200, "{\"choices\":[]}", VERDICT_ANSWER },
    { 200, "{\"error\":{\"code\":\"insufficient_quota\"}}", VERDICT_QUOTA },
    { 204, "", VERDICT_AGAIN },
    { 400, "{\"error\":{\"message\":\"bad\"}}", VERDICT_REFUSED },
    { 400, "{\"error\":{\"code\":\"content_filter\"}}", VERDICT_ANSWER },
    { 400, "not json", VERDICT_REFUSED },
    { 401, "", VERDICT_KEY },
    { 403, "{}", VERDICT_KEY },
    { 402, "", VERDICT_QUOTA },
    { 404, "", VERDICT_ADDRESS },
    { 301, "", VERDICT_ADDRESS },
    { 408, "", VERDICT_AGAIN },
    { 413, "", VERDICT_REFUSED },
    { 429, "{\"error\":{\"message\":\"slow down\"}}", VERDICT_OVERLOAD },
    { 429, "{\"error\":{\"type\":\"insufficient_quota\"}}", VERDICT_QUOTA },
    { 500, "", VERDICT_AGAIN },
    { 502, "<html>", VERDICT_GATEWAY },
    { 503, "", VERDICT_OVERLOAD },
    { 504, "", VERDICT_GATEWAY },
    { 522, "", VERDICT_GATEWAY },
    { 529, "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}", VERDICT_OVERLOAD },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *reason = NULL;
    struct http_call c = { .status = cases[i].status };
    assert_int_equal(buf_puts(&c.reply, cases[i].body, NULL), STATUS_OK);
    enum verdict v = http_verdict(&c, &reason);
    if (v != cases[i].v) {
      fail_msg("case %zu (%ld %s): %d, expected %d", i, cases[i].status, cases[i].body, (int)v, (int)cases[i].v);
    }
    assert_non_null(reason);
    buf_free(&c.reply);
  }
  char out[200];
  struct http_call c = { .status = 401 };
  assert_int_equal(buf_puts(&c.reply, "{\"error\":{\"message\":\"Incorrect API key provided: sk-secret.\"}}", NULL), STATUS_OK);
  assert_string_equal(http_says(&c, "sk-secret", out, sizeof out), "no reason given");
  assert_string_equal(http_says(&c, NULL, out, sizeof out), "Incorrect API key provided: sk-secret.");
  buf_free(&c.reply);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(requests_a_minute), cmocka_unit_test(tokens_a_minute), cmocka_unit_test(width_follows_the_server),
    cmocka_unit_test(servers_headers), cmocka_unit_test(what_answers_mean),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 * See limits.h. */
#include "limits.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include "log.h"

#define START_WIDTH 16
#define HEADER_HOLD_MOST_S 120.0 /* no header may hold us longer without a new answer */

/* ---- buckets ---- */

static double burst(const struct bucket *b)
{
  return b->per_minute / 20 > 1 ? b->per_minute / 20 : 1;
}

static double flow(const struct bucket *b) /* a second, so that burst + 60 s of flow is what a minute may have */
{
  double f = (b->per_minute - burst(b)) / 60;
  return f > 1.0 / 60 ? f : 1.0 / 60;
}

static double bucket_wait(struct bucket *b, double now, double n)
{
  if (b->per_minute <= 0) {
    return 0;
  }
  b->level += (now - b->at) * flow(b);
  b->level = b->level < burst(b) ? b->level : burst(b);
  b->at = now;
  double need = n < burst(b) ? n : burst(b); /* one above the burst may go when the bucket is full, and leaves a debt */
  return b->level >= need ? 0 : (need - b->level) / flow(b);
}

static void bucket_take(struct bucket *b, double n)
{
  b->level -= b->per_minute > 0 ? n : 0;
}

void limits_start(struct limits *l, int most, double rpm, double tpm_in, double tpm_out, double now)
{
  memset(l, 0, sizeof *l);
  l->most = most;
  l->width = most < START_WIDTH ? most : START_WIDTH;
  l->fast = 1;
  l->round_at = l->halved_at = now;
  struct bucket *b[] = { &l->requests, &l->in, &l->out };
  const double per_minute[] = { rpm, tpm_in, tpm_out };
  for (int i = 0; i < 3; i++) {
    *b[i] = (struct bucket){ per_minute[i], 0, now };
    b[i]->level = burst(b[i]);
  }
}

int limits_width(const struct limits *l)
{
  return l->width < 1 ? 1 : (int)l->width;
}

/* ---- when ---- */

double limits_wait(struct limits *l, double now, int flying, double in_tok, double out_tok)
{
  const double need[LEFT_KINDS] = { 1, in_tok + out_tok, in_tok, out_tok };
  double wait = bucket_wait(&l->requests, now, 1), w = bucket_wait(&l->in, now, in_tok);
  wait = w > wait ? w : wait;
  w = bucket_wait(&l->out, now, out_tok);
  wait = w > wait ? w : wait;
  for (int i = 0; i < LEFT_KINDS; i++) {
    struct server_left *s = &l->left[i];
    s->known &= s->until > now;
    if (s->known && s->left < need[i] && (flying > 0 || s->left < 1)) { /* alone in the air, what is left may be tried */
      wait = s->until - now > wait ? s->until - now : wait;
    }
  }
  return wait;
}

void limits_sent(struct limits *l, double now, double in_tok, double out_tok)
{
  const double n[LEFT_KINDS] = { 1, in_tok + out_tok, in_tok, out_tok };
  (void)now;
  bucket_take(&l->requests, 1);
  bucket_take(&l->in, in_tok);
  bucket_take(&l->out, out_tok);
  for (int i = 0; i < LEFT_KINDS; i++) {
    l->left[i].left -= n[i];
  }
}

void limits_cost(struct limits *l, double thought_in, double thought_out, double in_tok, double out_tok)
{
  bucket_take(&l->in, in_tok - thought_in);
  bucket_take(&l->out, out_tok - thought_out);
}

/* ---- how many ---- */

/* One round is as many answers as may fly: then it is known whether more in flight brought more a second, or only longer waits. */
void limits_answered(struct limits *l, double now, double sent, int flying)
{
  l->round_n++;
  l->round_most = flying + 1 > l->round_most ? flying + 1 : l->round_most; /* answers that come together see fewer and fewer flying */
  l->round_latency += now - sent;
  if (l->round_n < limits_width(l) || now <= l->round_at) {
    return;
  }
  double mean = l->round_latency / l->round_n, rate = l->round_n / (now - l->round_at);
  int faster = rate > l->best_rate * (l->fast ? 1.1 : 1.02), used = l->round_most >= limits_width(l);
  l->best_latency = l->best_latency > 0 && l->best_latency < mean ? l->best_latency : mean;
  int patient = mean < 2 * l->best_latency;
  l->best_rate = rate > l->best_rate ? rate : 0.98 * l->best_rate + 0.02 * rate;
  if (used && (faster || patient)) {
    double more = l->fast ? l->width : l->width / 8 > 1 ? l->width / 8 : 1;
    l->width = l->width + more < l->most ? l->width + more : l->most;
  } else if (used) {
    l->fast = 0;
  }
  l->round_n = l->round_most = 0;
  l->round_latency = 0;
  l->round_at = now;
}

void limits_overload(struct limits *l, double now, double sent)
{
  if (sent < l->halved_at) {
    return; /* it flew already when the width was halved for another one */
  }
  l->width = l->width / 2 > 1 ? l->width / 2 : 1;
  l->fast = 0;
  l->halved_at = now;
  l->round_n = l->round_most = 0;
  l->round_latency = 0;
  l->round_at = now;
  log_debug("the server is overloaded: %d requests in flight from now on", limits_width(l));
}

/* ---- what servers say ---- */

/* "1.5", "1.5s", "20ms", "6m0s", "1h2m3s", or a date as 2026-01-02T03:04:05Z. Seconds from now, -1 when it is none of these. */
static double duration(const char *s, double wall)
{
  struct tm tm = { 0 };
  double total = 0;
  if (sscanf(s, "%4d-%2d-%2dT%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec) == 6) {
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    double d = (double)timegm(&tm) - wall;
    return d > 0 ? d : 0;
  }
  while (*s != '\0') {
    char *end;
    double v = strtod(s, &end);
    if (end == s || !(v >= 0) || v > 1e9) {
      return -1;
    }
    static const struct { const char *unit; double s; } units[] = { { "ms", 0.001 }, { "us", 1e-6 }, { "h", 3600 }, { "m", 60 }, { "s", 1 }, { "", 1 } };
    size_t u = 0;
    while (strncmp(end, units[u].unit, strlen(units[u].unit)) != 0) {
      u++;
    }
    total += v * units[u].s;
    s = end + strlen(units[u].unit);
    if (units[u].unit[0] == '\0' && *s != '\0') {
      return -1;
    }
  }
  return total;
}

static int eat(const char **s, const char *word)
{
  size_t n = strlen(word);
  if (strncasecmp(*s, word, n) != 0) {
    return 0;
  }
  *s += n;
  return 1;
}

/* The kind a header's middle names, -1 for none. */
static int kind_of(const char **s)
{
  static const char *const words[LEFT_KINDS] = { "requests", "tokens", "input-tokens", "output-tokens" };
  for (int i = 0; i < LEFT_KINDS; i++) {
    if (eat(s, words[i])) {
      return i;
    }
  }
  return -1;
}

void limits_header(struct limits *l, double now, double wall, int flying, struct span name, struct span value)
{
  char n[64], v[64];
  const char *s = n;
  int remaining, reset, kind;
  if (name.n >= sizeof n || value.n >= sizeof v || value.n == 0) {
    return;
  }
  memcpy(n, name.p, name.n);
  n[name.n] = '\0';
  memcpy(v, value.p, value.n);
  v[value.n] = '\0';
  if (eat(&s, "x-ratelimit-")) { /* x-ratelimit-remaining-requests */
    remaining = eat(&s, "remaining-");
    reset = !remaining && eat(&s, "reset-");
    kind = kind_of(&s);
  } else if (eat(&s, "anthropic-ratelimit-")) { /* anthropic-ratelimit-requests-remaining */
    kind = kind_of(&s);
    remaining = eat(&s, "-remaining");
    reset = !remaining && eat(&s, "-reset");
  } else {
    return;
  }
  if (kind < 0 || *s != '\0' || !(remaining || reset)) {
    return;
  }
  struct server_left *left = &l->left[kind];
  if (remaining) {
    char *end;
    double x = strtod(v, &end);
    if (end == v || *end != '\0' || !(x >= 0)) {
      return;
    }
    left->left = kind == LEFT_REQUESTS ? x - flying : x; /* the server may not have counted those in the air */
    left->known = left->until > now;
  } else {
    double d = duration(v, wall);
    if (d >= 0) {
      left->until = now + (d < HEADER_HOLD_MOST_S ? d : HEADER_HOLD_MOST_S);
      left->known = 1;
    }
  }
}

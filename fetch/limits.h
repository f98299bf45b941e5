/* SPDX-License-Identifier: Apache-2.0
 * How much may be sent to one server, and when: requests in flight (grows while answers come faster, halves on overload), requests
 * and tokens a minute (input and output apart) from options, and what the server's own headers leave. Pure arithmetic on times that
 * the caller gives (seconds, monotonic), so tests need no clock. One thread. */
#ifndef FETCH_LIMITS_H
#define FETCH_LIMITS_H
#include "span.h"

/* Holds at most `a minute` in any 60 s: a twentieth may go at once, the rest flows. Off when per_minute is 0. */
struct bucket {
  double per_minute, level, at;
};
/* What a header said is left of something until a moment. */
struct server_left {
  double left, until;
  int known;
};
enum { LEFT_REQUESTS, LEFT_TOKENS, LEFT_IN, LEFT_OUT, LEFT_KINDS };

struct limits {
  int most;               /* --concurrency */
  double width;           /* requests in flight allowed now */
  int fast;               /* doubling, until the first overload or until more does not help */
  double round_at, round_latency, best_latency, best_rate, halved_at;
  int round_n, round_most; /* answers of this round; most that flew in it */
  struct bucket requests, in, out;
  struct server_left left[LEFT_KINDS];
};

void limits_start(struct limits *l, int most, double rpm, double tpm_in, double tpm_out, double now);
/* Requests that may be in flight now, at least 1. */
int limits_width(const struct limits *l);
/* Seconds until a request of so many tokens may be sent (0 = now) when `flying` others are in flight. */
double limits_wait(struct limits *l, double now, int flying, double in_tok, double out_tok);
void limits_sent(struct limits *l, double now, double in_tok, double out_tok);
/* A request that was sent at `sent` came back whole: it took this long, and cost so many tokens where so many were thought. */
void limits_answered(struct limits *l, double now, double sent, int flying);
void limits_cost(struct limits *l, double thought_in, double thought_out, double in_tok, double out_tok);
/* The server says too much (429, 503, 529) to a request that was sent at `sent`. */
void limits_overload(struct limits *l, double now, double sent);
/* A header of an answer; others than x-ratelimit-* and anthropic-ratelimit-* are passed over. wall: seconds since 1970. */
void limits_header(struct limits *l, double now, double wall, int flying, struct span name, struct span value);
#endif

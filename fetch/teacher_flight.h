/* SPDX-License-Identifier: Apache-2.0
 * The state of an HTTP teacher, shared by teacher_http.c (address, key, life) and teacher_flight.c (sending). */
#ifndef FETCH_TEACHER_FLIGHT_H
#define FETCH_TEACHER_FLIGHT_H
#include "http.h"
#include "limits.h"
#include "price.h"
#include "rng.h"
#include "teacher_http.h"

#define HTTP_HEADERS_MAX 12

/* One question on its way: ready, in the air, or waiting for its next attempt. */
struct flight {
  struct engine *s;
  struct ask *ask;
  struct http_call call;
  int attempts;                /* failed ones that count */
  double due, sent, first_failed; /* monotonic seconds; first_failed 0 = not yet */
  double thought_in, thought_out; /* tokens as the limits were told */
  uint64_t reservation, reserved;  /* money of the attempt to come or in the air; 0 = none */
  struct flight *next;
};

struct engine {
  struct teacher *t;
  const struct http_api *api;
  char *address, *url, *key_header;
  const char *header[HTTP_HEADERS_MAX];
  struct http *http;
  struct limits limits;
  struct price price;
  uint64_t limit_micro;  /* UINT64_MAX = none */
  struct flight *flight; /* all of them: 4 x concurrency */
  struct flight *ready, **ready_end, *waiting, *spare;
  int n_ready, n_waiting;
  int reached, outage_told;        /* an answer ever came; the outage was said */
  double outage_since, last_answer; /* 0 = none */
  double tok_per_byte;             /* of requests so far */
  uint64_t answered, failed_in_row;
  int ended;                       /* no more questions */
  double stop_at;                  /* the run must end: until then what is in the air is waited for; 0 = it need not */
  struct err fatal;                /* why the run ends before its questions do; code STATUS_OK = it does not */
  struct rng rng;                  /* back-off only: no answer depends on it */
};
#endif

/* SPDX-License-Identifier: Apache-2.0
 * HTTP through libcurl: one event loop on a multi handle with keep-alive, TLS verified, proxy from the environment, caps on
 * headers and (unpacked) body, timeouts for connecting, silence and the whole. It sends once; when to send again is the
 * caller's business (teacher_openai.c). Headers and keys are never printed. One thread. */
#ifndef FETCH_HTTP_H
#define FETCH_HTTP_H
#include <stddef.h>
#include "err.h"
#include "mem.h"
#include "span.h"

struct http_options {
  const char *ca_file;       /* or NULL */
  int max_in_flight;
  double timeout_s;          /* of one request as a whole */
  double connect_timeout_s;  /* 0 = 10 */
  double silence_timeout_s;  /* less than a byte a second for so long; 0 = timeout_s */
  size_t max_body;           /* unpacked bytes; 0 = 16 MiB */
};

/* One request. The caller owns it and its memory until done was called; url, header and body are not copied. */
struct http_call {
  const char *url;
  const char *const *header; /* ends with NULL; may be NULL */
  struct span body;          /* POST when body.p is not NULL, else GET */
  int follow;                /* follow redirects (only ever set for requests without a key and a body) */
  int fresh;                 /* a connection of its own: on a kept one curl repeats a request whose connection closed, unasked */
  /* filled: */
  struct buf reply;          /* buf_free by the caller */
  long status;               /* 0 when no answer came */
  double retry_after_s;      /* -1 = not given */
  int retry_after_exact;     /* given in milliseconds */
  int too_long;              /* headers or body above the cap */
  int unreachable;           /* name not found, refused, no route: nothing was sent */
  int beside;                /* others of its owner that were in flight when it ended; calls that end together count down */
  char error[200];           /* "" when the transfer was whole */
  void (*saw_header)(struct http_call *c, struct span name, struct span value); /* may be NULL */
  /* used by the loop: */
  void *slot;
  struct http_call *next;
  double server_time;        /* the answer's Date, seconds since 1970; 0 = none */
  size_t header_bytes;
};

struct http;
MUST_USE enum status http_new(const struct http_options *o, struct http **h, struct err *e);
void http_free(struct http *h); /* drops what is in flight */
/* From now on h's data moves in the loop of other too, whoever takes a turn; before h's first request. Who is told about the end of a
 * call stays with whose it is. */
void http_join(struct http *h, struct http *other);
MUST_USE enum status http_start(struct http *h, struct http_call *c, struct err *e);
int http_in_flight(const struct http *h);
typedef enum status (*http_done)(void *ctx, struct http_call *c, struct err *e);
/* Moves data for up to wait_ms (returns early when something happened, also when extra_fd (-1 = none) gets readable), then calls
 * done for every call that ended. done may start new calls. */
MUST_USE enum status http_turn(struct http *h, int wait_ms, int extra_fd, http_done done, void *ctx, struct err *e);

/* Sleeps until something moves in the loop, for h or for those who share it, or extra_fd (-1 = none) gets readable. */
MUST_USE enum status http_wait(struct http *h, int wait_ms, int extra_fd, struct err *e);

struct http_get_options {
  const char *ca_file;
  uint64_t max_bytes;
  double timeout_s;
};
/* A document: redirects followed (http and https only, at most 8), transient failures tried three times. */
MUST_USE enum status http_get(const char *url, const struct http_get_options *o, struct buf *body, struct err *e);
/* curl's list of transient statuses: 408 429 500 502 503 504 (and 522 524 529 of gateways). */
int http_transient(long status);
#endif

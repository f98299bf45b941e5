/* SPDX-License-Identifier: Apache-2.0
 * What an HTTP answer means for the question that was asked: the one place that knows statuses and error codes of APIs. */
#ifndef FETCH_HTTP_VERDICT_H
#define FETCH_HTTP_VERDICT_H
#include "http.h"

enum verdict {
  VERDICT_ANSWER,   /* 200, or an answer of its own kind in an error's clothes (the content filter) */
  VERDICT_AGAIN,    /* transient: ask again later */
  VERDICT_OVERLOAD, /* the same, and send less */
  VERDICT_GATEWAY,  /* the server behind a gateway is away, or the connection broke */
  VERDICT_AWAY,     /* nothing could be sent */
  VERDICT_REFUSED,  /* this question will never be answered */
  VERDICT_KEY,      /* no question will: the key is not taken */
  VERDICT_QUOTA,    /* no question will: the money or quota of the account is gone */
  VERDICT_ADDRESS   /* no question will: wrong address or model */
};
/* reason: a short constant text for the ledger. */
enum verdict http_verdict(const struct http_call *c, const char **reason);
/* The server's own words (error.message) for people, without control characters; "no reason given" when there are none, or when
 * they repeat `secret` (may be NULL). */
const char *http_says(const struct http_call *c, const char *secret, char *out, size_t size);
#endif

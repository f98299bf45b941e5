/* SPDX-License-Identifier: Apache-2.0
 * The few requests of the OpenAI Batch API, one after the other: upload a file, make a batch, look at it, fetch a file. Each is sent
 * again after transient failures (--retries, --outage). Used by teacher_batch.c; what a batch is to the book stands in batch_book.h. */
#ifndef FETCH_BATCH_HTTP_H
#define FETCH_BATCH_HTTP_H
#include "http.h"
#include "json.h"
#include "teacher_http.h"

struct batch_http {
  const struct teacher *t; /* opened by http_teacher_open, for address, key and limits */
  struct http *http;
};
MUST_USE enum status batch_http_open(struct batch_http *h, const struct teacher *t, struct err *e);
void batch_http_close(struct batch_http *h);

/* Uploads the lines as a file of purpose batch. id: arena memory. */
MUST_USE enum status batch_http_upload(struct batch_http *h, const char *part, struct span lines, struct arena *a, const char **id, struct err *e);
/* Makes a batch of the file, with the part's name in its metadata. */
MUST_USE enum status batch_http_create(struct batch_http *h, const char *part, const char *file, const char *endpoint, struct arena *a,
                                       const char **id, struct err *e);
/* The batch object; json_free by the caller. */
MUST_USE enum status batch_http_look(struct batch_http *h, const char *id, struct json **batch, struct err *e);
/* Looks, not before the clock says `since` + 15 s (a request of a process that died may still be on its way), through the server's batches for the one with the part's name. *id = NULL: it was never made. */
MUST_USE enum status batch_http_find(struct batch_http *h, const char *part, int64_t since, struct arena *a, const char **id, struct err *e);
/* Content of a file, appended. */
MUST_USE enum status batch_http_fetch(struct batch_http *h, const char *file, struct buf *out, struct err *e);
#endif

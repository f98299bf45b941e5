/* SPDX-License-Identifier: Apache-2.0
 * The engine under every dialect that speaks HTTP, one request a question: address and key, sending, sending again, giving up.
 * "Things to do to add an HTTP dialect": a file teacher_NAME.c with a struct http_api, its own body and parse, and the functions
 * below for open, ready, close, begin, step and end; a row in the table of teacher_open.c. Keys never get into struct teacher, the journal or a log. */
#ifndef FETCH_TEACHER_HTTP_H
#define FETCH_TEACHER_HTTP_H
#include "teacher_dialect.h"

/* What differs between APIs besides body and parse; struct dialect points to it. */
struct http_api {
  const char *prefix;        /* stands before http(s):// in --teacher ("anthropic:"), or NULL for none */
  const char *path;          /* behind the address: "/chat/completions" */
  const char *key_env;       /* environment variable of the key when --key-env names none */
  const char *key_header;    /* header line up to the key: "Authorization: Bearer " */
  const char *const *header; /* further header lines, ends with NULL; or NULL */
};

/* 1 when spec is the prefix and an http(s) address (for struct dialect's matches). */
int http_teacher_matches(const struct http_api *api, const char *spec);
/* For struct dialect. open sets t->name, t->model, t->identity ("NAME:ADDRESS#MODEL"), t->subject and t->state. */
MUST_USE enum status http_teacher_open(struct teacher *t, struct err *e);
MUST_USE enum status http_teacher_ready(struct teacher *t, struct err *e);
void http_teacher_close(struct teacher *t);
MUST_USE enum status http_teacher_begin(struct teacher *t, struct err *e);
MUST_USE enum status http_teacher_step(struct teacher *t, struct step *n, struct err *e);
MUST_USE enum status http_teacher_end(struct teacher *t, enum status st, struct err *e);

/* For several teachers at once: t's data moves in the loop of other, before its first request; sleeping until something moves in it. */
void http_teacher_join(struct teacher *t, const struct teacher *other);
MUST_USE enum status http_teacher_wait(const struct teacher *t, int wait_ms, int extra_fd, struct err *e);

/* Address without a trailing slash ("https://host/v1") and the header lines with the key, ended by NULL, for a dialect that sends
 * further requests itself (batches). Valid from ready to close. */
const char *http_teacher_address(const struct teacher *t);
const char *const *http_teacher_headers(const struct teacher *t);
#endif

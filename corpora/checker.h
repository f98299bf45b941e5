/* SPDX-License-Identifier: Apache-2.0
 * Inside of `retort check`: a kind of artefact is one file corpora/check_NAME.c with `const struct check_kind
 * check_kind_NAME` and one row in checks.def. A check goes on after a finding; it returns an error only when it cannot go on
 * at all (out of memory, stop asked for, output closed). */
#ifndef CORPORA_CHECK_H
#define CORPORA_CHECK_H
#include "err.h"
#include "mem.h"
#include "stage.h"
#include "tokenizer.h"

struct check_options {
  int json;
  const char *tokenizer;
  int64_t samples;
};
struct checker {
  struct ctx *c;
  const struct check_options *o;
  const struct tokenizer *tokenizer; /* of --tokenizer, or NULL */
  const char *path, *kind;           /* what is being looked at */
  uint64_t findings, here;           /* all, of this path */
  int checksum;                      /* a finding was a checksum mismatch */
  struct arena *a;                   /* reset between paths */
};
struct check_kind {
  const char *name, *what;
  int (*is)(const char *path);
  enum status (*run)(struct checker *k, const char *path, struct err *e);
};
#define CHECK(name) extern const struct check_kind check_kind_##name;
#include "checks.def"
#undef CHECK

#define FINDINGS_SHOWN 20 /* of one path; the rest is counted */
/* One finding: a line on stdout. code STATUS_CHECKSUM marks damage. */
MUST_USE enum status check_find(struct checker *k, enum status code, struct err *e, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* A call failed: its message becomes a finding; STOPPED and NOMEM are passed on as errors. */
MUST_USE enum status check_failed(struct checker *k, enum status st, const struct err *why, struct err *e);
/* The line of a path without findings. */
MUST_USE enum status check_fine(struct checker *k, struct err *e, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Model folder or file: every tensor there, of the right shape, finite (also used for the student of a run). */
MUST_USE enum status check_model_at(struct checker *k, const char *path, int64_t *params, struct err *e);
#endif

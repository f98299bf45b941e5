/* SPDX-License-Identifier: Apache-2.0
 * The ledger of a book read back: runs, who fed whom, what does not add up. For `retort ledger` and the report. */
#ifndef CORE_FLOW_H
#define CORE_FLOW_H
#include <stdint.h>
#include "book.h"
#include "err.h"
#include "hash.h"
#include "mem.h"

struct flow_reason { const char *text; uint64_t n; };
struct flow_run {
  const char *run, *stage, *host, *stdin_id, *stdout_id;
  const char *outcome;  /* "done", a status name, "broken pipe"; NULL = no closing line */
  const char *upstream; /* "checked", "outside retort", "none", "unread", "broken" */
  const char *options;  /* canonical JSON */
  long pid;
  double start, end;    /* seconds since 1970; end 0 = no closing line */
  uint64_t in, kept, made, dropped, failed, changed;
  struct flow_reason *dropped_why, *failed_why, *changed_why;
  size_t n_dropped_why, n_failed_why, n_changed_why;
  struct hash128 in_digest, out_digest;
  size_t *up;           /* indices of the runs whose rows it read, through a pipe or an unchanged file */
  size_t n_up;
  size_t index;         /* position in the list of flow_load */
  int flow, depth;      /* number of the connected flow, from 0 by start time; 0 = source */
  int alive;            /* no closing line, but the process still runs on this machine */
  int superseded;       /* not done, but the same stage with the same options was done later */
  const char *problem;  /* what does not add up, NULL = sound */
};
/* Runs sorted by flow, depth and start. Everything lives in the arena. */
MUST_USE enum status flow_load(struct book *b, struct arena *a, struct flow_run **runs, size_t *n, struct err *e);
#endif

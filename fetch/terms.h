/* SPDX-License-Identifier: Apache-2.0
 * The terms gate (decision 13): may another model be trained on this teacher's outputs? Known licences and teachers stand in
 * fetch/terms.yaml, which travels inside the binary. Unknown means refuse. Format: docs/formats.md, "Terms table". */
#ifndef FETCH_TERMS_H
#define FETCH_TERMS_H
#include "err.h"
#include "mem.h"
#include "span.h"

enum terms_answer { TERMS_YES, TERMS_NO, TERMS_CONDITIONAL, TERMS_UNKNOWN };
/* What is known about a teacher before it is asked; any may be NULL. */
struct terms_subject {
  const char *label;   /* as the user named it, for messages */
  const char *licence; /* the weights' own statement: GGUF general.license, a model card's licence */
  const char *name;    /* model name */
  const char *host;    /* of an API */
  const char *file;    /* base name of a file or folder */
};
/* `stated` is --teacher-terms ID (or NULL), `accept` is --accept-terms WHY (or NULL). On STATUS_OK *terms (arena memory) is
 * what goes into records and cards: the licence id, with "; accepted: WHY" when it was accepted against the table.
 * STATUS_TERMS says what the terms are, where that was read and what to do. `notice` (may be NULL) tells what was decided. */
MUST_USE enum status terms_gate(const struct terms_subject *s, const char *stated, const char *accept, struct arena *a,
                                const char **terms, const char **notice, struct err *e);
#endif

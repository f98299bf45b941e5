/* SPDX-License-Identifier: Apache-2.0
 * Verdicts as CSV (RFC 4180): a head line that names at least id and decision, quotes around what needs them, \n or \r\n. Used by
 * review.c. */
#ifndef CORPORA_REVIEW_CSV_H
#define CORPORA_REVIEW_CSV_H
#include "err.h"
#include "mem.h"
#include "span.h"

enum verdict_kind { VERDICT_APPROVE, VERDICT_EDIT, VERDICT_REJECT };
struct verdict { char *id, *text, *reviewer, *date; enum verdict_kind decision; int used; };
struct verdicts { struct verdict *of; size_t n, cap; };
const char *verdict_name(enum verdict_kind k);
/* Rows without a decision are left out; of two verdicts on a row the later line counts. */
MUST_USE enum status verdicts_read(const char *path, struct verdicts *v, struct err *e);
struct verdict *verdict_find(const struct verdicts *v, struct span id);
size_t verdicts_unused(const struct verdicts *v);
void verdicts_free(struct verdicts *v);
/* One cell, quoted; last ends the line, else a comma. */
MUST_USE enum status csv_put(struct buf *b, const char *text, int last, struct err *e);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * What leaves for a server is looked at first (decision 12): --pii refuse|mask|allow over every string of a question's messages and
 * tools, before the request is built, so that neither the server nor the book nor a log sees what was found. */
#ifndef FETCH_TEACHER_PII_H
#define FETCH_TEACHER_PII_H
#include "pii.h"
#include "teacher_dialect.h"

/* Compiles the scanner when --pii asks for it and the dialect speaks HTTP; t->pii stays NULL otherwise. */
MUST_USE enum status teacher_pii_open(struct teacher *t, struct err *e);
/* mask: q's messages and tools become copies in a with placeholders ([PERSON_1]). refuse: *refused = 1 when anything was found. */
MUST_USE enum status teacher_pii_check(const struct teacher *t, struct question *q, struct arena *a, int *refused, struct err *e);
#endif

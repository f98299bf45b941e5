/* SPDX-License-Identifier: Apache-2.0
 * --control-tokens: text of documents that a server's tokenizer may read as a control token ("<|im_end|>"). Local teachers never do
 * (model/template.h); what a server does nobody here knows. */
#ifndef FETCH_TEACHER_CONTROL_H
#define FETCH_TEACHER_CONTROL_H
#include "teacher_dialect.h"
/* Before the request is built. allow: as it is, said once; break: a blank behind the first character; refuse: *refused = 1. */
MUST_USE enum status teacher_control_check(struct teacher *t, struct question *q, struct arena *a, int *refused, struct err *e);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * What rules that replace words share: expressions (core/regex.h) and letter case. */
#ifndef AUGMENT_RULE_MATCH_H
#define AUGMENT_RULE_MATCH_H
#include "regex.h"
#include "rule.h"

/* Letter case that a replacement takes over from what it replaces. */
enum letter_case { CASE_NONE, CASE_UPPER, CASE_LOWER, CASE_TITLE };
enum letter_case case_of(struct span text); /* CASE_UPPER needs two capitals; CASE_TITLE: the first letter is one and not all are */
MUST_USE enum status case_put(struct buf *b, struct span text, enum letter_case c, struct err *e);
#endif

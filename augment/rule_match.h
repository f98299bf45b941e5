/* SPDX-License-Identifier: Apache-2.0
 * Regular expressions of rules: PCRE2 with JIT, UTF and Unicode properties, bounded in steps so that no pattern hangs. What
 * a pattern needs while it matches belongs to the worker, so compiled patterns are shared by all threads. */
#ifndef AUGMENT_RULE_MATCH_H
#define AUGMENT_RULE_MATCH_H
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include "rule.h"

struct rule_matcher {
  pcre2_match_data *data;
  pcre2_match_context *limits;
  pcre2_jit_stack *stack;
};
MUST_USE enum status rule_matcher_new(struct rule_matcher *m, struct err *e);
void rule_matcher_end(struct rule_matcher *m);
/* PCRE2_CASELESS, PCRE2_MULTILINE... in options. STATUS_USAGE names the rule, the pattern and the byte. */
MUST_USE enum status rule_compile(const char *rule, struct span pattern, uint32_t options, pcre2_code **code, struct err *e);
/* *found = 0 or 1; the groups are in m->data. STATUS_LIMIT: the pattern needs too many steps on this text. */
MUST_USE enum status rule_find(struct rule_matcher *m, const pcre2_code *code, const char *pattern, struct span text, size_t from, int *found, struct err *e);

/* Letter case that a replacement takes over from what it replaces. */
enum letter_case { CASE_NONE, CASE_UPPER, CASE_LOWER, CASE_TITLE };
enum letter_case case_of(struct span text); /* CASE_UPPER needs two capitals; CASE_TITLE: the first letter is one and not all are */
MUST_USE enum status case_put(struct buf *b, struct span text, enum letter_case c, struct err *e);
#endif

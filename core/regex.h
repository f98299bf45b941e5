/* SPDX-License-Identifier: Apache-2.0
 * Regular expressions of users: PCRE2 with JIT, UTF and Unicode properties, bounded in steps so that no pattern hangs. What
 * a pattern needs while it matches belongs to the worker, so compiled patterns are shared by all threads. */
#ifndef CORE_REGEX_H
#define CORE_REGEX_H
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include "err.h"
#include "span.h"

struct regex_matcher {
  pcre2_match_data *data;
  pcre2_match_context *limits;
  pcre2_jit_stack *stack;
};
MUST_USE enum status regex_matcher_new(struct regex_matcher *m, struct err *e);
void regex_matcher_end(struct regex_matcher *m); /* accepts a zeroed struct */
/* PCRE2_CASELESS, PCRE2_MULTILINE... in options. STATUS_USAGE names the rule, the pattern and the byte. */
MUST_USE enum status regex_compile(const char *rule, struct span pattern, uint32_t options, pcre2_code **code, struct err *e);
/* *found = 0 or 1; the groups are in m->data. The text is valid UTF-8. STATUS_LIMIT: the pattern needs too many steps on this text. */
MUST_USE enum status regex_find(struct regex_matcher *m, const pcre2_code *code, const char *pattern, struct span text, size_t from, int *found, struct err *e);
#endif

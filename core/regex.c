/* SPDX-License-Identifier: Apache-2.0
 * Compiling and matching within limits. */
#include "regex.h"

#define MATCH_LIMIT 2000000
#define STACK_BYTES ((size_t)1 << 20)

enum status regex_matcher_new(struct regex_matcher *m, struct err *e) {
  m->data = pcre2_match_data_create(64, NULL);
  m->limits = pcre2_match_context_create(NULL);
  m->stack = pcre2_jit_stack_create(32 << 10, STACK_BYTES, NULL);
  if (!m->data || !m->limits || !m->stack) return err_nomem(e, STACK_BYTES);
  pcre2_set_match_limit(m->limits, MATCH_LIMIT);
  pcre2_set_depth_limit(m->limits, MATCH_LIMIT);
  pcre2_set_heap_limit(m->limits, 65536); /* KiB */
  pcre2_jit_stack_assign(m->limits, NULL, m->stack);
  return STATUS_OK;
}

void regex_matcher_end(struct regex_matcher *m) {
  pcre2_match_data_free(m->data);
  pcre2_match_context_free(m->limits);
  pcre2_jit_stack_free(m->stack);
  *m = (struct regex_matcher){ 0 };
}

enum status regex_compile(const char *rule, struct span pattern, uint32_t options, pcre2_code **code, struct err *e) {
  int number;
  PCRE2_SIZE at;
  PCRE2_UCHAR why[160];
  *code = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n, options | PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &number, &at, NULL);
  if (!*code) {
    pcre2_get_error_message(number, why, sizeof why);
    return err_set(e, STATUS_USAGE, "rule '%s': pattern '%.*s': %s at byte %zu", rule, (int)pattern.n, pattern.p, (const char *)why, (size_t)at);
  }
  (void)pcre2_jit_compile(*code, PCRE2_JIT_COMPLETE); /* where there is no JIT the interpreter matches the same */
  return STATUS_OK;
}

enum status regex_find(struct regex_matcher *m, const pcre2_code *code, const char *pattern, struct span text, size_t from, int *found, struct err *e) {
  PCRE2_UCHAR why[160];
  int r = pcre2_match(code, (PCRE2_SPTR)text.p, text.n, from, PCRE2_NO_UTF_CHECK, m->data, m->limits); /* text was decoded from valid JSON */
  *found = r >= 0;
  if (r >= 0 || r == PCRE2_ERROR_NOMATCH) return STATUS_OK;
  if (r == PCRE2_ERROR_NOMEMORY) return err_nomem(e, text.n);
  pcre2_get_error_message(r, why, sizeof why);
  return err_set(e, STATUS_LIMIT, "pattern '%.200s' on a text of %zu bytes: %s; write it without repetitions inside repetitions", pattern, text.n, (const char *)why);
}

/* SPDX-License-Identifier: Apache-2.0
 * The options that state the form of an answer, the same wherever answers are made: put FORM_OPTION_ROWS(STRUCT, FIELD) into a
 * table, where FIELD is the struct form_options inside STRUCT. */
#ifndef MODEL_FORM_OPTIONS_H
#define MODEL_FORM_OPTIONS_H
#include "form.h"
#include "opt.h"
struct form_options {
  struct opt_list one_of;
  const char *regex, *schema;
};
#define FORM_OPTION_ROWS(stru, f) \
  OPT_ROW(stru, f.one_of, "one-of", 0, OPT_LIST, NULL, NULL, "TEXT", "the answer is one of these texts (give it several times)"), \
  OPT_ROW(stru, f.regex, "regex", 0, OPT_STR, NULL, NULL, "PATTERN", "the whole answer matches this regular expression"), \
  OPT_ROW(stru, f.schema, "schema", 0, OPT_STR, NULL, NULL, "FILE", "the answer is JSON that fits this JSON Schema")
/* The form they state (FORM_FREE: none), its text in the arena. STATUS_USAGE: several at once, or a wrong one. */
MUST_USE enum status form_from_options(const struct form_options *o, struct arena *a, struct form *f, struct err *e);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * The form that an answer must have: one of some choices, a regular expression it matches as a whole, or a JSON Schema. A
 * question carries one (fetch/teacher.h); a local teacher is bound to it token by token (constrain.h), a server is told of it
 * where it can be, and form_check judges what came back in any case. */
#ifndef MODEL_FORM_H
#define MODEL_FORM_H
#include "err.h"
#include "mem.h"
#include "span.h"
enum form_kind { FORM_FREE, FORM_CHOICES, FORM_REGEX, FORM_SCHEMA };
struct form {
  enum form_kind kind;
  struct span text; /* JSON array of strings; pattern; JSON Schema (core/schema.h). Owned by whoever made the form. */
};
/* "choices" "regex" "schema"; NULL for FORM_FREE. */
const char *form_name(enum form_kind k);
/* STATUS_DATA says what was found and expected; STATUS_USAGE when the form itself is wrong. Regular expressions are those of
 * constrain.h (no look-around, no references); every byte of the answer counts, white space too. */
MUST_USE enum status form_check(const struct form *f, struct span answer, struct err *e);
/* Appends ,"form":{"regex":"..."} or nothing (FORM_FREE): part of what was asked, for journals. */
MUST_USE enum status form_put(const struct form *f, struct buf *out, struct err *e);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * YAML read as JSON: recipes, the terms table and front matter are written in YAML and used through json.h, so no caller
 * sees libyaml. Plain scalars follow the YAML 1.2 core schema as far as JSON has it: null, true, false, numbers; `yes` and
 * `no` stay strings. Aliases are expanded; depth and output size are bounded, so a small file cannot unfold without end. */
#ifndef CORE_YAML_JSON_H
#define CORE_YAML_JSON_H
#include "err.h"
#include "mem.h"
#include "span.h"
enum { YAML_ALL_STRINGS = 1 }; /* every scalar as the string it was written as */
#define YAML_MAX_JSON ((size_t)16 << 20)
/* Appends the first document of text as one JSON value (an empty text gives null). `what` names the file in messages.
 * Errors: STATUS_DATA with line and column; STATUS_LIMIT when it unfolds beyond YAML_MAX_JSON or 64 levels. */
MUST_USE enum status yaml_to_json(struct span text, const char *what, int flags, struct buf *json, struct err *e);
#endif

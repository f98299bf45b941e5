/* SPDX-License-Identifier: Apache-2.0
 * A record line split into raw spans of its top-level fields (decision 10). The scanner validates the whole line as
 * RFC 8259 JSON with valid UTF-8 (differential-fuzzed against jansson) but parses nothing: spans point into the line, so
 * large integers, key order, white space and duplicate keys survive byte for byte. */
#ifndef CORE_SPAN_H
#define CORE_SPAN_H
#include <stdint.h>
#include <stddef.h>
#include "err.h"
#include "mem.h"

struct span { const char *p; size_t n; };
struct field {
  struct span key;   /* raw, without the quotes; may hold escapes: compare with span_key_is */
  struct span value; /* raw JSON value without surrounding white space */
};
struct record {
  struct span line;    /* the whole line without its newline */
  struct field *field; /* arena memory */
  size_t n_fields;
};

/* Splits line (must be one JSON object). Error STATUS_DATA names the byte, what was found and what was expected. */
MUST_USE enum status record_split(struct span line, struct arena *a, struct record *r, struct err *e);
/* Raw value of a top-level field, {NULL,0} when absent; of duplicates the last one counts. */
struct span record_get(const struct record *r, const char *key);
/* Copies r's line to out with field `key` set to the raw JSON `value` (replaced in place, else appended at the end);
 * value {NULL,0} removes the field. All other bytes stay as they are. */
MUST_USE enum status record_set(const struct record *r, const char *key, struct span value, struct buf *out, struct err *e);
/* Several at once, in one pass. */
struct field_edit { const char *key; struct span value; };
MUST_USE enum status record_edit(const struct record *r, const struct field_edit *edits, size_t n, struct buf *out, struct err *e);

/* Checks that s is one whole JSON value (depth at most 512). */
MUST_USE enum status span_check_json(struct span s, struct err *e);
/* 's', 'n' number, '{', '[', 't', 'f', '0' null by first byte of a raw value; 0 for an empty span. */
char span_type(struct span v);
int span_key_is(struct span raw_key, const char *key);
int span_is(struct span s, const char *text);
int span_equal(struct span a, struct span b);
/* Decodes a raw JSON string value (with its quotes) to UTF-8 in the arena; lone surrogates become U+FFFD, \u0000 stays
 * (the length tells). */
MUST_USE enum status span_string(struct span v, struct arena *a, struct span *out, struct err *e);
/* Length (1 to 4) of the valid UTF-8 sequence that starts at p, 0 when there is none within n bytes. */
size_t utf8_length(const char *p, size_t n);
/* Appends text as a JSON string with quotes. Invalid UTF-8 becomes U+FFFD; non-ASCII is written as it is. */
MUST_USE enum status json_put_string(struct buf *b, struct span text, struct err *e);
MUST_USE enum status json_put_cstr(struct buf *b, const char *text, struct err *e);
/* Shortest decimal that reads back to the same double (nan/inf are errors in JSON: written as null). */
MUST_USE enum status json_put_num(struct buf *b, double v, struct err *e);
MUST_USE enum status json_put_int(struct buf *b, int64_t v, struct err *e);
MUST_USE enum status json_put_ids(struct buf *b, const int32_t *id, size_t n, struct err *e); /* an array of numbers */

#endif

/* SPDX-License-Identifier: Apache-2.0
 * What stages share about records: field names and types of design.md "Records", accepted foreign layouts (Alpaca, ShareGPT,
 * TRL prompt/completion) normalised to `messages`, ids. Used by augment, label, corpora, train. Nothing here keeps state;
 * all results are arena memory or point into the record's line. A field that is null counts as absent (Arrow writes null
 * for missing columns). Errors are STATUS_DATA and name the field, the type found and the type expected. */
#ifndef CORPORA_RECORD_H
#define CORPORA_RECORD_H
#include "err.h"
#include "json.h"
#include "mem.h"
#include "span.h"
/* Raw JSON of the messages array of a row: its own `messages`, or built from conversations (ShareGPT), instruction/input/output
 * (Alpaca), prompt/completion (TRL; strings or arrays of messages), looked for in this order. {NULL,0} when the row has none
 * of them; a preference row (prompt with chosen/rejected) has none. Each message is checked to be an object with a string
 * `role`, a `content` that is a string, null, absent, or an array of text parts. */
MUST_USE enum status record_messages(const struct record *r, struct arena *a, struct span *messages, struct err *e);
/* Text of a row for filters and hashing: `text`, else all message contents joined with '\n', else prompt and chosen of a
 * preference row. {"",0} when there is none of these. */
MUST_USE enum status record_text(const struct record *r, struct arena *a, struct span *text, struct err *e);
/* String field decoded, {NULL,0} when absent; STATUS_DATA when it is not a string. */
MUST_USE enum status record_string(const struct record *r, const char *key, struct arena *a, struct span *out, struct err *e);
/* The row's id, or one made from the hash of its line when it has none ("r" + 16 hex digits). */
MUST_USE enum status record_id(const struct record *r, struct arena *a, struct span *id, struct err *e);
/* A field inside objects by dotted path ("meta.family"), raw; {NULL,0} when absent or when a part is not an object. */
MUST_USE enum status record_path(const struct record *r, const char *dotted, struct arena *a, struct span *value, struct err *e);
/* Number field (JSON number); *found = 0 when absent. */
MUST_USE enum status record_number(const struct record *r, const char *key, double *out, int *found, struct err *e);
/* Raw `scores` object of the row with numbers set in it (others stay), for record_edit. Appends to out. */
struct record_number {
  const char *name;
  double value;
};
MUST_USE enum status record_scores(const struct record *r, const struct record_number *set, size_t n, struct buf *out, struct err *e);
/* Elements of a raw JSON array that was validated with its line: *at starts at 0; returns 0 after the last one. */
int record_next_element(struct span array, size_t *at, struct span *element);
/* Who speaks in a string of a row (bits). OTHER: any other string (meta, passages...). */
enum { RECORD_TEXT = 1, RECORD_SYSTEM = 2, RECORD_USER = 4, RECORD_ASSISTANT = 8, RECORD_OTHER = 16, RECORD_ALL = 31 };
struct record_string {
  struct span raw;  /* the JSON string in the line, with its quotes */
  struct span text; /* decoded; replace it by arena memory and set `changed` */
  unsigned who;
  int changed;
};
/* All strings of a row that a person would read, in the order of their bytes: not id, task, teacher, roles, split... */
MUST_USE enum status record_strings(const struct record *r, struct arena *a, struct record_string **s, size_t *n, struct err *e);
/* The line with the changed strings in place; appends to out. */
MUST_USE enum status record_splice(struct span line, const struct record_string *s, size_t n, struct buf *out, struct err *e);
/* "a string", "an array", ... for messages about a raw value. */
const char *record_type_name(struct span value);
#endif

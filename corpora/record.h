/* SPDX-License-Identifier: Apache-2.0
 * What stages share about records: field names and types of design.md "Records", accepted foreign layouts (Alpaca, ShareGPT,
 * TRL prompt/completion) normalised to `messages`, ids. Used by augment, label, corpora, train. */
#ifndef CORPORA_RECORD_H
#define CORPORA_RECORD_H
#include "err.h"
#include "json.h"
#include "mem.h"
#include "span.h"
/* Raw JSON of the messages array of a row: its own `messages`, or built from instruction/input/output, conversations,
 * prompt/completion. {NULL,0} when the row has none of them. Error when present with a wrong type (names the field). */
MUST_USE enum status record_messages(const struct record *r, struct arena *a, struct span *messages, struct err *e);
/* Text of a row for filters and hashing: `text`, else all message contents joined with '\n'. */
MUST_USE enum status record_text(const struct record *r, struct arena *a, struct span *text, struct err *e);
/* String field decoded, {NULL,0} when absent; STATUS_DATA when it is not a string. */
MUST_USE enum status record_string(const struct record *r, const char *key, struct arena *a, struct span *out, struct err *e);
/* The row's id, or one made from the hash of its line when it has none ("r" + 16 hex digits). */
MUST_USE enum status record_id(const struct record *r, struct arena *a, struct span *id, struct err *e);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * Text on its way to a server, looked at before the request is built: one walk over the strings of messages and tools, for --pii and
 * --control-tokens. */
#ifndef FETCH_OUTGOING_H
#define FETCH_OUTGOING_H
#include "mem.h"
#include "span.h"

/* Writes to out what is to be sent instead of text; *changed = 0: text goes as it is (out may be left alone). */
typedef enum status (*outgoing_text)(void *ctx, struct span text, struct buf *out, int *changed, struct err *e);
/* Every string value of the JSON goes through f (names of members do not). Untouched JSON stays byte for byte (its answers are in the
 * book already), else *json becomes arena memory. {NULL,0} and "" are left alone. */
MUST_USE enum status outgoing_rewrite(struct span *json, outgoing_text f, void *ctx, struct arena *a, struct err *e);
#endif

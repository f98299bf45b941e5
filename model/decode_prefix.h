/* SPDX-License-Identifier: Apache-2.0
 * Shared beginnings of prompts: the rows of keys and values that several prompts began with, kept so that the next prompt does
 * not run them again. Only what two prompts really shared is kept; the least recently used goes first. Rows are kept that a
 * prompt run made, never those of answer tokens: a step multiplies in another order, so its rows have other bits. */
#ifndef MODEL_DECODE_PREFIX_H
#define MODEL_DECODE_PREFIX_H
#include "decode_kv.h"

enum { PREFIX_LEAST = 16 /* tokens that are worth a copy */ };

struct prefix_table;
/* bytes: what the kept rows may take; 0 keeps nothing and finds nothing. */
MUST_USE enum status prefix_table_new(const struct kv_layout *l, uint64_t bytes, struct prefix_table **t, struct err *e);
void prefix_table_free(struct prefix_table *t);

/* Tokens that the two begin with together. */
size_t prefix_common(const int32_t *a, size_t n_a, const int32_t *b, size_t n_b);
/* Remembers the tokens of a prompt (not its rows); *shared = the longest beginning that one of the last prompts had too. */
MUST_USE enum status prefix_seen(struct prefix_table *t, const int32_t *ids, size_t n, size_t *shared, struct err *e);
/* The kept rows that go furthest along the prompt, and how far; NULL and 0: none. Owned by the table, until prefix_keep. */
const struct kv_cache *prefix_find(struct prefix_table *t, const int32_t *ids, size_t n, size_t *common);
/* Keeps the first n rows of the cache of a prompt, when that is clearly more than is kept already. */
MUST_USE enum status prefix_keep(struct prefix_table *t, const int32_t *ids, size_t n, const struct kv_cache *from, struct err *e);
#endif

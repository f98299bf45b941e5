/* SPDX-License-Identifier: Apache-2.0
 * Long documents become passages: cut at paragraph borders where one is near, else at sentence borders, else at words. Every
 * passage is a piece of the document as it stands (trimmed), at most `max` characters or tokens long. */
#ifndef FETCH_SPLIT_H
#define FETCH_SPLIT_H
#include "err.h"
#include "mem.h"
#include "span.h"
#include "tokenizer.h"
enum split_unit { SPLIT_NONE, SPLIT_CHARS, SPLIT_TOKENS };
struct split_options {
  enum split_unit unit;
  size_t max, overlap;               /* in characters (code points) or tokens; overlap < max */
  const struct tokenizer *tokenizer; /* for SPLIT_TOKENS */
};
/* Reads "chars:N" or "tokens:N"; NULL gives SPLIT_NONE. */
MUST_USE enum status split_parse(const char *text, struct split_options *o, struct err *e);
typedef enum status (*split_piece)(void *ctx, struct span piece, size_t index, struct err *e); /* index from 1 */
/* text: valid UTF-8. Whole text (trimmed) as one piece when unit is SPLIT_NONE. No piece is empty. */
MUST_USE enum status split_text(const struct split_options *o, struct span text, split_piece f, void *ctx, struct err *e);
#endif

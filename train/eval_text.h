/* SPDX-License-Identifier: Apache-2.0
 * Text files as samples for evaluate(): every token but the first of a window is in the loss. A file is JSON Lines (rows
 * with `text` or messages) when its first byte is '{', else one plain text. */
#ifndef TRAIN_EVAL_TEXT_H
#define TRAIN_EVAL_TEXT_H
#include "evaluate.h"
#include "tokenizer.h"

struct text_source { struct arena *a; struct sample *s; int64_t n, cap; int64_t tokens; int32_t vocab; };
/* Windows of at most `context` tokens; a document's windows do not see each other. */
MUST_USE enum status text_source_add(struct text_source *t, const char *path, const struct tokenizer *k, int64_t context, struct err *e);
struct sample_source source_of_text(struct text_source *t);
void text_source_free(struct text_source *t);
#endif

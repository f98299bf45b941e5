/* SPDX-License-Identifier: Apache-2.0
 * Where constraints (constrain.h) meet the streams of a decoder: masks before tokens are chosen, on one thread; masking, on any;
 * taking the chosen token, on one thread again. Streams without a constraint pass through. Used by decode.c. */
#ifndef MODEL_DECODE_CONSTRAIN_H
#define MODEL_DECODE_CONSTRAIN_H
#include "decode_stream.h"
/* Finds what each stream may go on with. */
MUST_USE enum status constrain_rows(struct stream *const *row, int n, struct err *e);
/* Logits (vocab) of what it may not: minus infinity. */
void constrain_logits(const struct stream *s, float *z, int32_t vocab);
/* id, or the lowest token that is allowed when id is not (logits without any number in them). */
int32_t constrain_choice(const struct stream *s, int32_t id, int32_t vocab);
/* The chosen token goes into the form; closing may change s->next. *over as in matcher_take. */
MUST_USE enum status constrain_take(struct stream *s, int32_t max_ctx, int *over, struct err *e);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * What the noise methods (typos, ocr, casing) share: walking a text while leaving alone what must stay: placeholders such as
 * [PERSON_1], slots such as {{name}}, addresses. */
#ifndef AUGMENT_RULE_NOISE_H
#define AUGMENT_RULE_NOISE_H
#include "rule.h"
/* Bytes from i on that no noise may touch, 0 when there are none. */
size_t noise_fixed(struct span text, size_t i);
/* Applies step over every text of the rule: step takes text from i on, appends what becomes of it and returns the bytes it took. */
typedef enum status (*noise_step)(const void *state, struct rule_row *r, struct span text, size_t i, size_t *took, struct buf *out, struct err *e);
MUST_USE enum status noise_apply(const void *state, struct rule_row *r, noise_step step, struct err *e);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * What stages that write models have in common: terms of the source through the gate, and the question whether an output
 * already stands there. Used by export and prune. */
#ifndef TRAIN_OUTPUT_H
#define TRAIN_OUTPUT_H
#include "card.h"

/* Card of a model that `made_by` makes from w (named `path` by the user): identity of the source, terms after the gate
 * (STATUS_TERMS when they forbid or are unknown and accept is NULL). stated: --teacher-terms or NULL. The notice is logged. */
MUST_USE enum status output_card(const struct weights *w, const char *path, const char *made_by, const char *stated, const char *accept,
                                 struct arena *a, struct model_card *card, struct err *e);
/* *left_alone = 1 (and said in the log) when path is a complete output with this key. STATUS_USAGE when something else stands
 * there and force is 0. */
MUST_USE enum status output_check(const char *path, const char *key, int force, struct arena *a, int *left_alone, struct err *e);
#endif

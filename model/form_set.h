/* SPDX-License-Identifier: Apache-2.0
 * Constraints by form for one tokenizer: the vocabulary's tree is made once (with the first form), and questions of the same form
 * share one constraint with all it has learnt. At most 80 are kept. Not for several threads at a time. */
#ifndef MODEL_FORM_SET_H
#define MODEL_FORM_SET_H
#include "constrain.h"
struct form_set;
MUST_USE enum status form_set_new(const struct tokenizer *t, struct form_set **s, struct err *e); /* t must outlive it */
void form_set_free(struct form_set *s);
/* *c = NULL for FORM_FREE. Each get of another needs a form_set_put. What a form cannot bind is warned of once. */
MUST_USE enum status form_set_get(struct form_set *s, const struct form *f, struct constraint **c, struct err *e);
void form_set_put(struct form_set *s, struct constraint *c); /* accepts NULL */
#endif

/* SPDX-License-Identifier: Apache-2.0
 * JSON Schema as a language tree (what is written and what is left out: constrain.h). Used by constrain.c. */
#ifndef MODEL_CONSTRAIN_JSON_H
#define MODEL_CONSTRAIN_JSON_H
#include "constrain_expr.h"
#include "schema_node.h"
/* Keywords that the tree does not enforce are appended to loose, as "uniqueItems at #/properties/a, ...". */
struct expr *expr_schema(struct expr_build *b, struct span schema, struct buf *loose);
/* What must hold of one value, from one or several schemas (constrain_merge.c): keywords narrowed to what all allow. */
#define WANT_FROM 12
struct want {
  struct schema_node n;                          /* ref and all are resolved; any and one may be left (one level) */
  const struct schema_node *from[WANT_FROM];     /* what it was made of: values of enum and const are checked against each */
  size_t n_from;
};
struct merger { struct expr_build *b; struct buf *loose; int depth; };
/* Adds a schema to w (which starts as {.n = merge_nothing()}). 0 on failure (b->st). */
struct schema_node merge_nothing(void);
int merge_in(struct merger *m, struct want *w, const struct schema_node *n);
void merge_loose(struct merger *m, const char *keyword, const char *at);
#endif

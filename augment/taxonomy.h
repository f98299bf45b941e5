/* SPDX-License-Identifier: Apache-2.0
 * The rows of taxonomy.def, for the stage `retort taxonomy` and its test. */
#ifndef AUGMENT_TAXONOMY_H
#define AUGMENT_TAXONOMY_H
struct taxon {
  const char *part, *row, *serves;
};
extern const struct taxon taxonomy_table[]; /* ends with NULL */
#endif

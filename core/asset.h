/* SPDX-License-Identifier: Apache-2.0
 * Data files that travel inside the binary (recipes, the terms table), so that an installed retort and one in the build tree
 * find the same ones. The table is made at build time by core/embed.cmake from the files named in CMakeLists.txt. */
#ifndef CORE_ASSET_H
#define CORE_ASSET_H
#include <stddef.h>
#include "span.h"
struct asset {
  const char *name; /* path in the source tree, "augment/recipes/qa.yaml"; NULL ends the table */
  const unsigned char *p;
  size_t n;
};
extern const struct asset asset_table[];
const struct asset *asset_find(const char *name); /* NULL when there is none */
struct span asset_text(const struct asset *a);
#endif

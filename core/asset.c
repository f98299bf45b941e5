/* SPDX-License-Identifier: Apache-2.0
 * Lookup in the table of embedded files; the table itself is generated (core/embed.cmake). */
#include "asset.h"

const struct asset *asset_find(const char *name)
{
  for (const struct asset *a = asset_table; a->name != NULL; a++) {
    if (strcmp(a->name, name) == 0) {
      return a;
    }
  }
  return NULL;
}

struct span asset_text(const struct asset *a)
{
  struct span s = { (const char *)a->p, a->n };
  return s;
}

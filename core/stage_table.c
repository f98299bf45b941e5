/* SPDX-License-Identifier: Apache-2.0
 * The stage table, made from core/stages.def. */
#include "stage.h"

#define STAGE(name) extern const struct stage stage_##name;
#include "stages.def"
#undef STAGE

const struct stage *const stage_table[] = {
#define STAGE(name) &stage_##name,
#include "stages.def"
#undef STAGE
  NULL
};

const struct stage *stage_find(const char *name) {
  for (const struct stage *const *s = stage_table; *s != NULL; s++) {
    if (strcmp((*s)->name, name) == 0) return *s;
  }
  return NULL;
}

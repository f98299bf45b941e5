/* SPDX-License-Identifier: Apache-2.0
 * The table of losses, filled from losses.def. */
#include "loss.h"
#include <string.h>

#define LOSS(name) extern const struct loss loss_##name;
#include "losses.def"
#undef LOSS

const struct loss *const loss_table[] = {
#define LOSS(name) &loss_##name,
#include "losses.def"
#undef LOSS
  NULL,
};

const struct loss *loss_find(const char *name) {
  for (size_t i = 0; loss_table[i] != NULL; i++) {
    if (strcmp(loss_table[i]->name, name) == 0) {
      return loss_table[i];
    }
  }
  return NULL;
}

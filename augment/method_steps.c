/* SPDX-License-Identifier: Apache-2.0
 * Method `steps`: every row is asked about per_row times, each time through the recipe's steps. */
#include "augment.h"

static enum status steps_begin(struct augment *g, struct row *row, struct err *e)
{
  return unit_start(row->state, (size_t)g->per_row, e);
}

const struct method method_steps = {
  .name = "steps",
  .summary = "each row, per_row times, through the steps",
  .begin = steps_begin,
};

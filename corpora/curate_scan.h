/* SPDX-License-Identifier: Apache-2.0
 * What happens to one row on a worker thread: shared by the stage and its tests. */
#ifndef CORPORA_CURATE_SCAN_H
#define CORPORA_CURATE_SCAN_H
#include "curate.h"
/* Fills r (its a and rec are set) and runs the scanning filters; state[f] belongs to filter_table[f]; sets = 1: shingles and
 * signature too. Thread safe. */
MUST_USE enum status curate_scan_row(const struct curate_options *o, const struct split_spec *split, int sets, void *const *state, struct row *r, struct err *e);
#endif

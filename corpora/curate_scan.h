/* SPDX-License-Identifier: Apache-2.0
 * Per-row half of the curate stage (curate_scan.c), used by curate.c only. */
#ifndef CORPORA_CURATE_SCAN_H
#define CORPORA_CURATE_SCAN_H
#include "curate.h"
/* Fills r (its a and rec are set) and runs the scanning filters; state[f] belongs to filter_table[f]. Thread safe. */
MUST_USE enum status curate_scan_row(const struct curate_options *o, const struct split_spec *split, void *const *state, struct row *r, struct err *e);
/* A copy that stays: id, sets, keys; whole = 1: the line, group and split too (fields are split again when needed). */
MUST_USE enum status curate_keep_row(const struct row *r, struct arena *to, int whole, struct row **out, struct err *e);
#endif

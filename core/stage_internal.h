/* SPDX-License-Identifier: Apache-2.0
 * What stage.c, stage_rows.c and stage_help.c share. */
#ifndef CORE_STAGE_INTERNAL_H
#define CORE_STAGE_INTERNAL_H
#include "stage.h"
struct book;
enum { BAD_ROWS_NAMED = 20 };
struct ctx {
  const struct stage *stage;
  struct common_options common;
  void *options;
  struct opt_list args;
  struct arena *arena, *row_arena;
  struct book *book;
  struct ledger *ledger;
  struct line_reader *lines;
  struct buf out; /* rows not yet written */
  uint64_t bad_rows; /* by ctx_fail_row */
  int judged;
  double start;
  int at_end;     /* stdin was read to its end */
  int out_broken; /* stdout's reader went away */
};
extern const struct opt_row common_rows[];
MUST_USE enum status stage_help(const struct stage *s, struct err *e);
int stage_help_main(const char *name, int argc, char **argv);
const char *stage_nearest(const char *name);
#endif

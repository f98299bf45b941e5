/* SPDX-License-Identifier: Apache-2.0
 * Names of what is being written: PATH.part-PID-HOST, beside the final name. HOST is 8 hex digits of a hash over host name,
 * boot and PID name space, so that two machines (or containers) on one shared folder never write to one file. */
#ifndef CORE_FILE_PART_H
#define CORE_FILE_PART_H
#include "err.h"

/* PATH.part-PID-HOST of this process (trailing slashes of path dropped); mem_free by the caller, NULL without memory. */
char *file_part_name(const char *path);
/* 1 when the name ends in .part-PID or .part-PID-HOST. */
int file_part_is(const char *name);
/* Removes the parts of path (files or folders) whose writer was a process of this host that is gone: what kill -9 left.
 * Those of other hosts and of living processes stay. Errors are not told: a left-over is no harm, only dirt. */
void file_part_drop_dead(const char *path);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * How direct neighbours on a pipe know each other: a small file in run_folder() named by the pipe's device and inode, to
 * which each writer appends a line when it opens and one when it closes. The reader checks it at the end of its input
 * and removes it. Only the ledger uses it. docs/formats.md, "Pipe record". */
#ifndef CORE_PIPE_RECORD_H
#define CORE_PIPE_RECORD_H
#include <stdint.h>
#include "err.h"
#include "hash.h"

enum { PIPE_ID_MAX = 96 };
/* Text that names what fd is: "pipe:BOOT:DEV:INO", "file:DEV:INO", "terminal", "null", "socket", "other". 1 = a pipe. */
int pipe_identity(int fd, char id[PIPE_ID_MAX]);
/* The writer's lines. fd is not a pipe: nothing happens. */
MUST_USE enum status pipe_record_open(int fd, const char *stage, const char *run, struct err *e);
MUST_USE enum status pipe_record_close(int fd, const char *run, const char *outcome, uint64_t rows, struct hash128 digest, struct err *e);
/* The reader's question at the end of input. *upstream = 0: no neighbour of ours wrote here ("outside retort").
 * Lines of runs that ended before `since` (time of day in seconds) may be left-overs of an earlier use of the same
 * inode or named pipe: left out when the rest adds up. */
MUST_USE enum status pipe_record_check(int fd, double since, uint64_t rows, struct hash128 digest, int *upstream, struct err *e);
/* The reader is gone (broken pipe): nobody will ask for the record. */
void pipe_record_forget(int fd);
/* Removes records of an earlier boot, and of processes that ended more than a day ago. */
void pipe_record_clean(void);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * The ledger: rows in = kept + dropped(reason) + failed(reason), and rows made. Digests are order-independent sums
 * (mod 2^128) of XXH3-128 row hashes. A stage writes an opening line at its start and commits its closing line before it
 * closes stdout, both into the book (when there is one) and into the pipe record of run_folder(), by which direct
 * neighbours know each other (the pipe's inode). */
#ifndef CORE_LEDGER_H
#define CORE_LEDGER_H
#include <stdint.h>
#include "err.h"
#include "hash.h"
#include "mem.h"
#include "span.h"

struct ledger;
struct book;
/* Counting accepts NULL (a stage that reads and writes no rows has no ledger). Counts are thread safe. */
struct ledger *ledger_new(const char *stage, struct book *book); /* book may be NULL; NULL = no memory */
/* A book that was opened after the ledger (an API teacher without --book): the opening line goes there too. l may be NULL. */
MUST_USE enum status ledger_attach(struct ledger *l, struct book *book, struct err *e);
/* Lets the neighbour on out_fd know that this run exists, before anything can go wrong (a failure to write the pipe
 * record shows at ledger_open). A run that ends before ledger_open is closed by ledger_abort. */
void ledger_announce(struct ledger *l, int out_fd);
MUST_USE enum status ledger_open(struct ledger *l, int in_fd, int out_fd, struct span options_json, struct err *e);
void ledger_in(struct ledger *l, struct span line);   /* a row was read */
void ledger_kept(struct ledger *l);                   /* the row it came from was kept (answered, passed on) */
void ledger_dropped(struct ledger *l, const char *reason);
void ledger_failed(struct ledger *l, const char *reason);
/* What was found in rows and changed or marked there, n times: beside the rows, no part of the sum. */
void ledger_changed(struct ledger *l, const char *what, uint64_t n);
void ledger_made(struct ledger *l, struct span line); /* a row was written to stdout */
uint64_t ledger_count_in(const struct ledger *l);
uint64_t ledger_count_kept(const struct ledger *l);
uint64_t ledger_count_made(const struct ledger *l);
uint64_t ledger_count_dropped(const struct ledger *l); /* all reasons */
uint64_t ledger_count_failed(const struct ledger *l);
/* {"stage":..,"in":n,"kept":n,"made":n,"dropped":{reason:n},"failed":{reason:n},("changed":{what:n},)"in_digest":hex,"out_digest":hex} */
MUST_USE enum status ledger_json(const struct ledger *l, struct buf *out, struct err *e);
/* At the end of stdin: STATUS_STOPPED when a direct neighbour upstream ended without its closing line; STATUS_DATA when
 * its counts or digest differ from what was read here. A foreign filter in between is noted, not an error. */
MUST_USE enum status ledger_check_upstream(struct ledger *l, struct err *e);
/* Checks in = kept + dropped + failed, writes the closing line (outcome "done"). STATUS_DATA when it does not add up. */
MUST_USE enum status ledger_close(struct ledger *l, struct err *e);
/* After an error, Ctrl-C or a broken pipe: closing line with that outcome; downstream will see it is not "done". */
void ledger_abort(struct ledger *l, const char *outcome);
void ledger_free(struct ledger *l);
#endif

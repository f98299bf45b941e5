/* SPDX-License-Identifier: Apache-2.0
 * Taking rows out of a shard folder for `retort forget`: the folder is written anew without them, every other target stays as it
 * is stored, and the manifest says what it replaces. Used by forget.c. */
#ifndef CORPORA_FORGET_SHARDS_H
#define CORPORA_FORGET_SHARDS_H
#include "shard.h"

struct forget_rows {
  int (*is)(void *ctx, const char *row_id);                                            /* 1 = goes */
  enum status (*gone)(void *ctx, const char *row_id, struct span about, struct err *e); /* called for each document that goes */
  void *ctx;
};
/* *documents: how many went (0 = the folder is left alone). sha: manifest_sha256 of the folder before (65 bytes). dry: count only. */
MUST_USE enum status forget_in_shards(const char *folder, const struct forget_rows *f, int dry, char sha[65], uint64_t *documents, struct err *e);
#endif

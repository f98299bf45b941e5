/* SPDX-License-Identifier: Apache-2.0
 * manifest.json of a shard folder: written last, closed by the SHA-256 of its own bytes (docs/formats.md "Manifest"). */
#ifndef CORPORA_SHARD_MANIFEST_H
#define CORPORA_SHARD_MANIFEST_H
#include "err.h"
#include "mem.h"
#include "shard.h"
#include "shard_file.h"
#include "span.h"

#define MANIFEST_MAX_BYTES ((size_t)256 << 20)

struct manifest_file {
  const char *name;
  struct rtz_summary sum;
};
struct manifest {
  struct shard_info info;
  struct manifest_file *file;
  size_t n_files;
  struct record members; /* raw top-level members */
};
/* Everything but the closing hash is given; extra are raw members without braces. */
MUST_USE enum status manifest_write(const struct manifest *m, struct span extra, struct buf *out, struct err *e);
/* text must stay; results are arena memory. verify = 0 leaves the closing hash out (fuzzing only). Messages lack the path. */
MUST_USE enum status manifest_parse(struct span text, int verify, struct arena *a, struct manifest *m, struct err *e);
#endif

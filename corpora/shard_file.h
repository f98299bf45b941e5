/* SPDX-License-Identifier: Apache-2.0
 * A data file of a shard folder: independent zstd frames (one block each), then an index (a skippable frame with offset,
 * samples and XXH3 of every frame), then the seek table of zstd's seekable format, so that `zstdcat` and its tools work.
 * docs/formats.md "Shard folder". Knows frames and bytes, nothing of what is in a block. */
#ifndef CORPORA_SHARD_FILE_H
#define CORPORA_SHARD_FILE_H
#include <stdint.h>
#include <stdio.h>
#include "err.h"
#include "mem.h"

#define RTZ_INDEX_MAGIC 0x184D2A51u /* skippable frame of the index */
#define RTZ_SEEK_MAGIC 0x184D2A5Eu  /* skippable frame of the seek table (zstd's seekable format) */
#define RTZ_SEEK_FOOTER 0x8F92EAB1u

struct rtz_frame { /* 40 bytes on disk, in this order */
  uint64_t first_sample, offset;
  uint32_t n_samples, comp_bytes, raw_bytes, reserved;
  uint64_t xxh3; /* of the compressed bytes */
};

struct rtz_writer;
struct rtz_summary { /* what the manifest says of a file */
  uint64_t bytes, samples, frames;
  unsigned char sha256[32];
  uint64_t tail_xxh3; /* of everything behind the last data frame */
  unsigned char merkle[32];
};
/* Root of RFC 6962's Merkle tree (SHA-256) over n leaves of 32 bytes, which are overwritten: one frame can be shown to belong to a
 * signed root without the others. */
void merkle_root(unsigned char *leaf, uint64_t n, unsigned char root[32]);
MUST_USE enum status merkle_leaf(const void *p, size_t n, unsigned char leaf[32], struct err *e);
/* One block, compressed: what threads may do at the same time. A zeroed one is empty; it is used again and again. */
struct rtz_packed {
  struct ZSTD_CCtx_s *zstd;
  struct buf comp;
  struct rtz_frame frame; /* offset: set by rtz_put */
  uint32_t xxh64;         /* of the block, low half: the seek table's check */
  unsigned char leaf[32]; /* of the Merkle tree: SHA-256 of a zero byte and the compressed bytes */
};
MUST_USE enum status rtz_pack(struct rtz_packed *p, int level, const void *raw, size_t bytes, uint64_t first_sample, uint32_t n_samples, struct err *e);
void rtz_packed_free(struct rtz_packed *p);
MUST_USE enum status rtz_writer_new(const char *path, struct rtz_writer **w, struct err *e);
MUST_USE enum status rtz_put(struct rtz_writer *w, const struct rtz_packed *p, struct err *e);
uint64_t rtz_bytes(const struct rtz_writer *w);
/* Index, seek table, fsync, close. Frees nothing: rtz_writer_free afterwards. */
MUST_USE enum status rtz_finish(struct rtz_writer *w, struct rtz_summary *s, struct err *e);
void rtz_writer_free(struct rtz_writer *w);

/* Reads the tail of a whole file in memory. frame: mem_alloc, n_frames of them, every offset and size checked to lie in the
 * file, in order and without gaps. tail_xxh3 NULL (or verify = 0: fuzzing) leaves that comparison out. */
MUST_USE enum status rtz_index(const unsigned char *p, uint64_t bytes, const uint64_t *tail_xxh3, int verify, struct rtz_frame **frame,
                               uint64_t *n_frames, struct err *e);
/* Decompressed bytes of a frame into out (cleared first). */
MUST_USE enum status rtz_read(const unsigned char *p, const struct rtz_frame *f, int verify, struct buf *out, struct err *e);
#endif

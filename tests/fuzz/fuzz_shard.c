/* SPDX-License-Identifier: Apache-2.0
 * Data files of shard folders: index, seek table, frames, blocks and samples, with the hashes left out (else no mutation would
 * come past them) and, once, with them. Bytes that begin with a block's magic are read as one block. */
#include <stdint.h>
#include "shard_block.h"
#include "shard_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one_block(const unsigned char *p, size_t n, int verify) {
  struct block b;
  struct err e;
  if (block_parse(p, n, NULL, verify, &b, &e) != STATUS_OK) return;
  struct arena *a = arena_new((size_t)1 << 26);
  for (uint32_t i = 0; a && i < b.n_samples; i++) {
    struct sample s;
    arena_reset(a);
    if (block_sample(&b, i, verify, a, &s, &e) != STATUS_OK) continue;
    int64_t sum = 0; /* touch all that was given back */
    for (int32_t j = 0; j < s.n_tok; j++) sum += s.ids[j] + s.mask[j];
    for (int64_t j = 0; s.top_id && j < (int64_t)s.n_target * s.k; j++) sum += s.top_id[j];
    for (int32_t d = 0; d < s.n_doc; d++) sum += (int64_t)strlen(s.row_id[d]);
    volatile int64_t keep = sum;
    (void)keep;
  }
  arena_free(a);
  block_free(&b);
}

static void one_file(const unsigned char *p, size_t n, int verify) {
  struct rtz_frame *f = NULL;
  uint64_t frames = 0;
  struct buf raw = { 0 };
  struct err e;
  if (rtz_index(p, n, NULL, verify, &f, &frames, &e) == STATUS_OK) {
    for (uint64_t i = 0; i < frames && i < 16; i++) {
      if (f[i].raw_bytes > 1 << 22) continue; /* time, not safety */
      if (rtz_read(p, &f[i], verify, &raw, &e) == STATUS_OK) one_block((const unsigned char *)raw.p, raw.n, verify);
    }
  }
  mem_free(f);
  buf_free(&raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  for (int verify = 0; verify < 2; verify++) {
    if (size >= 4 && memcmp(data, "RTSB", 4) == 0) one_block(data, size, verify);
    else one_file(data, size, verify);
  }
  return 0;
}

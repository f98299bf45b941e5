/* SPDX-License-Identifier: Apache-2.0
 * manifest.json of a shard folder, with and without its closing hash compared. */
#include <stdint.h>
#include "shard_manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct arena *a = arena_new((size_t)1 << 28);
  struct buf out = { 0 };
  struct err e;
  for (int verify = 0; a && verify < 2; verify++) {
    struct manifest m, again;
    arena_reset(a);
    if (manifest_parse((struct span){ (const char *)data, size }, verify, a, &m, &e) != STATUS_OK) continue;
    /* what was accepted can be written and read again */
    buf_clear(&out);
    if (manifest_write(&m, (struct span){ NULL, 0 }, &out, &e) != STATUS_OK) continue;
    if (manifest_parse((struct span){ out.p, out.n }, 1, a, &again, &e) != STATUS_OK || again.info.n_samples != m.info.n_samples) abort();
  }
  buf_free(&out);
  arena_free(a);
  return 0;
}

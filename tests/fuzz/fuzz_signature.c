/* SPDX-License-Identifier: Apache-2.0
 * The reader of signature files on any bytes. Half of the runs mend the checksums first, so that the rows behind them are
 * reached: then spans must lie inside the file and hashes rise. */
#include <stdlib.h>
#include <string.h>
#include "mem.h"
#include "signature.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t get64(const unsigned char *p) {
  uint64_t v = 0;
  for (int i = 7; i >= 0; i--) v = v << 8 | p[i];
  return v;
}
static void put64(unsigned char *p, uint64_t v) {
  for (int i = 0; i < 8; i++) p[i] = (unsigned char)(v >> 8 * i);
}

static void mend(unsigned char *p, size_t n) {
  uint64_t chain[2] = { 0, 0 };
  if (n < 80) return;
  put64(p + 32, xxh3(p, 32));
  size_t at = 40, stop = n - 40;
  while (stop - at >= 32 && get64(p + at + 8) <= stop - at - 32) {
    size_t bytes = (size_t)get64(p + at + 8);
    chain[1] = xxh3(p + at + 32, bytes);
    put64(p + at + 16, chain[1]);
    put64(p + at + 24, xxh3(p + at, 24));
    chain[0] = xxh3(chain, sizeof chain);
    at += 32 + bytes;
  }
  put64(p + stop + 24, chain[0]);
  put64(p + stop + 32, xxh3(p + stop, 32));
}

static void read_all(const char *p, size_t size) {
  struct signature_reader *r = NULL;
  struct dedup_row row;
  int got = 1;
  if (signature_from_memory("fuzz", (struct span){ p, size }, &r, NULL) == STATUS_OK)
    while (got && signature_next(r, &row, &got, NULL) == STATUS_OK)
      if (got && (row.id.p < p || row.id.p + row.id.n > p + size || row.witness.p + row.witness.n > p + size)) abort();
  signature_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  unsigned char *p = mem_alloc(size + 1);
  if (!p) abort();
  if (size) memcpy(p, data, size);
  read_all((char *)p, size);
  mend(p, size);
  read_all((char *)p, size);
  mem_free(p);
  return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 * Test helper: a scratch folder of this process, files made from bytes, little-endian putters. */
#ifndef TESTS_SCRATCH_FILE_H
#define TESTS_SCRATCH_FILE_H
#include <unistd.h>
#include "file.h"
#include "mem.h"

static char scratch_dir[256];

static inline int scratch_begin(void **state) {
  (void)state;
  struct err e;
  snprintf(scratch_dir, sizeof scratch_dir, "scratch-%ld", (long)getpid());
  return folder_make(scratch_dir, &e) == STATUS_OK ? 0 : -1;
}

static inline int scratch_end(void **state) {
  (void)state;
  struct err e;
  return folder_remove(scratch_dir, &e) == STATUS_OK ? 0 : -1;
}

/* Path in the scratch folder; static, one at a time of each of 8. */
static inline const char *scratch_path(const char *name) {
  static char path[8][512];
  static int turn;
  char *p = path[turn++ % 8];
  snprintf(p, 512, "%s/%s", scratch_dir, name);
  return p;
}

static inline const char *scratch_write(const char *name, const void *bytes, size_t n) {
  const char *path = scratch_path(name);
  FILE *f = fopen(path, "wb");
  if (f == NULL) return NULL;
  size_t put = n ? fwrite(bytes, 1, n, f) : 0;
  return fclose(f) == 0 && put == n ? path : NULL;
}

static inline void put_bytes(struct buf *b, const void *p, size_t n) {
  struct err e;
  if (buf_put(b, p, n, &e) != STATUS_OK) abort();
}
static inline void put_u32(struct buf *b, uint32_t v) { put_bytes(b, &v, 4); }
static inline void put_u64(struct buf *b, uint64_t v) { put_bytes(b, &v, 8); }
static inline void put_f32(struct buf *b, float v) { put_bytes(b, &v, 4); }
static inline void put_str(struct buf *b, const char *s) {
  put_u64(b, strlen(s));
  put_bytes(b, s, strlen(s));
}
#endif

/* SPDX-License-Identifier: Apache-2.0
 * Files: whole reads, memory maps, atomic writes (written beside, fsynced, renamed), folders.
 * Nothing half-written ever stands under its final name. Offsets and sizes are 64-bit. */
#ifndef CORE_FILE_H
#define CORE_FILE_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "err.h"
#include "mem.h"

/* Reads a whole file (cap max_bytes, error STATUS_LIMIT above) into b. path "-" is stdin. */
MUST_USE enum status file_read(const char *path, size_t max_bytes, struct buf *b, struct err *e);
/* write(2) until all is written; EINTR safe. EPIPE comes back as STATUS_STOPPED. */
MUST_USE enum status file_write_all(int fd, const void *p, size_t n, struct err *e);

struct file_map {
  const unsigned char *p;
  uint64_t bytes;
};
MUST_USE enum status file_map_open(const char *path, struct file_map *m, struct err *e); /* empty file: p = NULL, 0 */
void file_map_close(struct file_map *m);
/* The pages are not needed now: they leave the resident set and come back from the file when touched. */
void file_map_forget(const struct file_map *m);

/* A device or pipe under the name is written to as it is; a link is followed; a folder is STATUS_IO.
 * Atomic file: file_atomic_open -> write to fp (or fileno) -> file_atomic_commit (flush, fsync, rename, fsync dir).
 * file_atomic_abort (or a kill) leaves no file under the final name. */
struct file_atomic {
  FILE *fp;
  char *path, *tmp;
  int fresh; /* nothing stood under the name at first: what stands there at the commit is somebody else's and
                stays (STATUS_IO). Set to 0 after the opening, the last writer wins */
};
MUST_USE enum status file_atomic_open(struct file_atomic *f, const char *path, struct err *e);
MUST_USE enum status file_atomic_commit(struct file_atomic *f, struct err *e);
void file_atomic_abort(struct file_atomic *f); /* no effect after a commit; accepts a zeroed struct */
/* The same for a whole folder: work in tmp (file_part.h says its name), then rename. */
MUST_USE enum status folder_atomic_begin(const char *path, char **tmp, struct err *e); /* tmp: mem_free */
MUST_USE enum status folder_atomic_commit(const char *path, const char *tmp, int replace, struct err *e);

MUST_USE enum status folder_make(const char *path, struct err *e);   /* mkdir -p */
MUST_USE enum status folder_remove(const char *path, struct err *e); /* rm -r, never follows links; missing is OK */
/* Removes what killed writers left in a folder: the parts (file_part.h) of file_atomic and folder_atomic. Only for a folder that the
 * caller has locked, or a living writer's file would go too. Missing folder: no effect. */
MUST_USE enum status folder_drop_parts(const char *path, struct err *e);
int file_exists(const char *path);
int folder_exists(const char *path);
uint64_t file_bytes(const char *path); /* 0 when missing */
/* Names in a folder, sorted bytewise, without . and ..; arena memory. */
MUST_USE enum status folder_list(const char *path, struct arena *a, const char ***names, size_t *n, struct err *e);
char *path_join(struct arena *a, const char *dir, const char *name);

#endif

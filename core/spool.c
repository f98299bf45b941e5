/* SPDX-License-Identifier: Apache-2.0
 * Blocks in a list; when their sum passes the bound all full ones go to the file, and from then on each when it is full. */
#include "spool.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "file.h"

enum { AHEAD_BYTES = 1 << 18 };
struct block {
  uint64_t at; /* logical offset of its first byte; the file has the same layout */
  size_t n, cap;
  char *p; /* NULL: on disk */
};
struct spool {
  uint64_t memory, in_memory, spilled;
  struct block *block;
  size_t n, cap, first; /* blocks before `first` are on disk */
  int fd;
  char *ahead; /* window of the file for spool_walk */
  uint64_t ahead_at;
  size_t ahead_n;
};

enum status spool_temp_file(int *fd, struct err *e) {
  const char *dir = getenv("TMPDIR");
  char path[4096];
  if (!dir || !dir[0]) dir = "/tmp";
  *fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (*fd >= 0) return STATUS_OK;
  if (snprintf(path, sizeof path, "%s/retort-XXXXXX", dir) >= (int)sizeof path) return err_set(e, STATUS_USAGE, "TMPDIR is longer than %zu bytes", sizeof path);
  *fd = mkostemp(path, O_CLOEXEC); /* a file system without O_TMPFILE */
  if (*fd < 0) return err_sys(e, STATUS_IO, "'%s': no temporary file can be made (TMPDIR names another folder)", dir);
  unlink(path);
  return STATUS_OK;
}

enum status spool_new(uint64_t memory_bytes, struct spool **out, struct err *e) {
  struct spool *s = *out = mem_calloc(1, sizeof *s);
  if (!s) return err_nomem(e, sizeof *s);
  s->memory = memory_bytes;
  s->fd = -1;
  return STATUS_OK;
}

void spool_free(struct spool *s) {
  if (!s) return;
  for (size_t i = 0; i < s->n; i++)
    if (s->block[i].p) mem_block_free(s->block[i].p, s->block[i].cap);
  mem_free(s->block);
  mem_free(s->ahead);
  if (s->fd >= 0) close(s->fd);
  mem_free(s);
}

uint64_t spool_spilled(const struct spool *s) { return s->spilled; }

static enum status write_at(int fd, const char *p, size_t n, uint64_t at, struct err *e) {
  while (n > 0) {
    ssize_t k = pwrite(fd, p, n, (off_t)at);
    if (k < 0 && errno == EINTR) continue;
    if (k <= 0) return err_sys(e, STATUS_IO, "a temporary file in '%s' cannot be written (TMPDIR names another folder)", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    p += k, n -= (size_t)k, at += (uint64_t)k;
  }
  return STATUS_OK;
}

static enum status read_at(int fd, char *p, size_t n, uint64_t at, size_t *got, struct err *e) {
  for (*got = 0; *got < n;) {
    ssize_t k = pread(fd, p + *got, n - *got, (off_t)(at + *got));
    if (k < 0 && errno == EINTR) continue;
    if (k < 0) return err_sys(e, STATUS_IO, "a temporary file cannot be read");
    if (k == 0) break;
    *got += (size_t)k;
  }
  return STATUS_OK;
}

/* Every block but the last one, which is still being filled. */
static enum status spill(struct spool *s, struct err *e) {
  enum status st = STATUS_OK;
  if (s->fd < 0) TRY(spool_temp_file(&s->fd, e));
  for (; s->first + 1 < s->n; s->first++) {
    struct block *b = &s->block[s->first];
    TRY(write_at(s->fd, b->p, b->n, b->at, e));
    s->in_memory -= b->cap;
    s->spilled += b->n;
    mem_block_free(b->p, b->cap);
    b->p = NULL;
  }
out:
  return st;
}

static enum status add_block(struct spool *s, size_t n, struct err *e) {
  if (s->n == s->cap) {
    size_t cap = s->cap ? 2 * s->cap : 64;
    struct block *b = mem_realloc(s->block, cap * sizeof *b);
    if (!b) return err_nomem(e, cap * sizeof *b);
    s->block = b;
    s->cap = cap;
  }
  struct block b = { 0, 0, n > SPOOL_BLOCK ? n : SPOOL_BLOCK, NULL };
  b.p = mem_block(b.cap);
  if (!b.p) return err_nomem(e, b.cap);
  /* the block before keeps its whole size, so that equal records lie at number * size */
  if (s->n) b.at = s->block[s->n - 1].at + s->block[s->n - 1].cap;
  s->block[s->n++] = b;
  s->in_memory += b.cap;
  return s->in_memory > s->memory ? spill(s, e) : STATUS_OK;
}

enum status spool_add(struct spool *s, const void *p, size_t n, uint64_t *at, struct err *e) {
  if (s->n == 0 || s->block[s->n - 1].cap - s->block[s->n - 1].n < n) {
    enum status st = add_block(s, n, e);
    if (st != STATUS_OK) return st;
  }
  struct block *b = &s->block[s->n - 1];
  if (n) memcpy(b->p + b->n, p, n);
  if (at) *at = b->at + b->n;
  b->n += n;
  return STATUS_OK;
}

static const struct block *find(const struct spool *s, uint64_t at) {
  size_t low = 0, high = s->n;
  if (s->n == 0) return NULL;
  while (high - low > 1) {
    size_t mid = low + (high - low) / 2;
    if (s->block[mid].at <= at) low = mid;
    else high = mid;
  }
  return &s->block[low];
}

static enum status view(struct spool *s, uint64_t at, size_t n, struct buf *scratch, const void **p, int ahead, struct err *e) {
  const struct block *b = find(s, at);
  size_t got;
  enum status st;
  *p = "";
  if (n == 0) return STATUS_OK;
  if (!b || at - b->at > b->n || n > b->n - (at - b->at)) return err_set(e, STATUS_DATA, "spool: %zu bytes at %llu are in no record", n, (unsigned long long)at);
  if (b->p) {
    *p = b->p + (at - b->at);
    return STATUS_OK;
  }
  if (ahead && n <= AHEAD_BYTES) {
    if (!s->ahead && !(s->ahead = mem_alloc(AHEAD_BYTES))) return err_nomem(e, AHEAD_BYTES);
    if (at < s->ahead_at || at + n > s->ahead_at + s->ahead_n) {
      if ((st = read_at(s->fd, s->ahead, AHEAD_BYTES, at, &s->ahead_n, e)) != STATUS_OK) return st;
      s->ahead_at = at;
      if (s->ahead_n < n) return err_set(e, STATUS_IO, "a temporary file is shorter than it was written");
    }
    *p = s->ahead + (at - s->ahead_at);
    return STATUS_OK;
  }
  buf_clear(scratch);
  if ((st = buf_reserve(scratch, n, e)) != STATUS_OK) return st;
  if ((st = read_at(s->fd, scratch->p, n, at, &got, e)) != STATUS_OK) return st;
  if (got < n) return err_set(e, STATUS_IO, "a temporary file is shorter than it was written");
  *p = scratch->p;
  return STATUS_OK;
}

enum status spool_view(struct spool *s, uint64_t at, size_t n, struct buf *scratch, const void **p, struct err *e) { return view(s, at, n, scratch, p, 0, e); }
enum status spool_walk(struct spool *s, uint64_t at, size_t n, struct buf *scratch, const void **p, struct err *e) { return view(s, at, n, scratch, p, 1, e); }

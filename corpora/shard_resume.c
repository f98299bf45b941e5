/* SPDX-License-Identifier: Apache-2.0
 * Frames of a file without index are found one after the other; the first one that is not whole or not sound ends the search.
 * While a run resumes, the files it takes from are called old-NNNNN.rtz; killed again, the longer of both lines of files is
 * the one to take from. */
#include "shard_resume.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>
#include "file.h"
#include "log.h"
#include "shard_file.h"

struct shard_resume {
  struct arena *a, *sample;
  const char *tmp;
  struct block_shape shape;
  size_t file;
  struct file_map map;
  uint64_t at;
  struct buf raw;
  struct block block;
  uint32_t next;
  int open, ended;
};

static char *part_file(struct arena *a, const char *tmp, const char *kind, size_t n) { return arena_printf(a, "%s/%s-%05zu.rtz", tmp, kind, n); }

/* Bytes of the frame at p, 0 when there is no whole one. */
static uint64_t frame_bytes(const unsigned char *p, uint64_t left) {
  uint32_t magic;
  if (left < 4) return 0;
  memcpy(&magic, p, 4);
  if (magic != ZSTD_MAGICNUMBER) return 0; /* the index of a finished file, or rubbish */
  size_t n = ZSTD_findFrameCompressedSize(p, left);
  return ZSTD_isError(n) ? 0 : n;
}

static uint64_t count_frames(struct arena *a, const char *tmp, const char *kind) {
  uint64_t n = 0;
  for (size_t f = 0;; f++) {
    struct file_map m;
    char *path = part_file(a, tmp, kind, f);
    if (!path || !file_exists(path) || file_map_open(path, &m, NULL) != STATUS_OK) return n;
    for (uint64_t at = 0, k; at < m.bytes && (k = frame_bytes(m.p + at, m.bytes - at)) > 0; at += k) n++;
    file_map_close(&m);
  }
}

static enum status rename_all(struct arena *a, const char *tmp, const char *from, const char *to, struct err *e) {
  for (size_t f = 0;; f++) {
    char *old = part_file(a, tmp, from, f), *new = part_file(a, tmp, to, f);
    if (!old || !new) return err_nomem(e, strlen(tmp));
    if (!file_exists(old)) {
      if (!file_exists(new)) return STATUS_OK; /* a longer line of files had stood under the new name */
      if (unlink(new) != 0) return err_sys(e, STATUS_IO, "'%s': cannot remove", new);
    } else if (rename(old, new) != 0) {
      return err_sys(e, STATUS_IO, "'%s': cannot rename", old);
    }
  }
}

static enum status remove_all(struct arena *a, const char *tmp, const char *kind, struct err *e) {
  for (size_t f = 0;; f++) {
    char *path = part_file(a, tmp, kind, f);
    if (!path) return err_nomem(e, strlen(tmp));
    if (!file_exists(path)) return STATUS_OK;
    if (unlink(path) != 0) return err_sys(e, STATUS_IO, "'%s': cannot remove", path);
  }
}

static enum status same_key(struct arena *a, const char *tmp, const char *key, int *same, struct err *e) {
  struct buf b = { 0 };
  char *path = path_join(a, tmp, "key");
  if (!path) return err_nomem(e, strlen(tmp));
  *same = file_exists(path) && file_read(path, (size_t)1 << 20, &b, NULL) == STATUS_OK && b.p && strcmp(b.p, key) == 0;
  buf_free(&b);
  return STATUS_OK;
}

static enum status write_key(struct arena *a, const char *tmp, const char *key, struct err *e) {
  struct file_atomic f = { 0 };
  char *path = path_join(a, tmp, "key");
  if (!path) return err_nomem(e, strlen(tmp));
  enum status st = file_atomic_open(&f, path, e);
  if (st == STATUS_OK) st = file_write_all(fileno(f.fp), key, strlen(key), e);
  if (st == STATUS_OK) st = file_atomic_commit(&f, e);
  file_atomic_abort(&f);
  return st;
}

static enum status lock_part(const char *tmp, int *fd, struct err *e) {
  enum status st = folder_make(tmp, e);
  if (st != STATUS_OK) return st;
  *fd = open(tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (*fd < 0) return err_sys(e, STATUS_IO, "'%s': cannot open", tmp);
  struct stat mine, there; /* a folder renamed between open and lock is a finished one of somebody else */
  if (flock(*fd, LOCK_EX | LOCK_NB) != 0 || fstat(*fd, &mine) != 0 || stat(tmp, &there) != 0 || mine.st_ino != there.st_ino || mine.st_dev != there.st_dev)
    return err_set(e, STATUS_USAGE, "'%s': another process is writing this folder; wait for it or choose another -o", tmp);
  return STATUS_OK;
}

/* The longer line of files becomes old-*; *frames of them. */
static enum status choose(struct arena *a, const char *tmp, uint64_t *frames, struct err *e) {
  enum status st;
  uint64_t old = count_frames(a, tmp, "old"), data = count_frames(a, tmp, "data");
  *frames = old > data ? old : data;
  if (data >= old) TRY(rename_all(a, tmp, "data", "old", e));
  else TRY(remove_all(a, tmp, "data", e));
out:
  return st;
}

enum status resume_begin(const char *folder, const char *key, const struct block_shape *shape, char **tmp, int *lock_fd, struct shard_resume **out,
                         struct err *e) {
  enum status st = STATUS_OK;
  uint64_t frames = 0;
  int same = 0;
  *out = NULL;
  struct shard_resume *r = mem_calloc(1, sizeof *r);
  if (!r) return err_nomem(e, sizeof *r);
  r->a = arena_new(0);
  r->sample = arena_new(0);
  r->tmp = r->a ? arena_printf(r->a, "%s.part", folder) : NULL;
  if (!r->sample || !r->tmp || (*tmp = mem_strdup(r->tmp)) == NULL) {
    st = err_nomem(e, strlen(folder));
    goto out;
  }
  r->shape = *shape;
  TRY(lock_part(r->tmp, lock_fd, e));
  TRY(folder_drop_parts(r->tmp, e));
  TRY(same_key(r->a, r->tmp, key, &same, e));
  if (same) {
    TRY(choose(r->a, r->tmp, &frames, e));
  } else {
    TRY(remove_all(r->a, r->tmp, "old", e));
    TRY(remove_all(r->a, r->tmp, "data", e));
    TRY(write_key(r->a, r->tmp, key, e));
  }
  if (frames) {
    log_info("going on from '%s': %llu blocks of an interrupted run", r->tmp, (unsigned long long)frames);
    *out = r;
    r = NULL;
  }
out:
  resume_free(r);
  return st;
}

void resume_free(struct shard_resume *r) {
  if (!r) return;
  if (r->open) file_map_close(&r->map);
  block_free(&r->block);
  buf_free(&r->raw);
  arena_free(r->a);
  arena_free(r->sample);
  mem_free(r);
}

/* The next whole block, or ended. */
static enum status next_block(struct shard_resume *r, struct err *e) {
  block_free(&r->block);
  r->next = 0;
  for (;;) {
    if (!r->open) {
      char *path = part_file(r->a, r->tmp, "old", r->file++);
      if (!path) return err_nomem(e, strlen(r->tmp));
      if (!file_exists(path) || file_map_open(path, &r->map, NULL) != STATUS_OK) break;
      r->open = 1;
      r->at = 0;
    }
    uint64_t n = r->at < r->map.bytes ? frame_bytes(r->map.p + r->at, r->map.bytes - r->at) : 0;
    if (n == 0) {
      file_map_close(&r->map);
      r->open = 0;
      continue;
    }
    unsigned long long raw = ZSTD_getFrameContentSize(r->map.p + r->at, n);
    if (raw > BLOCK_MAX_BYTES) break; /* unknown and error are above it too */
    struct rtz_frame f = { 0, r->at, 0, (uint32_t)n, (uint32_t)raw, 0, 0 };
    if (rtz_read(r->map.p, &f, 0, &r->raw, NULL) != STATUS_OK ||
        block_parse((const unsigned char *)r->raw.p, r->raw.n, &r->shape, 1, &r->block, NULL) != STATUS_OK)
      break;
    r->at += n;
    if (r->block.n_samples) return STATUS_OK;
  }
  r->ended = 1;
  return STATUS_OK;
}

static int equal(const struct sample *a, const struct sample *b) {
  if (a->n_tok != b->n_tok || a->n_doc != b->n_doc || memcmp(a->ids, b->ids, (size_t)a->n_tok * sizeof *a->ids) != 0 ||
      memcmp(a->doc_start, b->doc_start, ((size_t)a->n_doc + 1) * sizeof *a->doc_start) != 0)
    return 0;
  for (int32_t i = 0; i < a->n_tok; i++)
    if (!a->mask[i] != !b->mask[i]) return 0;
  for (int32_t d = 0; d < a->n_doc; d++)
    if (strcmp(a->row_id[d], b->row_id[d]) != 0 || (a->weight ? a->weight[d] : 1.0f) != (b->weight ? b->weight[d] : 1.0f)) return 0;
  return 1;
}

enum status resume_next(struct shard_resume *r, const struct sample *s, const struct block **from, uint32_t *number, struct err *e) {
  enum status st = STATUS_OK;
  struct sample old;
  *from = NULL;
  if (r->ended) return st;
  if (r->next >= r->block.n_samples) TRY(next_block(r, e));
  if (r->ended) goto out;
  arena_reset(r->sample);
  if (block_sample(&r->block, r->next, 1, r->sample, &old, NULL) != STATUS_OK || !equal(s, &old)) {
    r->ended = 1; /* other rows: what follows would be of other rows too */
    goto out;
  }
  *from = &r->block;
  *number = r->next++;
out:
  return st;
}

enum status resume_tidy(const char *tmp, struct err *e) {
  struct arena *a = arena_new(0);
  char *key = a ? path_join(a, tmp, "key") : NULL;
  enum status st = key ? remove_all(a, tmp, "old", e) : err_nomem(e, strlen(tmp));
  if (st == STATUS_OK && unlink(key) != 0 && errno != ENOENT) st = err_sys(e, STATUS_IO, "'%s': cannot remove", key);
  arena_free(a);
  return st;
}

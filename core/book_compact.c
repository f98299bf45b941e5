/* SPDX-License-Identifier: Apache-2.0
 * `retort book compact`: all segments into one, without duplicate answers and damaged records. The new one stands under
 * its name before an old one goes; a kill in between leaves records twice, which every reader takes as once. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "book_internal.h"
#include "file.h"
#include "log.h"

struct compact {
  struct book *b;
  uint32_t seg;
  struct seg_source src;
  struct arena *a;
  struct buf out;
  struct file_atomic f;
  uint64_t kept, dropped;
  const unsigned char *forget; /* (n_forget, SEG_KEY) sorted */
  size_t n_forget;
  uint64_t forgotten;
};

static int by_key(const void *a, const void *b) { return memcmp(a, b, SEG_KEY); }

static enum status flush(struct compact *x, struct err *e) {
  if (x->out.n && fwrite(x->out.p, 1, x->out.n, x->f.fp) != x->out.n) return err_sys(e, STATUS_IO, "'%s' cannot be written", x->f.path);
  buf_clear(&x->out);
  return STATUS_OK;
}

static enum status take(void *ctx, const struct seg_record *r, struct err *e) {
  struct compact *x = ctx;
  struct span payload;
  struct err why = { STATUS_OK, "" };
  arena_reset(x->a);
  if (r->type == SEG_CLAIM) return STATUS_OK; /* whoever claimed is gone */
  enum status st = seg_payload(&x->src, r, x->a, &payload, &why);
  if (st == STATUS_DATA || st == STATUS_CHECKSUM) {
    log_warn("dropped: %s", why.msg);
    x->dropped++;
    return STATUS_OK;
  }
  if (st != STATUS_OK) {
    if (e) *e = why;
    return st;
  }
  if ((r->type == SEG_ANSWER || r->type == SEG_FAILED) && payload.n >= SEG_KEY && x->n_forget &&
      bsearch(payload.p, x->forget, x->n_forget, SEG_KEY, by_key)) {
    x->forgotten++;
    return STATUS_OK;
  }
  if (r->type == SEG_ANSWER && payload.n >= SEG_KEY) {
    struct entry en;
    int known = 0;
    st = book_map_get(x->b, (const unsigned char *)payload.p, &en, &known, e);
    if (st != STATUS_OK) return st;
    if (known && (en.seg != x->seg || en.offset != r->offset)) { /* another one counts */
      x->dropped++;
      return STATUS_OK;
    }
  }
  x->kept++;
  st = seg_put_record(&x->out, r->type, r->time_ns, &payload, 1, e);
  return st == STATUS_OK && x->out.n > (1 << 20) ? flush(x, e) : st;
}

/* Takes the writer's lock of every segment; *fd: mem_free after closing. */
static enum status lock_all(const char *path, const char **names, size_t n, struct arena *a, int *fd, struct err *e) {
  for (size_t i = 0; i < n; i++) {
    char *seg = path_join(a, path, names[i]);
    if (!seg) return err_nomem(e, 0);
    fd[i] = open(seg, O_RDONLY | O_CLOEXEC);
    if (fd[i] < 0) return err_sys(e, STATUS_IO, "'%s' cannot be opened", seg);
    if (flock(fd[i], LOCK_EX | LOCK_NB) == 0) continue;
    if (errno == EWOULDBLOCK) return err_set(e, STATUS_USAGE, "'%s': a process still writes to it; compact the book when no stage uses it", seg);
    return err_sys(e, STATUS_IO, "'%s' cannot be locked", seg);
  }
  return STATUS_OK;
}

static enum status copy_segments(struct compact *x, const char *path, const char **names, size_t n, const int *fd, struct arena *a, struct err *e) {
  enum status st = STATUS_OK;
  for (size_t i = 0; i < n; i++) {
    struct stat info;
    struct seg_report rep;
    struct err why = { STATUS_OK, "" };
    if (fstat(fd[i], &info) != 0) TRY(err_sys(e, STATUS_IO, "'%s' cannot be read", names[i]));
    for (size_t k = 0; k < x->b->n_seg; k++)
      if (!strcmp(x->b->seg[k].name, names[i])) x->seg = (uint32_t)k;
    x->src = (struct seg_source){ fd[i], NULL, (uint64_t)info.st_size, path_join(a, path, names[i]) };
    if (!x->src.name) TRY(err_nomem(e, 0));
    st = seg_scan(&x->src, 0, take, x, &rep, &why);
    if (st != STATUS_OK) {
      if (e) *e = why;
      goto out;
    }
    if (rep.damaged_bytes) x->dropped++;
  }
out:
  return st;
}

static enum status rewrite(const char *path, struct compact *how, struct err *e) {
  enum status st = STATUS_OK;
  struct compact x = *how;
  const char **names = NULL;
  size_t n = 0;
  int *fd = NULL;
  struct arena *a = arena_new(0);
  x.a = arena_new(0);
  if (!a || !x.a) TRY(err_nomem(e, 0));
  TRY(book_segments(path, a, &names, &n, e));
  if (n == 0) goto out;
  fd = mem_alloc(n * sizeof *fd);
  if (!fd) TRY(err_nomem(e, n * sizeof *fd));
  for (size_t i = 0; i < n; i++) fd[i] = -1;
  TRY(lock_all(path, names, n, a, fd, e));
  TRY(book_open(path, BOOK_READ | BOOK_NO_INDEX, &x.b, e));
  uint64_t now = book_time_ns();
  char *name = arena_printf(a, "%s/seg-%016" PRIx64 "-compact-%ld-000000000000.seg", path, now, (long)getpid());
  char *index = path_join(a, path, "index.sqlite");
  if (!name || !index) TRY(err_nomem(e, 0));
  TRY(file_atomic_open(&x.f, name, e));
  TRY(seg_put_head(&x.out, now, e));
  TRY(copy_segments(&x, path, names, n, fd, a, e));
  TRY(flush(&x, e));
  TRY(file_atomic_commit(&x.f, e));
  (void)unlink(index);
  for (size_t i = 0; i < n; i++) {
    char *old = path_join(a, path, names[i]);
    if (!old) TRY(err_nomem(e, 0));
    if (unlink(old) != 0) TRY(err_sys(e, STATUS_IO, "'%s' cannot be removed", old));
  }
out:
  file_atomic_abort(&x.f);
  if (x.b) {
    enum status closed = book_close(x.b, e);
    if (st == STATUS_OK) st = closed;
  }
  for (size_t i = 0; fd && i < n; i++)
    if (fd[i] >= 0) close(fd[i]);
  how->kept = x.kept;
  how->dropped = x.dropped;
  how->forgotten = x.forgotten;
  mem_free(fd);
  buf_free(&x.out);
  arena_free(x.a);
  arena_free(a);
  return st;
}

enum status book_compact(const char *path, uint64_t *kept, uint64_t *dropped, struct err *e) {
  struct compact x = { 0 };
  enum status st = rewrite(path, &x, e);
  *kept = x.kept;
  *dropped = x.dropped;
  return st;
}

enum status book_forget(const char *path, unsigned char *keys, size_t n, uint64_t *answers, struct err *e) {
  struct compact x = { .forget = keys, .n_forget = n };
  qsort(keys, n, SEG_KEY, by_key);
  enum status st = rewrite(path, &x, e);
  *answers = x.forgotten;
  return st;
}

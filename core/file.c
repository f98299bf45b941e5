/* SPDX-License-Identifier: Apache-2.0
 * Files and folders. Atomic means: written beside under NAME.part-PID-HOST (file_part.h), fsynced, renamed, folder fsynced. */
#include "file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "file_part.h"

enum status file_read(const char *path, size_t max_bytes, struct buf *b, struct err *e) {
  int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return err_sys(e, STATUS_IO, "'%s' cannot be opened", path);
  enum status st = STATUS_OK;
  size_t start = b->n;
  for (;;) {
    TRY(buf_reserve(b, 1 << 16, e));
    ssize_t got = read(fd, b->p + b->n, 1 << 16);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      st = err_sys(e, STATUS_IO, "'%s' cannot be read", path);
      goto out;
    }
    if (got == 0) break;
    b->n += (size_t)got;
    b->p[b->n] = '\0';
    if (b->n - start > max_bytes) {
      st = err_set(e, STATUS_LIMIT, "'%s' is larger than %zu bytes, the most that is read here", path, max_bytes);
      goto out;
    }
  }
  b->p[b->n] = '\0';
out:
  if (fd != STDIN_FILENO) close(fd);
  return st;
}

enum status file_write_all(int fd, const void *p, size_t n, struct err *e) {
  const char *c = p;
  while (n > 0) {
    ssize_t put = write(fd, c, n);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EPIPE) return err_set(e, STATUS_STOPPED, "the reader of the output went away");
    if (put < 0) return err_sys(e, STATUS_IO, "output cannot be written");
    c += put;
    n -= (size_t)put;
  }
  return STATUS_OK;
}

enum status file_map_open(const char *path, struct file_map *m, struct err *e) {
  m->p = NULL, m->bytes = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO without a writer must not hold us */
  if (fd < 0) return err_sys(e, STATUS_IO, "'%s' cannot be opened", path);
  enum status st = STATUS_OK;
  struct stat s;
  if (fstat(fd, &s) != 0) {
    st = err_sys(e, STATUS_IO, "'%s' cannot be examined", path);
  } else if (!S_ISREG(s.st_mode)) {
    st = err_set(e, STATUS_IO, "'%s' is not a regular file", path);
  } else if (s.st_size > 0) {
    void *p = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) st = err_sys(e, STATUS_IO, "'%s' cannot be mapped", path);
    else m->p = p, m->bytes = (uint64_t)s.st_size;
  }
  close(fd);
  return st;
}

void file_map_forget(const struct file_map *m) {
  union { const unsigned char *in; void *out; } p = { m->p };
  if (m->p != NULL) (void)madvise(p.out, (size_t)m->bytes, MADV_DONTNEED);
}

void file_map_close(struct file_map *m) {
  if (m == NULL || m->p == NULL) return;
  (void)munmap((void *)(uintptr_t)m->p, (size_t)m->bytes);
  m->p = NULL, m->bytes = 0;
}

static void sync_parent(const char *path) {
  char *dir = mem_strdup(path);
  if (dir == NULL) return;
  size_t n = strlen(dir);
  while (n > 1 && dir[n - 1] == '/') dir[--n] = '\0';
  char *slash = strrchr(dir, '/');
  if (slash == dir) slash[1] = '\0';
  else if (slash) *slash = '\0';
  int fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    (void)fsync(fd); /* some file systems refuse to sync a folder; the rename itself stays atomic */
    close(fd);
  }
  mem_free(dir);
}

/* rename that does not replace; a file system that cannot do that replaces. */
static int rename_new(const char *from, const char *to) {
  if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return 0;
  return errno == EINVAL || errno == ENOSYS ? rename(from, to) : -1;
}

static enum status taken(const char *path, struct err *e) {
  return err_set(e, STATUS_IO, "'%s': another process made it meanwhile and it stays; use --force to replace it", path);
}

static enum status open_device(struct file_atomic *f, const char *path, struct err *e) {
  f->path = mem_strdup(path);
  f->fp = fopen(path, "wbe");
  if (f->fp != NULL && f->path != NULL) return STATUS_OK;
  enum status st = f->fp ? err_nomem(e, strlen(path)) : err_sys(e, STATUS_IO, "'%s' cannot be opened", path);
  file_atomic_abort(f);
  return st;
}

enum status file_atomic_open(struct file_atomic *f, const char *path, struct err *e) {
  struct stat s;
  memset(f, 0, sizeof *f);
  f->fresh = stat(path, &s) != 0;
  if (!f->fresh && S_ISDIR(s.st_mode)) return err_set(e, STATUS_IO, "'%s' is a folder, expected the name of a file", path);
  if (!f->fresh && !S_ISREG(s.st_mode)) return open_device(f, path, e);
  char real[PATH_MAX];
  int link = !f->fresh && lstat(path, &s) == 0 && S_ISLNK(s.st_mode) && realpath(path, real) != NULL;
  f->path = mem_strdup(link ? real : path);
  if (f->path == NULL) return err_nomem(e, strlen(path));
  file_part_drop_dead(f->path);
  f->tmp = file_part_name(f->path);
  if (f->tmp == NULL) {
    file_atomic_abort(f);
    return err_nomem(e, strlen(path));
  }
  int fd = open(f->tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd >= 0) f->fp = fdopen(fd, "wb");
  if (f->fp == NULL) {
    enum status st = err_sys(e, STATUS_IO, "'%s' cannot be created", f->tmp);
    if (fd >= 0) close(fd);
    file_atomic_abort(f);
    return st;
  }
  return STATUS_OK;
}

enum status file_atomic_commit(struct file_atomic *f, struct err *e) {
  enum status st = STATUS_OK;
  const char *name = f->tmp ? f->tmp : f->path;
  if (fflush(f->fp) != 0 || ferror(f->fp) || (f->tmp && fsync(fileno(f->fp)) != 0)) {
    st = err_sys(e, STATUS_IO, "'%s' cannot be written", name);
  }
  if (fclose(f->fp) != 0 && st == STATUS_OK) st = err_sys(e, STATUS_IO, "'%s' cannot be written", name);
  f->fp = NULL;
  if (st == STATUS_OK && f->tmp && (f->fresh ? rename_new : rename)(f->tmp, f->path) != 0) {
    st = errno == EEXIST ? taken(f->path, e) : err_sys(e, STATUS_IO, "'%s' cannot be renamed to '%s'", f->tmp, f->path);
  }
  if (st == STATUS_OK && f->tmp) {
    sync_parent(f->path);
    mem_free(f->tmp);
    f->tmp = NULL;
  }
  file_atomic_abort(f);
  return st;
}

void file_atomic_abort(struct file_atomic *f) {
  if (f == NULL) return;
  if (f->fp) fclose(f->fp);
  if (f->tmp) unlink(f->tmp);
  mem_free(f->tmp);
  mem_free(f->path);
  memset(f, 0, sizeof *f);
}

enum status folder_atomic_begin(const char *path, char **tmp, struct err *e) {
  file_part_drop_dead(path);
  *tmp = file_part_name(path);
  if (*tmp == NULL) return err_nomem(e, strlen(path));
  enum status st = folder_remove(*tmp, e);
  if (st == STATUS_OK) st = folder_make(*tmp, e);
  if (st != STATUS_OK) {
    mem_free(*tmp);
    *tmp = NULL;
  }
  return st;
}

/* Files written without fsync by a library are synced here, so that the rename never shows a hollow folder. */
static void sync_tree(const char *path) {
  DIR *d = opendir(path);
  if (d == NULL) return;
  struct dirent *ent;
  while ((ent = readdir(d)) != NULL) {
    if (strcmp(ent->d_name, ".") == 0 || strcmp(ent->d_name, "..") == 0) continue;
    int fd = openat(dirfd(d), ent->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) continue;
    struct stat s;
    if (fstat(fd, &s) == 0 && S_ISDIR(s.st_mode)) {
      size_t n = strlen(path) + strlen(ent->d_name) + 2;
      char *sub = mem_alloc(n);
      if (sub) {
        snprintf(sub, n, "%s/%s", path, ent->d_name);
        sync_tree(sub);
      }
      mem_free(sub);
    }
    (void)fsync(fd);
    close(fd);
  }
  (void)fsync(dirfd(d));
  closedir(d);
}

enum status folder_atomic_commit(const char *path, const char *tmp, int replace, struct err *e) {
  sync_tree(tmp);
  if (folder_exists(path)) {
    if (!replace) return taken(path, e);
    if (renameat2(AT_FDCWD, tmp, AT_FDCWD, path, RENAME_EXCHANGE) == 0) {
      sync_parent(path);
      return folder_remove(tmp, e);
    }
    enum status st = folder_remove(path, e); /* a file system without exchange: a short moment without the folder */
    if (st != STATUS_OK) return st;
  }
  if ((replace ? rename : rename_new)(tmp, path) != 0)
    return errno == EEXIST ? taken(path, e) : err_sys(e, STATUS_IO, "'%s' cannot be renamed to '%s'", tmp, path);
  sync_parent(path);
  return STATUS_OK;
}

enum status folder_make(const char *path, struct err *e) {
  char *p = mem_strdup(path);
  if (p == NULL) return err_nomem(e, strlen(path));
  enum status st = STATUS_OK;
  for (char *c = p + (p[0] == '/');; c++) {
    if (*c != '/' && *c != '\0') continue;
    char old = *c;
    *c = '\0';
    if (p[0] != '\0' && mkdir(p, 0777) != 0 && errno != EEXIST) {
      st = err_sys(e, STATUS_IO, "folder '%s' cannot be made", p);
      break;
    }
    *c = old;
    if (old == '\0') {
      if (!folder_exists(path)) st = err_set(e, STATUS_IO, "'%s' exists and is not a folder", path);
      break;
    }
  }
  mem_free(p);
  return st;
}

enum status folder_remove(const char *path, struct err *e) {
  struct stat s;
  if (lstat(path, &s) != 0) return errno == ENOENT ? STATUS_OK : err_sys(e, STATUS_IO, "'%s' cannot be examined", path);
  if (!S_ISDIR(s.st_mode)) return unlink(path) == 0 ? STATUS_OK : err_sys(e, STATUS_IO, "'%s' cannot be removed", path);
  struct arena *a = arena_new(0);
  if (a == NULL) return err_nomem(e, 0);
  const char **names = NULL;
  size_t n = 0;
  enum status st = folder_list(path, a, &names, &n, e);
  for (size_t i = 0; i < n && st == STATUS_OK; i++) {
    char *sub = path_join(a, path, names[i]);
    st = sub ? folder_remove(sub, e) : err_nomem(e, 0);
  }
  arena_free(a);
  if (st == STATUS_OK && rmdir(path) != 0) st = err_sys(e, STATUS_IO, "folder '%s' cannot be removed", path);
  return st;
}

enum status folder_drop_parts(const char *path, struct err *e) {
  enum status st = STATUS_OK;
  DIR *d = opendir(path);
  if (d == NULL) return STATUS_OK;
  struct dirent *ent;
  while (st == STATUS_OK && (ent = readdir(d)) != NULL) {
    if (!file_part_is(ent->d_name)) continue;
    size_t n = strlen(path) + strlen(ent->d_name) + 2;
    char *left = mem_alloc(n);
    if (left == NULL) {
      st = err_nomem(e, n);
      break;
    }
    snprintf(left, n, "%s/%s", path, ent->d_name);
    if (unlink(left) != 0) st = folder_remove(left, e);
    mem_free(left);
  }
  closedir(d);
  return st;
}

int file_exists(const char *path) {
  struct stat s;
  return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}
int folder_exists(const char *path) {
  struct stat s;
  return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}
uint64_t file_bytes(const char *path) {
  struct stat s;
  return stat(path, &s) == 0 && S_ISREG(s.st_mode) ? (uint64_t)s.st_size : 0;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum status folder_list(const char *path, struct arena *a, const char ***names, size_t *n, struct err *e) {
  DIR *d = opendir(path);
  if (d == NULL) return err_sys(e, STATUS_IO, "folder '%s' cannot be opened", path);
  size_t cap = 0;
  const char **list = NULL;
  *n = 0;
  enum status st = STATUS_OK;
  struct dirent *ent;
  while (errno = 0, (ent = readdir(d)) != NULL) {
    if (strcmp(ent->d_name, ".") == 0 || strcmp(ent->d_name, "..") == 0) continue;
    if (*n == cap) {
      size_t more = cap ? cap * 2 : 64;
      const char **grown = arena_alloc(a, more * sizeof *grown);
      if (grown == NULL) {
        st = err_nomem(e, more * sizeof *grown);
        break;
      }
      if (*n) memcpy(grown, list, *n * sizeof *list);
      list = grown, cap = more;
    }
    list[*n] = arena_strndup(a, ent->d_name, strlen(ent->d_name));
    if (list[*n] == NULL) {
      st = err_nomem(e, 0);
      break;
    }
    ++*n;
  }
  if (st == STATUS_OK && errno != 0) st = err_sys(e, STATUS_IO, "folder '%s' cannot be read", path);
  closedir(d);
  if (*n) qsort(list, *n, sizeof *list, by_name);
  *names = list;
  return st;
}

char *path_join(struct arena *a, const char *dir, const char *name) {
  size_t n = strlen(dir);
  return arena_printf(a, "%s%s%s", dir, n > 0 && dir[n - 1] == '/' ? "" : "/", name);
}

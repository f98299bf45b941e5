/* SPDX-License-Identifier: Apache-2.0
 * Run folders. */
#include "run_dir.h"
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "file.h"
#include "hash.h"
#include "json.h"
#include "log.h"

enum status file_write_text(const char *path, struct span text, struct err *e) {
  enum status st = STATUS_OK;
  struct file_atomic f = { 0 };
  TRY(file_atomic_open(&f, path, e));
  TRY(file_write_all(fileno(f.fp), text.p, text.n, e));
  TRY(file_write_all(fileno(f.fp), "\n", 1, e));
  TRY(file_atomic_commit(&f, e));
out:
  file_atomic_abort(&f);
  return st;
}

static char *joined(const char *a, const char *b) {
  size_t n = strlen(a) + strlen(b) + 1;
  char *s = mem_alloc(n);
  if (s != NULL) {
    snprintf(s, n, "%s%s", a, b);
  }
  return s;
}

/* The key in folder/file, "" when there is none or it cannot be read. */
static void key_of(const char *folder, const char *file, char key[65]) {
  struct json *j = NULL;
  struct err none;
  char *path = joined(folder, file);
  key[0] = '\0';
  if (path != NULL && json_parse_file(path, (size_t)16 << 20, &j, &none) == STATUS_OK) {
    snprintf(key, 65, "%s", json_cstr(json_get(j, "key"), ""));
  }
  json_free(j);
  mem_free(path);
}

/* One process a folder: the lock is on RUN.part itself, so it needs no file and goes with the folder. A folder that was
 * renamed or removed between open and lock is another one: try again. */
static enum status take_lock(struct run_dir *d, struct err *e) {
  enum status st = STATUS_OK;
  for (;;) {
    struct stat mine, there;
    TRY(folder_make(d->part, e));
    d->lock_fd = open(d->part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->lock_fd < 0) {
      return err_sys(e, STATUS_IO, "'%s' cannot be opened", d->part);
    }
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) != 0) {
      return err_set(e, STATUS_USAGE, "'%s': another process is training into it", d->path);
    }
    if (fstat(d->lock_fd, &mine) == 0 && stat(d->part, &there) == 0 && mine.st_ino == there.st_ino && mine.st_dev == there.st_dev) {
      return STATUS_OK;
    }
    close(d->lock_fd);
    d->lock_fd = -1;
  }
out:
  return st;
}

static enum status write_about(struct run_dir *d, struct span about, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  char *path = joined(d->part, "/run.json");
  if (path == NULL) {
    return err_nomem(e, strlen(d->part));
  }
  TRY(buf_printf(&b, e, "{\"key\":\"%s\",\"about\":%.*s}", d->key, (int)about.n, about.p));
  TRY(file_write_text(path, (struct span){ b.p, b.n }, e));
out:
  buf_free(&b);
  mem_free(path);
  return st;
}

enum status run_dir_open(struct run_dir *d, const char *path, struct span about, int force, struct err *e) {
  enum status st = STATUS_OK;
  unsigned char hash[32];
  char key[65];
  memset(d, 0, sizeof *d);
  d->lock_fd = -1;
  d->path = mem_strdup(path);
  for (size_t n = d->path != NULL ? strlen(d->path) : 0; n > 1 && d->path[n - 1] == '/'; n--) {
    d->path[n - 1] = '\0'; /* RUN/ is RUN: the working folder lies beside it, not in it */
  }
  d->part = d->path != NULL ? joined(d->path, ".part") : NULL;
  if (d->part == NULL) {
    st = err_nomem(e, strlen(path));
    goto out;
  }
  sha256_of(about.p, about.n, hash);
  hash_hex(hash, 32, d->key);
  if (folder_exists(d->path) || file_exists(d->path)) {
    key_of(d->path, "/manifest.json", key);
    if (strcmp(key, d->key) == 0) {
      d->complete = 1;
      goto out;
    }
    if (!force) {
      st = err_set(e, STATUS_USAGE, "'%s' exists and was made from other inputs or options (see its manifest.json); choose another -o, or --force to replace it", d->path);
      goto out;
    }
    d->replace = 1;
  }
  TRY(take_lock(d, e));
  key_of(d->part, "/run.json", key);
  d->resumes = strcmp(key, d->key) == 0;
  if (!d->resumes && !force && key[0] != '\0') {
    st = err_set(e, STATUS_USAGE, "'%s' is an unfinished run of other inputs or options (see its run.json); finish it with those, or --force to drop it", d->part);
    goto out;
  }
  if (!d->resumes && key[0] != '\0') {
    TRY(folder_remove(d->part, e)); /* under the lock, then locked anew */
    close(d->lock_fd);
    TRY(take_lock(d, e));
  }
  TRY(folder_drop_parts(d->part, e));
  TRY(write_about(d, about, e));
out:
  if (st != STATUS_OK) {
    run_dir_close(d);
  }
  return st;
}

/* Steps up to the saved one stay. The evaluation at that step goes: it may be there or not, and is made anew. */
static enum status keep_lines(const char *path, int64_t step, struct err *e) {
  enum status st = STATUS_OK;
  struct buf in = { 0 }, out = { 0 };
  if (!file_exists(path)) {
    return STATUS_OK;
  }
  TRY(file_read(path, (size_t)4 << 30, &in, e));
  for (size_t at = 0; at < in.n;) {
    const char *end = memchr(in.p + at, '\n', in.n - at);
    struct json *j = NULL;
    struct err none;
    if (end == NULL) {
      break; /* the line that the kill cut off */
    }
    size_t n = (size_t)(end - (in.p + at));
    if (json_parse((struct span){ in.p + at, n }, path, &j, &none) == STATUS_OK &&
        json_int(json_get(j, "step"), INT64_MAX) - (json_get(j, "eval") == NULL) < step) {
      st = buf_put(&out, in.p + at, n + 1, e);
    }
    json_free(j);
    if (st != STATUS_OK) {
      goto out;
    }
    at += n + 1;
  }
  struct file_atomic f = { 0 };
  TRY(file_atomic_open(&f, path, e));
  st = file_write_all(fileno(f.fp), out.n > 0 ? out.p : "", out.n, e);
  if (st == STATUS_OK) {
    st = file_atomic_commit(&f, e);
  }
  file_atomic_abort(&f);
out:
  buf_free(&in);
  buf_free(&out);
  return st;
}

enum status run_dir_metrics(struct run_dir *d, int64_t step, struct err *e) {
  enum status st = STATUS_OK;
  char *path = joined(d->part, "/metrics.jsonl");
  if (path == NULL) {
    return err_nomem(e, strlen(d->part));
  }
  TRY(keep_lines(path, step, e));
  d->metrics = fopen(path, "ae");
  if (d->metrics == NULL) {
    st = err_sys(e, STATUS_IO, "'%s' cannot be opened", path);
  }
out:
  mem_free(path);
  return st;
}

enum status run_dir_metric(struct run_dir *d, struct span line, struct err *e) {
  fwrite(line.p, 1, line.n, d->metrics);
  fputc('\n', d->metrics);
  return fflush(d->metrics) == 0 ? STATUS_OK : err_sys(e, STATUS_IO, "'%s/metrics.jsonl' cannot be written", d->part);
}

enum status run_dir_commit(struct run_dir *d, struct span manifest, struct err *e) {
  enum status st = STATUS_OK;
  char *path = joined(d->part, "/manifest.json");
  if (path == NULL) {
    return err_nomem(e, strlen(d->part));
  }
  if (d->metrics != NULL && fclose(d->metrics) != 0) {
    st = err_sys(e, STATUS_IO, "'%s/metrics.jsonl' cannot be written", d->part);
  }
  d->metrics = NULL;
  if (st == STATUS_OK) {
    st = file_write_text(path, manifest, e);
  }
  if (st == STATUS_OK) {
    st = folder_atomic_commit(d->path, d->part, d->replace, e);
  }
  mem_free(path);
  return st;
}

void run_dir_close(struct run_dir *d) {
  if (d->metrics != NULL) {
    fclose(d->metrics);
  }
  if (d->lock_fd >= 0) {
    close(d->lock_fd);
  }
  mem_free(d->path);
  mem_free(d->part);
  memset(d, 0, sizeof *d);
  d->lock_fd = -1;
}

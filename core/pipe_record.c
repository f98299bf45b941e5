/* SPDX-License-Identifier: Apache-2.0
 * Pipe records: see pipe_record.h. Appends are single writes under flock; the file lives as long as the boot, so nothing
 * is synced. Several writers one after the other on one pipe, as in `(a; b) | c`, add up. */
#include "pipe_record.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "file.h"
#include "json.h"
#include "mem.h"
#include "pool.h"
#include "span.h"

enum { RECORD_MAX = 1 << 20, STALE_S = 86400, OLD_S = 60, RUNS_MAX = 4096 };

static void boot_id(char out[40]) {
  memcpy(out, "?", 2);
  int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  ssize_t n = read(fd, out, 36);
  close(fd);
  out[n > 0 ? n : 0] = 0;
}

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int pipe_identity(int fd, char id[PIPE_ID_MAX]) {
  struct stat s;
  char boot[40];
  const char *word = "other";
  if (fd < 0 || fstat(fd, &s) != 0) return snprintf(id, PIPE_ID_MAX, "none"), 0;
  if (S_ISFIFO(s.st_mode)) {
    boot_id(boot);
    boot[8] = 0;
    snprintf(id, PIPE_ID_MAX, "pipe:%s:%ju:%ju", boot, (uintmax_t)s.st_dev, (uintmax_t)s.st_ino);
    return 1;
  }
  if (S_ISREG(s.st_mode)) return snprintf(id, PIPE_ID_MAX, "file:%ju:%ju", (uintmax_t)s.st_dev, (uintmax_t)s.st_ino), 0;
  if (S_ISSOCK(s.st_mode)) word = "socket";
  if (S_ISCHR(s.st_mode)) word = isatty(fd) ? "terminal" : "device";
  snprintf(id, PIPE_ID_MAX, "%s", word);
  return 0;
}

/* Path of fd's record; empty when fd is not a pipe. */
static enum status record_path(int fd, char path[4400], struct err *e) {
  struct stat s;
  path[0] = 0;
  if (fd < 0 || fstat(fd, &s) != 0 || !S_ISFIFO(s.st_mode)) return STATUS_OK;
  const char *dir = run_folder(e);
  if (!dir) return e ? e->code : STATUS_IO;
  snprintf(path, 4400, "%s/pipe-%ju-%ju", dir, (uintmax_t)s.st_dev, (uintmax_t)s.st_ino);
  return STATUS_OK;
}

static enum status append(const char *path, const struct buf *line, struct err *e) {
  enum status st = STATUS_OK;
  struct stat here, there;
  for (int tries = 0; tries < 100; tries++) {
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return err_sys(e, STATUS_IO, "'%s' cannot be opened", path);
    while (flock(fd, LOCK_EX) != 0 && errno == EINTR) continue;
    /* a reader may have removed the name between open and lock: such a file nobody would ever see */
    int same = fstat(fd, &here) == 0 && stat(path, &there) == 0 && here.st_ino == there.st_ino;
    if (same) st = file_write_all(fd, line->p, line->n, e);
    close(fd);
    if (same) return st;
  }
  return err_set(e, STATUS_IO, "'%s' is removed again and again by somebody", path);
}

enum status pipe_record_open(int fd, const char *stage, const char *run, struct err *e) {
  enum status st = STATUS_OK;
  struct buf line = { 0 };
  char path[4400], boot[40];
  TRY(record_path(fd, path, e));
  if (!path[0]) return STATUS_OK;
  boot_id(boot);
  TRY(buf_printf(&line, e, "{\"event\":\"open\",\"run\":\"%s\",\"stage\":\"%s\",\"pid\":%ld,\"boot\":\"%s\",\"time\":%.3f}\n", run, stage,
                 (long)getpid(), boot, now_s()));
  TRY(append(path, &line, e));
out:
  buf_free(&line);
  return st;
}

enum status pipe_record_close(int fd, const char *run, const char *outcome, uint64_t rows, struct hash128 d, struct err *e) {
  enum status st = STATUS_OK;
  struct buf line = { 0 };
  char path[4400];
  TRY(record_path(fd, path, e));
  if (!path[0]) return STATUS_OK;
  TRY(buf_printf(&line, e, "{\"event\":\"closed\",\"run\":\"%s\",\"outcome\":", run));
  TRY(json_put_cstr(&line, outcome, e));
  TRY(buf_printf(&line, e, ",\"rows\":%" PRIu64 ",\"digest\":\"%016" PRIx64 "%016" PRIx64 "\",\"time\":%.3f}\n", rows, d.hi, d.lo, now_s()));
  TRY(append(path, &line, e));
out:
  buf_free(&line);
  return st;
}

/* ---- reading ---- */

struct run {
  char id[40], stage[40], outcome[40], boot[40];
  int closed;
  long pid;
  double last;
  uint64_t rows;
  struct hash128 digest;
};

static void copy_text(char dst[40], const struct json *j) { snprintf(dst, 40, "%s", json_cstr(j, "?")); }

static int hex_u64(const char *p, uint64_t *v) {
  *v = 0;
  for (int i = 0; i < 16; i++) {
    int c = p[i], d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (d < 0) return 0;
    *v = *v << 4 | (uint64_t)d;
  }
  return 1;
}

static void take_line(const struct json *j, struct run *list, size_t *n) {
  const char *run = json_cstr(json_get(j, "run"), NULL), *digest = json_cstr(json_get(j, "digest"), "");
  if (!run) return;
  if (!strcmp(json_cstr(json_get(j, "event"), ""), "open")) {
    struct run *r = &list[(*n)++];
    memset(r, 0, sizeof *r);
    copy_text(r->id, json_get(j, "run"));
    copy_text(r->stage, json_get(j, "stage"));
    copy_text(r->boot, json_get(j, "boot"));
    r->pid = (long)json_int(json_get(j, "pid"), 0);
    r->last = json_num(json_get(j, "time"), 0);
    return;
  }
  for (size_t i = 0; i < *n; i++) {
    struct run *r = &list[i];
    if (strcmp(r->id, run)) continue;
    r->closed = 1;
    copy_text(r->outcome, json_get(j, "outcome"));
    r->rows = (uint64_t)json_int(json_get(j, "rows"), 0);
    r->last = json_num(json_get(j, "time"), 0);
    if (strlen(digest) != 32 || !hex_u64(digest, &r->digest.hi) || !hex_u64(digest + 16, &r->digest.lo)) r->closed = 0;
  }
}

/* *list: mem_free. *n = 0 when there is no record. Lines cut by a kill are left out. */
static enum status read_runs(const char *path, struct run **list, size_t *n, struct err *e) {
  enum status st = STATUS_OK;
  struct buf text = { 0 };
  *n = 0;
  *list = NULL;
  if (!file_exists(path)) return STATUS_OK;
  TRY(file_read(path, RECORD_MAX, &text, e));
  *list = mem_alloc(RUNS_MAX * sizeof **list);
  if (!*list) TRY(err_nomem(e, RUNS_MAX * sizeof **list));
  for (char *p = text.p, *nl; p && (nl = strchr(p, '\n')) != NULL && *n < RUNS_MAX; p = nl + 1) {
    struct json *j = NULL;
    struct err ignored;
    if (json_parse((struct span){ p, (size_t)(nl - p) }, path, &j, &ignored) == STATUS_OK) take_line(j, *list, n);
    json_free(j);
  }
out:
  buf_free(&text);
  return st;
}

static int adds_up(const struct run *r, size_t n, uint64_t rows, struct hash128 d) {
  struct hash128 sum = { 0, 0 };
  uint64_t total = 0;
  for (size_t i = 0; i < n; i++) {
    if (!r[i].closed || strcmp(r[i].outcome, "done")) return 0;
    total += r[i].rows;
    sum.lo += r[i].digest.lo;
    sum.hi += r[i].digest.hi + (sum.lo < r[i].digest.lo);
  }
  return total == rows && sum.lo == d.lo && sum.hi == d.hi;
}

static enum status explain(const struct run *r, size_t n, uint64_t rows, struct err *e) {
  uint64_t total = 0;
  for (size_t i = 0; i < n; i++) {
    if (!r[i].closed)
      return err_set(e, STATUS_STOPPED, "upstream stage '%s' (process %ld) ended without its closing line after %" PRIu64 " rows had come: it was killed or it crashed; run the same command again",
                     r[i].stage, r[i].pid, rows);
    if (strcmp(r[i].outcome, "done"))
      return err_set(e, STATUS_STOPPED, "upstream stage '%s' (process %ld) ended early (%s) after %" PRIu64 " rows; see its own message", r[i].stage,
                     r[i].pid, r[i].outcome, r[i].rows);
    total += r[i].rows;
  }
  if (total != rows)
    return err_set(e, STATUS_DATA, "upstream stage '%s' wrote %" PRIu64 " rows, %" PRIu64 " arrived here: does another program read or write this pipe?",
                   r[n - 1].stage, total, rows);
  return err_set(e, STATUS_DATA, "the %" PRIu64 " rows that arrived are not the ones upstream stage '%s' wrote (digests differ)", rows, r[n - 1].stage);
}

enum status pipe_record_check(int fd, double since, uint64_t rows, struct hash128 digest, int *upstream, struct err *e) {
  enum status st = STATUS_OK;
  struct run *list = NULL;
  size_t n = 0, skip = 0;
  char path[4400];
  *upstream = 0;
  TRY(record_path(fd, path, e));
  if (!path[0]) return STATUS_OK;
  TRY(read_runs(path, &list, &n, e));
  if (n == 0) goto out;
  *upstream = 1;
  while (skip < n && !adds_up(list + skip, n - skip, rows, digest) && list[skip].last < since - OLD_S) skip++;
  if (skip == n) { /* only left-overs of an earlier pipe */
    *upstream = 0;
  } else if (!adds_up(list + skip, n - skip, rows, digest)) {
    st = explain(list + skip, n - skip, rows, e);
  }
  (void)unlink(path);
out:
  mem_free(list);
  return st;
}

void pipe_record_forget(int fd) {
  char path[4400];
  if (record_path(fd, path, NULL) == STATUS_OK && path[0]) (void)unlink(path);
}

void pipe_record_clean(void) {
  const char *dir = run_folder(NULL);
  struct arena *a = dir ? arena_new(0) : NULL;
  const char **names;
  size_t n;
  char boot[40];
  boot_id(boot);
  if (a && folder_list(dir, a, &names, &n, NULL) == STATUS_OK) {
    for (size_t i = 0; i < n; i++) {
      struct run *list = NULL;
      size_t k = 0;
      char *path = path_join(a, dir, names[i]);
      struct stat s;
      if (strncmp(names[i], "pipe-", 5) || !path || stat(path, &s) != 0 || now_s() - (double)s.st_mtime < 60) continue;
      if (read_runs(path, &list, &k, NULL) != STATUS_OK) k = 0;
      int stale = now_s() - (double)s.st_mtime > STALE_S;
      for (size_t j = 0; j < k; j++) {
        if (strcmp(list[j].boot, boot)) stale = 1;
        else if (list[j].pid > 0 && (kill((pid_t)list[j].pid, 0) == 0 || errno == EPERM)) stale = 0;
      }
      if (stale) (void)unlink(path);
      mem_free(list);
    }
  }
  arena_free(a);
}

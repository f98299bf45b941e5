/* SPDX-License-Identifier: Apache-2.0
 * Inputs of fetch; see source.h. Folders are listed level by level, so memory is one listing a level, however many files. */
#include "source.h"
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>
#include "file.h"
#include "http.h"
#include "line.h"
#include "stop.h"

#define FOLDER_MAX_DEPTH 128

struct visit {
  const struct source_options *so;
  const struct doc_options *o;
  const struct doc_sink *sink;
};

static int is_url(const char *s)
{
  return strncmp(s, "http://", 7) == 0 || strncmp(s, "https://", 8) == 0;
}

static enum status fd_read(void *ctx, void *p, size_t n, size_t *got, struct err *e)
{
  int fd = *(int *)ctx;
  for (;;) {
    ssize_t r = read(fd, p, n);
    if (r >= 0) {
      *got = (size_t)r;
      return STATUS_OK;
    }
    if (errno != EINTR) {
      return err_sys(e, STATUS_IO, "cannot read");
    }
    if (stop_requested()) {
      return err_set(e, STATUS_STOPPED, "stopped by a signal");
    }
  }
}

struct memory {
  const char *p;
  size_t n, at;
};

static enum status memory_read(void *ctx, void *p, size_t n, size_t *got, struct err *e)
{
  struct memory *m = ctx;
  (void)e;
  *got = m->n - m->at < n ? m->n - m->at : n;
  memcpy(p, m->p + m->at, *got);
  m->at += *got;
  return STATUS_OK;
}

static enum status hand_on(struct visit *v, enum status (*read_fn)(void *, void *, size_t, size_t *, struct err *), void *ctx,
                           const char *uri, const char *name, struct err *e)
{
  struct doc_stream *s = mem_calloc(1, sizeof *s);
  if (s == NULL) {
    return err_nomem(e, sizeof *s);
  }
  s->read = read_fn;
  s->ctx = ctx;
  s->uri = uri;
  s->name = name;
  enum status st = document_read(s, v->o, v->sink, 0, e);
  mem_free(s);
  return st;
}

static enum status refuse(struct visit *v, const char *uri, enum doc_outcome how, const char *reason, const char *detail, struct err *e)
{
  return v->sink->refused(v->sink->ctx, uri, how, reason, detail, e);
}

static enum status read_file(struct visit *v, const char *path, const char *uri, struct err *e)
{
  const char *slash = strrchr(path, '/');
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) {
    return refuse(v, uri, DOC_FAILED, errno == ENOENT ? "missing" : "unreadable", strerror(errno), e);
  }
  enum status st = hand_on(v, fd_read, &fd, uri, slash ? slash + 1 : path, e);
  close(fd);
  return st;
}

static enum status read_url(struct visit *v, const char *url, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf body = { 0 };
  struct err own = { 0 };
  struct http_get_options g = { .ca_file = v->so->ca_file, .max_bytes = v->o->max_document_bytes, .timeout_s = v->so->timeout_s };
  st = http_get(url, &g, &body, &own);
  if (st == STATUS_STOPPED || st == STATUS_NOMEM) {
    st = err_set(e, st, "%s", own.msg);
  } else if (st != STATUS_OK) {
    st = refuse(v, url, DOC_FAILED, "network", own.msg, e);
  } else {
    size_t n = strcspn(url, "?#");
    char *name = mem_strndup(url, n);
    struct memory m = { body.p, body.n, 0 };
    st = name == NULL ? err_nomem(e, n) : hand_on(v, memory_read, &m, url, name, e);
    mem_free(name);
  }
  buf_free(&body);
  return st;
}

static int matches(const struct opt_list *patterns, const char *path, const char *name)
{
  for (size_t i = 0; i < patterns->n; i++) {
    const char *p = patterns->item[i];
    if (fnmatch(p, strchr(p, '/') ? path : name, 0) == 0) {
      return 1;
    }
  }
  return 0;
}

static enum status walk_folder(struct visit *v, const char *path, int depth, struct err *e);

static enum status visit_entry(struct visit *v, const char *path, const char *name, int depth, struct err *e)
{
  struct stat link, to;
  if (stop_requested()) {
    return err_set(e, STATUS_STOPPED, "stopped by a signal");
  }
  if (name[0] == '.' && !v->so->hidden) {
    return refuse(v, path, DOC_DROPPED, "hidden", "its name begins with a dot (--hidden takes it)", e);
  }
  if (lstat(path, &link) != 0 || stat(path, &to) != 0) {
    return refuse(v, path, DOC_FAILED, errno == ENOENT ? "missing" : "unreadable", strerror(errno), e);
  }
  if (S_ISDIR(to.st_mode)) {
    return S_ISLNK(link.st_mode) ? refuse(v, path, DOC_DROPPED, "link to a folder", "not followed", e)
                                 : walk_folder(v, path, depth + 1, e);
  }
  if (!S_ISREG(to.st_mode)) {
    return refuse(v, path, DOC_DROPPED, "link or special file", "not a plain file", e);
  }
  if ((v->so->include.n > 0 && !matches(&v->so->include, path, name)) || matches(&v->so->exclude, path, name)) {
    return refuse(v, path, DOC_DROPPED, "excluded", "by --include or --exclude", e);
  }
  return read_file(v, path, path, e);
}

static enum status walk_folder(struct visit *v, const char *path, int depth, struct err *e)
{
  enum status st = STATUS_OK;
  const char **names = NULL;
  size_t n = 0;
  struct err own = { 0 };
  struct arena *a = arena_new(0);
  if (a == NULL) {
    return err_nomem(e, 64);
  }
  if (depth > FOLDER_MAX_DEPTH) {
    st = refuse(v, path, DOC_FAILED, "unreadable", "folders nest too deep", e);
    goto out;
  }
  if (folder_list(path, a, &names, &n, &own) != STATUS_OK) {
    st = own.code == STATUS_NOMEM ? err_set(e, STATUS_NOMEM, "%s", own.msg) : refuse(v, path, DOC_FAILED, "unreadable", own.msg, e);
    goto out;
  }
  for (size_t i = 0; i < n; i++) {
    char *p = path_join(a, path, names[i]);
    if (p == NULL) {
      st = err_nomem(e, 256);
      goto out;
    }
    TRY(visit_entry(v, p, names[i], depth, e));
  }
out:
  arena_free(a);
  return st;
}

static enum status visit_named(struct visit *v, const char *path, const char *uri, struct err *e)
{
  struct stat s;
  if (is_url(uri)) {
    return read_url(v, uri, e);
  }
  if (stat(path, &s) != 0) {
    return refuse(v, uri, DOC_FAILED, errno == ENOENT ? "missing" : "unreadable", strerror(errno), e);
  }
  return S_ISDIR(s.st_mode) ? walk_folder(v, path, 0, e) : read_file(v, path, uri, e);
}

static enum status walk_list(struct visit *v, struct err *e)
{
  enum status st = STATUS_OK;
  const char *name = v->so->from_file;
  int is_stdin = strcmp(name, "-") == 0, fd = is_stdin ? 0 : open(name, O_RDONLY | O_CLOEXEC), got = 1;
  struct line_reader *r = NULL;
  struct arena *a = arena_new(0);
  if (fd < 0) {
    st = err_sys(e, STATUS_USAGE, "'--from-file %s'", name);
    goto out;
  }
  r = line_reader_new(fd, is_stdin ? "stdin" : name, 1 << 20);
  if (r == NULL || a == NULL) {
    st = err_nomem(e, 1 << 16);
    goto out;
  }
  while (got) {
    struct span line;
    TRY(line_next(r, &line, &got, e));
    if (got && line.n > 0) {
      arena_reset(a);
      char *uri = arena_strndup(a, line.p, line.n);
      char *path = uri == NULL ? NULL : v->so->root != NULL && uri[0] != '/' && !is_url(uri) ? path_join(a, v->so->root, uri) : uri;
      if (path == NULL) {
        st = err_nomem(e, line.n);
        goto out;
      }
      TRY(visit_named(v, path, uri, e));
    }
  }
out:
  line_reader_free(r);
  arena_free(a);
  if (fd > 0) {
    close(fd);
  }
  return st;
}

/* One argument: only checked (v = NULL), or visited. */
static enum status argument(struct visit *v, const char *arg, struct err *e)
{
  enum status st = STATUS_OK;
  struct stat s;
  static int stdin_fd = 0;
  if (strcmp(arg, "-") == 0) {
    return v ? hand_on(v, fd_read, &stdin_fd, "stdin", "stdin", e) : STATUS_OK;
  }
  if (is_url(arg) || stat(arg, &s) == 0) {
    return v ? visit_named(v, arg, arg, e) : STATUS_OK;
  }
  if (strpbrk(arg, "*?[") == NULL) {
    return err_sys(e, STATUS_USAGE, "'%s': no such document", arg);
  }
  glob_t g;
  int rc = glob(arg, 0, NULL, &g);
  if (rc == 0) {
    for (size_t i = 0; v != NULL && i < g.gl_pathc && st == STATUS_OK; i++) {
      st = visit_named(v, g.gl_pathv[i], g.gl_pathv[i], e);
    }
    globfree(&g);
    return st;
  }
  return err_set(e, rc == GLOB_NOSPACE ? STATUS_NOMEM : STATUS_USAGE, "'%s': no file matches", arg);
}

enum status source_walk(const struct source_options *so, const struct opt_list *args, const struct doc_options *o,
                        const struct doc_sink *sink, struct err *e)
{
  enum status st = STATUS_OK;
  struct visit v = { so, o, sink };
  int stdin_uses = so->from_file != NULL && strcmp(so->from_file, "-") == 0;
  if (args->n == 0 && so->from_file == NULL) {
    return err_set(e, STATUS_USAGE, "nothing to fetch: name files, folders, globs or URLs, '-' for stdin, or --from-file LIST");
  }
  for (size_t i = 0; i < args->n; i++) {
    stdin_uses += strcmp(args->item[i], "-") == 0;
    TRY(argument(NULL, args->item[i], e));
  }
  if (stdin_uses > 1) {
    return err_set(e, STATUS_USAGE, "'-': stdin can be read once only");
  }
  if (so->from_file != NULL && strcmp(so->from_file, "-") != 0 && access(so->from_file, R_OK) != 0) {
    return err_sys(e, STATUS_USAGE, "'--from-file %s'", so->from_file);
  }
  for (size_t i = 0; i < args->n; i++) {
    TRY(argument(&v, args->item[i], e));
  }
  if (so->from_file != NULL) {
    TRY(walk_list(&v, e));
  }
out:
  return st;
}

/* SPDX-License-Identifier: Apache-2.0
 * PDF through `pdftotext` (Debian: poppler-utils), run as a child with a time limit. Its input is a private temporary file, so
 * that members of archives and downloads work like files; the file is unlinked on every way out. */
#include "document.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include <fcntl.h>
#include "file.h"
#include "log.h"
#include "stop.h"

extern char **environ;

int doc_sniff_pdf(const struct doc_stream *s)
{
  for (size_t i = 0; i + 5 <= s->n_head && i < 1024; i++) { /* readers allow 1,024 bytes of rubbish in front */
    if (memcmp(s->head + i, "%PDF-", 5) == 0) {
      return i == 0 || doc_name_ends(s->name, ".pdf");
    }
  }
  return 0;
}

/* Reads the child's stdout until its end, the limit or the deadline. */
static enum status drain(struct doc_job *j, int fd, double deadline, struct buf *text, struct err *e)
{
  enum status st = STATUS_OK;
  text->max_bytes = (size_t)j->o->max_document_bytes + ((size_t)1 << 17);
  for (;;) {
    struct pollfd p = { fd, POLLIN, 0 };
    double left = deadline - clock_seconds();
    if (stop_requested()) {
      return err_set(e, STATUS_STOPPED, "stopped by a signal");
    }
    if (left <= 0) {
      return doc_refuse(j, DOC_FAILED, "pdf", e, "pdftotext took longer than %lld s (--pdf-timeout)", (long long)j->o->pdf_timeout_s);
    }
    if (poll(&p, 1, left > 0.2 ? 200 : (int)(left * 1000) + 1) <= 0) {
      continue;
    }
    TRY(buf_reserve(text, (size_t)1 << 16, e));
    ssize_t got = read(fd, text->p + text->n, (size_t)1 << 16);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      break;
    }
    text->n += (size_t)got;
    text->p[text->n] = '\0';
    if (text->n > j->o->max_document_bytes) {
      return doc_refuse(j, DOC_FAILED, "too large", e, "more than %llu bytes of text (--max-document)",
                        (unsigned long long)j->o->max_document_bytes);
    }
  }
out:
  return st;
}

static enum status start(struct doc_job *j, const char *path, int out_fd, pid_t *pid, struct err *e)
{
  enum status st = STATUS_OK;
  char cmd[] = "pdftotext", quiet[] = "-q", enc[] = "-enc", utf8[] = "UTF-8", dash[] = "-";
  char *file = mem_strdup(path);
  char *argv[] = { cmd, quiet, enc, utf8, file, dash, NULL };
  posix_spawn_file_actions_t fa;
  if (file == NULL || posix_spawn_file_actions_init(&fa) != 0) {
    mem_free(file);
    return err_nomem(e, sizeof fa);
  }
  posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&fa, out_fd, 1);
  int rc = posix_spawnp(pid, cmd, &fa, NULL, argv, environ);
  if (rc != 0) {
    st = doc_refuse(j, DOC_FAILED, "pdf", e, "cannot run pdftotext: %s; install poppler-utils to read PDF", strerror(rc));
  }
  posix_spawn_file_actions_destroy(&fa);
  mem_free(file);
  return st;
}

static enum status convert(struct doc_job *j, const char *path, struct buf *text, struct err *e)
{
  enum status st = STATUS_OK;
  int pipe_fd[2] = { -1, -1 }, code = 0;
  pid_t pid = -1;
  if (pipe(pipe_fd) != 0) {
    return err_sys(e, STATUS_IO, "cannot make a pipe");
  }
  (void)fcntl(pipe_fd[0], F_SETFD, FD_CLOEXEC);
  (void)fcntl(pipe_fd[1], F_SETFD, FD_CLOEXEC);
  TRY(start(j, path, pipe_fd[1], &pid, e));
  close(pipe_fd[1]);
  pipe_fd[1] = -1;
  st = drain(j, pipe_fd[0], clock_seconds() + (double)j->o->pdf_timeout_s, text, e);
out:
  if (pipe_fd[1] >= 0) {
    close(pipe_fd[1]);
  }
  close(pipe_fd[0]);
  if (pid > 0) {
    if (st != STATUS_OK) {
      kill(pid, SIGKILL);
    }
    while (waitpid(pid, &code, 0) < 0 && errno == EINTR) {
    }
    if (st == STATUS_OK && !(WIFEXITED(code) && WEXITSTATUS(code) == 0)) {
      int missing = WIFEXITED(code) && WEXITSTATUS(code) == 127;
      st = missing ? doc_refuse(j, DOC_FAILED, "pdf", e, "cannot run pdftotext; install poppler-utils to read PDF")
                   : doc_refuse(j, DOC_FAILED, "pdf", e, "pdftotext could not read it (exit %d)",
                                WIFEXITED(code) ? WEXITSTATUS(code) : -1);
    }
  }
  return st;
}

enum status doc_pdf(struct doc_job *j, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 }, text = { 0 };
  const char *dir = getenv("TMPDIR");
  char path[4096];
  int fd = -1;
  TRY(doc_slurp(j, &b, e));
  snprintf(path, sizeof path, "%s/retort-pdf-XXXXXX", dir != NULL && *dir ? dir : "/tmp");
  fd = mkstemp(path);
  if (fd < 0) {
    st = err_sys(e, STATUS_IO, "'%s': cannot make a temporary file", path);
    goto out;
  }
  TRY(file_write_all(fd, b.p, b.n, e));
  TRY(convert(j, path, &text, e));
  for (size_t i = 0; i < text.n; i++) {
    text.p[i] = text.p[i] == '\f' ? '\n' : text.p[i]; /* page ends */
  }
  TRY(doc_emit(j, (struct span){ b.p, b.n }, (struct span){ text.p, text.n }, (struct span){ NULL, 0 }, e));
out:
  if (fd >= 0) {
    close(fd);
    unlink(path);
  }
  buf_free(&b);
  buf_free(&text);
  return st;
}

/* SPDX-License-Identifier: Apache-2.0
 * The machine lease: one process of this machine computes at a time. A lock file in run_folder() (flock, so a killed
 * process gives it back), and a second one as the queue's door: everybody enters through it and whoever waits holds it, so
 * the owner sees that somebody waits and the waiter gets in first. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "file.h"
#include "log.h"
#include "pool.h"
#include "stop.h"

#define TELL_AFTER 10 /* seconds */

static int lease_fd = -1, door_fd = -1, lease_count;

const char *run_folder(struct err *e) {
  static char path[4096];
  if (path[0] != '\0') return path;
  char tmp[sizeof path];
  const char *own = getenv("RETORT_RUN"), *xdg = getenv("XDG_RUNTIME_DIR");
  if (own && own[0]) snprintf(tmp, sizeof tmp, "%s", own);
  else if (xdg && xdg[0] && access(xdg, W_OK) == 0) snprintf(tmp, sizeof tmp, "%s/retort", xdg);
  else snprintf(tmp, sizeof tmp, "/tmp/retort-%ld", (long)getuid());
  if (folder_make(tmp, e) != STATUS_OK) return NULL;
  struct stat s;
  if (stat(tmp, &s) != 0 || s.st_uid != getuid()) {
    err_set(e, STATUS_IO, "'%s' belongs to somebody else; set RETORT_RUN to a folder of your own", tmp);
    return NULL;
  }
  if (!(own && own[0])) (void)chmod(tmp, 0700);
  memcpy(path, tmp, sizeof path);
  return path;
}

static enum status lock_file(const char *name, int *fd, struct err *e) {
  if (*fd >= 0) return STATUS_OK;
  const char *dir = run_folder(e);
  if (dir == NULL) return e ? e->code : STATUS_IO;
  char path[4200];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  return *fd >= 0 ? STATUS_OK : err_sys(e, STATUS_IO, "'%s' cannot be opened", path);
}

/* The owner writes its process number into the file, for the message of those who wait long. */
static long owner(void) {
  char text[24] = "";
  ssize_t n = pread(lease_fd, text, sizeof text - 1, 0);
  return n > 0 ? strtol(text, NULL, 10) : 0;
}

static void tell_waiting(double since) {
  static int told;
  if (told || clock_seconds() - since < TELL_AFTER) return;
  told = 1;
  log_info("waiting: another retort process (%ld) computes, and one at a time does on this machine", owner());
}

/* flock that tells what it waits for: looks at growing intervals, 10 ms at most, which is little beside what owners do meanwhile. */
static enum status lock_wait(int fd, struct err *e) {
  double since = clock_seconds();
  struct timespec pause = { 0, 200000 };
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EINTR && errno != EWOULDBLOCK) return err_sys(e, STATUS_IO, "the machine lease cannot be locked");
    if (stop_requested()) return err_set(e, STATUS_STOPPED, "stopped while waiting for another retort process that computes");
    (void)nanosleep(&pause, NULL);
    if (pause.tv_nsec < 10000000) pause.tv_nsec += pause.tv_nsec / 2;
    tell_waiting(since);
  }
  return STATUS_OK;
}

/* Through the door first: nobody overtakes who waits behind it. */
static enum status enter(struct err *e) {
  enum status st = lock_wait(door_fd, e);
  if (st == STATUS_OK) st = lock_wait(lease_fd, e);
  (void)flock(door_fd, LOCK_UN);
  if (st != STATUS_OK) return st;
  char text[24];
  int n = snprintf(text, sizeof text, "%-10ld\n", (long)getpid());
  (void)!pwrite(lease_fd, text, (size_t)n, 0);
  lease_count = 1;
  return STATUS_OK;
}

enum status lease_take(struct err *e) {
  if (lease_count > 0) {
    lease_count++;
    return STATUS_OK;
  }
  enum status st = lock_file("lease", &lease_fd, e);
  if (st == STATUS_OK) st = lock_file("lease-door", &door_fd, e);
  return st == STATUS_OK ? enter(e) : st;
}

void lease_give(void) {
  if (lease_count == 0 || --lease_count > 0) return;
  (void)flock(lease_fd, LOCK_UN);
}

enum status lease_yield(struct err *e) {
  if (lease_count != 1) return STATUS_OK;
  if (flock(door_fd, LOCK_EX | LOCK_NB) == 0) { /* nobody waits */
    (void)flock(door_fd, LOCK_UN);
    return STATUS_OK;
  }
  lease_count = 0;
  (void)flock(lease_fd, LOCK_UN);
  return enter(e); /* behind the waiter: the door opens when it has the lease */
}

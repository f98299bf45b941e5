/* SPDX-License-Identifier: Apache-2.0
 * The machine lease: one process of this machine computes at a time. A lock file in run_folder() (flock, so a killed
 * process gives it back), and a second one as the queue's door: whoever waits holds the door, so the owner sees that
 * somebody waits and the waiter gets in first. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "file.h"
#include "log.h"
#include "pool.h"
#include "stop.h"

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

static enum status lock_wait(int fd, struct err *e) {
  while (flock(fd, LOCK_EX) != 0) {
    if (errno != EINTR) return err_sys(e, STATUS_IO, "the machine lease cannot be locked");
    if (stop_requested()) return err_set(e, STATUS_STOPPED, "stopped while waiting for the machine lease");
  }
  return STATUS_OK;
}

enum status lease_take(struct err *e) {
  if (lease_count > 0) {
    lease_count++;
    return STATUS_OK;
  }
  enum status st = lock_file("lease", &lease_fd, e);
  if (st == STATUS_OK) st = lock_file("lease-door", &door_fd, e);
  if (st != STATUS_OK) return st;
  if (flock(lease_fd, LOCK_EX | LOCK_NB) != 0) {
    log_debug("waiting for the machine lease (another retort stage computes)");
    st = lock_wait(door_fd, e);
    if (st == STATUS_OK) st = lock_wait(lease_fd, e);
    (void)flock(door_fd, LOCK_UN);
    if (st != STATUS_OK) return st;
  }
  lease_count = 1;
  return STATUS_OK;
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
  /* Queue behind the waiter: the door opens when it has the lease. */
  enum status st = lock_wait(door_fd, e);
  if (st == STATUS_OK) st = lock_wait(lease_fd, e);
  (void)flock(door_fd, LOCK_UN);
  if (st == STATUS_OK) lease_count = 1;
  return st;
}

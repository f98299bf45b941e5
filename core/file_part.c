/* SPDX-License-Identifier: Apache-2.0
 * Names of half-written files and folders, and the sweeping of dead ones. Used by file.c and by writers that must let a
 * library create the file (book_reindex.c). */
#include "file_part.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "file.h"
#include "hash.h"
#include "mem.h"

static unsigned host_mark(void) {
  char text[512] = "";
  (void)gethostname(text, 255);
  size_t n = strlen(text);
  int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    ssize_t got = read(fd, text + n, 64);
    if (got > 0) n += (size_t)got;
    close(fd);
  }
  ssize_t got = readlink("/proc/self/ns/pid", text + n, 128);
  if (got > 0) n += (size_t)got;
  return (unsigned)xxh3(text, n);
}

static size_t without_slashes(const char *path) {
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') n--;
  return n;
}

char *file_part_name(const char *path) {
  size_t n = without_slashes(path);
  char *t = mem_alloc(n + 48);
  if (t != NULL) snprintf(t, n + 48, "%.*s.part-%ld-%08x", (int)n, path, (long)getpid(), host_mark());
  return t;
}

/* Reads "PID" or "PID-HOST" up to the end of the name. */
static int parse(const char *s, long *pid, unsigned *host, int *with_host) {
  size_t digits = strspn(s, "0123456789");
  if (digits == 0 || digits > 10) return 0;
  *pid = 0, *host = 0, *with_host = 0;
  for (size_t i = 0; i < digits; i++) *pid = *pid * 10 + (s[i] - '0');
  s += digits;
  if (*s == '\0') return 1;
  if (*s != '-' || strlen(s) != 9 || strspn(s + 1, "0123456789abcdef") != 8) return 0;
  for (s++; *s != '\0'; s++) *host = *host << 4 | (unsigned)(*s <= '9' ? *s - '0' : *s - 'a' + 10);
  *with_host = 1;
  return 1;
}

int file_part_is(const char *name) {
  const char *part = NULL;
  for (const char *s = name; (s = strstr(s, ".part-")) != NULL; s++) part = s;
  long pid;
  unsigned host;
  int with_host;
  return part != NULL && parse(part + 6, &pid, &host, &with_host);
}

static void drop_if_dead(const char *dir, const char *name, const char *mark) {
  long pid;
  unsigned host;
  int with_host;
  if (!parse(mark, &pid, &host, &with_host) || !with_host || host != host_mark()) return;
  if (kill((pid_t)pid, 0) == 0 || errno != ESRCH) return; /* lives, or is somebody else's */
  size_t n = strlen(dir) + strlen(name) + 2;
  char *left = mem_alloc(n);
  if (left == NULL) return;
  snprintf(left, n, "%s/%s", dir, name);
  if (unlink(left) != 0) {
    enum status untold = folder_remove(left, NULL);
    (void)untold;
  }
  mem_free(left);
}

void file_part_drop_dead(const char *path) {
  size_t n = without_slashes(path), cut = n;
  while (cut > 0 && path[cut - 1] != '/') cut--;
  char *dir = mem_alloc(cut + 2);
  if (dir == NULL) return;
  snprintf(dir, cut + 2, "%.*s", (int)cut, path);
  const char *base = path + cut;
  size_t base_n = n - cut;
  DIR *d = opendir(cut > 0 ? dir : ".");
  struct dirent *ent;
  while (d != NULL && (ent = readdir(d)) != NULL) {
    const char *name = ent->d_name;
    if (strncmp(name, base, base_n) != 0 || strncmp(name + base_n, ".part-", 6) != 0) continue;
    drop_if_dead(cut > 0 ? dir : ".", name, name + base_n + 6);
  }
  if (d != NULL) closedir(d);
  mem_free(dir);
}

/* SPDX-License-Identifier: Apache-2.0
 * What a killed writer left beside a file goes with the next write of that file; parts of the living and of other hosts stay. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"
#include "file.h"
#include "file_part.h"

static void touch(const char *path) {
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  assert_true(fd >= 0);
  close(fd);
}

/* A child writes "half" under path and dies as by kill -9; its part's name comes back in part. */
static void die_writing(const char *path, int folder, char *part, size_t size) {
  int pipes[2];
  assert_int_equal(pipe(pipes), 0);
  pid_t child = fork();
  if (child == 0) {
    struct err e;
    struct file_atomic f;
    char *tmp = NULL;
    if (folder ? folder_atomic_begin(path, &tmp, &e) : file_atomic_open(&f, path, &e)) _exit(1);
    const char *name = folder ? tmp : f.tmp;
    if (write(pipes[1], name, strlen(name)) < 0) _exit(1);
    if (folder) {
      char inside[512];
      snprintf(inside, sizeof inside, "%s/x", tmp);
      touch(inside);
    }
    raise(SIGKILL);
  }
  close(pipes[1]);
  ssize_t n = read(pipes[0], part, size - 1);
  assert_true(n > 0);
  part[n] = '\0';
  close(pipes[0]);
  int how;
  assert_int_equal(waitpid(child, &how, 0), child);
  assert_true(WIFSIGNALED(how));
  struct stat s;
  assert_int_equal(stat(part, &s), 0);
}

static void test_dead_parts_go(void **state) {
  (void)state;
  char dir[] = "/tmp/part_XXXXXX", path[256], part[300], folder_part[300], other[300], living[300], pid_only[300];
  assert_non_null(mkdtemp(dir));
  snprintf(path, sizeof path, "%s/out.gguf", dir);
  die_writing(path, 0, part, sizeof part);
  die_writing(path, 1, folder_part, sizeof folder_part);
  snprintf(other, sizeof other, "%s.part-%s", path, "4194000-00000001"); /* another host's */
  snprintf(living, sizeof living, "%s.part-%ld-%s", path, (long)getppid(), strrchr(part, '-') + 1);
  snprintf(pid_only, sizeof pid_only, "%s/out.gguf2.part-4194000-%s", dir, strrchr(part, '-') + 1); /* of another file */
  touch(other), touch(living), touch(pid_only);
  struct err e;
  struct file_atomic f;
  assert_int_equal(file_atomic_open(&f, path, &e), STATUS_OK);
  assert_int_equal(file_atomic_commit(&f, &e), STATUS_OK);
  struct stat s;
  assert_int_equal(stat(part, &s), -1);
  assert_int_equal(stat(folder_part, &s), -1);
  assert_int_equal(stat(other, &s), 0);
  assert_int_equal(stat(living, &s), 0);
  assert_int_equal(stat(pid_only, &s), 0);
  assert_int_equal(stat(path, &s), 0);
  assert_int_equal(folder_remove(dir, &e), STATUS_OK);
}

static void test_names(void **state) {
  (void)state;
  const char *yes[] = { "a.part-1", "a.part-99-0011aaff", ".part-3", "a.part-x.part-12" };
  const char *no[] = { "a", "a.part-", "a.part-1x", "a.part-1-", "a.part-1-0011aaf", "a.part-1-0011AAFF", "a.part-1-0011aaff0", "a.part-12345678901" };
  for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) assert_int_equal(file_part_is(yes[i]), 1);
  for (size_t i = 0; i < sizeof no / sizeof *no; i++) assert_int_equal(file_part_is(no[i]), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(test_dead_parts_go), cmocka_unit_test(test_names) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
// Runs planted bugs and their twins. `planted` lists the cases; `planted NAME` runs one: with the bug it has to end with its
// fault under every seed (values: under at least one), without it has to pass under every seed.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "planted.h"

struct planted *planted_list;
enum { SEEDS = 6, EXIT_FAULT = 86 };

// Runs the case in a child; its exit status, and what it said in `said`.
static int child(const struct planted *p, bool bug, int seed, char *said, size_t room) {
  int ends[2];
  static const char *const orders[] = {"mixed", "lazy", "eager"};
  if (pipe(ends) != 0) {
    perror("pipe");
    exit(1);
  }
  pid_t pid = fork();
  if (pid == 0) {
    char text[16];
    snprintf(text, sizeof text, "%d", seed);
    setenv("RETORT_CUDASIM_SEED", text, 1);
    setenv("RETORT_CUDASIM_ORDER", orders[seed % 3], 1);
    setenv("RETORT_CUDASIM_STEPS", "100000", 1);
    dup2(ends[1], 2);
    close(ends[0]);
    close(ends[1]);
    p->run(bug);
    exit(0);
  }
  close(ends[1]);
  size_t n = 0;
  ssize_t got;
  while (n + 1 < room && (got = read(ends[0], said + n, room - 1 - n)) > 0) {
    n += (size_t)got;
  }
  said[n] = 0;
  close(ends[0]);
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int check(const struct planted *p) {
  char said[8192], want[128];
  int caught = 0, failed = 0;
  bool values = strcmp(p->fault, "wrong values") == 0;
  snprintf(want, sizeof want, "cudasim: %s: ", p->fault);
  for (int seed = 1; seed <= SEEDS; seed++) {
    int status = child(p, true, seed, said, sizeof said);
    bool seen = values ? status == EXIT_WRONG : status == EXIT_FAULT && strstr(said, want);
    caught += seen;
    if (seed == 1 || (!seen && !values)) {
      printf("%s, bug, seed %d: exit %d\n%s", p->name, seed, status, said);
    }
    status = child(p, false, seed, said, sizeof said);
    if (status != 0) {
      failed++;
      printf("%s, twin, seed %d: exit %d, wanted 0\n%s", p->name, seed, status, said);
    }
  }
  printf("%s: bug caught as \"%s\" under %d of %d seeds, twin failed under %d\n", p->name, p->fault, caught, SEEDS, failed);
  return failed == 0 && (values ? caught > 0 : caught == SEEDS) ? 0 : 1;
}

int main(int argc, char **argv) {
  int bad = 0, ran = 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (const struct planted *p = planted_list; p; p = p->next) {
    if (argc < 2) {
      printf("%s\n", p->name);
    } else if (strcmp(argv[1], p->name) == 0 || strcmp(argv[1], "all") == 0) {
      bad |= check(p);
      ran++;
    }
  }
  if (argc >= 2 && !ran) {
    fprintf(stderr, "planted: no case is called %s\n", argv[1]);
    return 2;
  }
  return bad;
}

/* SPDX-License-Identifier: Apache-2.0
 * The compute pool and the machine lease. */
#include "check.h"
#include <sys/wait.h>
#include <unistd.h>
#include "file.h"
#include "pool.h"

static void count_task(void *ctx, int i, int worker) {
  assert_true(worker >= 0 && worker < pool_threads());
  ((int *)ctx)[i]++;
}

static void nested_task(void *ctx, int i, int worker) {
  (void)worker;
  pool_run(10, count_task, (int *)ctx + 10 * i);
}

static void every_task_runs_once(void **state) {
  (void)state;
  for (int threads = 1; threads <= 4; threads++) {
    OK(pool_setup(threads, e));
    assert_int_equal(pool_threads(), threads);
    for (int round = 0; round < 200; round++) {
      int seen[100] = { 0 };
      if (round & 1) pool_run(100, count_task, seen);
      else pool_run(10, nested_task, seen);
      for (int i = 0; i < 100; i++) assert_int_equal(seen[i], 1);
    }
  }
  pool_close();
}

/* Waiting costs no CPU: a sleeping pool of 3 workers burns less than a tenth of the time slept. */
static void waiting_is_passive(void **state) {
  (void)state;
  OK(pool_setup(4, e));
  int seen[8] = { 0 };
  pool_run(8, count_task, seen);
  clock_t before = clock();
  usleep(300000);
  assert_true((double)(clock() - before) / CLOCKS_PER_SEC < 0.03);
  pool_close();
}

static void lease_is_held_by_one_process(void **state) {
  (void)state;
  char dir[] = "/tmp/retort-lease-XXXXXX";
  assert_non_null(mkdtemp(dir));
  setenv("RETORT_RUN", dir, 1);
  OK(lease_take(e));
  OK(lease_take(e)); /* re-entrant */
  lease_give();
  int to_parent[2];
  assert_int_equal(pipe(to_parent), 0);
  pid_t pid = fork();
  if (pid == 0) { /* the other process: gets it only when given */
    /* flock belongs to the open file description, which a forked child shares: so a fresh program */
    execl("/proc/self/exe", "test_pool", "lease-child", dir, (char *)NULL);
    _exit(9);
  }
  usleep(300000);
  int status = 0;
  assert_int_equal(waitpid(pid, &status, WNOHANG), 0); /* still waiting */
  OK(lease_yield(e));                                  /* somebody waits: it runs now, then we go on */
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(WEXITSTATUS(status), 0);
  lease_give();
  OK(folder_remove(dir, e));
}

int main(int argc, char **argv) {
  if (argc > 2) {
    struct err e;
    setenv("RETORT_RUN", argv[2], 1);
    if (lease_take(&e) != STATUS_OK) return 1;
    usleep(50000);
    lease_give();
    return 0;
  }
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_task_runs_once),
    cmocka_unit_test(waiting_is_passive),
    cmocka_unit_test(lease_is_held_by_one_process),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

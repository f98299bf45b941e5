/* SPDX-License-Identifier: Apache-2.0
 * One compute pool per process (decision 4): N-1 sleeping workers plus the caller. Passive waiting (futex through
 * pthread conditions, no spinning). Kernels split their work into a fixed number of tasks that does not depend on the
 * number of threads; a task's result must not depend on which thread runs it: that is what makes results bit-identical.
 * Calls do not nest: a pool_run inside a task runs its tasks in that thread. One caller at a time. */
#ifndef CORE_POOL_H
#define CORE_POOL_H
#include "err.h"
MUST_USE enum status pool_setup(int threads, struct err *e); /* 0 = as many as the process may use (affinity, cgroup quota) */
int pool_threads(void);                                       /* 1 before pool_setup */
/* Calls f(ctx, i, worker) for i in [0, n); tasks are handed out in order; worker in [0, pool_threads()). Returns when all ran. */
void pool_run(int n, void (*f)(void *ctx, int i, int worker), void *ctx);
void pool_close(void);

/* Machine lease: one process of this machine computes at a time (a lock file in run_folder()). Re-entrant count within
 * the process. lease_take blocks passively; lease_yield gives others a turn when somebody waits (call it between batches). */
MUST_USE enum status lease_take(struct err *e);
void lease_give(void);
MUST_USE enum status lease_yield(struct err *e);
/* RETORT_RUN, else $XDG_RUNTIME_DIR/retort, else /tmp/retort-UID (mode 0700, checked). Static string. */
const char *run_folder(struct err *e);
#endif

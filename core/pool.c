/* SPDX-License-Identifier: Apache-2.0
 * The compute pool (decision 4). Workers sleep on a condition; a run publishes (function, count) under the lock and all
 * threads take task numbers from one atomic counter. A worker that wakes after the last task was taken is not waited for, so
 * a busy machine never holds up a run; before they sleep both sides look again for SPIN_NS, because a model runs hundreds of
 * short runs a token and a futex wake takes 40 us. */
#include "pool.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>
#include "file.h"
#include "mem.h"

#define POOL_MOST 256
static struct {
  pthread_mutex_t lock;
  pthread_cond_t wake, done;
  pthread_t thread[POOL_MOST];
  int n_threads; /* with the caller */
  atomic_ulong run_id;
  atomic_int active;  /* workers inside the present run */
  int open, quit;     /* open: workers may still join */
  void (*f)(void *, int, int);
  void *ctx;
  int n;
  atomic_int next;
} P = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER, .n_threads = 1, .run_id = 1 };
static _Thread_local int worker_id = -1; /* inside a task: this worker's number */

static void work(int self) {
  int old = worker_id;
  worker_id = self;
  for (;;) {
    int i = atomic_fetch_add_explicit(&P.next, 1, memory_order_relaxed);
    if (i >= P.n) break;
    P.f(P.ctx, i, self);
  }
  worker_id = old;
}

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

enum { SPIN_NS = 20000, SPIN_LOOKS = 32 };

/* Looks for a new run (worker) or for the last worker to leave (caller, seen = 0). */
static void spin(unsigned long seen) {
  int64_t until = now_ns() + SPIN_NS;
  do {
    for (int i = 0; i < SPIN_LOOKS; i++) {
      if (seen ? atomic_load_explicit(&P.run_id, memory_order_relaxed) != seen : atomic_load_explicit(&P.active, memory_order_relaxed) == 0) return;
      relax();
    }
  } while (now_ns() < until);
}

static void *worker_main(void *arg) {
  int self = (int)(intptr_t)arg;
  unsigned long seen = 1;
  pthread_mutex_lock(&P.lock);
  for (;;) {
    if (!P.quit && !(P.open && atomic_load(&P.run_id) != seen)) {
      seen = atomic_load(&P.run_id); /* a run that is closed is a run that is over */
      pthread_mutex_unlock(&P.lock);
      spin(seen);
      pthread_mutex_lock(&P.lock);
      while (!P.quit && !(P.open && atomic_load(&P.run_id) != seen)) pthread_cond_wait(&P.wake, &P.lock);
    }
    if (P.quit) break;
    seen = atomic_load(&P.run_id);
    atomic_fetch_add(&P.active, 1);
    pthread_mutex_unlock(&P.lock);
    work(self);
    pthread_mutex_lock(&P.lock);
    if (atomic_fetch_sub(&P.active, 1) == 1) pthread_cond_signal(&P.done);
  }
  pthread_mutex_unlock(&P.lock);
  return NULL;
}

/* CPUs this process may use: affinity mask, lowered by a cgroup v2 quota. */
static int usable_cpus(void) {
  cpu_set_t set;
  int n = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
  FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
  if (f != NULL) {
    long quota = 0, period = 0;
    if (fscanf(f, "%ld %ld", &quota, &period) == 2 && quota > 0 && period > 0) {
      int limit = (int)((quota + period - 1) / period);
      if (limit >= 1 && limit < n) n = limit;
    }
    fclose(f);
  }
  return n < 1 ? 1 : n;
}

enum status pool_setup(int threads, struct err *e) {
  if (threads <= 0) threads = usable_cpus();
  if (threads > POOL_MOST) threads = POOL_MOST;
  if (threads == P.n_threads) return STATUS_OK;
  pool_close();
  P.quit = 0;
  P.n_threads = threads;
  for (int i = 1; i < threads; i++) {
    int rc = pthread_create(&P.thread[i], NULL, worker_main, (void *)(intptr_t)i);
    if (rc != 0) {
      P.n_threads = i;
      return err_set(e, STATUS_NOMEM, "thread %d of %d cannot be started; try --threads %d", i + 1, threads, i);
    }
  }
  return STATUS_OK;
}

int pool_threads(void) { return P.n_threads; }

void pool_run(int n, void (*f)(void *ctx, int i, int worker), void *ctx) {
  if (worker_id >= 0 || P.n_threads == 1 || n <= 1) {
    int self = worker_id >= 0 ? worker_id : 0, old = worker_id;
    worker_id = self;
    for (int i = 0; i < n; i++) f(ctx, i, self);
    worker_id = old;
    return;
  }
  pthread_mutex_lock(&P.lock);
  P.f = f, P.ctx = ctx, P.n = n;
  atomic_store(&P.next, 0);
  P.open = 1;
  atomic_fetch_add(&P.run_id, 1);
  pthread_cond_broadcast(&P.wake);
  pthread_mutex_unlock(&P.lock);
  work(0);
  pthread_mutex_lock(&P.lock);
  P.open = 0;
  if (atomic_load(&P.active) > 0) {
    pthread_mutex_unlock(&P.lock);
    spin(0);
    pthread_mutex_lock(&P.lock);
  }
  while (atomic_load(&P.active) > 0) pthread_cond_wait(&P.done, &P.lock);
  pthread_mutex_unlock(&P.lock);
}

void pool_close(void) {
  if (P.n_threads == 1) return;
  pthread_mutex_lock(&P.lock);
  P.quit = 1;
  pthread_cond_broadcast(&P.wake);
  pthread_mutex_unlock(&P.lock);
  for (int i = 1; i < P.n_threads; i++) pthread_join(P.thread[i], NULL);
  P.n_threads = 1;
}

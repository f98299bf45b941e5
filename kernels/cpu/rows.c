/* SPDX-License-Identifier: Apache-2.0
 * How loops over rows and elements are cut into tasks of the pool: by sizes alone, so that the cut (and with it every
 * order of summation) is the same for any number of threads. */
#include "cpu.h"
#include "pool.h"

struct range_job {
  cpu_range f;
  void *ctx;
  int64_t n, chunk;
};

static void range_task(void *ctx, int i, int worker) {
  const struct range_job *j = ctx;
  int64_t begin = i * j->chunk;
  (void)worker;
  j->f(j->ctx, begin, cpu_min(begin + j->chunk, j->n));
}

void cpu_for(int64_t n, int64_t chunk, cpu_range f, void *ctx) {
  struct range_job j = {f, ctx, n, chunk};
  if (n <= 0) {
    return;
  }
  if (n <= chunk) {
    f(ctx, 0, n); /* one task: not worth waking anybody */
    return;
  }
  while ((n - 1) / j.chunk >= 1 << 20) {
    j.chunk *= 2; /* the pool counts tasks in an int */
  }
  pool_run((int)((n + j.chunk - 1) / j.chunk), range_task, &j);
}

int64_t cpu_row_chunk(int64_t width) {
  int64_t rows = 16384 / (width > 0 ? width : 1);
  return rows > 0 ? rows : 1;
}

struct rows_job {
  void (*f)(void *ctx, int64_t row, int worker);
  void *ctx;
  int64_t n, chunk;
};

static void rows_task(void *ctx, int i, int worker) {
  const struct rows_job *j = ctx;
  int64_t end = cpu_min((i + 1) * j->chunk, j->n);
  for (int64_t row = i * j->chunk; row < end; row++) {
    j->f(j->ctx, row, worker);
  }
}

void cpu_rows(KDEV, int64_t n, void (*f)(void *ctx, int64_t row, int worker), void *ctx) {
  struct rows_job j = {f, ctx, n, 1 + (n >> 16)};
  if (n > 0) {
    pool_run((int)((n + j.chunk - 1) / j.chunk), rows_task, &j);
  }
}

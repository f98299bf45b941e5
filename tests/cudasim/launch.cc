// SPDX-License-Identifier: Apache-2.0
// Launches: what is wrong with them before they run, and a grid's blocks in random order.
#include <stdlib.h>
#include <string.h>

#include "sim.h"

namespace cudasim {

bool checking = true;

struct launch {
  struct cudasim_launch_info info; // arguments follow
};

static uint64_t gcd(uint64_t a, uint64_t b) { return b ? gcd(b, a % b) : a; }

static void run_launch(void *data) {
  struct cudasim_launch_info *i = &((struct launch *)data)->info;
  i->arguments = (char *)data + sizeof(struct launch);
  uint64_t n = (uint64_t)i->grid.x * i->grid.y * i->grid.z, step, at;
  the_run.info = i;
  the_run.rng = random_seeded(settings_get().seed, running->id);
  step = n > 2 ? random_next(&the_run.rng) % n : 1; // block k runs as number (at + k * step) mod n
  while (gcd(step, n) != 1) {
    step = step % n + 1;
  }
  at = random_next(&the_run.rng) % n;
  *(struct uint3 *)(void *)&gridDim = {i->grid.x, i->grid.y, i->grid.z};
  for (uint64_t k = 0; k < n; k++, at = (at + step) % n) {
    struct uint3 id = {(unsigned)(at % i->grid.x), (unsigned)(at / i->grid.x % i->grid.y), (unsigned)(at / i->grid.x / i->grid.y)};
    shared_begin(i->function, i->shared_bytes);
    block_run(id, k);
  }
  the_run.info = NULL;
}

} // namespace cudasim

using namespace cudasim;

cudaError_t cudasim_enqueue(const struct cudasim_launch_info *i) {
  api_lock lock;
  if (cudaError_t e = may_fail()) {
    cudaGetLastError();
    return e;
  }
  if (i->grid.x == 0 || i->grid.y == 0 || i->grid.z == 0) {
    return cudaSuccess;
  }
  const dim3 *b = &i->block;
  uint64_t threads = (uint64_t)b->x * b->y * b->z;
  if (threads == 0 || threads > 1024 || b->z > 64 || i->grid.x > 0x7fffffffu || i->grid.y > 65535 || i->grid.z > 65535 || i->shared_bytes > MAX_SHARED ||
      i->argument_bytes > 4096) {
    return cudaErrorInvalidConfiguration;
  }
  checking &= i->checked != 0;
  size_t bytes = sizeof(struct launch) + i->argument_bytes;
  char *data = (char *)malloc(bytes);
  memcpy(data, i, sizeof *i);
  memcpy(data + sizeof(struct launch), i->arguments, i->argument_bytes);
  struct work w = {i->kernel, i->file, i->line, false, run_launch, data, bytes, NULL, 0};
  cudaError_t e = enqueue(i->stream, &w);
  free(data);
  return e;
}

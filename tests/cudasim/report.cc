// SPDX-License-Identifier: Apache-2.0
// Settings from the environment, random numbers, the lock, and the end of a program that broke CUDA's rules.
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim.h"

namespace cudasim {

static const char *const fault_name[] = {"race",
                                         "out of bounds",
                                         "uninitialised",
                                         "misaligned",
                                         "barrier divergence",
                                         "invalid mask",
                                         "host pointer on the device",
                                         "device pointer on the host",
                                         "overflow",
                                         "endless",
                                         "invalid free",
                                         "usage"};

static uint64_t number(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

const struct settings &settings_get() {
  static struct settings s;
  static bool known;
  if (!known) {
    const char *order = getenv("RETORT_CUDASIM_ORDER");
    s.seed = number("RETORT_CUDASIM_SEED", 1);
    s.order = order && strcmp(order, "eager") == 0 ? 0 : order && strcmp(order, "lazy") == 0 ? 1 : 2;
    s.devices = (int)number("RETORT_CUDASIM_DEVICES", 1);
    s.devices = s.devices > 4 ? 4 : s.devices;
    s.mem_bytes = number("RETORT_CUDASIM_MEM", (uint64_t)4 << 30);
    s.max_steps = number("RETORT_CUDASIM_STEPS", (uint64_t)1 << 26);
    s.fail_at = (long)number("RETORT_CUDASIM_FAIL", 0);
    s.ulp = number("RETORT_CUDASIM_ULP", 0) != 0;
    s.wide = number("RETORT_CUDASIM_WIDE", 0) != 0;
    known = true;
  }
  return s;
}

uint64_t random_next(struct random *r) {
  r->s ^= r->s >> 12;
  r->s ^= r->s << 25;
  r->s ^= r->s >> 27;
  return r->s * 0x2545f4914f6cdd1dull;
}

struct random random_seeded(uint64_t a, uint64_t b) {
  uint64_t x = a * 0x9e3779b97f4a7c15ull + b * 0xbf58476d1ce4e5b9ull + 0x94d049bb133111ebull;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ x >> 27) * 0x94d049bb133111ebull;
  x ^= x >> 31;
  struct random r = {x ? x : 1};
  return r;
}

static pthread_mutex_t mutex;
static pthread_once_t mutex_once = PTHREAD_ONCE_INIT;

static void mutex_setup() {
  pthread_mutexattr_t a;
  pthread_mutexattr_init(&a);
  pthread_mutexattr_settype(&a, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&mutex, &a);
}

api_lock::api_lock() {
  pthread_once(&mutex_once, mutex_setup);
  pthread_mutex_lock(&mutex);
  memory_setup();
}

api_lock::~api_lock() { pthread_mutex_unlock(&mutex); }

std::string source_line(const void *pc) {
  Dl_info info;
  char text[1024], command[4096];
  if (!pc || !dladdr(pc, &info) || !info.dli_fname) {
    return "";
  }
  unsigned long off = (unsigned long)((const char *)pc - (const char *)info.dli_fbase) - 1;
  snprintf(text, sizeof text, "%s+0x%lx", info.dli_fname, off);
  std::string where = text;
  snprintf(command, sizeof command, "addr2line -e '%s' 0x%lx 2>/dev/null", info.dli_fname, off);
  FILE *p = popen(command, "r");
  if (p) {
    if (fgets(text, sizeof text, p) && text[0] != '?') {
      text[strcspn(text, "\n")] = 0;
      const char *slash = strrchr(text, '/');
      where = slash ? slash + 1 : text;
    }
    pclose(p);
  }
  return where;
}

void fault_at(enum fault what, const void *pc, const char *format, ...) {
  static bool again;
  va_list ap;
  if (again) {
    _exit(EXIT_FAULT);
  }
  again = true;
  fflush(stdout);
  fprintf(stderr, "cudasim: %s: ", fault_name[what]);
  va_start(ap, format);
  vfprintf(stderr, format, ap);
  va_end(ap);
  fputc('\n', stderr);
  std::string line = source_line(pc);
  if (!line.empty()) {
    fprintf(stderr, "cudasim:   at %s\n", line.c_str());
  }
  const struct thread *t = self;
  if (t && the_run.info) {
    const struct block *b = &the_block;
    const dim3 *g = &the_run.info->grid, *d = &the_run.info->block;
    fprintf(stderr, "cudasim:   in kernel %s, block (%u,%u,%u) of (%u,%u,%u), thread (%u,%u,%u) of (%u,%u,%u)\n", the_run.info->kernel, b->id.x, b->id.y,
            b->id.z, g->x, g->y, g->z, t->id.x, t->id.y, t->id.z, d->x, d->y, d->z);
  }
  if (running) {
    fprintf(stderr, "cudasim:   queued at %s:%d (%s)\n", running->file ? running->file : "?", running->line, running->what);
  }
  fprintf(stderr, "cudasim:   repeat with RETORT_CUDASIM_SEED=%llu\n", (unsigned long long)settings_get().seed);
  fflush(stderr);
  _exit(EXIT_FAULT);
}

} // namespace cudasim

// SPDX-License-Identifier: Apache-2.0
// Device memory: one range of addresses that the host cannot touch while it runs, opened while device work runs. Allocations
// never get an old one's addresses, so that a freed pointer stays wrong. Pinned host memory is noted.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <map>
#include <vector>

#include "sim.h"

namespace cudasim {

uintptr_t arena_base;
size_t arena_bytes;
uint32_t *arena_index;
static size_t arena_used;
static size_t used_bytes[8];
static std::vector<struct alloc *> allocs;
static std::map<uintptr_t, struct pinned> pins;
static int open_depth;
static struct sigaction old_segv, old_bus;

static void *reserve(size_t bytes, int prot) {
  void *p = mmap(NULL, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    fault_at(FAULT_USAGE, NULL, "no address space for the device's memory (%zu bytes)", bytes);
  }
  return p;
}

static void on_fault(int sig, siginfo_t *info, void *) {
  const void *p = info->si_addr;
  if (self && on_device(p)) {
    fault_at(FAULT_BOUNDS, NULL, "the kernel touched %s", where_is(p).c_str());
  }
  if (self) {
    fault_at(FAULT_HOST_POINTER, NULL, "the kernel touched the address %p, which is no memory of the device", p);
  }
  if (on_device(p) && arena_base) {
    fault_at(FAULT_DEVICE_POINTER, NULL, "code of the host touched %s", where_is(p).c_str());
  }
  sigaction(sig, sig == SIGSEGV ? &old_segv : &old_bus, NULL); // not ours: comes again, to the old handler
}

void memory_setup() {
  if (arena_base) {
    return;
  }
  arena_bytes = (size_t)32 << 30;
  arena_base = (uintptr_t)reserve(arena_bytes, PROT_NONE);
  arena_index = (uint32_t *)reserve(arena_bytes / ALLOC_GRAIN * sizeof *arena_index, PROT_READ | PROT_WRITE);
  allocs.push_back(NULL);
  stack_t alt;
  memset(&alt, 0, sizeof alt);
  alt.ss_size = 256 * 1024;
  alt.ss_sp = malloc(alt.ss_size);
  sigaltstack(&alt, NULL);
  struct sigaction a;
  memset(&a, 0, sizeof a);
  a.sa_sigaction = on_fault;
  a.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &a, &old_segv);
  sigaction(SIGBUS, &a, &old_bus);
}

static void protect(int prot) {
  if (arena_used && mprotect((void *)arena_base, arena_used, prot) != 0) {
    fault_at(FAULT_USAGE, NULL, "mprotect of the device's memory failed");
  }
}

void device_open() {
  if (open_depth++ == 0) {
    protect(PROT_READ | PROT_WRITE);
  }
}

void device_close() {
  if (--open_depth == 0) {
    protect(PROT_NONE);
  }
}

static size_t grains(size_t bytes) { return (bytes + ALLOC_GRAIN - 1) / ALLOC_GRAIN; }

static void index_range(uintptr_t base, size_t bytes, uint32_t n) {
  uint32_t *at = arena_index + (base - arena_base) / ALLOC_GRAIN;
  for (size_t i = 0; i < grains(bytes); i++) {
    at[i] = n;
  }
}

struct alloc *alloc_number(uint32_t n) { return allocs[n]; }

struct alloc *alloc_find(const void *p) {
  return on_device(p) ? allocs[arena_index[((uintptr_t)p - arena_base) / ALLOC_GRAIN]] : NULL;
}

static struct alloc *alloc_add(uintptr_t base, size_t bytes, const char *name, const char *file, int line) {
  char text[512];
  struct alloc *a = new struct alloc();
  const char *slash = file ? strrchr(file, '/') : NULL;
  snprintf(text, sizeof text, "%s%s(%s:%d)", name, *name ? " " : "", slash ? slash + 1 : file ? file : "?", line);
  a->base = base;
  a->bytes = bytes;
  a->device = current_device();
  a->live = true;
  a->name = text;
  shadow_new(&a->sh, bytes);
  allocs.push_back(a);
  index_range(base, bytes, (uint32_t)allocs.size() - 1);
  return a;
}

static const unsigned char junk = 0xff; // NaN in every floating type, -1 in every integer

cudaError_t memory_new(void **p, size_t bytes, const char *file, int line) {
  int d = current_device();
  *p = NULL;
  if (bytes == 0) {
    return cudaSuccess;
  }
  size_t room = (bytes + 255) / 256 * 256 + 256; // at least 256 bytes of no man's land behind
  if (bytes > settings_get().mem_bytes - used_bytes[d] || arena_used + room > arena_bytes) {
    return cudaErrorMemoryAllocation;
  }
  uintptr_t base = arena_base + arena_used + (arena_used ? 0 : 256);
  arena_used = base - arena_base + room;
  used_bytes[d] += bytes;
  alloc_add(base, bytes, "", file, line);
  if (open_depth) {
    protect(PROT_READ | PROT_WRITE);
  }
  device_open();
  size_t ends = (size_t)8 << 20; // all of it, or both ends of a big one
  memset((void *)base, junk, bytes < 2 * ends ? bytes : ends);
  memset((void *)(base + bytes - (bytes < ends ? bytes : ends)), junk, bytes < ends ? bytes : ends);
  device_close();
  *p = (void *)base;
  return cudaSuccess;
}

static void forget(struct alloc *a) {
  a->live = false;
  shadow_free(&a->sh, a->bytes);
}

cudaError_t memory_delete(void *p) {
  struct alloc *a = alloc_find(p), *whole = NULL;
  if (!p) {
    return cudaSuccess;
  }
  if (a && !a->region) {
    whole = a;
  }
  for (size_t i = 1; !whole && i < allocs.size(); i++) { // hidden under its regions
    struct alloc *o = allocs[i];
    if (o->live && !o->region && (uintptr_t)p >= o->base && (uintptr_t)p < o->base + o->bytes) {
      whole = o;
    }
  }
  if (!whole || whole->base != (uintptr_t)p) {
    fault_at(FAULT_FREE, NULL, "cudaFree of %s", a || whole ? where_is(p).c_str() : on_device(p) ? "memory that is free already" : "memory that cudaMalloc did not give");
  }
  for (size_t i = 1; whole->cut && i < allocs.size(); i++) {
    struct alloc *o = allocs[i];
    if (o != whole && o->live && o->base >= whole->base && o->base < whole->base + whole->bytes) {
      forget(o);
    }
  }
  index_range(whole->base, whole->bytes, 0);
  used_bytes[whole->device] -= whole->bytes;
  madvise((void *)whole->base, whole->bytes / 4096 * 4096, MADV_DONTNEED);
  forget(whole);
  return cudaSuccess;
}

void memory_clear_stamps() {
  for (size_t i = 1; i < allocs.size(); i++) {
    struct alloc *a = allocs[i];
    if (a->live) {
      madvise(a->sh.cells, (a->bytes >> a->sh.shift) * sizeof(struct cell) / 4096 * 4096, MADV_DONTNEED);
      size_t done = (a->bytes >> a->sh.shift) * sizeof(struct cell) / 4096 * 4096;
      memset((char *)a->sh.cells + done, 0, ((a->bytes >> a->sh.shift) + 1) * sizeof(struct cell) - done);
    }
  }
}

const struct pinned *pinned_find(const void *p, size_t bytes) {
  auto it = pins.upper_bound((uintptr_t)p);
  if (it == pins.begin()) {
    return NULL;
  }
  const struct pinned *n = &(--it)->second;
  return (uintptr_t)p + bytes <= n->base + n->bytes ? n : NULL;
}

std::string where_is(const void *p) {
  char text[512];
  uintptr_t at = (uintptr_t)p;
  if (!on_device(p)) {
    const struct pinned *n = pinned_find(p, 1);
    snprintf(text, sizeof text, n ? "pinned memory of the host (%p)" : "memory of the host (%p)", p);
    return text;
  }
  const struct alloc *a = alloc_find(p), *near = NULL;
  if (a && at < a->base + a->bytes) {
    snprintf(text, sizeof text, "byte %zu of device memory of %zu bytes, %s", (size_t)(at - a->base), a->bytes, a->name.c_str());
    return text;
  }
  for (size_t i = 1; i < allocs.size(); i++) {
    const struct alloc *o = allocs[i];
    if (o->base <= at && (!near || o->base >= near->base)) {
      near = o;
    }
  }
  if (!near) {
    snprintf(text, sizeof text, "%p before all device memory", p);
  } else if (!near->live) {
    snprintf(text, sizeof text, "device memory that was freed, %s", near->name.c_str());
  } else {
    snprintf(text, sizeof text, "%zu bytes behind device memory of %zu bytes, %s", (size_t)(at - near->base - near->bytes), near->bytes, near->name.c_str());
  }
  return text;
}

} // namespace cudasim

using namespace cudasim;

void cudasim_region(void *p, size_t bytes, const char *name, const char *file, int line) {
  api_lock lock;
  uintptr_t at = (uintptr_t)p;
  struct alloc *whole = NULL;
  if (bytes == 0) {
    return;
  }
  drain_all(); // what is queued was meant for the old cut
  for (size_t i = 1; i < allocs.size(); i++) {
    struct alloc *o = allocs[i];
    if (o->live && !o->region && at >= o->base && at + bytes <= o->base + o->bytes) {
      whole = o;
    }
  }
  if (!whole || at % ALLOC_GRAIN) {
    fault_at(FAULT_USAGE, __builtin_return_address(0), "CUDA_REGION %s: %s", name, whole ? "regions start at multiples of 64 bytes" : "not inside of one allocation");
  }
  for (size_t i = 1; i < allocs.size(); i++) {
    struct alloc *o = allocs[i];
    if (o->live && o->region && o->base < at + bytes && at < o->base + o->bytes) {
      index_range(o->base, o->bytes, 0);
      forget(o);
    }
  }
  struct alloc *whole_at = alloc_find(p);
  if (whole_at == whole) { // the first region of this allocation: from now on only its regions can be touched
    index_range(whole->base, whole->bytes, 0);
    whole->cut = true;
  }
  alloc_add(at, bytes, name, file, line)->region = true;
}

extern "C" cudaError_t cudaHostRegister(void *p, size_t bytes, unsigned flags) {
  api_lock lock;
  if (cudaError_t e = may_fail()) {
    return e;
  }
  if (!p || !bytes) {
    last_error(cudaErrorInvalidValue);
    return cudaErrorInvalidValue;
  }
  if (pinned_find(p, 1)) {
    last_error(cudaErrorHostMemoryAlreadyRegistered);
    return cudaErrorHostMemoryAlreadyRegistered;
  }
  pins[(uintptr_t)p] = {(uintptr_t)p, bytes, (flags & cudaHostRegisterMapped) != 0, false};
  return cudaSuccess;
}

extern "C" cudaError_t cudaHostUnregister(void *p) {
  api_lock lock;
  drain_all();
  auto it = pins.find((uintptr_t)p);
  if (it == pins.end() || it->second.own) {
    last_error(cudaErrorHostMemoryNotRegistered);
    return cudaErrorHostMemoryNotRegistered;
  }
  pins.erase(it);
  return cudaSuccess;
}

cudaError_t cudasim_host_alloc(void **p, size_t bytes, unsigned flags) {
  api_lock lock;
  if (cudaError_t e = may_fail()) {
    return e;
  }
  *p = NULL;
  if (bytes == 0) {
    return cudaSuccess;
  }
  if (posix_memalign(p, 4096, bytes) != 0) {
    last_error(cudaErrorMemoryAllocation);
    return cudaErrorMemoryAllocation;
  }
  memset(*p, junk, bytes);
  pins[(uintptr_t)*p] = {(uintptr_t)*p, bytes, (flags & cudaHostAllocMapped) != 0, true};
  return cudaSuccess;
}

extern "C" cudaError_t cudaFreeHost(void *p) {
  api_lock lock;
  if (!p) {
    return cudaSuccess;
  }
  drain_all();
  auto it = pins.find((uintptr_t)p);
  if (it == pins.end() || !it->second.own) {
    fault_at(FAULT_FREE, __builtin_return_address(0), "cudaFreeHost of memory that cudaHostAlloc did not give");
  }
  pins.erase(it);
  free(p);
  return cudaSuccess;
}

extern "C" cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes) {
  api_lock lock;
  if (cudaError_t e = may_fail()) {
    return e;
  }
  *total_bytes = settings_get().mem_bytes;
  *free_bytes = *total_bytes - used_bytes[current_device()];
  return cudaSuccess;
}

extern "C" cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *p) {
  api_lock lock;
  memset(attributes, 0, sizeof *attributes);
  attributes->device = current_device();
  if (const struct alloc *a = alloc_find(p)) {
    attributes->type = cudaMemoryTypeDevice;
    attributes->device = a->device;
    attributes->devicePointer = (void *)p;
  } else if (const struct pinned *n = pinned_find(p, 1)) {
    attributes->type = cudaMemoryTypeHost;
    attributes->hostPointer = (void *)p;
    attributes->devicePointer = n->mapped ? (void *)p : NULL;
  }
  return cudaSuccess;
}

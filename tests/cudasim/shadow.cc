// SPDX-License-Identifier: Apache-2.0
// What every access is checked against: bounds of the memory it may touch, bytes that were written before they are read, and
// races. A granule of memory remembers its last write and two last readers as stamps (operation, block, thread, count of that
// thread's synchronisations). Two accesses of which one writes are a race unless one is ordered before the other: by a barrier
// of the block, by __syncwarp between the two lanes, by a stream or event between operations. Two atomics are no race. Two
// readers are enough: of those not ordered before a write at least one belongs to another thread.
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <vector>

#include "sim.h"

namespace cudasim {

unsigned char *dynamic_shared;
size_t dynamic_shared_bytes;
enum { CHUNK = 1024 };
// Shared memory of the running block: the launch's dynamic part, or the static part of the module that holds the kernel.
struct space {
  uintptr_t base;
  size_t bytes, room;
  struct shadow sh;
  uint8_t *touched;      // chunks touched by this block
  std::vector<uint32_t> list;
};
static struct space dynamic_space, static_space;
struct range { uintptr_t base, end; };
static std::vector<struct range> read_only; // of the running kernel's module
static const void *module_of;

void shadow_new(struct shadow *s, size_t bytes) {
  s->shift = 2;
  s->cells = (struct cell *)mmap(NULL, ((bytes >> s->shift) + 2) * sizeof(struct cell), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  s->init = (uint8_t *)calloc(bytes / 8 + 8, 1);
  if (s->cells == MAP_FAILED || !s->init) {
    fault_at(FAULT_USAGE, NULL, "no memory for the shadow of %zu bytes", bytes);
  }
}

void shadow_free(struct shadow *s, size_t bytes) {
  if (s->cells) {
    munmap(s->cells, ((bytes >> s->shift) + 2) * sizeof(struct cell));
  }
  free(s->init);
  s->cells = NULL;
  s->init = NULL;
}

// From here on a granule is 1 << shift bytes: somebody touched less than a whole one.
static void refine(struct shadow *s, size_t bytes, unsigned shift) {
  struct shadow fine = {NULL, s->init, shift};
  size_t n = (bytes >> s->shift) + 1;
  fine.cells = (struct cell *)mmap(NULL, ((bytes >> shift) + 2) * sizeof(struct cell), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (fine.cells == MAP_FAILED) {
    fault_at(FAULT_USAGE, NULL, "no memory for the shadow of %zu bytes", bytes);
  }
  size_t each = (size_t)1 << (s->shift - shift), room = (bytes >> shift) + 1;
  for (size_t i = 0; i < n; i++) {
    const struct cell *c = &s->cells[i];
    if (c->w | c->r[0] | c->r[1]) {
      for (size_t j = i * each; j < (i + 1) * each && j < room; j++) {
        fine.cells[j] = *c;
      }
    }
  }
  munmap(s->cells, ((bytes >> s->shift) + 2) * sizeof(struct cell));
  *s = fine;
}

static bool initialised(const struct shadow *s, size_t off, size_t n) {
  for (; n && (off & 7); off++, n--) {
    if (!(s->init[off >> 3] >> (off & 7) & 1)) {
      return false;
    }
  }
  for (; n >= 8; off += 8, n -= 8) {
    if (s->init[off >> 3] != 0xff) {
      return false;
    }
  }
  return n == 0 || (s->init[off >> 3] & ((1u << n) - 1)) == (1u << n) - 1;
}

static void set_initialised(struct shadow *s, size_t off, size_t n) {
  for (; n && (off & 7); off++, n--) {
    s->init[off >> 3] |= (uint8_t)(1u << (off & 7));
  }
  memset(s->init + (off >> 3), 0xff, n / 8);
  if (n % 8) {
    s->init[(off + n) >> 3] |= (uint8_t)((1u << (n % 8)) - 1);
  }
}

// Is `old` not ordered before `now`, an access of the running operation?
template <bool SHARED> static inline bool concurrent(uint64_t old, uint64_t now) {
  uint64_t x = old ^ now;
  if (!old || !(x >> 20) || (old & now & ATOMIC) || (SHARED && x >> 30)) { // shared memory: another block's is not the same memory
    return false;
  }
  if (x >> 44) {
    return !op_before((uint32_t)(old >> 44), running);
  }
  if (x >> 30) {
    return true; // blocks of a launch are never ordered
  }
  uint32_t other = (uint32_t)(old >> 20) & 1023, when = (uint32_t)(old >> 2) & 0x3ffff;
  if (when < the_block.t[other].bar) {
    return false;
  }
  const struct warp *w = &the_block.w[self->warp];
  return !(other / 32 == self->warp && w->ordered && when < w->vc[self->lane][other % 32]);
}

[[noreturn]] static void race(const void *p, size_t bytes, unsigned flags, const void *pc, uint64_t old, bool old_writes, const char *where) {
  uint64_t now = self ? self->stamp : 0;
  char text[256];
  const char *kind = old & ATOMIC ? "atomic update" : old_writes ? "write" : "read";
  if (!self || (old ^ now) >> 44) {
    snprintf(text, sizeof text, "the %s by %s, which no stream order and no event separates from this", kind, op_describe((uint32_t)(old >> 44)).c_str());
  } else if ((old ^ now) >> 30) {
    snprintf(text, sizeof text, "the %s by thread %u of another block", kind, (uint32_t)(old >> 20) & 1023);
  } else {
    snprintf(text, sizeof text, "the %s by thread %u of the same block, with no barrier between", kind, (uint32_t)(old >> 20) & 1023);
  }
  fault_at(FAULT_RACE, pc, "%s of %zu bytes at %s collides with %s", flags & ATOMIC ? "atomic update" : flags & WRITE ? "write" : "read", bytes,
           where ? where : where_is(p).c_str(), text);
}

template <bool SHARED>
static inline void check_cells(struct shadow *s, size_t size, const void *p, size_t off, size_t bytes, unsigned flags, const void *pc, const char *where) {
  unsigned low = (unsigned)(off | bytes);
  if (low & ((1u << s->shift) - 1)) {
    refine(s, size, low & 1 ? 0 : 1);
  }
  if (flags != WRITE && !initialised(s, off, bytes)) {
    fault_at(FAULT_UNINIT, pc, "read of %zu bytes at %s, which nobody wrote", bytes, where ? where : where_is(p).c_str());
  }
  if (flags) {
    set_initialised(s, off, bytes);
  }
  uint64_t now = self->stamp | (flags & ATOMIC);
  struct cell *c = s->cells + (off >> s->shift);
  for (size_t n = bytes >> s->shift; n; n--, c++) {
    if (concurrent<SHARED>(c->w, now)) {
      race(p, bytes, flags, pc, c->w, true, where);
    }
    if (!flags) {
      uint64_t *r = c->r;
      int i = !((r[1] ^ now) >> 20) ? 1 : !((r[0] ^ now) >> 20) || !concurrent<SHARED>(r[0], now) ? 0 : 1;
      r[i] = now;
      continue;
    }
    for (int i = 0; i < 2; i++) {
      if (concurrent<SHARED>(c->r[i], now)) {
        race(p, bytes, flags, pc, c->r[i], false, where);
      }
      c->r[i] = 0;
    }
    c->w = now;
  }
}

static void check_space(struct space *s, const void *p, size_t bytes, unsigned flags, const void *pc, const char *name) {
  char where[128];
  size_t off = (uintptr_t)p - s->base;
  snprintf(where, sizeof where, "byte %zu of %zu bytes of %s shared memory", off, s->bytes, name);
  if (off + bytes > s->bytes) {
    fault_at(FAULT_BOUNDS, pc, "%s of %zu bytes at %s", flags ? "write" : "read", bytes, where);
  }
  if (!s->touched[off / CHUNK]) {
    s->touched[off / CHUNK] = 1;
    s->list.push_back((uint32_t)(off / CHUNK));
  }
  check_cells<true>(&s->sh, s->bytes, p, off, bytes, flags, pc, where);
}

static int find_module(struct dl_phdr_info *info, size_t, void *data) {
  uintptr_t f = (uintptr_t)data;
  bool mine = false;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *h = &info->dlpi_phdr[i];
    mine |= h->p_type == PT_LOAD && f - (info->dlpi_addr + h->p_vaddr) < h->p_memsz;
  }
  if (!mine) {
    return 0;
  }
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *h = &info->dlpi_phdr[i];
    if (h->p_type == PT_LOAD && !(h->p_flags & PF_W)) {
      read_only.push_back({info->dlpi_addr + h->p_vaddr, info->dlpi_addr + h->p_vaddr + h->p_memsz});
    } else if (h->p_type == PT_GNU_RELRO) {
      read_only.push_back({info->dlpi_addr + h->p_vaddr, info->dlpi_addr + h->p_vaddr + h->p_memsz});
    } else if (h->p_type == PT_TLS && info->dlpi_tls_data && (uintptr_t)info->dlpi_tls_data != static_space.base) {
      struct space *s = &static_space;
      if (s->sh.cells) {
        shadow_free(&s->sh, s->bytes);
        free(s->touched);
      }
      s->base = (uintptr_t)info->dlpi_tls_data;
      s->bytes = h->p_memsz;
      s->list.clear();
      s->touched = (uint8_t *)calloc(s->bytes / CHUNK + 1, 1);
      shadow_new(&s->sh, s->bytes);
    }
  }
  return 1;
}

static void space_reset(struct space *s) {
  for (uint32_t c : s->list) {
    size_t at = (size_t)c * CHUNK, n = s->bytes - at < CHUNK ? s->bytes - at : (size_t)CHUNK;
    memset(s->sh.init + at / 8, 0, (n + 7) / 8);
    memset((void *)(s->base + at), 0xff, n);
    s->touched[c] = 0;
  }
  s->list.clear();
}

void shared_begin(const void *function, size_t bytes) {
  struct space *d = &dynamic_space;
  if (function != module_of) {
    read_only.clear();
    dl_iterate_phdr(find_module, (void *)function);
    module_of = function;
  }
  if (!d->base) {
    d->room = MAX_SHARED + 65536;
    d->base = (uintptr_t)mmap(NULL, d->room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    d->touched = (uint8_t *)calloc(MAX_SHARED / CHUNK + 1, 1);
    shadow_new(&d->sh, MAX_SHARED);
    memset((void *)d->base, 0xff, MAX_SHARED);
    dynamic_shared = (unsigned char *)d->base;
  }
  d->bytes = MAX_SHARED; // the last block's chunks may lie behind this launch's end
  space_reset(d);
  d->bytes = dynamic_shared_bytes = bytes;
  space_reset(&static_space);
}

// Neither the stack, nor device memory, nor known shared memory.
static void check_other(const void *p, size_t bytes, unsigned flags, const void *pc) {
  uintptr_t at = (uintptr_t)p;
  const struct cudasim_launch_info *i = the_run.info;
  if (at - (uintptr_t)i->arguments < i->argument_bytes || at - (uintptr_t)i < sizeof *i) {
    return;
  }
  if (!flags) {
    for (const struct range &r : read_only) {
      if (at - r.base < r.end - r.base) {
        return;
      }
    }
  }
  uintptr_t before = static_space.base;
  read_only.clear();
  dl_iterate_phdr(find_module, (void *)module_of); // the module's static shared memory appears when it is first touched
  if (static_space.base != before && at - static_space.base < static_space.bytes) {
    check_space(&static_space, p, bytes, flags, pc, "static");
    return;
  }
  const struct pinned *n = pinned_find(p, bytes);
  if (n && n->mapped) {
    return;
  }
  fault_at(FAULT_HOST_POINTER, pc, "%s of %zu bytes at %s", flags ? "write" : "read", bytes, where_is(p).c_str());
}

extern "C" char __start_cudasim_builtin[] __attribute__((visibility("hidden"))), __stop_cudasim_builtin[] __attribute__((visibility("hidden")));

void access_check(const void *p, size_t bytes, unsigned flags, const void *pc) {
  struct thread *t = self;
  uintptr_t at = (uintptr_t)p;
  if (at - t->stack < STACK_BYTES || at - (uintptr_t)__start_cudasim_builtin < (size_t)(__stop_cudasim_builtin - __start_cudasim_builtin)) {
    return;
  }
  if (++t->steps > settings_get().max_steps) {
    fault_at(FAULT_ENDLESS, pc, "a thread made %llu accesses (RETORT_CUDASIM_STEPS)", (unsigned long long)t->steps);
  }
  if (at - arena_base < arena_bytes) {
    uint32_t n = arena_index[(at - arena_base) / ALLOC_GRAIN];
    struct alloc *a = n ? alloc_number(n) : NULL;
    if (!a || at + bytes > a->base + a->bytes) {
      fault_at(FAULT_BOUNDS, pc, "%s of %zu bytes at %s", flags ? "write" : "read", bytes, where_is(a ? (const void *)(at + bytes - 1) : p).c_str());
    }
    if (a->device != (int)running->device) {
      fault_at(FAULT_DEVICE_POINTER, pc, "a kernel of device %u touched memory of device %d: %s", running->device, a->device, where_is(p).c_str());
    }
    check_cells<false>(&a->sh, a->bytes, p, at - a->base, bytes, flags, pc, NULL);
  } else if (at - dynamic_space.base < dynamic_space.room) {
    check_space(&dynamic_space, p, bytes, flags, pc, "dynamic");
  } else if (at - static_space.base < static_space.bytes) {
    check_space(&static_space, p, bytes, flags, pc, "static");
  } else {
    check_other(p, bytes, flags, pc);
  }
}

void op_access(const void *p, size_t bytes, size_t pitch, size_t rows, enum op_mode mode, const char *argument) {
  bool write = mode == OP_WRITE;
  uint64_t now = stamp_of(running->id, 0, 0, 0);
  if (bytes == 0 || rows == 0) {
    return;
  }
  if (pitch == bytes) {
    bytes *= rows, rows = 1;
  }
  if (!on_device(p)) {
    fault_at(FAULT_HOST_POINTER, NULL, "%s: %s is %s", running->what, argument, where_is(p).c_str());
  }
  for (size_t row = 0; row < rows; row++) {
    uintptr_t at = (uintptr_t)p + row * pitch;
    struct alloc *a = alloc_find((const void *)at);
    if (!a || at + bytes > a->base + a->bytes) {
      fault_at(FAULT_BOUNDS, NULL, "%s: row %zu of %s (%zu bytes) ends at %s", running->what, row, argument, bytes,
               where_is((const void *)(a ? at + bytes - 1 : at)).c_str());
    }
    if (!checking) {
      continue;
    }
    size_t off = at - a->base;
    struct shadow *s = &a->sh;
    if (mode == OP_READ && !initialised(s, off, bytes)) {
      size_t i = 0;
      while (s->init[(off + i) >> 3] >> ((off + i) & 7) & 1) {
        i++;
      }
      fault_at(FAULT_UNINIT, NULL, "%s: row %zu of %s reads %s, which nobody wrote", running->what, row, argument, where_is((const void *)(at + i)).c_str());
    }
    if (write) {
      set_initialised(s, off, bytes);
    }
    if ((off | bytes) & ((1u << s->shift) - 1)) {
      refine(s, a->bytes, (off | bytes) & 1 ? 0 : 1);
    }
    struct cell *c = s->cells + (off >> s->shift);
    for (size_t n = bytes >> s->shift; n; n--, c++) {
      if (c->w && (c->w ^ now) >> 44 && !op_before((uint32_t)(c->w >> 44), running)) {
        race((const void *)at, bytes, write ? WRITE : 0, NULL, c->w, true, NULL);
      }
      for (int i = 0; write && i < 2; i++) {
        if (c->r[i] && (c->r[i] ^ now) >> 44 && !op_before((uint32_t)(c->r[i] >> 44), running)) {
          race((const void *)at, bytes, WRITE, NULL, c->r[i], false, NULL);
        }
        c->r[i] = 0;
      }
      if (write) {
        c->w = now;
      } else {
        c->r[c->r[0] && (c->r[0] ^ now) >> 44 && !op_before((uint32_t)(c->r[0] >> 44), running)] = now;
      }
    }
  }
}

void op_copy_init(void *dst, const void *src, size_t bytes) {
  struct alloc *d = alloc_find(dst), *s = alloc_find(src);
  size_t to = (uintptr_t)dst - d->base, from = (uintptr_t)src - s->base;
  for (size_t i = 0; i < bytes; i++) {
    unsigned bit = s->sh.init[(from + i) >> 3] >> ((from + i) & 7) & 1;
    uint8_t *b = &d->sh.init[(to + i) >> 3];
    *b = (uint8_t)((*b & ~(1u << ((to + i) & 7))) | bit << ((to + i) & 7));
  }
}

} // namespace cudasim

using namespace cudasim;

extern "C" void *cudasim_dynamic_shared(size_t align) {
  if (align > 16) {
    fault_at(FAULT_MISALIGNED, __builtin_return_address(0), "dynamic shared memory is aligned to 16 bytes, asked for %zu", align);
  }
  return dynamic_shared;
}

// SPDX-License-Identifier: Apache-2.0
// One block: its threads as fibres in random order, barriers of the block, and what is wrong with them.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sim.h"

// The built-in variables. The header declares them const (gcc then reads them without a hook); this is their storage.
#define BUILTIN(name) __asm__(name) __attribute__((section("cudasim_builtin")))
struct uint3 cudasim_thread_index BUILTIN("threadIdx") = {0, 0, 0};
struct uint3 cudasim_block_index BUILTIN("blockIdx") = {0, 0, 0};
struct uint3 cudasim_block_dim BUILTIN("blockDim") = {0, 0, 0};
struct uint3 cudasim_grid_dim BUILTIN("gridDim") = {0, 0, 0};

namespace cudasim {

struct block the_block;
struct kernel_run the_run;
__thread struct thread *self;
static void *main_sp;

static int nth_bit(uint32_t mask, uint32_t n) {
  while (n--) {
    mask &= mask - 1;
  }
  return __builtin_ctz(mask);
}

// A runnable thread, at random: first the warp, then the lane. A warp goes on for a while, so that its lanes meet.
static struct thread *pick() {
  struct block *b = &the_block;
  if (!b->warps_runnable) {
    return NULL;
  }
  uint64_t r = random_next(&the_run.rng);
  int w = nth_bit(b->warps_runnable, (uint32_t)(((r & 0xffff) * (uint32_t)__builtin_popcount(b->warps_runnable)) >> 16));
  if (self && (r >> 48 & 3) && (b->warps_runnable >> self->warp & 1)) {
    w = (int)self->warp;
  }
  struct warp *wp = &b->w[w];
  int lane = nth_bit(wp->runnable, (uint32_t)(((r >> 16 & 0xffff) * (uint32_t)__builtin_popcount(wp->runnable)) >> 16));
  wp->runnable &= ~(1u << lane);
  if (!wp->runnable) {
    b->warps_runnable &= ~(1u << w);
  }
  return &b->t[w * 32 + lane];
}

static void set_self(struct thread *t) {
  self = t;
  t->state = T_RUNNING;
  cudasim_thread_index = t->id;
}

static std::string count_states() {
  char text[512];
  unsigned n[6] = {0};
  const struct thread *first[6] = {0};
  for (uint32_t i = 0; i < the_block.n_threads; i++) {
    const struct thread *t = &the_block.t[i];
    if (!n[t->state]++) {
      first[t->state] = t;
    }
  }
  std::string s;
  if (n[T_BARRIER]) {
    snprintf(text, sizeof text, "%u threads wait at the barrier of %s:%d, ", n[T_BARRIER], first[T_BARRIER]->file, first[T_BARRIER]->line);
    s += text;
  }
  if (n[T_WARP]) {
    const struct thread *t = first[T_WARP];
    snprintf(text, sizeof text, "%u wait in warp operations (thread %u with mask 0x%08x at %s:%d), ", n[T_WARP], t->index, t->mask, t->file, t->line);
    s += text;
  }
  snprintf(text, sizeof text, "%u have left the kernel", n[T_DONE]);
  return s + text;
}

[[noreturn]] static void stuck() {
  bool warp = false;
  for (uint32_t i = 0; i < the_block.n_threads; i++) {
    warp |= the_block.t[i].state == T_WARP;
  }
  fault_at(warp && !the_block.at_barrier ? FAULT_MASK : FAULT_BARRIER, NULL, "nobody in the block can go on: %s", count_states().c_str());
}

static void entry();

// Goes on with t; the stack of the present fibre stays as it is.
static void go_to(void **save, struct thread *t) {
  if (t->state == T_NEW) {
    struct fibre *f = fibre_take(entry);
    f->task = t;
    t->f = f;
    t->stack = f->stack;
  }
  set_self(t);
  fibre_switch(save, t->f->sp);
}

// Every fibre's body: threads one after the other until the next to go on has a stack of its own.
static void entry() {
  struct fibre *f = self->f;
  for (;;) {
    struct thread *t = self;
    the_run.info->run(the_run.info->arguments);
    t->state = T_DONE;
    t->f = NULL;
    the_block.done++;
    the_block.w[t->warp].done |= 1u << t->lane;
    if (the_block.w[t->warp].waiting) {
      warp_lane_left(t);
    }
    if (the_block.at_barrier && the_block.at_barrier + the_block.done == the_block.n_threads) {
      fault_at(FAULT_BARRIER, NULL, "%s", count_states().c_str());
    }
    struct thread *next = pick();
    void *ignored = f->sp;
    if (!next) {
      if (the_block.done != the_block.n_threads) {
        stuck();
      }
      fibre_give(f);
      fibre_switch(&ignored, main_sp);
    } else if (next->state == T_NEW) {
      next->f = f;
      next->stack = f->stack;
      set_self(next);
    } else {
      fibre_give(f);
      go_to(&ignored, next);
    }
  }
}

void thread_wait() {
  struct thread *t = self, *next = pick();
  if (++t->steps > settings_get().max_steps) {
    fault_at(FAULT_ENDLESS, NULL, "a thread made %llu accesses and waits (RETORT_CUDASIM_STEPS)", (unsigned long long)t->steps);
  }
  if (!next) {
    stuck();
  }
  if (next != t) {
    go_to(&t->f->sp, next);
  } else {
    set_self(t);
  }
}

void block_run(struct uint3 id, uint64_t serial) {
  struct block *b = &the_block;
  const dim3 *d = &the_run.info->block;
  b->n_threads = d->x * d->y * d->z;
  b->n_warps = (b->n_threads + 31) / 32;
  b->done = b->at_barrier = 0;
  b->reduce[0] = b->reduce[1] = b->phase = 0;
  b->serial = serial;
  b->id = id;
  cudasim_block_index = id;
  cudasim_block_dim = {d->x, d->y, d->z};
  b->warps_runnable = b->n_warps == 32 ? 0xffffffffu : (1u << b->n_warps) - 1;
  for (uint32_t w = 0; w < b->n_warps; w++) {
    uint32_t n = b->n_threads - w * 32;
    struct warp *wp = &b->w[w];
    wp->lanes = wp->runnable = n >= 32 ? 0xffffffffu : (1u << n) - 1;
    wp->waiting = wp->done = 0;
    wp->ordered = false;
  }
  uint32_t i = 0;
  for (uint32_t z = 0; z < d->z; z++) {
    for (uint32_t y = 0; y < d->y; y++) {
      for (uint32_t x = 0; x < d->x; x++, i++) {
        struct thread *t = &b->t[i];
        t->index = i;
        t->warp = i / 32;
        t->lane = i % 32;
        t->state = T_NEW;
        t->id = {x, y, z};
        t->when = t->bar = 0;
        t->steps = 0;
        t->stamp = stamp_of(running->id, serial, i, 0);
      }
    }
  }
  struct thread *first = pick();
  go_to(&main_sp, first);
  self = NULL;
}

static void barrier_open(struct block *b) {
  for (uint32_t i = 0; i < b->n_threads; i++) {
    struct thread *t = &b->t[i];
    t->bar = ++t->when;
    t->stamp = stamp_of(running->id, b->serial, i, t->when);
    thread_wake(t);
  }
  b->at_barrier = 0;
}

} // namespace cudasim

using namespace cudasim;

extern "C" int cudasim_barrier_wait(enum cudasim_barrier kind, int value, const char *file, int line) {
  struct block *b = &the_block;
  struct thread *t = self;
  if (!t) {
    fault_at(FAULT_USAGE, __builtin_return_address(0), "a barrier outside of a kernel");
  }
  t->state = T_BARRIER;
  t->barrier_kind = kind;
  t->file = file;
  t->line = line;
  for (uint32_t i = 0; b->at_barrier && i < b->n_threads; i++) {
    const struct thread *o = &b->t[i];
    if (o != t && o->state == T_BARRIER) {
      if (o->line != line || o->barrier_kind != (int)kind || strcmp(o->file, file) != 0) {
        fault_at(FAULT_BARRIER, __builtin_return_address(0), "this thread waits at the barrier of %s:%d, thread (%u,%u,%u) at that of %s:%d", file,
                 line, o->id.x, o->id.y, o->id.z, o->file, o->line);
      }
      break;
    }
  }
  int phase = b->phase, *r = &b->reduce[phase];
  if (b->at_barrier == 0) {
    *r = kind == CUDASIM_AND;
  }
  *r = kind == CUDASIM_COUNT ? *r + (value != 0) : kind == CUDASIM_AND ? (*r && value) : kind == CUDASIM_OR ? (*r || value) : 0;
  if (++b->at_barrier + b->done == b->n_threads) {
    if (b->done) {
      fault_at(FAULT_BARRIER, __builtin_return_address(0), "%s", count_states().c_str());
    }
    b->phase ^= 1;
    barrier_open(b);
  }
  thread_wait();
  return *r;
}

extern "C" unsigned cudasim_active_mask(void) { return 1u << self->lane; }

/* SPDX-License-Identifier: Apache-2.0
 * Inside of the execution shim: what its parts know of each other. One lock guards everything (api_lock); device work runs on
 * the thread of the host that waits for it, one operation at a time, one block at a time.
 *   report.cc  faults and settings          fibre.cc   stacks and switching       block.cc   one block: scheduler, barriers
 *   warp.cc    warp operations              memory.cc  device and pinned memory   shadow.cc  races, bounds, initialised bytes
 *   hooks.cc   what the compiler inserts    queue.cc   streams and events         launch.cc  kernels of a grid
 *   runtime.cc the runtime's calls          copy.cc    copies and fills           cublas.cc  nccl.cc */
#ifndef CUDASIM_SIM_H
#define CUDASIM_SIM_H
#include <stddef.h>
#include <stdint.h>

#include <string>

#include "cuda_runtime.h"

namespace cudasim {

/* -- report.cc */
struct settings {
  uint64_t seed;      /* RETORT_CUDASIM_SEED: order of blocks, warps, lanes and streams */
  int order;          /* RETORT_CUDASIM_ORDER: 0 eager, 1 lazy, 2 mixed (default): when queued work runs */
  int devices;        /* RETORT_CUDASIM_DEVICES: 0 to 8, default 1 */
  size_t mem_bytes;   /* RETORT_CUDASIM_MEM: bytes of each device, default 4 GiB */
  uint64_t max_steps; /* RETORT_CUDASIM_STEPS: accesses of one thread before it counts as endless */
  long fail_at;       /* RETORT_CUDASIM_FAIL: this call of the runtime that can fail fails; 0 = none */
  bool ulp;           /* RETORT_CUDASIM_ULP=1: expf and the like are off by as much as a device's may be */
  bool wide;          /* RETORT_CUDASIM_WIDE=1: products accumulate in double */
};
const struct settings &settings_get();
enum fault {
  FAULT_RACE, FAULT_BOUNDS, FAULT_UNINIT, FAULT_MISALIGNED, FAULT_BARRIER, FAULT_MASK, FAULT_HOST_POINTER, FAULT_DEVICE_POINTER,
  FAULT_OVERFLOW, FAULT_ENDLESS, FAULT_FREE, FAULT_USAGE
};
enum { EXIT_FAULT = 86 };
/* Says what happened, where (kernel, block, thread, source line of pc, seed), and ends the process with EXIT_FAULT. */
[[noreturn]] void fault_at(enum fault what, const void *pc, const char *format, ...) __attribute__((format(printf, 3, 4)));
std::string source_line(const void *pc); /* "file:line" through addr2line, or module+offset */

struct random { uint64_t s; };
uint64_t random_next(struct random *r);
static inline uint32_t random_below(struct random *r, uint32_t n) { return (uint32_t)((random_next(r) >> 32) * n >> 32); }
struct random random_seeded(uint64_t a, uint64_t b);

struct api_lock { /* recursive */
  api_lock();
  ~api_lock();
};

/* -- fibre.cc */
struct fibre {
  void *sp;
  uintptr_t stack; /* lowest address of the usable stack */
  struct thread *task;
  struct fibre *next_free;
};
enum { STACK_BYTES = 128 * 1024 };
struct fibre *fibre_take(void (*entry)()); /* ready to be switched to */
void fibre_give(struct fibre *f);          /* the stack is used again */
void fibre_switch(void **save, void *to);

/* -- block.cc */
enum thread_state { T_NEW, T_READY, T_RUNNING, T_BARRIER, T_WARP, T_DONE };
struct thread {
  uint32_t index; /* in the block */
  uint32_t warp, lane;
  enum thread_state state;
  struct fibre *f;
  uintptr_t stack; /* of f */
  struct uint3 id;
  uint64_t stamp;  /* op | block | thread | when, see shadow.cc */
  uint32_t when;   /* counts this thread's synchronisations */
  uint32_t bar;    /* its `when` after the last barrier of the block */
  uint64_t steps;
  enum cudasim_warp_op kind;
  unsigned mask;
  uint64_t value, result;
  int param, width, barrier_kind;
  const char *file;
  int line;
};
struct warp {
  uint32_t lanes, runnable, waiting, done; /* lane masks */
  bool ordered;                            /* vc is in use */
  uint32_t vc[32][32];                     /* vc[a][b]: lane a knows of what lane b did before this `when` of b */
};
struct block {
  uint32_t n_threads, n_warps, warps_runnable, done, at_barrier;
  int reduce[2], phase;
  uint64_t serial; /* number of the block within its launch, in order of execution */
  struct uint3 id;
  struct thread t[1024];
  struct warp w[32];
};
extern struct block the_block;
extern __thread struct thread *self __attribute__((tls_model("initial-exec"))); /* NULL in host code */
struct kernel_run {
  const struct cudasim_launch_info *info;
  struct random rng;
};
extern struct kernel_run the_run;
void block_run(struct uint3 id, uint64_t serial);
/* Waits until somebody makes this thread runnable; faults when nobody can. */
void thread_wait();
static inline void thread_wake(struct thread *t) {
  t->state = T_READY;
  the_block.w[t->warp].runnable |= 1u << t->lane;
  the_block.warps_runnable |= 1u << t->warp;
}
void warp_lane_left(struct thread *t); /* warp.cc: a lane left the kernel while others may wait for it */

/* -- queue.cc */
enum { MAX_STREAMS = 24 };
struct op {
  uint32_t id;        /* 20 bits, from 1 */
  uint32_t stream, device;
  uint64_t seq;       /* in its stream */
  uint64_t vc[MAX_STREAMS]; /* what happened before it: everything up to vc[s] of stream s */
  bool host;          /* a function of the host: device memory stays closed */
  const char *what;   /* "kernel NAME", "cudaMemcpyAsync" ... */
  const char *file;
  int line;
};
extern const struct op *running; /* NULL when no device work runs */
typedef void (*op_function)(void *data);
/* Queues f(data) behind what the stream holds; may run any of the work queued so far. */
struct work {
  const char *what, *file;
  int line;
  bool host;
  op_function f;
  const void *data; /* copied */
  size_t bytes;
  const void *reads; /* pinned memory that it reads or writes when it runs */
  size_t reads_bytes;
};
cudaError_t enqueue(cudaStream_t stream, const struct work *w);
cudaError_t drain_stream(cudaStream_t stream);
void drain_all();                              /* cudaDeviceSynchronize */
bool op_before(uint32_t id, const struct op *now); /* the operation is ordered before `now` */
std::string op_describe(uint32_t id);
bool pending_on(const void *p, size_t bytes); /* queued work still touches this pinned memory */
int current_device();
void last_error(cudaError_t e);
cudaError_t may_fail(); /* counts calls for RETORT_CUDASIM_FAIL */

/* -- memory.cc */
struct cell { /* one granule of memory: the last write and two last readers */
  uint64_t w, r[2];
};
struct shadow { /* of one allocation */
  struct cell *cells;
  uint8_t *init; /* one bit a byte */
  unsigned shift; /* a granule is 1 << shift bytes */
};
struct alloc {
  uintptr_t base;
  size_t bytes;
  int device;
  bool live, region, cut; /* cut: has regions */
  std::string name;
  struct shadow sh;
};
enum { ALLOC_GRAIN = 64 };
extern uintptr_t arena_base;
extern size_t arena_bytes;
extern uint32_t *arena_index; /* allocation of each 64 bytes, 0 = none */
static inline bool on_device(const void *p) { return (uintptr_t)p - arena_base < arena_bytes; }
void memory_setup();
struct alloc *alloc_find(const void *p); /* NULL: none */
struct alloc *alloc_number(uint32_t n);
cudaError_t memory_new(void **p, size_t bytes, const char *file, int line);
cudaError_t memory_delete(void *p);
void memory_clear_stamps(); /* before operation numbers start again */
void device_open();  /* device memory can be touched from here ... */
void device_close(); /* ... to here (nests) */
struct pinned { uintptr_t base; size_t bytes; bool mapped, own; };
const struct pinned *pinned_find(const void *p, size_t bytes); /* NULL: pageable */
std::string where_is(const void *p); /* for messages: "12 bytes behind device memory of 400 bytes (attention.cu:31)" */

/* -- launch.cc */
extern bool checking; /* false for ever once a kernel compiled without hooks was queued: only bounds of whole operations then */

/* -- shadow.cc */
enum { WRITE = 1, ATOMIC = 2 };
void access_check(const void *p, size_t bytes, unsigned flags, const void *pc); /* by a thread of a kernel */
/* By a whole operation (a copy, a product): rows of `bytes` bytes, `pitch` apart. */
enum op_mode { OP_READ, OP_WRITE, OP_READ_ANY /* also bytes that nobody wrote */ };
void op_access(const void *p, size_t bytes, size_t pitch, size_t rows, enum op_mode mode, const char *argument);
void op_copy_init(void *dst, const void *src, size_t bytes); /* uninitialised bytes stay so when copied on the device */
void shared_begin(const void *function, size_t dynamic_bytes); /* before each block: poison, nothing initialised */
void shared_granule_reset();
extern unsigned char *dynamic_shared;
extern size_t dynamic_shared_bytes;
enum { MAX_SHARED = 99 * 1024 };
static inline uint64_t stamp_of(uint32_t op, uint64_t block, uint32_t thread, uint32_t when) {
  return (uint64_t)op << 44 | (block & 0x3fff) << 30 | (uint64_t)thread << 20 | (uint64_t)(when & 0x3ffff) << 2 | 1;
}
void shadow_new(struct shadow *s, size_t bytes);
void shadow_free(struct shadow *s, size_t bytes);

} // namespace cudasim
#endif

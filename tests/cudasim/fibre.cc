// SPDX-License-Identifier: Apache-2.0
// Stacks for the threads of a block and the switch between them. A thread that never waits runs to its end on the stack of
// the one before it, without any switch (block.cc).
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim.h"

#if defined(__x86_64__)
// Saves what the System V ABI says a callee keeps; the rest is dead at a call.
__asm__(".text\n.globl cudasim_switch_stack\n.hidden cudasim_switch_stack\n.type cudasim_switch_stack,@function\n"
        "cudasim_switch_stack:\n"
        "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
        "movq %rsp,(%rdi)\nmovq %rsi,%rsp\n"
        "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
        ".size cudasim_switch_stack,.-cudasim_switch_stack\n");
extern "C" void cudasim_switch_stack(void **save, void *to);
#else
#include <ucontext.h>
#endif

namespace cudasim {

static struct fibre *free_list;

static struct fibre *fibre_new() {
  enum { GUARD = 65536 };
  char *p = (char *)mmap(NULL, GUARD + STACK_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  struct fibre *f = (struct fibre *)calloc(1, sizeof *f);
  if (p == MAP_FAILED || !f || mprotect(p + GUARD, STACK_BYTES, PROT_READ | PROT_WRITE) != 0) {
    fault_at(FAULT_USAGE, NULL, "no memory for the stack of a thread of the grid");
  }
  f->stack = (uintptr_t)p + GUARD;
  return f;
}

#if defined(__x86_64__)
struct fibre *fibre_take(void (*entry)()) {
  struct fibre *f = free_list ? free_list : fibre_new();
  free_list = f->next_free;
  void **sp = (void **)(f->stack + STACK_BYTES - 64);
  *--sp = NULL;            // where entry would return to: it never does, and the stack is aligned as after a call
  *--sp = (void *)entry;   // popped by ret
  for (int i = 0; i < 6; i++) {
    *--sp = NULL;
  }
  f->sp = sp;
  return f;
}

void fibre_switch(void **save, void *to) { cudasim_switch_stack(save, to); }
#else
// Elsewhere the C library's contexts: slower, the same order. `sp` points to a ucontext_t.
struct fibre *fibre_take(void (*entry)()) {
  struct fibre *f = free_list ? free_list : fibre_new();
  free_list = f->next_free;
  ucontext_t *u = f->sp ? (ucontext_t *)f->sp : (ucontext_t *)malloc(sizeof *u);
  getcontext(u);
  u->uc_stack.ss_sp = (void *)f->stack;
  u->uc_stack.ss_size = STACK_BYTES;
  makecontext(u, entry, 0);
  f->sp = u;
  return f;
}

void fibre_switch(void **save, void *to) {
  if (!*save) {
    *save = malloc(sizeof(ucontext_t));
  }
  swapcontext((ucontext_t *)*save, (ucontext_t *)to);
}
#endif

void fibre_give(struct fibre *f) {
  f->next_free = free_list;
  free_list = f;
}

} // namespace cudasim

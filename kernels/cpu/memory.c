/* SPDX-License-Identifier: Apache-2.0
 * Memory of this back end is the host's: blocks of core/mem.h, transfers are copies, there is one lane and nothing to wait for. */
#include <string.h>

#include "cpu.h"
#include "mem.h"

void *cpu_block_new(KDEV, size_t bytes) { return mem_block(bytes); }

void cpu_block_free(KDEV, void *p, size_t bytes) {
  if (p != NULL) {
    mem_block_free(p, bytes);
  }
}

void cpu_copy(KDEV, void *dst, const void *src, size_t bytes) { memcpy(dst, src, bytes); }

void cpu_zero(KDEV, void *dst, size_t bytes) { memset(dst, 0, bytes); }

const char *cpu_failed(KDEV) { return NULL; }

void cpu_lane(KDEV, int lane) { (void)lane; }

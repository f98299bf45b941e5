/* SPDX-License-Identifier: Apache-2.0
 * The losses' loops for any processor, and the choice between the variants. */
#define LOSS_LOOPS loss_loops_generic
#define LOSS_ISA "generic"
#include "loss_loops_body.h"

const struct loss_loops *loss_loops_find(const char *isa) {
#if defined(__x86_64__)
  if (strcmp(isa, "avx512") == 0) {
    return &loss_loops_avx512;
  }
  if (strcmp(isa, "avx2") == 0) {
    return &loss_loops_avx2;
  }
#endif
  (void)isa;
  return &loss_loops_generic;
}

/* SPDX-License-Identifier: Apache-2.0
 * The losses' loops for avx2 (flags from CMakeLists.txt); empty elsewhere. */
#if defined(__x86_64__)
#define LOSS_LOOPS loss_loops_avx2
#define LOSS_ISA "avx2"
#include "loss_loops_body.h"
#endif
typedef int loss_loops_avx2_not_empty;

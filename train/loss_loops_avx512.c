/* SPDX-License-Identifier: Apache-2.0
 * The losses' loops for avx512 (flags from CMakeLists.txt); empty elsewhere. */
#if defined(__x86_64__)
#define LOSS_LOOPS loss_loops_avx512
#define LOSS_ISA "avx512"
#include "loss_loops_body.h"
#endif
typedef int loss_loops_avx512_not_empty;

// SPDX-License-Identifier: Apache-2.0
// The functions that -fsanitize=thread and -fsanitize=alignment,bounds,... make compilers call: here they are the shim's own,
// the sanitizers' run times are not linked. Code of the host passes through at once. And atomics, which only the shim does.
#include <string.h>

#include "sim.h"

using namespace cudasim;

#define PC __builtin_return_address(0)
#define HOOK(size)                                                                        \
  void __tsan_read##size(void *p) { if (self) access_check(p, size, 0, PC); }             \
  void __tsan_write##size(void *p) { if (self) access_check(p, size, WRITE, PC); }        \
  void __tsan_unaligned_read##size(void *p) { if (self) access_check(p, size, 0, PC); }   \
  void __tsan_unaligned_write##size(void *p) { if (self) access_check(p, size, WRITE, PC); } \
  void __tsan_volatile_read##size(void *p) { if (self) access_check(p, size, 0, PC); }    \
  void __tsan_volatile_write##size(void *p) { if (self) access_check(p, size, WRITE, PC); }

extern "C" {
void __tsan_init(void) {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit(void) {}
HOOK(1)
HOOK(2)
HOOK(4)
HOOK(8)
HOOK(16)
void __tsan_read_range(void *p, size_t n) { if (self) access_check(p, n, 0, PC); }
void __tsan_write_range(void *p, size_t n) { if (self) access_check(p, n, WRITE, PC); }
void __tsan_vptr_update(void **, void *) {}
void __tsan_vptr_read(void **) {}

/* Where the compiler says it is: the first member of each report's data. */
struct where { const char *file; uint32_t line, column; };
struct mismatch { struct where at; const void *type; unsigned char log_align, kind; };

void __ubsan_handle_type_mismatch_v1(struct mismatch *m, uintptr_t p) {
  fault_at(FAULT_MISALIGNED, PC, "%s:%u:%u: an access that needs %d bytes of alignment at %s, address %% %d = %u", m->at.file, m->at.line, m->at.column,
           1 << m->log_align, where_is((void *)p).c_str(), 1 << m->log_align, (unsigned)(p & ((1u << m->log_align) - 1)));
}
#define REPORT(name, what, text) \
  void __ubsan_handle_##name(struct where *at) { fault_at(what, PC, "%s:%u:%u: %s", at->file, at->line, at->column, text); }
REPORT(out_of_bounds, FAULT_BOUNDS, "index outside of its array")
REPORT(add_overflow, FAULT_OVERFLOW, "a signed sum overflows")
REPORT(sub_overflow, FAULT_OVERFLOW, "a signed difference overflows")
REPORT(mul_overflow, FAULT_OVERFLOW, "a signed product overflows")
REPORT(negate_overflow, FAULT_OVERFLOW, "a negation overflows")
REPORT(divrem_overflow, FAULT_OVERFLOW, "division by zero, or its result overflows")
REPORT(shift_out_of_bounds, FAULT_OVERFLOW, "shift by more bits than there are, or of a negative value")

/* y = f(x), off by up to ulps; the same for the same x. 1, subnormals, infinities and NaN stay. */
float cudasim_off(float y, float x, int ulps) {
  if (!self || !settings_get().ulp || fabsf(y) < 1e-37f || y == 1 || y - y != 0) {
    return y;
  }
  struct random r = random_seeded(cudasim_bits(x), 3);
  int by = (int)random_below(&r, 2 * (uint32_t)ulps + 1) - ulps;
  return cudasim_value<float>((uint64_t)((int64_t)cudasim_bits(y) + by));
}

uint64_t cudasim_atomic(enum cudasim_atomic_op op, void *p, uint64_t value, uint64_t compare) {
  bool wide = op == CUDASIM_ADD_U64 || op == CUDASIM_ADD_F64 || op == CUDASIM_MAX_U64 || op == CUDASIM_MIN_U64 || op == CUDASIM_EXCH_U64 || op == CUDASIM_CAS_U64;
  size_t size = wide ? 8 : 4;
  if ((uintptr_t)p % size) {
    fault_at(FAULT_MISALIGNED, PC, "atomic of %zu bytes at %s", size, where_is(p).c_str());
  }
  if (!self) {
    fault_at(FAULT_USAGE, PC, "an atomic of the device outside of a kernel");
  }
  if (checking) {
    access_check(p, size, WRITE | ATOMIC, PC);
  }
  uint64_t old = 0, now = value;
  memcpy(&old, p, size);
  uint32_t o = (uint32_t)old, v = (uint32_t)value;
  switch (op) {
    case CUDASIM_ADD_U32: now = o + v; break;
    case CUDASIM_ADD_U64: now = old + value; break;
    case CUDASIM_ADD_F32: now = cudasim_bits(cudasim_value<float>(old) + cudasim_value<float>(value)); break;
    case CUDASIM_ADD_F64: now = cudasim_bits(cudasim_value<double>(old) + cudasim_value<double>(value)); break;
    case CUDASIM_MIN_S32: now = (int32_t)v < (int32_t)o ? v : o; break;
    case CUDASIM_MIN_U32: now = v < o ? v : o; break;
    case CUDASIM_MAX_S32: now = (int32_t)v > (int32_t)o ? v : o; break;
    case CUDASIM_MAX_U32: now = v > o ? v : o; break;
    case CUDASIM_MAX_U64: now = value > old ? value : old; break;
    case CUDASIM_MIN_U64: now = value < old ? value : old; break;
    case CUDASIM_EXCH_U32:
    case CUDASIM_EXCH_U64: break;
    case CUDASIM_CAS_U32: now = o == (uint32_t)compare ? v : o; break;
    case CUDASIM_CAS_U64: now = old == compare ? value : old; break;
    case CUDASIM_AND_U32: now = o & v; break;
    case CUDASIM_OR_U32: now = o | v; break;
    case CUDASIM_XOR_U32: now = o ^ v; break;
  }
  memcpy(p, &now, size);
  return old;
}
}

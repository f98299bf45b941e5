/* SPDX-License-Identifier: Apache-2.0
 * The device side of the shim: qualifiers, built-in variables, vector types, barriers, warp operations, atomics, intrinsics.
 * Included by the shim's cuda_runtime.h only. Barriers and warp operations know the source line they stand on, so that two
 * branches that wait at different barriers are told apart. */
#ifndef CUDASIM_DEVICE_H
#define CUDASIM_DEVICE_H
#include <math.h>
#include <stdint.h>
#include <string.h>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
/* Static shared memory is thread-local storage of the module: one block runs at a time, on one thread of the host. */
#define __shared__ static __thread
#define __constant__ /* tables are const and live in read-only data; any other variable of the host is none of the device's */

struct uint3 { unsigned x, y, z; };
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
/* Constant for as long as one thread of the grid runs; the scheduler sets them before it goes on with a thread. */
extern const struct uint3 threadIdx, blockIdx;
extern const struct uint3 blockDim, gridDim;
static const int warpSize = 32;

#define CUDASIM_VECTOR2(name, type, align) \
  struct __align__(align) name { type x, y; }; \
  static inline struct name make_##name(type x, type y) { struct name v = {x, y}; return v; }
#define CUDASIM_VECTOR4(name, type, align) \
  struct __align__(align) name { type x, y, z, w; }; \
  static inline struct name make_##name(type x, type y, type z, type w) { struct name v = {x, y, z, w}; return v; }
CUDASIM_VECTOR2(float2, float, 8)
CUDASIM_VECTOR4(float4, float, 16)
CUDASIM_VECTOR2(double2, double, 16)
CUDASIM_VECTOR2(int2, int, 8)
CUDASIM_VECTOR4(int4, int, 16)
CUDASIM_VECTOR2(uint2, unsigned, 8)
CUDASIM_VECTOR4(uint4, unsigned, 16)
CUDASIM_VECTOR2(ushort2, unsigned short, 4)
CUDASIM_VECTOR4(ushort4, unsigned short, 8)
CUDASIM_VECTOR2(uchar2, unsigned char, 2)
CUDASIM_VECTOR4(uchar4, unsigned char, 4)
CUDASIM_VECTOR4(char4, signed char, 4)
#undef CUDASIM_VECTOR2
#undef CUDASIM_VECTOR4

enum cudasim_barrier { CUDASIM_SYNC, CUDASIM_COUNT, CUDASIM_AND, CUDASIM_OR };
enum cudasim_warp_op {
  CUDASIM_SYNCWARP, CUDASIM_SHFL, CUDASIM_SHFL_UP, CUDASIM_SHFL_DOWN, CUDASIM_SHFL_XOR, CUDASIM_BALLOT, CUDASIM_ANY, CUDASIM_ALL,
  CUDASIM_MATCH_ANY, CUDASIM_REDUCE_ADD, CUDASIM_REDUCE_MIN_S, CUDASIM_REDUCE_MIN_U, CUDASIM_REDUCE_MAX_S, CUDASIM_REDUCE_MAX_U,
  CUDASIM_REDUCE_AND, CUDASIM_REDUCE_OR, CUDASIM_REDUCE_XOR
};
enum cudasim_atomic_op {
  CUDASIM_ADD_U32, CUDASIM_ADD_U64, CUDASIM_ADD_F32, CUDASIM_ADD_F64, CUDASIM_MIN_S32, CUDASIM_MIN_U32, CUDASIM_MAX_S32, CUDASIM_MAX_U32,
  CUDASIM_MAX_U64, CUDASIM_MIN_U64, CUDASIM_EXCH_U32, CUDASIM_EXCH_U64, CUDASIM_CAS_U32, CUDASIM_CAS_U64, CUDASIM_AND_U32, CUDASIM_OR_U32, CUDASIM_XOR_U32
};
extern "C" {
int cudasim_barrier_wait(enum cudasim_barrier kind, int value, const char *file, int line);
uint64_t cudasim_warp_wait(enum cudasim_warp_op kind, unsigned mask, uint64_t value, int param, int width, const char *file, int line);
unsigned cudasim_active_mask(void);
uint64_t cudasim_atomic(enum cudasim_atomic_op op, void *p, uint64_t value, uint64_t compare);
void *cudasim_dynamic_shared(size_t align);
}

#define CUDASIM_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()
/* The compiler must neither keep shared memory in registers across a barrier nor move accesses over it. */
#define CUDASIM_FENCE __asm__ volatile("" ::: "memory")

static inline void __syncthreads(CUDASIM_HERE) {
  CUDASIM_FENCE;
  cudasim_barrier_wait(CUDASIM_SYNC, 0, file, line);
  CUDASIM_FENCE;
}
static inline int __syncthreads_count(int predicate, CUDASIM_HERE) {
  CUDASIM_FENCE;
  int r = cudasim_barrier_wait(CUDASIM_COUNT, predicate, file, line);
  CUDASIM_FENCE;
  return r;
}
static inline int __syncthreads_and(int predicate, CUDASIM_HERE) {
  CUDASIM_FENCE;
  int r = cudasim_barrier_wait(CUDASIM_AND, predicate, file, line);
  CUDASIM_FENCE;
  return r;
}
static inline int __syncthreads_or(int predicate, CUDASIM_HERE) {
  CUDASIM_FENCE;
  int r = cudasim_barrier_wait(CUDASIM_OR, predicate, file, line);
  CUDASIM_FENCE;
  return r;
}
static inline void __syncwarp(unsigned mask = 0xffffffffu, CUDASIM_HERE) {
  CUDASIM_FENCE;
  cudasim_warp_wait(CUDASIM_SYNCWARP, mask, 0, 0, 32, file, line);
  CUDASIM_FENCE;
}
static inline void __threadfence() { CUDASIM_FENCE; }
static inline void __threadfence_block() { CUDASIM_FENCE; }

template <typename T> static inline uint64_t cudasim_bits(T v) {
  static_assert(sizeof(T) <= 8, "32- and 64-bit values only");
  uint64_t u = 0;
  __builtin_memcpy(&u, &v, sizeof v);
  return u;
}
template <typename T> static inline T cudasim_value(uint64_t u) {
  T v;
  __builtin_memcpy(&v, &u, sizeof v);
  return v;
}
template <typename T> static inline T __shfl_sync(unsigned mask, T v, int lane, int width = 32, CUDASIM_HERE) {
  return cudasim_value<T>(cudasim_warp_wait(CUDASIM_SHFL, mask, cudasim_bits(v), lane, width, file, line));
}
template <typename T> static inline T __shfl_up_sync(unsigned mask, T v, unsigned delta, int width = 32, CUDASIM_HERE) {
  return cudasim_value<T>(cudasim_warp_wait(CUDASIM_SHFL_UP, mask, cudasim_bits(v), static_cast<int>(delta), width, file, line));
}
template <typename T> static inline T __shfl_down_sync(unsigned mask, T v, unsigned delta, int width = 32, CUDASIM_HERE) {
  return cudasim_value<T>(cudasim_warp_wait(CUDASIM_SHFL_DOWN, mask, cudasim_bits(v), static_cast<int>(delta), width, file, line));
}
template <typename T> static inline T __shfl_xor_sync(unsigned mask, T v, int lane_mask, int width = 32, CUDASIM_HERE) {
  return cudasim_value<T>(cudasim_warp_wait(CUDASIM_SHFL_XOR, mask, cudasim_bits(v), lane_mask, width, file, line));
}
static inline unsigned __ballot_sync(unsigned mask, int predicate, CUDASIM_HERE) {
  return static_cast<unsigned>(cudasim_warp_wait(CUDASIM_BALLOT, mask, predicate != 0, 0, 32, file, line));
}
static inline int __any_sync(unsigned mask, int predicate, CUDASIM_HERE) {
  return static_cast<int>(cudasim_warp_wait(CUDASIM_ANY, mask, predicate != 0, 0, 32, file, line));
}
static inline int __all_sync(unsigned mask, int predicate, CUDASIM_HERE) {
  return static_cast<int>(cudasim_warp_wait(CUDASIM_ALL, mask, predicate != 0, 0, 32, file, line));
}
template <typename T> static inline unsigned __match_any_sync(unsigned mask, T v, CUDASIM_HERE) {
  return static_cast<unsigned>(cudasim_warp_wait(CUDASIM_MATCH_ANY, mask, cudasim_bits(v), 0, 32, file, line));
}
static inline unsigned __activemask() { return cudasim_active_mask(); }

#define CUDASIM_REDUCE(name, type, op) \
  static inline type name(unsigned mask, type v, CUDASIM_HERE) { \
    return cudasim_value<type>(cudasim_warp_wait(op, mask, cudasim_bits(v), 0, 32, file, line)); \
  }
CUDASIM_REDUCE(__reduce_add_sync, int, CUDASIM_REDUCE_ADD)
CUDASIM_REDUCE(__reduce_add_sync, unsigned, CUDASIM_REDUCE_ADD)
CUDASIM_REDUCE(__reduce_min_sync, int, CUDASIM_REDUCE_MIN_S)
CUDASIM_REDUCE(__reduce_min_sync, unsigned, CUDASIM_REDUCE_MIN_U)
CUDASIM_REDUCE(__reduce_max_sync, int, CUDASIM_REDUCE_MAX_S)
CUDASIM_REDUCE(__reduce_max_sync, unsigned, CUDASIM_REDUCE_MAX_U)
CUDASIM_REDUCE(__reduce_and_sync, unsigned, CUDASIM_REDUCE_AND)
CUDASIM_REDUCE(__reduce_or_sync, unsigned, CUDASIM_REDUCE_OR)
CUDASIM_REDUCE(__reduce_xor_sync, unsigned, CUDASIM_REDUCE_XOR)
#undef CUDASIM_REDUCE

#define CUDASIM_ATOMIC(name, type, op) \
  static inline type name(type *p, type v) { return cudasim_value<type>(cudasim_atomic(op, p, cudasim_bits(v), 0)); }
CUDASIM_ATOMIC(atomicAdd, int, CUDASIM_ADD_U32)
CUDASIM_ATOMIC(atomicAdd, unsigned, CUDASIM_ADD_U32)
CUDASIM_ATOMIC(atomicAdd, unsigned long long, CUDASIM_ADD_U64)
CUDASIM_ATOMIC(atomicAdd, float, CUDASIM_ADD_F32)
CUDASIM_ATOMIC(atomicAdd, double, CUDASIM_ADD_F64)
CUDASIM_ATOMIC(atomicMin, int, CUDASIM_MIN_S32)
CUDASIM_ATOMIC(atomicMin, unsigned, CUDASIM_MIN_U32)
CUDASIM_ATOMIC(atomicMin, unsigned long long, CUDASIM_MIN_U64)
CUDASIM_ATOMIC(atomicMax, int, CUDASIM_MAX_S32)
CUDASIM_ATOMIC(atomicMax, unsigned, CUDASIM_MAX_U32)
CUDASIM_ATOMIC(atomicMax, unsigned long long, CUDASIM_MAX_U64)
CUDASIM_ATOMIC(atomicExch, int, CUDASIM_EXCH_U32)
CUDASIM_ATOMIC(atomicExch, unsigned, CUDASIM_EXCH_U32)
CUDASIM_ATOMIC(atomicExch, float, CUDASIM_EXCH_U32)
CUDASIM_ATOMIC(atomicExch, unsigned long long, CUDASIM_EXCH_U64)
CUDASIM_ATOMIC(atomicAnd, int, CUDASIM_AND_U32)
CUDASIM_ATOMIC(atomicAnd, unsigned, CUDASIM_AND_U32)
CUDASIM_ATOMIC(atomicOr, int, CUDASIM_OR_U32)
CUDASIM_ATOMIC(atomicOr, unsigned, CUDASIM_OR_U32)
CUDASIM_ATOMIC(atomicXor, int, CUDASIM_XOR_U32)
CUDASIM_ATOMIC(atomicXor, unsigned, CUDASIM_XOR_U32)
#undef CUDASIM_ATOMIC
static inline int atomicSub(int *p, int v) { return atomicAdd(p, -v); }
static inline unsigned atomicSub(unsigned *p, unsigned v) { return atomicAdd(p, 0u - v); }
static inline int atomicCAS(int *p, int compare, int v) {
  return cudasim_value<int>(cudasim_atomic(CUDASIM_CAS_U32, p, cudasim_bits(v), cudasim_bits(compare)));
}
static inline unsigned atomicCAS(unsigned *p, unsigned compare, unsigned v) {
  return cudasim_value<unsigned>(cudasim_atomic(CUDASIM_CAS_U32, p, cudasim_bits(v), cudasim_bits(compare)));
}
static inline unsigned long long atomicCAS(unsigned long long *p, unsigned long long compare, unsigned long long v) {
  return cudasim_atomic(CUDASIM_CAS_U64, p, v, compare);
}

template <typename T> static inline T __ldg(const T *p) { return *p; }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
/* The device's functions may be some units in the last place off (CUDA's programming guide); with RETORT_CUDASIM_ULP=1 so are these. */
extern "C" float cudasim_off(float y, float x, int ulps);
#define CUDASIM_OFF(name, ulps) \
  static inline float cudasim_##name(float x) { return cudasim_off(name(x), x, ulps); }
CUDASIM_OFF(expf, 2)
CUDASIM_OFF(exp2f, 2)
CUDASIM_OFF(expm1f, 1)
CUDASIM_OFF(logf, 1)
CUDASIM_OFF(log1pf, 1)
CUDASIM_OFF(tanhf, 2)
CUDASIM_OFF(sinf, 2)
CUDASIM_OFF(cosf, 2)
CUDASIM_OFF(rsqrtf, 2)
#undef CUDASIM_OFF
#define expf cudasim_expf
#define exp2f cudasim_exp2f
#define expm1f cudasim_expm1f
#define logf cudasim_logf
#define log1pf cudasim_log1pf
#define tanhf cudasim_tanhf
#define sinf cudasim_sinf
#define cosf cudasim_cosf
#define rsqrtf cudasim_rsqrtf
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }
static inline int __float_as_int(float x) { return static_cast<int>(cudasim_bits(x)); }
static inline unsigned __float_as_uint(float x) { return static_cast<unsigned>(cudasim_bits(x)); }
static inline float __int_as_float(int x) { return cudasim_value<float>(static_cast<unsigned>(x)); }
static inline float __uint_as_float(unsigned x) { return cudasim_value<float>(x); }
static inline long long __double_as_longlong(double x) { return static_cast<long long>(cudasim_bits(x)); }
static inline double __longlong_as_double(long long x) { return cudasim_value<double>(static_cast<uint64_t>(x)); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline unsigned __brev(unsigned x) {
  unsigned r = 0;
  for (int i = 0; i < 32; i++) {
    r |= (x >> i & 1u) << (31 - i);
  }
  return r;
}
#define CUDASIM_MINMAX(type) \
  static inline type min(type a, type b) { return b < a ? b : a; } \
  static inline type max(type a, type b) { return a < b ? b : a; }
CUDASIM_MINMAX(int)
CUDASIM_MINMAX(unsigned)
CUDASIM_MINMAX(long)
CUDASIM_MINMAX(unsigned long)
CUDASIM_MINMAX(long long)
CUDASIM_MINMAX(unsigned long long)
#undef CUDASIM_MINMAX
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }
#endif

// SPDX-License-Identifier: Apache-2.0
// Values: what the shim's own parts give, against sums written out by other means. The "bug" of each case is one a kernel could
// have, so that the case is seen to fail.
#include <sys/wait.h>
#include <unistd.h>

#include "cublas_v2.h"
#include "cuda_bf16.h"
#include "cuda_fp16.h"
#include "nccl.h"
#include "planted.h"

template <bool BUG> static __global__ void warp_values(int *x, int *out) {
  int lane = threadIdx.x, v = x[lane], n = 32;
  const unsigned all = 0xffffffffu;
  out[0 * n + lane] = __shfl_sync(all, v, 40);
  out[1 * n + lane] = __shfl_up_sync(all, v, 3, 8);
  out[2 * n + lane] = __shfl_down_sync(all, v, BUG ? 4 : 3, 8);
  out[3 * n + lane] = __shfl_xor_sync(all, v, 5);
  out[4 * n + lane] = static_cast<int>(__ballot_sync(all, v % 3 == 0));
  out[5 * n + lane] = __any_sync(all, v == 31) + 2 * __all_sync(all, v < 31) + 4 * __all_sync(all, v < 32);
  out[6 * n + lane] = static_cast<int>(__match_any_sync(all, v / 10));
  out[7 * n + lane] = __reduce_add_sync(all, v - 16);
  out[8 * n + lane] = __reduce_min_sync(all, v - 16);
  out[9 * n + lane] = static_cast<int>(__reduce_max_sync(all, static_cast<unsigned>(v - 16)));
  double wide = __shfl_sync(all, 1.0 / (lane + 1), 7);
  out[10 * n + lane] = wide == 0.125;
}
PLANTED(values_of_warps, "wrong values") {
  int *x = device_ramp<int>(32), *out = device_ramp<int>(11 * 32);
  TRY(CUDA_LAUNCH(warp_values<BUG>, 1, 32, 0, 0, x, out));
  unsigned threes = 0;
  for (int i = 0; i < 32; i++) {
    threes |= i % 3 == 0 ? 1u << i : 0;
  }
  for (int i = 0; i < 32; i++) {
    EXPECT(device_at(out, i) == 8);
    EXPECT(device_at(out, 32 + i) == (i % 8 >= 3 ? i - 3 : i));
    EXPECT(device_at(out, 64 + i) == (i % 8 < 5 ? i + 3 : i));
    EXPECT(device_at(out, 96 + i) == (i ^ 5));
    EXPECT(device_at(out, 128 + i) == static_cast<int>(threes));
    EXPECT(device_at(out, 160 + i) == 5);
    EXPECT(device_at(out, 192 + i) == static_cast<int>(i < 10 ? 0x3ffu : i < 20 ? 0x3ffu << 10 : i < 30 ? 0x3ffu << 20 : 3u << 30));
    EXPECT(device_at(out, 224 + i) == 31 * 16 - 16 * 32);
    EXPECT(device_at(out, 256 + i) == -16 && device_at(out, 288 + i) == -1 && device_at(out, 320 + i) == 1);
  }
}

static unsigned bits_of(float f) {
  unsigned u;
  memcpy(&u, &f, sizeof u);
  return u;
}
static float float_of(unsigned u) {
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}

// Every half and bfloat16 there and back; floats between two neighbours go to the nearer one, from the middle to the even one.
template <bool BUG> static void sixteen_bits() {
  for (unsigned u = 0; u < 65536; u++) {
    unsigned short h = static_cast<unsigned short>(u), next = static_cast<unsigned short>(u + 1);
    double value = ldexp(u & 0x7c00 ? 1024 + (u & 1023) : u & 1023, static_cast<int>(u & 0x7c00 ? (u >> 10 & 31) : 1) - 25) * (u >> 15 ? -1 : 1);
    float f = __half2float(__ushort_as_half(h)), b = __bfloat162float(__ushort_as_bfloat16(h));
    if ((u & 0x7c00) == 0x7c00) {
      EXPECT((u & 1023) ? f != f : isinf(f) && (f < 0) == (u >> 15));
    } else {
      EXPECT(static_cast<double>(f) == value && __half_as_ushort(__float2half(f)) == h);
      float up = (next & 0x7fff) == 0x7c00 ? (u >> 15 ? -65536.0f : 65536.0f) : __half2float(__ushort_as_half(next)), mid = (f + up) / 2;
      if ((next & 0x7c00) != 0x7c00 || (next & 0x7fff) == 0x7c00) {
        EXPECT(__half_as_ushort(__float2half(mid)) == (BUG ? h : u & 1 ? next : h));
        EXPECT(__half_as_ushort(__float2half(nextafterf(mid, f))) == h && __half_as_ushort(__float2half(nextafterf(mid, up))) == next);
      }
    }
    if ((u & 0x7f80) == 0x7f80) {
      EXPECT((u & 127) ? b != b && __bfloat16_as_ushort(__float2bfloat16(b)) == 0x7fff : isinf(b));
    } else {
      unsigned bits = u << 16;
      EXPECT(bits_of(b) == bits && __bfloat16_as_ushort(__float2bfloat16(b)) == h);
      EXPECT(__bfloat16_as_ushort(__float2bfloat16(float_of(bits | 0x8000))) == (u & 1 ? next : h));
      EXPECT(__bfloat16_as_ushort(__float2bfloat16(float_of(bits | 0x7fff))) == h);
      EXPECT(__bfloat16_as_ushort(__float2bfloat16(float_of(bits | 0x8001))) == next);
    }
  }
  EXPECT(__half_as_ushort(__float2half(65519.9f)) == 0x7bff && __half_as_ushort(__float2half(65520.0f)) == 0x7c00);
  EXPECT(__half_as_ushort(__float2half(0x1p-25f)) == 0 && __half_as_ushort(__float2half(0x1.000002p-25f)) == 1);
}
PLANTED(values_of_16_bits, "wrong values") { sixteen_bits<BUG>(); }

// Products of every transposition, two of a batch, with rows longer than the matrix, in three types.
PLANTED(values_of_products, "wrong values") {
  enum { M = 7, N = 9, K = 5, LD = 11, SIZE = LD * 10, BATCH = 2 };
  cublasHandle_t h;
  EXPECT(cublasCreate(&h) == CUBLAS_STATUS_SUCCESS);
  for (int which = 0; which < 12; which++) {
    int ta = which & 1, tb = which >> 1 & 1, kind = which / 4;
    cudaDataType type = kind == 0 ? CUDA_R_32F : kind == 1 ? CUDA_R_16BF : CUDA_R_16F;
    size_t size = kind ? 2 : 4;
    static float fa[SIZE * BATCH], fb[SIZE * BATCH], fc[SIZE * BATCH];
    static unsigned short sa[SIZE * BATCH], sb[SIZE * BATCH];
    for (int i = 0; i < SIZE * BATCH; i++) { /* small integers: exact in every type */
      fa[i] = static_cast<float>(i * 7 % 13 - 6), fb[i] = static_cast<float>(i * 5 % 11 - 5), fc[i] = static_cast<float>(i % 4);
      sa[i] = kind == 1 ? __bfloat16_as_ushort(__float2bfloat16(fa[i])) : __half_as_ushort(__float2half(fa[i]));
      sb[i] = kind == 1 ? __bfloat16_as_ushort(__float2bfloat16(fb[i])) : __half_as_ushort(__float2half(fb[i]));
    }
    void *a, *b;
    float *c, alpha = 2, beta = 3;
    TRY(cudaMalloc(&a, sizeof fa));
    TRY(cudaMalloc(&b, sizeof fb));
    TRY(cudaMalloc(&c, sizeof fc));
    TRY(cudaMemcpy(a, kind ? static_cast<void *>(sa) : fa, SIZE * BATCH * size, cudaMemcpyHostToDevice));
    TRY(cudaMemcpy(b, kind ? static_cast<void *>(sb) : fb, SIZE * BATCH * size, cudaMemcpyHostToDevice));
    TRY(cudaMemcpy(c, fc, sizeof fc, cudaMemcpyHostToDevice));
    EXPECT(cublasGemmStridedBatchedEx(h, ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb ? CUBLAS_OP_T : CUBLAS_OP_N, M, N, BUG ? K - 1 : K, &alpha, a, type, LD, SIZE, b, type,
                                      LD, SIZE, &beta, c, CUDA_R_32F, LD, SIZE, BATCH, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS);
    static float got[SIZE * BATCH];
    TRY(cudaMemcpy(got, c, sizeof got, cudaMemcpyDeviceToHost));
    for (int t = 0; t < BATCH; t++) {
      for (int i = 0; i < SIZE; i++) {
        int row = i % LD, col = i / LD, at = t * SIZE;
        float want = fc[at + i];
        if (row < M && col < N) {
          want *= 3;
          for (int l = 0; l < K; l++) {
            want += 2 * fa[at + (ta ? l + row * LD : row + l * LD)] * fb[at + (tb ? col + l * LD : l + col * LD)];
          }
        }
        EXPECT(got[at + i] == want);
      }
    }
    TRY(cudaFree(a));
    TRY(cudaFree(b));
    TRY(cudaFree(c));
  }
  EXPECT(cublasDestroy(h) == CUBLAS_STATUS_SUCCESS);
}

// TF32 only where it is asked for: 1 + 2^-12 is not in it.
PLANTED(values_of_tf32, "wrong values") {
  cublasHandle_t h;
  float *a = device_ramp<float>(1), *c = device_ramp<float>(1), v = 1 + 0x1p-12f, one = 1, zero = 0;
  EXPECT(cublasCreate(&h) == CUBLAS_STATUS_SUCCESS);
  TRY(cudaMemcpy(a, &v, sizeof v, cudaMemcpyHostToDevice));
  EXPECT(cublasGemmEx(h, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a, CUDA_R_32F, 1, a, CUDA_R_32F, 1, &zero, c, CUDA_R_32F, 1,
                      BUG ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS);
  EXPECT(device_at(c, 0) == v * v);
  EXPECT(cublasDestroy(h) == CUBLAS_STATUS_SUCCESS);
}

// Three ranks: sum, average in bfloat16, broadcast, scatter and gather, each longer than one buffer.
static int one_rank(ncclUniqueId id, int rank, bool bug) {
  enum { RANKS = 3, N = 300001 };
  ncclComm_t comm;
  cudaStream_t s;
  TRY(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  EXPECT(ncclCommInitRank(&comm, RANKS, id, rank) == ncclSuccess);
  float *x = device_ramp<float>(N * RANKS), *y = device_ramp<float>(N * RANKS), *z = device_ramp<float>(N);
  __nv_bfloat16 half = __float2bfloat16(static_cast<float>(rank)), *b;
  TRY(cudaMalloc(&b, sizeof *b));
  TRY(cudaMemcpy(b, &half, sizeof half, cudaMemcpyHostToDevice));
  EXPECT(ncclAllReduce(x, y, N * RANKS, ncclFloat32, ncclSum, comm, s) == ncclSuccess);
  EXPECT(ncclReduceScatter(x, z, N, ncclFloat32, bug ? ncclMax : ncclSum, comm, s) == ncclSuccess);
  EXPECT(ncclAllGather(z, x, N, ncclFloat32, comm, s) == ncclSuccess);
  EXPECT(ncclBroadcast(b, b, 1, ncclBfloat16, 2, comm, s) == ncclSuccess);
  TRY(cudaStreamSynchronize(s));
  for (int i = 0; i < N * RANKS; i += 99991) {
    EXPECT(device_at(y, i) == 3.0f * static_cast<float>(i) && device_at(x, i) == 3.0f * static_cast<float>(i));
  }
  EXPECT(__bfloat162float(device_at(b, 0)) == 2);
  EXPECT(ncclAllReduce(b, b, 1, ncclBfloat16, ncclAvg, comm, s) == ncclSuccess);
  TRY(cudaStreamSynchronize(s));
  EXPECT(__bfloat162float(device_at(b, 0)) == 2);
  EXPECT(ncclCommDestroy(comm) == ncclSuccess);
  return 0;
}
PLANTED(values_of_ranks, "wrong values") {
  ncclUniqueId id;
  int bad = 0, status;
  EXPECT(ncclGetUniqueId(&id) == ncclSuccess);
  for (int rank = 0; rank < 3; rank++) {
    if (fork() == 0) {
      _exit(one_rank(id, rank, BUG));
    }
  }
  for (int rank = 0; rank < 3; rank++) {
    bad |= wait(&status) < 0 || status != 0;
  }
  EXPECT(!bad);
}

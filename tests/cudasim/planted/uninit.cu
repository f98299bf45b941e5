// SPDX-License-Identifier: Apache-2.0
// Reads of what nobody wrote: device memory, shared memory (also what the block before left there), through copies and products;
// misaligned accesses; overflow of an index.
#include "cublas_v2.h"
#include "planted.h"

static __global__ void add_into(const float *x, float *sum, int n) {
  for (int i = 0; i < n; i++) {
    sum[threadIdx.x] += x[i];
  }
}
PLANTED(uninit_accumulator, "uninitialised") {
  float *x = device_ramp<float>(8), *sum;
  TRY(cudaMalloc(&sum, 32 * sizeof *sum));
  if (!BUG) {
    TRY(cudaMemset(sum, 0, 32 * sizeof *sum));
  }
  TRY(CUDA_LAUNCH(add_into, 1, 32, 0, 0, x, sum, 8));
  EXPECT(device_at(sum, 31) == 28);
}

// The last warp of 40 threads is not whole, yet the sum takes 64.
template <bool BUG> static __global__ void fold(const int *x, int *out, int n) {
  __shared__ int s[64];
  if (!BUG || static_cast<int>(threadIdx.x) < n) {
    s[threadIdx.x] = static_cast<int>(threadIdx.x) < n ? x[threadIdx.x] : 0;
  }
  __syncthreads();
  for (unsigned half = 32; half; half /= 2) {
    if (threadIdx.x < half) {
      s[threadIdx.x] += s[threadIdx.x + half];
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    *out = s[0];
  }
}
PLANTED(uninit_shared_tail, "uninitialised") {
  int *x = device_ramp<int>(40);
  TRY(CUDA_LAUNCH(fold<BUG>, 1, 64, 0, 0, x, x, 40));
  EXPECT(device_at(x, 0) == 39 * 40 / 2);
}

// Right for the first block that runs; the next ones find its value by luck.
template <bool BUG> static __global__ void from_the_block_before(int *x) {
  __shared__ int s;
  if (threadIdx.x == 0 && (!BUG || blockIdx.x == 0)) {
    s = 5;
  }
  __syncthreads();
  x[blockIdx.x * blockDim.x + threadIdx.x] = s;
}
PLANTED(uninit_stale_shared, "uninitialised") {
  int *x = device_ramp<int>(256);
  TRY(CUDA_LAUNCH(from_the_block_before<BUG>, 8, 32, 0, 0, x));
  EXPECT(device_at(x, 255) == 5);
}

template <bool BUG> static __global__ void set_even(float *x) {
  if (!BUG || threadIdx.x % 2 == 0) {
    x[threadIdx.x] = 1;
  }
}
PLANTED(uninit_download, "uninitialised") {
  float *x, host[32];
  TRY(cudaMalloc(&x, sizeof host));
  TRY(CUDA_LAUNCH(set_even<BUG>, 1, 32, 0, 0, x));
  TRY(cudaMemcpy(host, x, sizeof host, cudaMemcpyDeviceToHost));
  EXPECT(host[31] == 1);
}

PLANTED(uninit_copied_on, "uninitialised") {
  float *x, *y;
  TRY(cudaMalloc(&x, 128));
  TRY(cudaMalloc(&y, 128));
  TRY(CUDA_LAUNCH(set_even<BUG>, 1, 32, 0, 0, x));
  TRY(cudaMemcpyAsync(y, x, 128, cudaMemcpyDeviceToDevice));
  EXPECT(device_at(y, 30) == 1);
  EXPECT(device_at(y, 31) == 1);
}

PLANTED(uninit_product, "uninitialised") {
  float *a, *b = device_ramp<float>(32), *c, one = 1, zero = 0, beta = BUG ? 1.0f : 0.0f;
  cublasHandle_t h;
  EXPECT(cublasCreate(&h) == CUBLAS_STATUS_SUCCESS);
  TRY(cudaMalloc(&a, 32 * sizeof *a));
  TRY(cudaMalloc(&c, sizeof *c));
  TRY(CUDA_LAUNCH(set_even<false>, 1, 32, 0, 0, a));
  EXPECT(cublasSgemm(h, CUBLAS_OP_T, CUBLAS_OP_N, 1, 1, 32, &one, a, 32, b, 32, BUG ? &beta : &zero, c, 1) == CUBLAS_STATUS_SUCCESS);
  EXPECT(device_at(c, 0) == 31 * 32 / 2);
  EXPECT(cublasDestroy(h) == CUBLAS_STATUS_SUCCESS);
}

template <bool BUG> static __global__ void load_fours(const float *x, float *out) {
  float4 v = *reinterpret_cast<const float4 *>(x + (BUG ? 2 : 4) * threadIdx.x);
  out[threadIdx.x] = v.x + v.y + v.z + v.w;
}
PLANTED(misaligned_vector, "misaligned") {
  float *x = device_ramp<float>(128), *out = device_ramp<float>(32);
  TRY(CUDA_LAUNCH(load_fours<BUG>, 1, 32, 0, 0, x, out));
  EXPECT(device_at(out, 0) == 6);
}

// A block of a quantised row: a scale of two bytes, then 32 bytes; the words of odd blocks lie at 2 modulo 4.
template <bool BUG> static __global__ void first_word(const unsigned char *blocks, unsigned *out) {
  const unsigned char *p = blocks + 34 * threadIdx.x + 2;
  if (BUG) {
    out[threadIdx.x] = *reinterpret_cast<const unsigned *>(p);
  } else {
    out[threadIdx.x] = p[0] | p[1] << 8 | p[2] << 16 | static_cast<unsigned>(p[3]) << 24;
  }
}
PLANTED(misaligned_block, "misaligned") {
  unsigned char *x = device_ramp<unsigned char>(34 * 4);
  unsigned *out = device_ramp<unsigned>(4);
  TRY(CUDA_LAUNCH(first_word<BUG>, 1, 4, 0, 0, x, out));
  EXPECT(device_at(out, 0) == 0x05040302u);
}

template <bool BUG> static __global__ void cut_shared(double *x, int n) {
  CUDA_SHARED(float, s);
  double *d = reinterpret_cast<double *>(s + (BUG ? n : (n + 1) / 2 * 2));
  s[threadIdx.x] = 1;
  d[threadIdx.x] = 2;
  __syncthreads();
  x[threadIdx.x] = d[threadIdx.x] + static_cast<double>(s[threadIdx.x]);
}
PLANTED(misaligned_shared, "misaligned") {
  double *x = device_ramp<double>(33);
  TRY(CUDA_LAUNCH(cut_shared<BUG>, 1, 33, 34 * 4 + 33 * 8, 0, x, 33));
  EXPECT(device_at(x, 32) == 3);
}

template <bool BUG> static __global__ void row_start(long long *out, int vocab) {
  int row = static_cast<int>(threadIdx.x) * 1000;
  out[threadIdx.x] = BUG ? row * vocab : static_cast<long long>(row) * vocab;
}
PLANTED(overflow_of_an_index, "overflow") {
  long long *out = device_ramp<long long>(32);
  TRY(CUDA_LAUNCH(row_start<BUG>, 1, 32, 0, 0, out, 151936));
  EXPECT(device_at(out, 31) == 31000LL * 151936);
}

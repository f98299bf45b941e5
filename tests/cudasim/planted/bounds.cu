// SPDX-License-Identifier: Apache-2.0
// Accesses outside of what a kernel was given: global, shared and local memory, freed memory, a part of the plan's one block,
// copies, fills and products that are too big.
#include "cublas_v2.h"
#include "planted.h"

template <bool BUG> static __global__ void doubled(float *x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (BUG ? i <= n : i < n) {
    x[i] *= 2;
  }
}
PLANTED(bounds_one_past, "out of bounds") {
  float *x = device_ramp<float>(100);
  TRY(CUDA_LAUNCH(doubled<BUG>, 2, 64, 0, 0, x, 100));
  EXPECT(device_at(x, 99) == 198);
}

template <bool BUG> static __global__ void shift_down(const float *in, float *out) {
  int i = threadIdx.x;
  out[i] = BUG || i > 0 ? in[i - 1] : 0;
}
PLANTED(bounds_before_the_start, "out of bounds") {
  float *in = device_ramp<float>(32), *out = device_ramp<float>(32);
  TRY(CUDA_LAUNCH(shift_down<BUG>, 1, 32, 0, 0, in, out));
  EXPECT(device_at(out, 31) == 30);
}

// The last float4 of 30 floats hangs over.
template <bool BUG> static __global__ void by_fours(float4 *x, int n) {
  int i = threadIdx.x;
  if (i < (BUG ? (n + 3) / 4 : n / 4)) {
    x[i].w += 1;
  }
}
PLANTED(bounds_vector_tail, "out of bounds") {
  float *x = device_ramp<float>(30);
  TRY(CUDA_LAUNCH(by_fours<BUG>, 1, 32, 0, 0, reinterpret_cast<float4 *>(x), 30));
  EXPECT(device_at(x, 27) == 28);
}

// Strides of another matrix: rows of 33 in a buffer of rows of 32.
template <bool BUG> static __global__ void set_rows(float *x, int rows) {
  x[static_cast<int>(blockIdx.x) * (BUG ? rows + 1 : rows) + static_cast<int>(threadIdx.x)] = 1;
}
PLANTED(bounds_wrong_stride, "out of bounds") {
  float *x = device_ramp<float>(32 * 32);
  TRY(CUDA_LAUNCH(set_rows<BUG>, 32, 32, 0, 0, x, 32));
  EXPECT(device_at(x, 32 * 32 - 1) == 1);
}

template <bool BUG> static __global__ void gather(float *x) {
  CUDA_SHARED(float, s);
  s[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = s[(threadIdx.x + 1) % (BUG ? blockDim.x + 1 : blockDim.x)];
}
PLANTED(bounds_dynamic_shared, "out of bounds") {
  float *x = device_ramp<float>(64);
  TRY(CUDA_LAUNCH(gather<BUG>, 1, 64, 64 * sizeof(float), 0, x));
  EXPECT(device_at(x, 63) == 0);
}

template <bool BUG> static __global__ void transposed(float *x) {
  __shared__ float tile[8][8];
  tile[threadIdx.y][threadIdx.x] = x[threadIdx.y * 8 + threadIdx.x];
  __syncthreads();
  x[threadIdx.y * 8 + threadIdx.x] = tile[threadIdx.x][threadIdx.y + (BUG ? 1 : 0)];
}
PLANTED(bounds_static_shared, "out of bounds") {
  float *x = device_ramp<float>(64);
  TRY(CUDA_LAUNCH(transposed<BUG>, 1, dim3(8, 8), 0, 0, x));
  EXPECT(device_at(x, 1) == 8);
}

template <bool BUG> static __global__ void best_three(const int *x, int *out, int n) {
  int best[3] = {-1, -1, -1};
  for (int i = 0; i < n; i++) {
    int v = x[i], at = BUG ? 3 : 2;
    while (at > 0 && best[at - 1] < v) {
      best[at] = best[at - 1];
      at--;
    }
    if (BUG || at < 2 || best[2] < v) {
      best[at] = v;
    }
  }
  out[threadIdx.x] = best[0] + best[1] + best[2];
}
PLANTED(bounds_local_array, "out of bounds") {
  int *x = device_ramp<int>(10), *out = device_ramp<int>(32);
  TRY(CUDA_LAUNCH(best_three<BUG>, 1, 32, 0, 0, x, out, 10));
  EXPECT(device_at(out, 0) == 9 + 8 + 7);
}

PLANTED(bounds_freed, "out of bounds") {
  float *x = device_ramp<float>(64);
  if (BUG) {
    TRY(cudaFree(x));
  }
  TRY(CUDA_LAUNCH(doubled<false>, 1, 64, 0, 0, x, 64));
  TRY(cudaDeviceSynchronize());
  if (!BUG) {
    TRY(cudaFree(x));
  }
}

PLANTED(bounds_part_of_the_plan, "out of bounds") {
  char *block = device_ramp<char>(1024);
  CUDA_REGION(block, 63 * sizeof(float), "first");
  CUDA_REGION(block + 256, 256, "second");
  TRY(cudaMemset(block, 0, 63 * sizeof(float)));
  TRY(cudaMemset(block + 256, 0, 256));
  TRY(CUDA_LAUNCH(doubled<false>, 2, 64, 0, 0, reinterpret_cast<float *>(block), BUG ? 64 : 63));
}

PLANTED(bounds_copy, "out of bounds") {
  float *x = device_ramp<float>(64), host[65] = {0};
  TRY(cudaMemcpy(x, host, (BUG ? 65 : 64) * sizeof *x, cudaMemcpyHostToDevice));
}

PLANTED(bounds_fill, "out of bounds") {
  float *x = device_ramp<float>(64);
  TRY(cudaMemsetAsync(x + (BUG ? 1 : 0), 0, 64 * sizeof *x));
}

PLANTED(bounds_product, "out of bounds") {
  float *a = device_ramp<float>(6 * 5), *b = device_ramp<float>(5 * 4), *c = device_ramp<float>(6 * 4), one = 1, zero = 0;
  cublasHandle_t h;
  EXPECT(cublasCreate(&h) == CUBLAS_STATUS_SUCCESS);
  EXPECT(cublasSgemm(h, CUBLAS_OP_N, CUBLAS_OP_N, 6, 4, 5, &one, a, 6, b, 5, &zero, c, BUG ? 7 : 6) == CUBLAS_STATUS_SUCCESS);
  /* c(1,2) = sum over l of a(1,l) b(l,2) = (1 + 6 l)(l + 10) */
  EXPECT(device_at(c, 1 + 2 * 6) == 1 * 10 + 7 * 11 + 13 * 12 + 19 * 13 + 25 * 14);
  EXPECT(cublasDestroy(h) == CUBLAS_STATUS_SUCCESS);
}

PLANTED(free_twice, "invalid free") {
  float *x = device_ramp<float>(64);
  TRY(cudaFree(x));
  if (BUG) {
    TRY(cudaFree(x));
  }
}

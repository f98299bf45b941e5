// SPDX-License-Identifier: Apache-2.0
// Pointers of the host on the device and of the device on the host; asynchronous work that is not waited for.
#include "cublas_v2.h"
#include "planted.h"

static __global__ void bump(float *x) { x[threadIdx.x] += 1; }
static __global__ void look_up(const float *table, float *x) { x[threadIdx.x] = table[threadIdx.x]; }
static float table_of_the_host[32];

PLANTED(host_heap_in_a_kernel, "host pointer on the device") {
  float *x = device_ramp<float>(32), *host = static_cast<float *>(calloc(32, sizeof *host));
  TRY(CUDA_LAUNCH(bump, 1, 32, 0, 0, BUG ? host : x));
  TRY(cudaDeviceSynchronize());
  free(host);
}

PLANTED(host_static_in_a_kernel, "host pointer on the device") {
  float *x = device_ramp<float>(32), *y = device_ramp<float>(32);
  TRY(CUDA_LAUNCH(look_up, 1, 32, 0, 0, BUG ? table_of_the_host : y, x));
}

PLANTED(host_stack_in_a_kernel, "host pointer on the device") {
  float local[32] = {0}, *x = device_ramp<float>(32);
  TRY(CUDA_LAUNCH(bump, 1, 32, 0, 0, BUG ? local : x));
  TRY(cudaDeviceSynchronize());
}

PLANTED(host_pinned_in_a_kernel, "host pointer on the device") {
  float *pinned;
  TRY(cudaHostAlloc(&pinned, 32 * sizeof *pinned, BUG ? cudaHostAllocDefault : cudaHostAllocMapped));
  for (int i = 0; i < 32; i++) {
    pinned[i] = 1;
  }
  TRY(CUDA_LAUNCH(bump, 1, 32, 0, 0, pinned));
  TRY(cudaDeviceSynchronize());
  EXPECT(pinned[31] == 2);
}

PLANTED(host_matrix_in_a_product, "host pointer on the device") {
  float *a = device_ramp<float>(4), *c = device_ramp<float>(4), host[4] = {1, 2, 3, 4}, one = 1, zero = 0;
  cublasHandle_t h;
  EXPECT(cublasCreate(&h) == CUBLAS_STATUS_SUCCESS);
  EXPECT(cublasSgemm(h, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, a, 2, BUG ? host : a, 2, &zero, c, 2) == CUBLAS_STATUS_SUCCESS);
  EXPECT(device_at(c, 0) == 0 * 0 + 2 * 1);
  EXPECT(cublasDestroy(h) == CUBLAS_STATUS_SUCCESS);
}

PLANTED(device_read_on_the_host, "device pointer on the host") {
  float *x = device_ramp<float>(32);
  float v = BUG ? x[3] : device_at(x, 3);
  EXPECT(v == 3);
}

PLANTED(device_written_on_the_host, "device pointer on the host") {
  float *x = device_ramp<float>(32);
  if (BUG) {
    memset(x, 0, 32 * sizeof *x);
  } else {
    TRY(cudaMemset(x, 0, 32 * sizeof *x));
  }
}

PLANTED(device_copy_the_wrong_way, "device pointer on the host") {
  float *x = device_ramp<float>(32), host[32] = {0};
  TRY(cudaMemcpy(BUG ? x : host, BUG ? host : x, sizeof host, cudaMemcpyDeviceToHost));
}

// The result is looked at before the copy was waited for.
PLANTED(async_read_too_early, "wrong values") {
  float *x = device_ramp<float>(32), *pinned;
  cudaStream_t s;
  TRY(cudaMallocHost(&pinned, 32 * sizeof *pinned));
  TRY(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  TRY(cudaMemcpyAsync(pinned, x, 32 * sizeof *pinned, cudaMemcpyDeviceToHost, s));
  if (!BUG) {
    TRY(cudaStreamSynchronize(s));
  }
  EXPECT(pinned[7] == 7);
  TRY(cudaStreamDestroy(s));
}

// The staging buffer is filled again while the first copy may still read it.
PLANTED(async_staging_used_again, "wrong values") {
  float *a = device_ramp<float>(1), *b = device_ramp<float>(1), *pinned;
  cudaStream_t s;
  cudaEvent_t copied;
  TRY(cudaMallocHost(&pinned, sizeof *pinned));
  TRY(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  TRY(cudaEventCreateWithFlags(&copied, cudaEventDisableTiming));
  *pinned = 1;
  TRY(cudaMemcpyAsync(a, pinned, sizeof *pinned, cudaMemcpyHostToDevice, s));
  TRY(cudaEventRecord(copied, s));
  if (!BUG) {
    TRY(cudaEventSynchronize(copied));
  }
  *pinned = 2;
  TRY(cudaMemcpyAsync(b, pinned, sizeof *pinned, cudaMemcpyHostToDevice, s));
  TRY(cudaStreamSynchronize(s));
  EXPECT(device_at(a, 0) == 1 && device_at(b, 0) == 2);
}

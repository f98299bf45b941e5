// SPDX-License-Identifier: Apache-2.0
// Races: shared memory without a barrier, within a warp without __syncwarp, global memory within a block, between blocks,
// between streams; atomics against plain accesses.
#include "planted.h"

template <bool BUG> static __global__ void reverse(float *x) {
  __shared__ float s[256];
  s[threadIdx.x] = 0;
  __syncthreads();
  s[threadIdx.x] = x[threadIdx.x];
  if (!BUG) {
    __syncthreads();
  }
  x[threadIdx.x] = s[255 - threadIdx.x];
}
PLANTED(race_shared, "race") {
  float *x = device_ramp<float>(256);
  TRY(CUDA_LAUNCH(reverse<BUG>, 1, 256, 0, 0, x));
  EXPECT(device_at(x, 3) == 252);
}

// The barrier at the end of the loop is missing: a fast thread writes what a slow one still reads.
template <bool BUG> static __global__ void pass_on(int *x, int rounds) {
  CUDA_SHARED(int, s);
  for (int r = 0; r < rounds; r++) {
    s[threadIdx.x] = x[threadIdx.x] + r;
    __syncthreads();
    x[threadIdx.x] = s[(threadIdx.x + 1) % blockDim.x];
    if (!BUG) {
      __syncthreads();
    }
  }
}
PLANTED(race_write_after_read, "race") {
  int *x = device_ramp<int>(64);
  TRY(CUDA_LAUNCH(pass_on<BUG>, 1, 64, 64 * sizeof(int), 0, x, 3));
  EXPECT(device_at(x, 0) == 3 + 0 + 1 + 2);
}

// A tree over one warp: the lanes are not in step.
template <bool BUG> static __global__ void warp_tree(int *x) {
  __shared__ int s[2][32];
  int lane = threadIdx.x % 32, *mine = s[threadIdx.x / 32];
  mine[lane] = x[threadIdx.x];
  __syncwarp();
  for (int half = 16; half; half /= 2) {
    if (lane < half) {
      mine[lane] += mine[lane + half];
    }
    if (!BUG) {
      __syncwarp();
    }
  }
  x[threadIdx.x] = mine[0];
}
PLANTED(race_warp, "race") {
  int *x = device_ramp<int>(64);
  TRY(CUDA_LAUNCH(warp_tree<BUG>, 1, 64, 0, 0, x));
  EXPECT(device_at(x, 5) == 31 * 32 / 2 && device_at(x, 40) == 31 * 32 / 2 + 32 * 32);
}

// A shuffle does not order memory.
template <bool BUG> static __global__ void shuffle_is_no_fence(int *x) {
  __shared__ int s[32];
  s[threadIdx.x] = x[threadIdx.x];
  int next = __shfl_sync(0xffffffffu, (int)threadIdx.x, (threadIdx.x + 1) % 32);
  if (!BUG) {
    __syncwarp();
  }
  x[threadIdx.x] = s[next];
}
PLANTED(race_shuffle_is_no_fence, "race") {
  int *x = device_ramp<int>(32);
  TRY(CUDA_LAUNCH(shuffle_is_no_fence<BUG>, 1, 32, 0, 0, x));
  EXPECT(device_at(x, 31) == 0);
}

template <bool BUG> static __global__ void histogram(const int *x, unsigned *bins) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (BUG) {
    bins[x[i] % 8]++;
  } else {
    atomicAdd(&bins[x[i] % 8], 1u);
  }
}
PLANTED(race_histogram, "race") {
  int *x = device_ramp<int>(256);
  unsigned *bins;
  TRY(cudaMalloc(&bins, 8 * sizeof *bins));
  TRY(cudaMemset(bins, 0, 8 * sizeof *bins));
  TRY(CUDA_LAUNCH(histogram<BUG>, 4, 64, 0, 0, x, bins));
  EXPECT(device_at(bins, 7) == 32);
}

// Each thread of one warp by itself is right; two blocks meet at the border.
template <bool BUG> static __global__ void smooth(const float *in, float *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, n = gridDim.x * blockDim.x;
  const float *from = BUG ? out : in;
  out[i] = in[i] + (i + 1 < n ? from[i + 1] : 0);
}
PLANTED(race_blocks, "race") {
  float *in = device_ramp<float>(8), *out = device_ramp<float>(8);
  TRY(CUDA_LAUNCH(smooth<BUG>, 8, 1, 0, 0, in, out));
  EXPECT(device_at(out, 2) == 5);
}

template <bool BUG> static __global__ void count_and_look(unsigned *n, unsigned *seen) {
  atomicAdd(n, 1u);
  if (BUG && threadIdx.x == 0) {
    *seen = *n;
  } else if (threadIdx.x == 0) {
    *seen = atomicAdd(n, 0u);
  }
}
PLANTED(race_atomic_and_plain, "race") {
  unsigned *n = device_ramp<unsigned>(2);
  TRY(CUDA_LAUNCH(count_and_look<BUG>, 1, 64, 0, 0, n, n + 1));
  EXPECT(device_at(n, 0) == 64);
}

// Halves of one word are different bytes.
template <bool BUG> static __global__ void halves(unsigned short *x) {
  x[BUG ? threadIdx.x / 2 : threadIdx.x] = (unsigned short)threadIdx.x;
}
PLANTED(race_halves_of_a_word, "race") {
  unsigned short *x = device_ramp<unsigned short>(64);
  TRY(CUDA_LAUNCH(halves<BUG>, 1, 64, 0, 0, x));
  EXPECT(device_at(x, 33) == 33);
}

static __global__ void add_one(float *x) { x[threadIdx.x] += 1; }
PLANTED(race_streams, "race") {
  float *x = device_ramp<float>(32);
  cudaStream_t a, b;
  cudaEvent_t done;
  TRY(cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking));
  TRY(cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking));
  TRY(cudaEventCreateWithFlags(&done, cudaEventDisableTiming));
  TRY(CUDA_LAUNCH(add_one, 1, 32, 0, a, x));
  TRY(cudaEventRecord(done, a));
  if (!BUG) {
    TRY(cudaStreamWaitEvent(b, done));
  }
  TRY(CUDA_LAUNCH(add_one, 1, 32, 0, b, x));
  TRY(cudaDeviceSynchronize());
  EXPECT(device_at(x, 0) == 2);
  TRY(cudaStreamDestroy(a));
  TRY(cudaStreamDestroy(b));
  TRY(cudaEventDestroy(done));
}

// The next block of rows is copied while the kernel still reads the buffer.
PLANTED(race_copy_and_kernel, "race") {
  float *x = device_ramp<float>(32), *host;
  cudaStream_t work, copy;
  TRY(cudaMallocHost(&host, 32 * sizeof *host));
  for (int i = 0; i < 32; i++) {
    host[i] = 7;
  }
  TRY(cudaStreamCreateWithFlags(&work, cudaStreamNonBlocking));
  TRY(cudaStreamCreateWithFlags(&copy, cudaStreamNonBlocking));
  TRY(CUDA_LAUNCH(add_one, 1, 32, 0, work, x));
  if (!BUG) {
    TRY(cudaStreamSynchronize(work));
  }
  TRY(cudaMemcpyAsync(x, host, 32 * sizeof *x, cudaMemcpyHostToDevice, copy));
  TRY(cudaDeviceSynchronize());
  EXPECT(device_at(x, 0) == 7);
}

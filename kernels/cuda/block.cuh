/* SPDX-License-Identifier: Apache-2.0
 * Sums and maxima over a block in one fixed order: lanes in halves, then warps in halves. Blocks are whole warps. Every thread
 * gets the result. `room` is shared memory for 32 values, free to use again at return. */
#ifndef KERNELS_CUDA_BLOCK_CUH
#define KERNELS_CUDA_BLOCK_CUH
#include "launch.h"

#define WARP_ALL 0xffffffffu

template <typename T> static __device__ T warp_sum(T v) {
  for (int o = 16; o > 0; o /= 2) {
    v += __shfl_xor_sync(WARP_ALL, v, o);
  }
  return v;
}

static __device__ float warp_max(float v) {
  for (int o = 16; o > 0; o /= 2) {
    v = fmaxf(v, __shfl_xor_sync(WARP_ALL, v, o));
  }
  return v;
}

template <typename T> static __device__ T block_sum(T v, T *room) {
  unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  v = warp_sum(v);
  if (lane == 0) {
    room[warp] = v;
  }
  __syncthreads();
  T all = warp_sum(lane < warps ? room[lane] : static_cast<T>(0));
  __syncthreads();
  return all;
}

static __device__ float block_max(float v, float *room) {
  unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  v = warp_max(v);
  if (lane == 0) {
    room[warp] = v;
  }
  __syncthreads();
  float all = warp_max(lane < warps ? room[lane] : room[0]);
  __syncthreads();
  return all;
}
#endif

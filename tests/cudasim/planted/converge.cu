// SPDX-License-Identifier: Apache-2.0
// Barriers that not all threads reach, or not the same one; warp operations with wrong masks; a kernel that never ends.
#include "planted.h"

template <bool BUG> static __global__ void barrier_in_a_branch(int *x) {
  __shared__ int s[64];
  s[threadIdx.x] = x[threadIdx.x];
  if (!BUG || threadIdx.x < 40) {
    __syncthreads();
  }
  x[threadIdx.x] = threadIdx.x < 40 ? s[63 - threadIdx.x] : 0;
}
PLANTED(barrier_in_a_branch, "barrier divergence") {
  int *x = device_ramp<int>(64);
  TRY(CUDA_LAUNCH(barrier_in_a_branch<BUG>, 1, 64, 0, 0, x));
  TRY(cudaDeviceSynchronize());
}

template <bool BUG> static __global__ void early_return(int *x, int n) {
  int i = threadIdx.x;
  if (BUG && i >= n) {
    return;
  }
  int v = i < n ? x[i] : 0;
  int all = __syncthreads_count(v > 3);
  if (i < n) {
    x[i] = all;
  }
}
PLANTED(barrier_after_return, "barrier divergence") {
  int *x = device_ramp<int>(50);
  TRY(CUDA_LAUNCH(early_return<BUG>, 1, 64, 0, 0, x, 50));
  EXPECT(device_at(x, 49) == 46);
}

// As many barriers on both sides, but not the same ones.
template <bool BUG> static __global__ void two_barriers(int *x) {
  if (BUG && threadIdx.x % 2) {
    x[threadIdx.x] += 1;
    __syncthreads();
  } else {
    x[threadIdx.x] += 2;
    __syncthreads();
  }
}
PLANTED(barrier_in_two_branches, "barrier divergence") {
  int *x = device_ramp<int>(64);
  TRY(CUDA_LAUNCH(two_barriers<BUG>, 1, 64, 0, 0, x));
  TRY(cudaDeviceSynchronize());
}

// The number of rounds depends on the thread.
template <bool BUG> static __global__ void uneven_rounds(int *x, int n) {
  for (int i = threadIdx.x; i < (BUG ? n : 128); i += 64) {
    __syncthreads();
    if (i < n) {
      x[i] += 1;
    }
  }
}
PLANTED(barrier_uneven_rounds, "barrier divergence") {
  int *x = device_ramp<int>(100);
  TRY(CUDA_LAUNCH(uneven_rounds<BUG>, 1, 64, 0, 0, x, 100));
  EXPECT(device_at(x, 99) == 100);
}

// The tail of a row: the lanes beyond it do not come.
template <bool BUG> static __global__ void sum_of_tail(int *x, int n) {
  int lane = threadIdx.x, v = 0;
  if (!BUG || lane < n) {
    v = lane < n ? x[lane] : 0;
    for (int d = 16; d; d /= 2) {
      v += __shfl_xor_sync(0xffffffffu, v, d);
    }
  }
  if (lane == 0) {
    x[0] = v;
  }
}
PLANTED(mask_names_absent_lanes, "invalid mask") {
  int *x = device_ramp<int>(20);
  TRY(CUDA_LAUNCH(sum_of_tail<BUG>, 1, 32, 0, 0, x, 20));
  EXPECT(device_at(x, 0) == 190);
}

template <bool BUG> static __global__ void own_lane(int *x) {
  unsigned mask = BUG ? 0x0000ffffu : 0xffffffffu;
  x[threadIdx.x] = __shfl_sync(mask, x[threadIdx.x], 0);
}
PLANTED(mask_without_the_caller, "invalid mask") {
  int *x = device_ramp<int>(32);
  TRY(CUDA_LAUNCH(own_lane<BUG>, 1, 32, 0, 0, x));
  EXPECT(device_at(x, 31) == 0);
}

template <bool BUG> static __global__ void partial_warp(int *x) {
  unsigned mask = BUG ? 0xffffffffu : 0xffffu;
  unsigned votes = __ballot_sync(threadIdx.x < 32 ? 0xffffffffu : mask, x[threadIdx.x] % 2);
  x[threadIdx.x] = __popc(votes);
}
PLANTED(mask_of_a_whole_warp, "invalid mask") {
  int *x = device_ramp<int>(48);
  TRY(CUDA_LAUNCH(partial_warp<BUG>, 1, 48, 0, 0, x));
  EXPECT(device_at(x, 31) == 16 && device_at(x, 47) == 8);
}

template <bool BUG> static __global__ void two_masks(int *x) {
  bool low = threadIdx.x < 16;
  unsigned mask = low ? (BUG ? 0xffffffffu : 0x0000ffffu) : 0xffff0000u;
  x[threadIdx.x] = low ? __reduce_add_sync(mask, x[threadIdx.x]) : __reduce_max_sync(mask, x[threadIdx.x]);
}
PLANTED(mask_differs, "invalid mask") {
  int *x = device_ramp<int>(32);
  TRY(CUDA_LAUNCH(two_masks<BUG>, 1, 32, 0, 0, x));
  EXPECT(device_at(x, 0) == 120 && device_at(x, 16) == 31);
}

template <bool BUG> static __global__ void read_outside(int *x) {
  if (threadIdx.x < 16) {
    x[threadIdx.x] = __shfl_down_sync(0x0000ffffu, x[threadIdx.x], 4, BUG ? 32 : 16);
  }
}
PLANTED(mask_shuffle_from_outside, "invalid mask") {
  int *x = device_ramp<int>(32);
  TRY(CUDA_LAUNCH(read_outside<BUG>, 1, 32, 0, 0, x));
  EXPECT(device_at(x, 2) == 6);
}

template <bool BUG> static __global__ void wait_for(unsigned *flag) {
  if (threadIdx.x == 0) {
    while (BUG && atomicAdd(flag, 0u) < 2u) {
    }
  }
  atomicAdd(flag, 1u);
}
PLANTED(endless_wait, "endless") {
  unsigned *flag = device_ramp<unsigned>(1);
  TRY(CUDA_LAUNCH(wait_for<BUG>, 1, 1, 0, 0, flag));
  EXPECT(device_at(flag, 0) == 1);
}

/* SPDX-License-Identifier: Apache-2.0
 * The only way to start a kernel and to name its dynamic shared memory. nvcc gives both their CUDA meaning; the host
 * compiler under the execution shim of the tests (CUDASIM, tests/cudasim) gives both its own. Included by every .cu file and
 * by nothing else. What kernels and their launchers may use beyond it: docs/cuda.md. */
#ifndef KERNELS_CUDA_LAUNCH_H
#define KERNELS_CUDA_LAUNCH_H
#include <cuda_runtime.h>
#include <stddef.h>

/* CUDA_LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...) is a cudaError_t: what the launch itself said, with the
 * thread's last error cleared. grid and block are dim3 (or an unsigned for one dimension). An empty grid is no launch and no
 * error. A template's name with commas stands in parentheses: CUDA_LAUNCH((rows<float, 4>), ...). More than 48 KiB of shared
 * memory is asked for here; 99 KiB is the most that every supported device has.
 *
 * CUDA_SHARED(type, name); in a kernel declares `type *name`, the launch's shared_bytes of dynamic shared memory, aligned to 16
 * bytes. One a kernel; several arrays are cut from it by the kernel itself.
 *
 * CUDA_REGION(pointer, bytes, "name") names a part of a bigger allocation (the plan's one block) that a kernel must not leave.
 * The shim checks it like an allocation of its own (its old contents count as never written); on a device it is nothing. */
#if defined(CUDASIM)
#define CUDA_LAUNCH(kernel, ...) cudasim_launch(#kernel, kernel, __VA_ARGS__)
#define CUDA_SHARED(type, name) type *const name = static_cast<type *>(cudasim_dynamic_shared(alignof(type)))
#define CUDA_REGION(pointer, bytes, name) cudasim_region(pointer, bytes, name)
#else
#define CUDA_LAUNCH(kernel, ...) cuda_launch(kernel, __VA_ARGS__)
#define CUDA_SHARED(type, name)                                  \
  extern __shared__ __align__(16) unsigned char cuda_shared_[];  \
  type *const name = reinterpret_cast<type *>(cuda_shared_)
#define CUDA_REGION(pointer, bytes, name) ((void)0)

template <typename... P, typename... A>
static inline cudaError_t cuda_launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream, A... args) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) {
    return cudaSuccess;
  }
  if (shared_bytes > 48 * 1024) {
    cudaError_t failed = cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                              static_cast<int>(shared_bytes));
    if (failed != cudaSuccess) {
      return failed;
    }
  }
  kernel<<<grid, block, shared_bytes, stream>>>(args...);
  return cudaGetLastError();
}
#endif
#endif

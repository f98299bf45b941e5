/* SPDX-License-Identifier: Apache-2.0
 * What the binary opens: devices, handles, the table, and how failed calls are noted. The only symbol it looks up is
 * retort_plugin (kernel.h). Nothing here runs before `count` or `open`, so a machine without a driver can load it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_dev.h"

#ifndef RETORT_KERNEL_BUILD
#define RETORT_KERNEL_BUILD "unnamed"
#endif

static const size_t BLAS_WORK_BYTES = static_cast<size_t>(32) << 20;

static const char *base_name(const char *file) {
  const char *slash = strrchr(file, '/');
  return slash != NULL ? slash + 1 : file;
}

static const char *advice(cudaError_t code) {
  switch (static_cast<int>(code)) {
  case cudaErrorMemoryAllocation: return "the device's memory is full: lower --micro-tokens, or use --recompute";
  case cudaErrorInsufficientDriver: return "there is no NVIDIA driver, or one that is older than this build's CUDA: install or update it, or use --device cpu";
  case cudaErrorNoDevice: return "no NVIDIA device is visible: look at nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu";
  case cudaErrorNoKernelImageForDevice: return "this build has no code for the device: build with its architecture, or use --device cpu";
  case cudaErrorIllegalAddress: case cudaErrorMisalignedAddress: case cudaErrorLaunchFailure:
    return "an error of this program: run again with CUDA_LAUNCH_BLOCKING=1 and report the lines";
  default: return "look at nvidia-smi and the kernel log, or use --device cpu";
  }
}

int cuda_note(struct kdev *d, cudaError_t code, const char *what, const char *file, int line) {
  if (code == cudaSuccess) {
    return 1;
  }
  d->failed = 1;
  snprintf(d->why, sizeof d->why, "%s:%d: %.200s: %s (%s); %s", base_name(file), line, what, cudaGetErrorString(code), cudaGetErrorName(code),
           advice(code));
  return 0;
}

int cuda_note_blas(struct kdev *d, cublasStatus_t code, const char *what, const char *file, int line) {
  if (code == CUBLAS_STATUS_SUCCESS) {
    return 1;
  }
  d->failed = 1;
  snprintf(d->why, sizeof d->why, "%s:%d: %.200s: %s; look at nvidia-smi and the kernel log, or use --device cpu", base_name(file), line, what,
           cublasGetStatusString(code));
  return 0;
}

void cuda_note_text(struct kdev *d, const char *text, const char *file, int line) {
  if (!d->failed) {
    d->failed = 1;
    snprintf(d->why, sizeof d->why, "%s:%d: %s", base_name(file), line, text);
  }
}

/* ---- devices ---- */

static int count(char *why, size_t n) {
  int devices = 0;
  cudaError_t code = cudaGetDeviceCount(&devices);
  if (code == cudaSuccess && devices > 0) {
    return devices;
  }
  (void)cudaGetLastError();
  code = code == cudaSuccess ? cudaErrorNoDevice : code;
  snprintf(why, n, "%s; %s", cudaGetErrorString(code), advice(code));
  return 0;
}

static void close_device(struct kdev *d) {
  if (d == NULL) {
    return;
  }
  cuda_ranks_leave(d);
  cuda_bf16_close(d);
  for (int i = 0; i < CUDA_LANES; i++) {
    if (d->blas[i] != NULL) {
      (void)cublasDestroy(d->blas[i]);
    }
    if (d->mark[i] != NULL) {
      (void)cudaEventDestroy(d->mark[i]);
    }
    if (d->stream[i] != NULL) {
      (void)cudaStreamDestroy(d->stream[i]);
    }
    (void)cudaFree(d->blas_work[i]);
    (void)cudaFree(d->work[i]);
  }
  for (int i = 0; i < CUDA_STAGES; i++) {
    if (d->stage_done[i] != NULL) {
      (void)cudaEventDestroy(d->stage_done[i]);
    }
    (void)cudaFreeHost(d->stage[i]);
  }
  (void)cudaFree(d->ring);
  (void)cudaFreeHost(d->ring_host);
  (void)cudaFreeHost(d->partial);
  delete d;
}

static void open_lane(struct kdev *d, int i) {
  size_t blas_bytes = d->work_bytes < BLAS_WORK_BYTES ? d->work_bytes : BLAS_WORK_BYTES;
  CUDA_TRY(d, cudaStreamCreateWithFlags(&d->stream[i], cudaStreamNonBlocking));
  CUDA_TRY(d, cudaEventCreateWithFlags(&d->mark[i], cudaEventDisableTiming));
  CUDA_TRY(d, cudaMalloc(&d->blas_work[i], blas_bytes));
  CUDA_TRY(d, cudaMalloc(reinterpret_cast<void **>(&d->work[i]), d->work_bytes));
  CUDA_TRY_BLAS(d, cublasCreate(&d->blas[i]));
  CUDA_TRY_BLAS(d, cublasSetStream(d->blas[i], d->stream[i]));
  CUDA_TRY_BLAS(d, cublasSetWorkspace(d->blas[i], d->blas_work[i], blas_bytes)); /* its own: two streams may not share one */
  CUDA_TRY_BLAS(d, cublasSetAtomicsMode(d->blas[i], CUBLAS_ATOMICS_NOT_ALLOWED));
}

static struct kdev *open_device(int index, const struct kdev_options *o, char *why, size_t n) {
  struct kdev *d = new struct kdev();
  d->index = index;
  d->precision = o->precision;
  d->work_bytes = o->work_bytes;
  CUDA_TRY(d, cudaSetDevice(index));
  for (int i = 0; i < CUDA_LANES; i++) {
    open_lane(d, i);
  }
  for (int i = 0; i < CUDA_STAGES; i++) {
    CUDA_TRY(d, cudaHostAlloc(reinterpret_cast<void **>(&d->stage[i]), CUDA_STAGE_BYTES, cudaHostAllocDefault));
    CUDA_TRY(d, cudaEventCreateWithFlags(&d->stage_done[i], cudaEventDisableTiming));
  }
  CUDA_TRY(d, cudaHostAlloc(reinterpret_cast<void **>(&d->ring_host), CUDA_RING_BYTES, cudaHostAllocDefault));
  CUDA_TRY(d, cudaHostAlloc(reinterpret_cast<void **>(&d->partial), CUDA_PARTIALS * sizeof *d->partial, cudaHostAllocDefault));
  CUDA_TRY(d, cudaMalloc(reinterpret_cast<void **>(&d->ring), CUDA_RING_BYTES));
  if (d->failed) {
    snprintf(why, n, "%s", d->why);
    close_device(d);
    return NULL;
  }
  return d;
}

static void describe(struct kdev *d, struct kdev_about *a) {
  struct cudaDeviceProp p;
  size_t left = 0, all = 0;
  if (!CUDA_TRY(d, cudaGetDeviceProperties(&p, d->index)) || !CUDA_TRY(d, cudaMemGetInfo(&left, &all))) {
    return;
  }
  snprintf(a->name, sizeof a->name, "%s", p.name);
  snprintf(a->isa, sizeof a->isa, "sm%d%d", p.major, p.minor);
  a->memory_bytes = all;
  a->free_bytes = left;
}

extern "C" const struct kernels *cuda_table(void);

extern "C" __attribute__((visibility("default"))) const struct kernel_plugin *retort_plugin(void);
extern "C" const struct kernel_plugin *retort_plugin(void) {
  static struct kernel_plugin plugin;
  plugin.abi = KERNEL_ABI;
  plugin.build = RETORT_KERNEL_BUILD;
  plugin.table = cuda_table();
  plugin.count = count;
  plugin.open = open_device;
  plugin.close = close_device;
  plugin.describe = describe;
  plugin.ranks_id = cuda_ranks_id;
  plugin.ranks_join = cuda_ranks_join;
  return &plugin;
}

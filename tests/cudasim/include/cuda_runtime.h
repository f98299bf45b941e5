/* SPDX-License-Identifier: Apache-2.0
 * The execution shim's cuda_runtime.h: what docs/cuda.md lists of the CUDA runtime, for sources of kernels/cuda compiled by the
 * host compiler with -DCUDASIM. Tests only; a build for the device never sees this folder. Numbers of errors and enumerators
 * are CUDA's. */
#ifndef CUDASIM_CUDA_RUNTIME_H
#define CUDASIM_CUDA_RUNTIME_H
#ifndef CUDASIM
#error "the shim's headers need -DCUDASIM; a build for the device must not find this folder"
#endif
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <new>
#include <tuple>
#include <type_traits>

#include "cudasim_device.h"

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInitializationError = 3,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInvalidMemcpyDirection = 21,
  cudaErrorInsufficientDriver = 35,
  cudaErrorDevicesUnavailable = 46,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchOutOfResources = 701,
  cudaErrorLaunchTimeout = 702,
  cudaErrorPeerAccessAlreadyEnabled = 704,
  cudaErrorHostMemoryAlreadyRegistered = 712,
  cudaErrorHostMemoryNotRegistered = 713,
  cudaErrorHardwareStackError = 714,
  cudaErrorIllegalInstruction = 715,
  cudaErrorMisalignedAddress = 716,
  cudaErrorLaunchFailure = 719,
  cudaErrorNotSupported = 801,
  cudaErrorUnknown = 999
};
typedef enum cudaError_t cudaError;

enum cudaMemcpyKind { cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice, cudaMemcpyDefault };
enum cudaMemoryType { cudaMemoryTypeUnregistered, cudaMemoryTypeHost, cudaMemoryTypeDevice, cudaMemoryTypeManaged };
enum cudaDeviceAttr {
  cudaDevAttrMaxThreadsPerBlock = 1,
  cudaDevAttrMaxSharedMemoryPerBlock = 8,
  cudaDevAttrClockRate = 13,
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrMaxThreadsPerMultiProcessor = 39,
  cudaDevAttrL2CacheSize = 38,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
  cudaDevAttrMemoryPoolsSupported = 115
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8, cudaFuncAttributePreferredSharedMemoryCarveout = 9 };
/* Element types of cuBLAS (library_types.h). */
enum cudaDataType_t { CUDA_R_32F = 0, CUDA_R_64F = 1, CUDA_R_16F = 2, CUDA_R_8I = 3, CUDA_R_32I = 10, CUDA_R_16BF = 14 };
typedef enum cudaDataType_t cudaDataType;

#define cudaHostAllocDefault 0u
#define cudaHostAllocPortable 1u
#define cudaHostAllocMapped 2u
#define cudaHostAllocWriteCombined 4u
#define cudaHostRegisterDefault 0u
#define cudaHostRegisterPortable 1u
#define cudaHostRegisterMapped 2u
#define cudaHostRegisterReadOnly 8u
#define cudaStreamDefault 0u
#define cudaStreamNonBlocking 1u
#define cudaEventDefault 0u
#define cudaEventBlockingSync 1u
#define cudaEventDisableTiming 2u

typedef struct CUstream_st *cudaStream_t;
typedef struct CUevent_st *cudaEvent_t;
typedef void (*cudaHostFn_t)(void *);
#define cudaStreamLegacy ((cudaStream_t)1)

struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem, sharedMemPerBlock, sharedMemPerBlockOptin, sharedMemPerMultiprocessor;
  int regsPerBlock, warpSize, maxThreadsPerBlock, major, minor, multiProcessorCount, maxThreadsPerMultiProcessor, l2CacheSize, memoryBusWidth;
  int asyncEngineCount, concurrentKernels, ECCEnabled, pciBusID, pciDeviceID, pciDomainID, integrated, unifiedAddressing;
};
struct cudaPointerAttributes {
  enum cudaMemoryType type;
  int device;
  void *devicePointer, *hostPointer;
};
struct cudaFuncAttributes {
  size_t sharedSizeBytes, constSizeBytes, localSizeBytes;
  int maxThreadsPerBlock, numRegs, ptxVersion, binaryVersion, maxDynamicSharedSizeBytes;
};

extern "C" {
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device);
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr, int device);
cudaError_t cudaDeviceSynchronize(void);
cudaError_t cudaDeviceReset(void);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer);
cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags);
cudaError_t cudaGetLastError(void);
cudaError_t cudaPeekAtLastError(void);
const char *cudaGetErrorName(cudaError_t error);
const char *cudaGetErrorString(cudaError_t error);

cudaError_t cudaHostUnregister(void *p);
cudaError_t cudaFree(void *p);
cudaError_t cudaFreeAsync(void *p, cudaStream_t stream);
cudaError_t cudaFreeHost(void *p);
cudaError_t cudaHostRegister(void *p, size_t bytes, unsigned flags);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes);
cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *p);
cudaError_t cudaMemcpy(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind);
cudaError_t cudaMemset(void *p, int value, size_t bytes);
cudaError_t cudaMemcpyPeerAsync(void *dst, int dst_device, const void *src, int src_device, size_t bytes, cudaStream_t stream);

cudaError_t cudaStreamCreate(cudaStream_t *stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority);
cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaEventCreate(cudaEvent_t *event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end);
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t f, void *data);
}
/* These have default arguments in CUDA's C++ header. */
cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream = 0);
cudaError_t cudaMemcpy2DAsync(void *dst, size_t dst_pitch, const void *src, size_t src_pitch, size_t width_bytes, size_t rows,
                              enum cudaMemcpyKind kind, cudaStream_t stream = 0);
cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream = 0);
cudaError_t cudaMemset2DAsync(void *p, size_t pitch, int value, size_t width_bytes, size_t rows, cudaStream_t stream = 0);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = 0);
cudaError_t cudasim_malloc(void **p, size_t bytes, const char *file, int line);
cudaError_t cudasim_malloc_async(void **p, size_t bytes, cudaStream_t stream, const char *file, int line);
cudaError_t cudasim_host_alloc(void **p, size_t bytes, unsigned flags);
cudaError_t cudasim_func_attribute(const void *kernel, enum cudaFuncAttribute attr, int value);
cudaError_t cudasim_func_attributes(struct cudaFuncAttributes *attributes, const void *kernel);

template <typename T>
static inline cudaError_t cudaMalloc(T **p, size_t bytes, const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
  return cudasim_malloc(reinterpret_cast<void **>(p), bytes, file, line);
}
template <typename T>
static inline cudaError_t cudaMallocAsync(T **p, size_t bytes, cudaStream_t stream, const char *file = __builtin_FILE(),
                                          int line = __builtin_LINE()) {
  return cudasim_malloc_async(reinterpret_cast<void **>(p), bytes, stream, file, line);
}
template <typename T> static inline cudaError_t cudaHostAlloc(T **p, size_t bytes, unsigned flags) {
  return cudasim_host_alloc(reinterpret_cast<void **>(p), bytes, flags);
}
template <typename T> static inline cudaError_t cudaMallocHost(T **p, size_t bytes, unsigned flags = 0) {
  return cudasim_host_alloc(reinterpret_cast<void **>(p), bytes, flags);
}
template <typename F> static inline cudaError_t cudaFuncSetAttribute(F *kernel, enum cudaFuncAttribute attr, int value) {
  return cudasim_func_attribute(reinterpret_cast<const void *>(kernel), attr, value);
}
template <typename F> static inline cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, F *kernel) {
  return cudasim_func_attributes(attributes, reinterpret_cast<const void *>(kernel));
}
template <typename F>
static inline cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, F, int block_size, size_t shared_bytes) {
  int by_threads = 1536 / (block_size > 0 ? block_size : 1), by_shared = static_cast<int>(100u * 1024u / (shared_bytes + 1024));
  *blocks = by_threads < by_shared ? by_threads : by_shared;
  return cudaSuccess;
}

/* CUDA_REGION of launch.h. */
void cudasim_region(void *p, size_t bytes, const char *name, const char *file = __builtin_FILE(), int line = __builtin_LINE());

/* One launch, queued with a copy of its arguments: run(arguments) is called once a thread. */
struct cudasim_launch_info {
  const char *kernel, *file;
  int line;
  const void *function; /* names the module whose static shared memory is meant */
  dim3 grid, block;
  size_t shared_bytes;
  cudaStream_t stream;
  void (*run)(const void *arguments);
  const void *arguments;
  size_t argument_bytes;
  int checked; /* compiled with the hooks that see every access */
};
#ifdef CUDASIM_CHECKED
#define CUDASIM_IS_CHECKED 1
#else
#define CUDASIM_IS_CHECKED 0
#endif
cudaError_t cudasim_enqueue(const struct cudasim_launch_info *info);

template <typename... P> struct cudasim_call {
  void (*kernel)(P...);
  std::tuple<P...> arguments;
  static void run(const void *self) {
    const cudasim_call *c = static_cast<const cudasim_call *>(self);
    std::apply(c->kernel, c->arguments);
  }
};

template <typename T> struct cudasim_same { typedef T type; };

template <typename... P>
static inline cudaError_t cudasim_launch_at(const char *file, int line, const char *name, void (*kernel)(P...), dim3 grid, dim3 block,
                                            size_t shared_bytes, cudaStream_t stream, typename cudasim_same<P>::type... args) {
  static_assert((std::is_trivially_copyable<P>::value && ...), "arguments of a kernel are copied as bytes");
  cudasim_call<P...> call = {kernel, std::tuple<P...>(args...)};
  struct cudasim_launch_info info = {name,         file,   line, reinterpret_cast<const void *>(kernel), grid, block,
                                     shared_bytes, stream, cudasim_call<P...>::run, &call, sizeof call, CUDASIM_IS_CHECKED};
  return cudasim_enqueue(&info);
}
#define cudasim_launch(name, kernel, ...) cudasim_launch_at(__FILE__, __LINE__, name, kernel, __VA_ARGS__)
#endif

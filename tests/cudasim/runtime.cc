// SPDX-License-Identifier: Apache-2.0
// The rest of the runtime's calls: devices, attributes, errors. The device is a small one (compute capability 8.6), so that
// what runs here runs on every supported device.
#include <stdio.h>
#include <string.h>

#include "sim.h"

using namespace cudasim;

static const struct { cudaError_t e; const char *name, *text; } errors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver", "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorDevicesUnavailable, "cudaErrorDevicesUnavailable", "CUDA-capable device(s) is/are busy or unavailable"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice", "no kernel image is available for execution on the device"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources", "too many resources requested for launch"},
    {cudaErrorLaunchTimeout, "cudaErrorLaunchTimeout", "the launch timed out and was terminated"},
    {cudaErrorHardwareStackError, "cudaErrorHardwareStackError", "hardware stack error"},
    {cudaErrorIllegalInstruction, "cudaErrorIllegalInstruction", "an illegal instruction was encountered"},
    {cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorPeerAccessAlreadyEnabled, "cudaErrorPeerAccessAlreadyEnabled", "peer access is already enabled"},
    {cudaErrorHostMemoryAlreadyRegistered, "cudaErrorHostMemoryAlreadyRegistered", "part or all of the requested memory range is already mapped"},
    {cudaErrorHostMemoryNotRegistered, "cudaErrorHostMemoryNotRegistered", "pointer does not correspond to a registered memory region"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};

static cudaError_t reply(cudaError_t e) {
  if (e) {
    last_error(e);
  }
  return e;
}

static bool no_such(int device) { return device < 0 || device >= settings_get().devices; }

extern "C" {
const char *cudaGetErrorName(cudaError_t e) {
  for (auto &row : errors) {
    if (row.e == e) {
      return row.name;
    }
  }
  return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t e) {
  for (auto &row : errors) {
    if (row.e == e) {
      return row.text;
    }
  }
  return "unrecognized error code";
}

cudaError_t cudaGetDeviceCount(int *count) {
  api_lock lock;
  *count = 0;
  if (cudaError_t e = may_fail()) {
    return e;
  }
  *count = settings_get().devices;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int device) {
  api_lock lock;
  if (cudaError_t e = may_fail()) {
    return e;
  }
  if (no_such(device)) {
    return reply(cudaErrorInvalidDevice);
  }
  memset(p, 0, sizeof *p);
  snprintf(p->name, sizeof p->name, "cudasim %d", device);
  p->totalGlobalMem = settings_get().mem_bytes;
  p->sharedMemPerBlock = 48 * 1024;
  p->sharedMemPerBlockOptin = MAX_SHARED;
  p->sharedMemPerMultiprocessor = 100 * 1024;
  p->regsPerBlock = 65536;
  p->warpSize = 32;
  p->maxThreadsPerBlock = 1024;
  p->major = 8;
  p->minor = 6;
  p->multiProcessorCount = 3;
  p->maxThreadsPerMultiProcessor = 1536;
  p->l2CacheSize = 1 << 20;
  p->memoryBusWidth = 128;
  p->asyncEngineCount = 2;
  p->concurrentKernels = p->unifiedAddressing = 1;
  p->pciBusID = device + 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr, int device) {
  struct cudaDeviceProp p;
  cudaError_t e = cudaGetDeviceProperties(&p, device);
  if (e) {
    return e;
  }
  switch (attr) {
    case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = (int)p.sharedMemPerBlock; break;
    case cudaDevAttrClockRate: *value = 1000000; break;
    case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = p.maxThreadsPerMultiProcessor; break;
    case cudaDevAttrL2CacheSize: *value = p.l2CacheSize; break;
    case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = p.minor; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = (int)p.sharedMemPerBlockOptin; break;
    case cudaDevAttrMemoryPoolsSupported: *value = 1; break;
    default: return reply(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceReset(void) { return cudaDeviceSynchronize(); }

cudaError_t cudaDriverGetVersion(int *version) {
  *version = settings_get().devices ? 13000 : 0;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int *can, int, int) {
  *can = 0; // copies between devices go through cudaMemcpyPeerAsync
  return cudaSuccess;
}

cudaError_t cudaDeviceEnablePeerAccess(int, unsigned) { return reply(cudaErrorNotSupported); }

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}
}

cudaError_t cudasim_func_attribute(const void *, enum cudaFuncAttribute attr, int value) {
  return reply(attr == cudaFuncAttributeMaxDynamicSharedMemorySize && value > MAX_SHARED ? cudaErrorInvalidValue : cudaSuccess);
}

cudaError_t cudasim_func_attributes(struct cudaFuncAttributes *a, const void *) {
  memset(a, 0, sizeof *a);
  a->maxThreadsPerBlock = 1024;
  a->numRegs = 32;
  a->ptxVersion = a->binaryVersion = 86;
  a->maxDynamicSharedSizeBytes = 48 * 1024;
  return cudaSuccess;
}

// SPDX-License-Identifier: Apache-2.0
// Copies and fills. What CUDA leaves undefined is made to hurt: a copy to pinned memory puts junk there until it runs, one from
// pinned memory reads what is there when it runs; pageable memory is copied at the call (to the device) or waited for.
#include <stdlib.h>
#include <string.h>

#include "sim.h"

namespace cudasim {

struct copy {
  void *dst;
  const void *src;
  size_t dst_pitch, src_pitch, width, rows;
  bool from_device, to_device, staged; // staged: src is a block of ours
  int value;                           // fill
};

static void run_copy(void *data) {
  struct copy *c = (struct copy *)data;
  if (c->from_device) {
    op_access(c->src, c->width, c->src_pitch, c->rows, c->to_device ? OP_READ_ANY : OP_READ, "the source");
  }
  if (c->to_device) {
    op_access(c->dst, c->width, c->dst_pitch, c->rows, OP_WRITE, "the destination");
  }
  for (size_t r = 0; r < c->rows; r++) {
    char *d = (char *)c->dst + r * c->dst_pitch;
    const char *s = (const char *)c->src + r * c->src_pitch;
    memmove(d, s, c->width);
    if (checking && c->from_device && c->to_device) {
      op_copy_init(d, s, c->width);
    }
  }
  if (c->staged) {
    free((void *)c->src);
  }
}

static void run_fill(void *data) {
  struct copy *c = (struct copy *)data;
  op_access(c->dst, c->width, c->dst_pitch, c->rows, OP_WRITE, "the destination");
  for (size_t r = 0; r < c->rows; r++) {
    memset((char *)c->dst + r * c->dst_pitch, c->value, c->width);
  }
}

static void bounds(const char *what, const void *p, size_t pitch, size_t width, size_t rows) {
  const struct alloc *a = alloc_find(p);
  uintptr_t end = (uintptr_t)p + (rows - 1) * pitch + width;
  if (!a || end > a->base + a->bytes) {
    fault_at(FAULT_BOUNDS, NULL, "%s touches %s", what, where_is(a ? (const void *)(end - 1) : p).c_str());
  }
}

static cudaError_t copy_any(const char *what, struct copy c, enum cudaMemcpyKind kind, cudaStream_t stream, bool wait) {
  if (cudaError_t e = may_fail()) {
    return e;
  }
  if (c.width == 0 || c.rows == 0) {
    return cudaSuccess;
  }
  if (c.width > c.dst_pitch || c.width > c.src_pitch) {
    last_error(cudaErrorInvalidValue);
    return cudaErrorInvalidValue;
  }
  c.to_device = on_device(c.dst);
  c.from_device = on_device(c.src);
  bool want_to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice, want_from = kind >= cudaMemcpyDeviceToHost && kind != cudaMemcpyDefault;
  if (kind != cudaMemcpyDefault && (want_to != c.to_device || want_from != c.from_device)) {
    bool dst_wrong = want_to != c.to_device;
    fault_at((dst_wrong ? c.to_device : c.from_device) ? FAULT_DEVICE_POINTER : FAULT_HOST_POINTER, NULL, "%s: the %s is %s, which does not fit the kind of the copy",
             what, dst_wrong ? "destination" : "source", where_is(dst_wrong ? c.dst : c.src).c_str());
  }
  size_t dst_bytes = (c.rows - 1) * c.dst_pitch + c.width, src_bytes = (c.rows - 1) * c.src_pitch + c.width;
  struct work w = {what, NULL, 0, false, run_copy, &c, sizeof c, NULL, 0};
  if (c.to_device) {
    bounds(what, c.dst, c.dst_pitch, c.width, c.rows);
  }
  if (c.from_device) {
    bounds(what, c.src, c.src_pitch, c.width, c.rows);
  }
  if (!c.from_device && !pinned_find(c.src, src_bytes)) {
    char *block = (char *)malloc(c.width * c.rows);
    for (size_t r = 0; r < c.rows; r++) {
      memcpy(block + r * c.width, (const char *)c.src + r * c.src_pitch, c.width);
    }
    c.src = block;
    c.src_pitch = c.width;
    c.staged = true;
  } else if (!c.from_device) {
    w.reads = c.src;
    w.reads_bytes = src_bytes;
  }
  if (!c.to_device && !pinned_find(c.dst, dst_bytes)) {
    wait = true;
  } else if (!c.to_device) {
    for (size_t r = 0; r < c.rows && !pending_on(c.dst, dst_bytes); r++) {
      memset((char *)c.dst + r * c.dst_pitch, 0xff, c.width);
    }
    w.reads = c.dst;
    w.reads_bytes = dst_bytes;
  }
  cudaError_t e = enqueue(stream, &w);
  return e || !wait ? e : drain_stream(stream);
}

static cudaError_t fill_any(const char *what, struct copy c, cudaStream_t stream) {
  if (cudaError_t e = may_fail()) {
    return e;
  }
  if (c.width == 0 || c.rows == 0) {
    return cudaSuccess;
  }
  if (!on_device(c.dst)) {
    fault_at(FAULT_HOST_POINTER, NULL, "%s of %s", what, where_is(c.dst).c_str());
  }
  bounds(what, c.dst, c.dst_pitch, c.width, c.rows);
  struct work w = {what, NULL, 0, false, run_fill, &c, sizeof c, NULL, 0};
  return enqueue(stream, &w);
}

} // namespace cudasim

using namespace cudasim;

extern "C" cudaError_t cudaMemcpy(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind) {
  api_lock lock;
  return copy_any("cudaMemcpy", {dst, src, bytes, bytes, bytes, 1, false, false, false, 0}, kind, NULL, true);
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream) {
  api_lock lock;
  return copy_any("cudaMemcpyAsync", {dst, src, bytes, bytes, bytes, 1, false, false, false, 0}, kind, stream, false);
}

cudaError_t cudaMemcpy2DAsync(void *dst, size_t dst_pitch, const void *src, size_t src_pitch, size_t width_bytes, size_t rows,
                              enum cudaMemcpyKind kind, cudaStream_t stream) {
  api_lock lock;
  return copy_any("cudaMemcpy2DAsync", {dst, src, dst_pitch, src_pitch, width_bytes, rows, false, false, false, 0}, kind, stream, false);
}

extern "C" cudaError_t cudaMemcpyPeerAsync(void *dst, int, const void *src, int, size_t bytes, cudaStream_t stream) {
  api_lock lock;
  return copy_any("cudaMemcpyPeerAsync", {dst, src, bytes, bytes, bytes, 1, false, false, false, 0}, cudaMemcpyDeviceToDevice, stream, false);
}

extern "C" cudaError_t cudaMemset(void *p, int value, size_t bytes) {
  api_lock lock;
  return fill_any("cudaMemset", {p, NULL, bytes, bytes, bytes, 1, false, true, false, value}, NULL);
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t stream) {
  api_lock lock;
  return fill_any("cudaMemsetAsync", {p, NULL, bytes, bytes, bytes, 1, false, true, false, value}, stream);
}

cudaError_t cudaMemset2DAsync(void *p, size_t pitch, int value, size_t width_bytes, size_t rows, cudaStream_t stream) {
  api_lock lock;
  return fill_any("cudaMemset2DAsync", {p, NULL, pitch, pitch, width_bytes, rows, false, true, false, value}, stream);
}

cudaError_t cudasim_malloc(void **p, size_t bytes, const char *file, int line) {
  api_lock lock;
  cudaError_t e = may_fail();
  e = e == cudaErrorUnknown ? cudaErrorMemoryAllocation : e ? e : memory_new(p, bytes, file, line);
  if (e) {
    last_error(e);
  }
  return e;
}

cudaError_t cudasim_malloc_async(void **p, size_t bytes, cudaStream_t, const char *file, int line) { return cudasim_malloc(p, bytes, file, line); }

extern "C" cudaError_t cudaFree(void *p) {
  api_lock lock;
  if (p) {
    drain_all();
  }
  return memory_delete(p);
}

extern "C" cudaError_t cudaFreeAsync(void *p, cudaStream_t stream) {
  api_lock lock;
  drain_stream(stream);
  return memory_delete(p);
}

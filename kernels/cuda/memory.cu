/* SPDX-License-Identifier: Apache-2.0
 * Memory of the device and the way to it (kernels/cpu/memory.c). Big transfers pass through pinned pieces in turn, so the caller's
 * memory is free at return and never needs to be pinned; small tables through a ring; lanes are streams. */
#include <string.h>

#include "cuda_dev.h"

void *cuda_block_new(struct kdev *d, size_t bytes) {
  void *p = NULL;
  if (d->failed || cudaMalloc(&p, bytes > 0 ? bytes : 1) != cudaSuccess) {
    (void)cudaGetLastError(); /* the caller says what it wanted and what to do */
    return NULL;
  }
  CUDA_TRY(d, cudaMemsetAsync(p, 0, bytes, d->stream[0]));
  CUDA_TRY(d, cudaStreamSynchronize(d->stream[0]));
  return p;
}

void cuda_block_free(struct kdev *d, void *p, size_t bytes) {
  if (p != NULL) {
    cuda_bf16_changed(d, p, bytes);
    for (int i = 0; i < CUDA_LANES; i++) {
      (void)cudaStreamSynchronize(d->stream[i]);
    }
    (void)cudaFree(p);
  }
}

void cuda_upload(struct kdev *d, void *dst, const void *src, size_t bytes) {
  cuda_bf16_changed(d, dst, bytes);
  int turn = 0;
  for (size_t at = 0; at < bytes && !d->failed; at += CUDA_STAGE_BYTES, turn = (turn + 1) % CUDA_STAGES) {
    size_t n = bytes - at < CUDA_STAGE_BYTES ? bytes - at : CUDA_STAGE_BYTES;
    CUDA_TRY(d, cudaEventSynchronize(d->stage_done[turn]));
    memcpy(d->stage[turn], static_cast<const unsigned char *>(src) + at, n);
    CUDA_TRY(d, cudaMemcpyAsync(static_cast<unsigned char *>(dst) + at, d->stage[turn], n, cudaMemcpyHostToDevice, d->stream[d->lane]));
    CUDA_TRY(d, cudaEventRecord(d->stage_done[turn], d->stream[d->lane]));
  }
}

void cuda_download(struct kdev *d, void *dst, const void *src, size_t bytes) {
  for (size_t at = 0; at < bytes && !d->failed; at += CUDA_STAGE_BYTES) {
    size_t n = bytes - at < CUDA_STAGE_BYTES ? bytes - at : CUDA_STAGE_BYTES;
    CUDA_TRY(d, cudaEventSynchronize(d->stage_done[0]));
    CUDA_TRY(d, cudaMemcpyAsync(d->stage[0], static_cast<const unsigned char *>(src) + at, n, cudaMemcpyDeviceToHost, d->stream[d->lane]));
    if (CUDA_TRY(d, cudaStreamSynchronize(d->stream[d->lane]))) {
      memcpy(static_cast<unsigned char *>(dst) + at, d->stage[0], n);
    }
  }
}

void cuda_copy(struct kdev *d, void *dst, const void *src, size_t bytes) {
  cuda_bf16_changed(d, dst, bytes);
  CUDA_TRY(d, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, d->stream[d->lane]));
}

void cuda_zero(struct kdev *d, void *dst, size_t bytes) {
  cuda_bf16_changed(d, dst, bytes);
  CUDA_TRY(d, cudaMemsetAsync(dst, 0, bytes, d->stream[d->lane]));
}

const char *cuda_failed(struct kdev *d) {
  for (int i = 0; i < CUDA_LANES; i++) {
    CUDA_TRY(d, cudaStreamSynchronize(d->stream[i]));
  }
  return d->failed ? d->why : NULL;
}

void cuda_lane(struct kdev *d, int lane) { d->lane = lane; }

void cuda_lane_wait(struct kdev *d, int lane) {
  CUDA_TRY(d, cudaEventRecord(d->mark[lane], d->stream[lane]));
  CUDA_TRY(d, cudaStreamWaitEvent(d->stream[d->lane], d->mark[lane], 0));
}

/* ---- for the other files of this back end ---- */

const void *cuda_small(struct kdev *d, const void *host, size_t bytes) {
  if (bytes > CUDA_RING_BYTES) {
    cuda_note_text(d, "a table of sequences above 4 MiB", __FILE__, __LINE__);
    return NULL;
  }
  if (d->ring_at + bytes > CUDA_RING_BYTES) { /* from the start again, when nobody reads there any more */
    for (int i = 0; i < CUDA_LANES; i++) {
      CUDA_TRY(d, cudaStreamSynchronize(d->stream[i]));
    }
    d->ring_at = 0;
  }
  size_t at = d->ring_at;
  d->ring_at = (at + bytes + 255) / 256 * 256;
  memcpy(d->ring_host + at, host, bytes);
  CUDA_TRY(d, cudaMemcpyAsync(d->ring + at, d->ring_host + at, bytes, cudaMemcpyHostToDevice, d->stream[d->lane]));
  return d->failed ? NULL : d->ring + at;
}

void *cuda_scratch(struct kdev *d, size_t bytes, const char *what) {
  (void)what;
  if (bytes > d->work_bytes) {
    cuda_note_text(d, "the device's scratch is too small", __FILE__, __LINE__);
  }
  return d->failed ? NULL : d->work[d->lane];
}

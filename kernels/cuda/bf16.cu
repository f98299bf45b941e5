/* SPDX-License-Identifier: Apache-2.0
 * bf16 inputs for tensor cores (--precision bf16). Weights have a kept copy each, made at their first product after they changed: the
 * optimiser works on the float32 master values and drops the copies. Everything else is rounded just before its product, into a
 * room of the lane that grows to the largest. A copy has no gaps: its row length is its width. */
#include <cuda_bf16.h>
#include <stdint.h>

#include "cuda_dev.h"

enum { THREADS = 256, MOST = 4096, SLOTS = 2 };

struct copy {
  const float *from;
  int64_t rows, width, ld;
  size_t room;        /* bytes */
  __nv_bfloat16 *to;
  cudaEvent_t made;   /* for other lanes */
  int lane, fresh;
};
struct cuda_bf16 {
  struct copy copy[MOST];
  int n;
  void *room[CUDA_LANES][SLOTS];
  size_t room_bytes[CUDA_LANES][SLOTS];
};

static __global__ void round_kernel(int64_t n, int64_t width, int64_t ld, const float *x, __nv_bfloat16 *to) {
  int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
  if (i < n) {
    to[i] = __float2bfloat16_rn(x[i / width * ld + i % width]);
  }
}

static void round_to(struct kdev *d, const float *x, int64_t rows, int64_t width, int64_t ld, __nv_bfloat16 *to) {
  CUDA_RUN(d, round_kernel, dim3(cuda_blocks(rows * width, THREADS)), dim3(THREADS), 0, rows * width, width, ld, x, to);
}

static struct cuda_bf16 *state(struct kdev *d) {
  if (d->bf16 == NULL) {
    d->bf16 = new struct cuda_bf16();
  }
  return d->bf16;
}

const void *cuda_bf16_matrix(struct kdev *d, int slot, const float *x, int64_t rows, int64_t width, int64_t ld) {
  struct cuda_bf16 *s = state(d);
  size_t bytes = static_cast<size_t>(rows * width) * sizeof(__nv_bfloat16);
  if (bytes > s->room_bytes[d->lane][slot]) { /* rare: sizes repeat from step to step */
    CUDA_TRY(d, cudaStreamSynchronize(d->stream[d->lane]));
    (void)cudaFree(s->room[d->lane][slot]);
    s->room[d->lane][slot] = NULL;
    s->room_bytes[d->lane][slot] = 0;
    if (!CUDA_TRY(d, cudaMalloc(&s->room[d->lane][slot], bytes))) {
      return NULL;
    }
    s->room_bytes[d->lane][slot] = bytes;
  }
  __nv_bfloat16 *to = static_cast<__nv_bfloat16 *>(s->room[d->lane][slot]);
  round_to(d, x, rows, width, ld, to);
  return d->failed ? NULL : to;
}

static struct copy *find(struct kdev *d, const float *w, int64_t rows, int64_t width, int64_t ld) {
  struct cuda_bf16 *s = state(d);
  size_t bytes = static_cast<size_t>(rows * width) * sizeof(__nv_bfloat16);
  for (int i = 0; i < s->n; i++) {
    if (s->copy[i].from == w && s->copy[i].rows == rows && s->copy[i].width == width && s->copy[i].ld == ld) {
      return &s->copy[i];
    }
  }
  if (s->n == MOST) {
    cuda_note_text(d, "more than 4096 weight matrices on one device; use --precision tf32", __FILE__, __LINE__);
    return NULL;
  }
  struct copy *c = &s->copy[s->n];
  if (!CUDA_TRY(d, cudaMalloc(reinterpret_cast<void **>(&c->to), bytes)) ||
      !CUDA_TRY(d, cudaEventCreateWithFlags(&c->made, cudaEventDisableTiming))) {
    return NULL;
  }
  c->from = w;
  c->rows = rows;
  c->width = width;
  c->ld = ld;
  c->room = bytes;
  s->n++;
  return c;
}

const void *cuda_bf16_weights(struct kdev *d, const float *w, int64_t rows, int64_t width, int64_t ld) {
  struct copy *c = find(d, w, rows, width, ld);
  if (c == NULL) {
    return NULL;
  }
  if (!c->fresh) {
    round_to(d, w, rows, width, ld, c->to);
    CUDA_TRY(d, cudaEventRecord(c->made, d->stream[d->lane]));
    c->lane = d->lane;
    c->fresh = 1;
  } else if (c->lane != d->lane) {
    CUDA_TRY(d, cudaStreamWaitEvent(d->stream[d->lane], c->made, 0));
  }
  return d->failed ? NULL : c->to;
}

void cuda_bf16_changed(struct kdev *d, const void *p, size_t bytes) {
  uintptr_t begin = reinterpret_cast<uintptr_t>(p), end = begin + bytes;
  for (int i = 0; d->bf16 != NULL && i < d->bf16->n; i++) {
    struct copy *c = &d->bf16->copy[i];
    uintptr_t from = reinterpret_cast<uintptr_t>(c->from), to = from + static_cast<size_t>(c->rows * c->ld) * sizeof(float);
    if (from < end && begin < to) {
      c->fresh = 0;
    }
  }
}

void cuda_bf16_close(struct kdev *d) {
  if (d->bf16 == NULL) {
    return;
  }
  for (int i = 0; i < d->bf16->n; i++) {
    (void)cudaFree(d->bf16->copy[i].to);
    (void)cudaEventDestroy(d->bf16->copy[i].made);
  }
  for (int l = 0; l < CUDA_LANES; l++) {
    for (int i = 0; i < SLOTS; i++) {
      (void)cudaFree(d->bf16->room[l][i]);
    }
  }
  delete d->bf16;
  d->bf16 = NULL;
}

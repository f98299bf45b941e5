/* SPDX-License-Identifier: Apache-2.0
 * out = silu(gate) * up with silu(g) = g * s, s = 1 / (1 + exp(-g)); gradients dup = dout * silu(g),
 * dgate = dout * up * s * (1 + g * (1 - s)). The arithmetic is in spans*.c. */
#include "cpu.h"

enum { CHUNK = 8192 };

struct swiglu {
  const float *gate, *up, *dout;
  float *out, *dgate, *dup;
};

static void forward_range(void *ctx, int64_t begin, int64_t end) {
  const struct swiglu *p = ctx;
  cpu_isa.swiglu_forward(end - begin, p->gate + begin, p->up + begin, p->out + begin);
}

void cpu_swiglu_forward(KDEV, int64_t n, const float *gate, const float *up, float *out) {
  struct swiglu p = {.gate = gate, .up = up, .out = out};
  cpu_for(n, CHUNK, forward_range, &p);
}

static void backward_range(void *ctx, int64_t begin, int64_t end) {
  const struct swiglu *p = ctx;
  cpu_isa.swiglu_backward(end - begin, p->gate + begin, p->up + begin, p->dout + begin, p->dgate + begin, p->dup + begin);
}

void cpu_swiglu_backward(KDEV, int64_t n, const float *gate, const float *up, const float *dout, float *dgate, float *dup) {
  struct swiglu p = {.gate = gate, .up = up, .dout = dout, .dgate = dgate, .dup = dup};
  cpu_for(n, CHUNK, backward_range, &p);
}

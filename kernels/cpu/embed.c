/* SPDX-License-Identifier: Apache-2.0
 * Embedding rows and their gradient. A token may occur many times, so the gradient is cut by columns and adds up in token
 * order: no two tasks write the same value and the order never depends on threads. */
#include "cpu.h"

enum { COLUMNS = 64 };

struct embed {
  enum dtype type;
  const unsigned char *table;
  const int32_t *ids;
  const float *from;
  float *to;
  int64_t n, width;
};

static void embed_rows(void *ctx, int64_t begin, int64_t end) {
  const struct embed *p = ctx;
  for (int64_t i = begin; i < end; i++) {
    cpu_isa.decode_span(p->type, p->width, p->table + (size_t)p->ids[i] * dtype_bytes(p->type, p->width), p->to + i * p->width);
  }
}

void cpu_embed_forward(KDEV, int64_t n, int64_t width, const int32_t *ids, enum dtype type, const void *table, float *out) {
  struct embed p = {.type = type, .table = table, .ids = ids, .to = out, .n = n, .width = width};
  cpu_for(n, cpu_row_chunk(width), embed_rows, &p);
}

static void embed_columns(void *ctx, int64_t begin, int64_t end) {
  const struct embed *p = ctx;
  for (int64_t i = 0; i < p->n; i++) {
    const float *from = p->from + i * p->width;
    float *to = p->to + p->ids[i] * p->width;
    for (int64_t c = begin; c < end; c++) {
      to[c] += from[c];
    }
  }
}

void cpu_embed_backward(KDEV, int64_t n, int64_t width, const int32_t *ids, const float *dout, float *dtable) {
  struct embed p = {.ids = ids, .from = dout, .to = dtable, .n = n, .width = width};
  cpu_for(width, COLUMNS, embed_columns, &p);
}

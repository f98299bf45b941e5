/* SPDX-License-Identifier: Apache-2.0
 * Attention of one new token a stream against that stream's cache: the arithmetic of attention_forward's last row. */
#include "cpu.h"
#include "pool.h"

struct job {
  const struct attn_shape *a;
  const float *q;
  const struct kv_view *cache;
  float *out;
};

static void stream_head(void *ctx, int task, int worker) {
  const struct job *p = ctx;
  const struct attn_shape *a = p->a;
  const struct kv_view *kv = p->cache + task / a->n_head;
  int32_t h = task % a->n_head, dh = a->head_dim, last = kv->len - 1;
  int64_t g = (int64_t)(h / (a->n_head / a->n_kv_head)) * dh, at = (int64_t)task * dh;
  int32_t first = a->window > 0 && last - a->window + 1 > 0 ? last - a->window + 1 : 0;
  (void)worker;
  cpu_attention_row(dh, a->scale, p->q + at, kv->k + g, kv->v + g, (int64_t)a->n_kv_head * dh, first, last, p->out + at, NULL);
}

void cpu_attention_decode(KDEV, int64_t m, const struct attn_shape *a, const float *q, const struct kv_view *cache, float *out) {
  struct job p = {a, q, cache, out};
  pool_run((int)m * a->n_head, stream_head, &p);
}

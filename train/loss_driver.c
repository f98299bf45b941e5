/* SPDX-License-Identifier: Apache-2.0
 * Chunks of positions: gather their hidden states, project, run the row function in place over the logits, project the
 * gradient back. The chunk's size depends on the vocabulary alone, never on threads. */
#include "loss_driver.h"
#include <math.h>
#include <string.h>
#include "mem.h"

/* Logits of one chunk: the bigger, the fewer passes over dhead (gemm_tn reads and writes all of it for each chunk). */
#define CHUNK_BYTES ((int64_t)64 << 20)
enum { CHUNK_MOST = 256, CHUNK_STEP = 64 };

struct loss_driver {
  const struct kernels *kn;
  const struct loss_loops *loops;
  int64_t vocab, width, t_width, chunk;
  uint64_t bytes;
  float *block, *x, *tx, *dx, *z, *y; /* (chunk, width) (chunk, t_width) (chunk, width) (chunk, vocab) (chunk, vocab) */
  struct loss_sums *each;             /* (chunk) */
  const struct loss_work *work;
  int64_t first;
};

static int64_t chunk_rows(int64_t vocab) {
  int64_t rows = CHUNK_BYTES / (vocab * (int64_t)sizeof(float)) / CHUNK_STEP * CHUNK_STEP;
  return rows < CHUNK_STEP ? CHUNK_STEP : rows > CHUNK_MOST ? CHUNK_MOST : rows;
}

enum status loss_driver_new(const struct kernels *kn, int64_t vocab, int64_t width, int64_t t_width, struct loss_driver **out, struct err *e) {
  enum status st = STATUS_OK;
  struct loss_driver *d = mem_calloc(1, sizeof *d);
  *out = NULL;
  if (d == NULL) {
    return err_nomem(e, sizeof *d);
  }
  d->kn = kn;
  d->loops = loss_loops_find(kn->isa);
  d->vocab = vocab;
  d->width = width;
  d->t_width = t_width;
  d->chunk = chunk_rows(vocab);
  int64_t floats[] = { d->chunk * width, d->chunk * t_width, d->chunk * width, d->chunk * vocab, t_width > 0 ? d->chunk * vocab : 0 };
  float **part[] = { &d->x, &d->tx, &d->dx, &d->z, &d->y };
  int64_t all = 0;
  for (size_t i = 0; i < 5; i++) {
    all += (floats[i] + 15) / 16 * 16;
  }
  d->bytes = (uint64_t)all * sizeof(float);
  d->block = mem_block(d->bytes);
  d->each = mem_calloc((size_t)d->chunk, sizeof *d->each);
  if (d->block == NULL || d->each == NULL) {
    st = err_nomem(e, d->bytes);
    goto out;
  }
  int64_t at = 0;
  for (size_t i = 0; i < 5; i++) {
    *part[i] = d->block + at;
    at += (floats[i] + 15) / 16 * 16;
  }
  *out = d;
  d = NULL;
out:
  loss_driver_free(d);
  return st;
}

void loss_driver_free(struct loss_driver *d) {
  if (d != NULL) {
    mem_block_free(d->block, d->bytes);
    mem_free(d->each);
    mem_free(d);
  }
}

int64_t loss_driver_chunk(const struct loss_driver *d) {
  return d->chunk;
}

uint64_t loss_driver_bytes(const struct loss_driver *d) {
  return d->bytes;
}

void loss_sums_add(struct loss_sums *to, const struct loss_sums *more) {
  to->loss += more->loss;
  to->ce += more->ce;
  to->kl += more->kl;
  to->agree += more->agree;
  to->weight += more->weight;
  to->n += more->n;
}

/* What is wanted beside the loss; before the loss, which may put its gradient over the logits. */
static void measure(const struct loss_driver *d, const struct loss_position *x, unsigned want, struct loss_sums *s) {
  static const struct loss_params plain = { .temperature = 1 };
  struct loss_position v = *x;
  v.dz = NULL;
  if (want & LOSS_WANT_CE) {
    s->ce = loss_find("ce")->position(d->loops, &plain, &v);
  }
  if ((want & LOSS_WANT_KL) && x->y != NULL) {
    s->kl = loss_find("fkl")->position(d->loops, &plain, &v);
  } else if ((want & LOSS_WANT_KL) && x->k > 0 && d->work->rest != NULL) {
    s->kl = loss_find("topk")->position(d->loops, &plain, &v);
  }
  if ((want & LOSS_WANT_AGREE) && x->y != NULL) {
    s->agree = d->loops->argmax(x->vocab, x->z) == d->loops->argmax(x->vocab, x->y);
  } else if ((want & LOSS_WANT_AGREE) && x->k > 0 && d->work->rest != NULL) {
    int64_t best = d->loops->argmax(x->vocab, x->z);
    s->agree = x->top_id[0] == best; /* stored best first */
  }
}

/* The loss itself is the true KL: not measured twice. */
static int is_kl(const struct loss_work *w) {
  return w->loss != NULL && w->params.temperature == 1 && w->loss == loss_find(w->t_hidden != NULL ? "fkl" : "topk");
}

static void one_row(void *ctx, int64_t r, int worker) {
  struct loss_driver *d = ctx;
  const struct loss_work *w = d->work;
  struct loss_sums *s = &d->each[r];
  int64_t i = d->first + r;
  double weight = w->weight != NULL ? (double)w->weight[i] : 1;
  (void)worker;
  memset(s, 0, sizeof *s);
  struct loss_position x = { .vocab = w->vocab, .z = d->z + r * w->vocab, .label = w->label != NULL ? w->label[i] : -1 };
  x.y = w->t_hidden != NULL ? d->y + r * w->vocab : NULL;
  x.grad_scale = (float)(w->grad_scale * weight);
  x.dz = w->dhidden != NULL ? d->z + r * w->vocab : NULL;
  if (w->k > 0) {
    x.k = w->k;
    x.top_id = w->top_id + i * w->k;
    x.top_logprob = w->top_logprob + i * w->k;
    x.rest = w->rest != NULL ? w->rest[i] : -INFINITY;
  }
  measure(d, &x, is_kl(w) ? w->want & ~(unsigned)LOSS_WANT_KL : w->want, s);
  if (w->loss != NULL) {
    s->loss = w->loss->position(d->loops, &w->params, &x);
    if (is_kl(w)) {
      s->kl = s->loss;
    }
  }
  s->weight = weight;
  s->n = 1;
  s->loss *= weight;
  s->ce *= weight;
  s->kl *= weight;
  s->agree *= weight;
}

static void gather(float *to, const float *from, const int32_t *row, int64_t first, int64_t n, int64_t width) {
  for (int64_t i = 0; i < n; i++) {
    int64_t r = row != NULL ? row[first + i] : first + i;
    memcpy(to + i * width, from + r * width, (size_t)width * sizeof *to);
  }
}

static void chunk_run(struct loss_driver *d, const struct loss_work *w, int64_t n) {
  const struct kernels *k = d->kn;
  gather(d->x, w->hidden, w->row, d->first, n, w->width);
  k->gemm_nt(NULL, n, w->vocab, w->width, d->x, w->width, w->head, w->width, d->z, w->vocab, 0);
  if (w->t_hidden != NULL && !w->same_teacher) {
    gather(d->tx, w->t_hidden, w->t_row, d->first, n, w->t_width);
    k->gemm_nt(NULL, n, w->vocab, w->t_width, d->tx, w->t_width, w->t_head, w->t_width, d->y, w->vocab, 0);
  }
  k->rows(NULL, n, one_row, d);
  if (w->dhidden == NULL || w->loss == NULL) {
    return;
  }
  k->gemm_nn(NULL, n, w->vocab, w->width, d->z, w->vocab, w->head, w->width, d->dx, w->width, 0);
  for (int64_t i = 0; i < n; i++) {
    memcpy(w->dhidden + w->row[d->first + i] * w->width, d->dx + i * w->width, (size_t)w->width * sizeof *d->dx);
  }
  if (w->dhead != NULL) {
    k->gemm_tn(NULL, n, w->vocab, w->width, d->z, w->vocab, d->x, w->width, w->dhead, w->width, 1);
  }
}

void loss_driver_run(struct loss_driver *d, const struct loss_work *w, struct loss_sums *sums, struct loss_sums *each) {
  memset(sums, 0, sizeof *sums);
  d->work = w;
  for (d->first = 0; d->first < w->n; d->first += d->chunk) {
    int64_t n = w->n - d->first < d->chunk ? w->n - d->first : d->chunk;
    chunk_run(d, w, n);
    for (int64_t i = 0; i < n; i++) {
      loss_sums_add(sums, &d->each[i]);
    }
    if (each != NULL) {
      memcpy(each + d->first, d->each, (size_t)n * sizeof *each);
    }
  }
}

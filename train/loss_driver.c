/* SPDX-License-Identifier: Apache-2.0
 * Chunks of positions: gather their hidden states, project, run the row function in place over the logits, project the
 * gradient back. The chunk's size depends on the vocabulary alone, never on threads. On a device chunks take turns in its two
 * lanes, so that the products of one run beside the losses of the other; dhead is added to in the order of chunks. */
#include "loss_driver.h"
#include <string.h>
#include "mem.h"

/* Logits of one chunk: the bigger, the fewer passes over dhead (gemm_tn reads and writes all of it for each chunk). */
#define CHUNK_BYTES ((int64_t)64 << 20)
enum { CHUNK_MOST = 256, CHUNK_STEP = 64, LANES = 2, DEVICE_MOST = 1024, DEVICE_STEP = 16 };

/* Buffers of one lane: (chunk, width) (chunk, t_width) (chunk, width) (chunk, vocab) (chunk, vocab) */
struct lane { float *x, *tx, *dx, *z, *y; };
/* Arrays of the work as they lie in the back end's memory, for all its positions. */
struct lists {
  const int32_t *row, *t_row, *label, *top_id;
  const float *weight, *top_logprob, *rest;
  float *room;
  struct loss_sums *each;
};
struct loss_driver {
  const struct device *dev;
  const struct loss_loops *loops;
  int64_t vocab, width, t_width, chunk;
  int lanes;
  uint64_t bytes;
  float *block;
  struct lane lane[LANES];
  struct loss_sums *each;   /* (each_cap) the host's */
  int64_t each_cap;
  void *lists;              /* on a device: struct lists in one block */
  size_t lists_bytes;
  struct loss_chunk rows;   /* in hand, for the CPU's row function */
};

static int64_t chunk_rows(const struct device *dev, int64_t vocab) {
  if (dev->k->on_device) { /* by the size of its scratch, so that a test can make it small */
    int64_t fit = 2 * (int64_t)dev->work_bytes / (vocab * (int64_t)sizeof(float)) / DEVICE_STEP * DEVICE_STEP;
    return fit < DEVICE_STEP ? DEVICE_STEP : fit > DEVICE_MOST ? DEVICE_MOST : fit;
  }
  int64_t rows = CHUNK_BYTES / (vocab * (int64_t)sizeof(float)) / CHUNK_STEP * CHUNK_STEP;
  return rows < CHUNK_STEP ? CHUNK_STEP : rows > CHUNK_MOST ? CHUNK_MOST : rows;
}

enum status loss_driver_new(const struct device *dev, int64_t vocab, int64_t width, int64_t t_width, struct loss_driver **out, struct err *e) {
  enum status st = STATUS_OK;
  struct loss_driver *d = mem_calloc(1, sizeof *d);
  *out = NULL;
  if (d == NULL) {
    return err_nomem(e, sizeof *d);
  }
  d->dev = dev;
  d->loops = dev->k->on_device ? NULL : loss_loops_find(dev->k->isa);
  d->lanes = dev->k->on_device ? LANES : 1;
  d->vocab = vocab;
  d->width = width;
  d->t_width = t_width;
  d->chunk = chunk_rows(dev, vocab);
  int64_t floats[] = { d->chunk * width, d->chunk * t_width, d->chunk * width, d->chunk * vocab, t_width > 0 ? d->chunk * vocab : 0 };
  int64_t all = 0, at = 0;
  for (size_t i = 0; i < 5; i++) {
    floats[i] = (floats[i] + 63) / 64 * 64;
    all += floats[i] * d->lanes;
  }
  void *block;
  d->bytes = (uint64_t)all * sizeof(float);
  TRY(device_block(dev, d->bytes, "logits of the loss", &block, e));
  d->block = block;
  for (int l = 0; l < d->lanes; l++) {
    struct lane *b = &d->lane[l];
    float **part[] = { &b->x, &b->tx, &b->dx, &b->z, &b->y };
    for (size_t i = 0; i < 5; i++) {
      *part[i] = d->block + at;
      at += floats[i];
    }
  }
  *out = d;
  d = NULL;
out:
  loss_driver_free(d);
  return st;
}

void loss_driver_free(struct loss_driver *d) {
  if (d != NULL) {
    device_block_free(d->dev, d->block, d->bytes);
    device_block_free(d->dev, d->lists, d->lists_bytes);
    mem_free(d->each);
    mem_free(d);
  }
}

int64_t loss_driver_chunk(const struct loss_driver *d) {
  return d->chunk;
}

uint64_t loss_driver_bytes(const struct loss_driver *d) {
  return d->bytes + d->lists_bytes;
}

void loss_sums_add(struct loss_sums *to, const struct loss_sums *more) {
  to->loss += more->loss;
  to->ce += more->ce;
  to->kl += more->kl;
  to->agree += more->agree;
  to->weight += more->weight;
  to->n += more->n;
}

/* ---- the work's arrays ---- */

/* A copy of n bytes behind *at, which moves on; only *at moves while there is no memory yet. NULL stays NULL. */
static const void *put(struct loss_driver *d, size_t *at, const void *from, size_t n) {
  void *to = d->lists != NULL ? (char *)d->lists + *at : NULL;
  if (from == NULL) {
    return NULL;
  }
  *at += (n + 255) / 256 * 256;
  if (to != NULL) {
    d->dev->k->upload(d->dev->d, to, from, n);
  }
  return to;
}

/* Places (and when there is memory sends) every array; returns the bytes it takes. */
static size_t place(struct loss_driver *d, const struct loss_work *w, struct lists *l) {
  size_t at = 0, n = (size_t)w->n, words = n * 4, sparse = words * (size_t)w->k;
  l->row = put(d, &at, w->row, words);
  l->t_row = put(d, &at, w->t_row, words);
  l->label = put(d, &at, w->label, words);
  l->weight = put(d, &at, w->weight, words);
  l->top_id = w->k > 0 ? put(d, &at, w->top_id, sparse) : NULL;
  l->top_logprob = w->k > 0 ? put(d, &at, w->top_logprob, sparse) : NULL;
  l->rest = w->k > 0 ? put(d, &at, w->rest, words) : NULL;
  l->room = d->lists != NULL ? (float *)(void *)((char *)d->lists + at) : NULL;
  at += (sparse + 255) / 256 * 256;
  l->each = d->lists != NULL ? (struct loss_sums *)(void *)((char *)d->lists + at) : NULL;
  return at + n * sizeof *l->each;
}

static enum status lists_fill(struct loss_driver *d, const struct loss_work *w, struct lists *l, struct err *e) {
  if (w->n > d->each_cap) {
    mem_free(d->each);
    d->each_cap = 0;
    d->each = mem_calloc((size_t)w->n, sizeof *d->each);
    if (d->each == NULL) {
      return err_nomem(e, (unsigned long long)w->n * sizeof *d->each);
    }
    d->each_cap = w->n;
  }
  if (!d->dev->k->on_device) {
    *l = (struct lists){ w->row, w->t_row, w->label, w->top_id, w->weight, w->top_logprob, w->rest, NULL, d->each };
    return STATUS_OK;
  }
  void *have = d->lists;
  d->lists = NULL;
  size_t need = place(d, w, l);
  d->lists = have;
  if (need > d->lists_bytes) {
    device_block_free(d->dev, d->lists, d->lists_bytes);
    d->lists = NULL;
    d->lists_bytes = 0;
    enum status st = device_block(d->dev, need + need / 4, "the positions of the loss", &d->lists, e);
    if (st != STATUS_OK) {
      return st;
    }
    d->lists_bytes = need + need / 4;
  }
  (void)place(d, w, l);
  return STATUS_OK;
}

/* ---- chunks ---- */

static int32_t number_of(const struct loss *loss) {
  for (int32_t i = 0; loss_table[i] != NULL; i++) {
    if (loss_table[i] == loss) {
      return i;
    }
  }
  return LOSS_NONE;
}

static void one_row(void *ctx, int64_t r, int worker) {
  struct loss_driver *d = ctx;
  (void)worker;
  loss_row_run(d->loops, &d->rows, r, &d->rows.each[r]);
}

static struct loss_chunk rows_of(const struct loss_work *w, const struct lists *l, const struct lane *b, int64_t first, int64_t n) {
  struct loss_chunk c = { .loss = number_of(w->loss), .params = w->params, .want = w->want, .grad = w->dhidden != NULL && w->loss != NULL,
                          .vocab = w->vocab, .n = n, .k = w->k, .z = b->z, .y = w->t_hidden != NULL ? b->y : NULL,
                          .grad_scale = w->grad_scale, .each = l->each + first };
  c.is_kl = w->loss != NULL && w->params.temperature == 1 && w->loss == (w->t_hidden != NULL ? &loss_fkl : &loss_topk);
  c.label = l->label != NULL ? l->label + first : NULL;
  c.weight = l->weight != NULL ? l->weight + first : NULL;
  if (w->k > 0) {
    c.top_id = l->top_id + first * w->k;
    c.top_logprob = l->top_logprob + first * w->k;
    c.rest = l->rest != NULL ? l->rest + first : NULL;
    c.room = l->room != NULL ? l->room + first * w->k : NULL;
  }
  return c;
}

static void chunk_run(struct loss_driver *d, const struct loss_work *w, const struct lists *l, int64_t first, int lane) {
  const struct kernels *k = d->dev->k;
  struct kdev *dev = d->dev->d;
  const struct lane *b = &d->lane[lane];
  int64_t n = w->n - first < d->chunk ? w->n - first : d->chunk;
  k->lane(dev, lane);
  k->gather_rows(dev, n, w->width, l->row + first, w->hidden, b->x);
  k->gemm_nt(dev, n, w->vocab, w->width, b->x, w->width, w->head, w->width, b->z, w->vocab, 0);
  if (w->t_hidden != NULL && !w->same_teacher) {
    if (w->t_row != NULL) {
      k->gather_rows(dev, n, w->t_width, l->t_row + first, w->t_hidden, b->tx);
    } else {
      k->upload(dev, b->tx, w->t_hidden + first * w->t_width, (size_t)(n * w->t_width) * sizeof(float));
    }
    k->gemm_nt(dev, n, w->vocab, w->t_width, b->tx, w->t_width, w->t_head, w->t_width, b->y, w->vocab, 0);
  }
  d->rows = rows_of(w, l, b, first, n);
  if (k->loss_rows != NULL) {
    k->loss_rows(dev, &d->rows);
  } else {
    k->rows(dev, n, one_row, d);
  }
  if (!d->rows.grad) {
    return;
  }
  k->gemm_nn(dev, n, w->vocab, w->width, b->z, w->vocab, w->head, w->width, b->dx, w->width, 0);
  k->scatter_rows(dev, n, w->width, l->row + first, b->dx, w->dhidden);
  if (w->dhead != NULL) {
    if (first > 0) {
      k->lane_wait(dev, (lane + 1) % LANES); /* the chunk before has added its part */
    }
    k->gemm_tn(dev, n, w->vocab, w->width, b->z, w->vocab, b->x, w->width, w->dhead, w->width, 1);
  }
}

enum status loss_driver_run(struct loss_driver *d, const struct loss_work *w, struct loss_sums *sums, struct loss_sums *each, struct err *e) {
  const struct kernels *k = d->dev->k;
  struct kdev *dev = d->dev->d;
  struct lists l;
  memset(sums, 0, sizeof *sums);
  if (w->n == 0) {
    return STATUS_OK;
  }
  enum status st = lists_fill(d, w, &l, e);
  if (st != STATUS_OK) {
    return st;
  }
  for (int lane = 1; lane < d->lanes; lane++) {
    k->lane(dev, lane);
    k->lane_wait(dev, 0); /* hidden states and lists come from there */
  }
  int lane = 0;
  for (int64_t first = 0; first < w->n; first += d->chunk, lane = (lane + 1) % d->lanes) {
    chunk_run(d, w, &l, first, lane);
  }
  k->lane(dev, 0);
  for (lane = 1; lane < d->lanes; lane++) {
    k->lane_wait(dev, lane);
  }
  if (k->on_device) {
    k->download(dev, d->each, l.each, (size_t)w->n * sizeof *d->each);
    st = device_check(d->dev, e);
  }
  for (int64_t i = 0; st == STATUS_OK && i < w->n; i++) {
    loss_sums_add(sums, &d->each[i]);
  }
  if (st == STATUS_OK && each != NULL) {
    memcpy(each, d->each, (size_t)w->n * sizeof *each);
  }
  return st;
}

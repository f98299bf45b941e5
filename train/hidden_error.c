/* SPDX-License-Identifier: Apache-2.0
 * The states with noise are the student of the fused loss, the stored ones the teacher, under one head. */
#include "hidden_error.h"
#include <math.h>
#include "log.h"
#include "loss_driver.h"
#include "rng.h"

enum { POSITIONS = 128 };

enum status hidden_error(const struct device *dev, const float *hidden, int64_t n, int64_t width, const float *head, int64_t vocab, double *kl, struct err *e) {
  enum status st = STATUS_OK;
  struct loss_driver *d = NULL;
  struct loss_sums sums;
  float *noisy = mem_calloc((size_t)(n * width), sizeof *noisy);
  int32_t *row = mem_calloc((size_t)n, sizeof *row);
  size_t bytes = (size_t)(n * width) * sizeof *noisy;
  void *there = NULL;
  *kl = 0;
  if (noisy == NULL || row == NULL) {
    st = err_nomem(e, (unsigned long long)(n * width) * sizeof *noisy);
    goto out;
  }
  for (int64_t i = 0; i < n; i++) {
    struct rng g = { 0x48454e4f49534531ull, (uint64_t)i, 0 };
    const float *x = hidden + i * width;
    float top = 0;
    for (int64_t j = 0; j < width; j++) {
      top = fabsf(x[j]) > top ? fabsf(x[j]) : top;
    }
    for (int64_t j = 0; j < width; j++) {
      noisy[i * width + j] = x[j] + top / 127 * ((float)rng_uniform(&g) - 0.5f);
    }
    row[i] = (int32_t)i;
  }
  TRY(device_block(dev, bytes, "hidden states with noise", &there, e));
  dev->k->upload(dev->d, there, noisy, bytes);
  TRY(loss_driver_new(dev, vocab, width, width, &d, e));
  struct loss_work w = { .want = LOSS_WANT_KL, .vocab = vocab, .n = n, .row = row, .hidden = there, .head = head, .width = width,
                         .t_hidden = hidden, .t_head = head, .t_width = width };
  TRY(loss_driver_run(d, &w, &sums, NULL, e));
  *kl = n > 0 ? sums.kl / (double)n : 0;
out:
  loss_driver_free(d);
  device_block_free(dev, there, bytes);
  mem_free(noisy);
  mem_free(row);
  return st;
}

enum status hidden_error_report(const struct target *t, struct shard_reader *r, struct err *e) {
  enum status st = STATUS_OK;
  double sum = 0;
  int64_t n = 0;
  struct arena *a = NULL;
  if (t->mode != TARGET_HIDDEN) {
    return STATUS_OK;
  }
  if ((a = arena_new(0)) == NULL) {
    return err_nomem(e, 0);
  }
  for (int64_t i = 0; i < shard_info(r)->n_samples && n < POSITIONS; i++) {
    struct sample s;
    double kl;
    arena_reset(a);
    TRY(shard_read(r, i, a, &s, e));
    int64_t take = s.n_target < POSITIONS - n ? s.n_target : POSITIONS - n;
    if (take == 0) {
      continue;
    }
    TRY(hidden_error(t->dev, s.hidden, take, t->width, t->head, shard_info(r)->vocab, &kl, e));
    sum += kl * (double)take;
    n += take;
  }
  log_info("stored hidden states: their 8 bits cost %.2g nat of KL (estimate over %lld positions)", n > 0 ? sum / (double)n : 0.0, (long long)n);
out:
  arena_free(a);
  return st;
}

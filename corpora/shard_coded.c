/* SPDX-License-Identifier: Apache-2.0
 * A target in the stream: of the top k, for each rank the fall of its level and its id; of the draws, for each different id the
 * fall of its count (none when the last count was 1) and the id, until the counts add up to the draws. */
#include "shard_coded.h"
#include <math.h>
#include <string.h>

enum { RANKS = 16, FIRST_COUNT = RANKS, COUNT_FALL = RANKS + 1, COUNT_FALLS = 16 };
#define MASS_TOLERANCE 1e-3
_Static_assert(COUNT_FALL + COUNT_FALLS <= CODE_CONTEXTS, "contexts of numbers");

static int rank_context(int32_t j) { return j < 8 ? j : 8 + (j - 8) / 8 < RANKS ? 8 + (j - 8) / 8 : RANKS - 1; }

static int fall_context(uint32_t count) { return COUNT_FALL + (count < COUNT_FALLS ? (int)count : COUNT_FALLS - 1); }

enum status coded_open(struct coded *c, int32_t vocab, double first, double most, struct err *e) {
  *c = (struct coded){ .scale = { .first = first, .most = most } };
  if (!(first >= 1e-4 && first <= most && most <= 16))
    return err_set(e, STATUS_DATA, "a scale of steps from %g to %g nat, expected 1e-4 to 16", first, most);
  return code_model_new(vocab, &c->model, e);
}

void coded_close(struct coded *c) {
  mem_free(c->model);
  c->model = NULL;
  scale_free(&c->scale);
}

/* ---- writing ---- */
static enum status check_top(const struct sample *s, int32_t t, int32_t vocab, int unchecked, struct err *e) {
  const int32_t *id = s->top_id + (int64_t)t * s->k;
  const float *lp = s->top_logprob + (int64_t)t * s->k;
  double mass = exp((double)s->rest[t]);
  for (int32_t j = 0; j < s->k; j++) {
    if (id[j] < 0 || id[j] >= vocab) return err_set(e, STATUS_DATA, "target token id %d, expected 0 to %d", id[j], vocab - 1);
    if (!isfinite(lp[j]) || lp[j] > 1e-3f || lp[j] < -1e4f)
      return err_set(e, STATUS_DATA, "target log-probability %g, expected -1e4 to 0", (double)lp[j]);
    if (j > 0 && lp[j] > lp[j - 1])
      return err_set(e, STATUS_DATA, "target %d: log-probability %g behind %g, the top %d are not in falling order", t, (double)lp[j], (double)lp[j - 1], s->k);
    mass += exp((double)lp[j]);
  }
  if (isnan(s->rest[t]) || s->rest[t] > 1e-3f)
    return err_set(e, STATUS_DATA, "log of the remaining mass %g, expected at most 0", (double)s->rest[t]);
  if (!unchecked && (fabs(mass - 1) > MASS_TOLERANCE || -expm1((double)s->rest[t]) <= 0))
    return err_set(e, STATUS_DATA, "target %d: the top %d and the rest sum to %.6f, expected 1", t, s->k, mass);
  return STATUS_OK;
}

static enum status check_draws(const struct sample *s, int32_t t, int32_t vocab, struct err *e) {
  const int32_t *id = s->draw_id + (int64_t)t * s->n_draw, *count = s->draw_count + (int64_t)t * s->n_draw;
  int64_t sum = 0;
  for (int32_t j = 0; j < s->n_draw && count[j] != 0; j++) {
    if (id[j] < 0 || id[j] >= vocab) return err_set(e, STATUS_DATA, "drawn token id %d, expected 0 to %d", id[j], vocab - 1);
    if (count[j] < 0 || (j > 0 && count[j] > count[j - 1])) return err_set(e, STATUS_DATA, "target %d: the counts of its draws are not falling", t);
    sum += count[j];
  }
  if (sum != s->n_draw) return err_set(e, STATUS_DATA, "target %d: its counts add up to %lld draws, expected %d", t, (long long)sum, s->n_draw);
  return STATUS_OK;
}

enum status coded_check(const struct sample *s, int32_t vocab, int unchecked, struct err *e) {
  enum status st = STATUS_OK;
  for (int32_t t = 0; t < s->n_target; t++) {
    if (s->k) TRY(check_top(s, t, vocab, unchecked, e));
    if (s->n_draw) TRY(check_draws(s, t, vocab, e));
  }
out:
  return st;
}

static enum status put_top(struct coded *c, struct code_writer *w, const struct sample *s, int32_t t, struct err *e) {
  enum status st = STATUS_OK;
  uint32_t before = 0, level;
  for (int32_t j = 0; j < s->k; j++) {
    TRY(scale_level(&c->scale, (double)s->top_logprob[(int64_t)t * s->k + j], &level, e));
    TRY(code_put_number(w, c->model, rank_context(j), level - before, e));
    TRY(code_put_id(w, c->model, (uint32_t)s->top_id[(int64_t)t * s->k + j], e));
    before = level;
  }
out:
  return st;
}

static enum status put_draws(struct coded *c, struct code_writer *w, const struct sample *s, int32_t t, struct err *e) {
  enum status st = STATUS_OK;
  const int32_t *id = s->draw_id + (int64_t)t * s->n_draw, *count = s->draw_count + (int64_t)t * s->n_draw;
  for (int32_t j = 0; j < s->n_draw && count[j] != 0; j++) {
    if (j == 0) TRY(code_put_number(w, c->model, FIRST_COUNT, (uint32_t)count[0], e));
    else if (count[j - 1] > 1) TRY(code_put_number(w, c->model, fall_context((uint32_t)count[j - 1]), (uint32_t)(count[j - 1] - count[j]), e));
    TRY(code_put_id(w, c->model, (uint32_t)id[j], e));
  }
out:
  return st;
}

enum status coded_put(struct coded *c, const struct sample *s, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  struct code_writer w;
  if (s->n_target == 0) return st;
  code_model_reset(c->model);
  code_writer_start(&w, out);
  for (int32_t t = 0; t < s->n_target; t++) {
    if (s->k) TRY(put_top(c, &w, s, t, e));
    if (s->n_draw) TRY(put_draws(c, &w, s, t, e));
  }
  TRY(code_writer_end(&w, e));
out:
  return st;
}

/* ---- reading ---- */
static enum status get_top(struct coded *c, struct code_reader *r, int32_t vocab, struct sample *s, int32_t t, struct err *e) {
  enum status st = STATUS_OK;
  int32_t *id = s->top_id + (int64_t)t * s->k;
  float *lp = s->top_logprob + (int64_t)t * s->k;
  uint32_t level = 0;
  double mass = 0, value = 0, step = 0, kept = -expm1((double)s->rest[t]);
  for (int32_t j = 0; j < s->k; j++) {
    uint32_t fall = code_get_number(r, c->model, rank_context(j));
    if (fall >= SCALE_LEVELS) return err_set(e, STATUS_DATA, "target %d: a fall of %u levels", t, fall);
    level += fall;
    TRY(scale_value(&c->scale, level, &value, &step, e));
    lp[j] = (float)value;
    mass += exp(value);
    uint32_t got = code_get_id(r, c->model);
    if (got >= (uint32_t)vocab) return err_set(e, STATUS_DATA, "target token id %u, expected 0 to %d", got, vocab - 1);
    id[j] = (int32_t)got;
  }
  if (c->raw) return st;
  double shift = log(kept) - log(mass);
  if (!(fabs(shift) <= step + 2 * MASS_TOLERANCE / kept)) /* the scale's error and what a writer lets through */
    return err_set(e, STATUS_DATA, "target %d: the top %d and the rest sum to %.6f, expected 1", t, s->k, mass + exp((double)s->rest[t]));
  for (int32_t j = 0; j < s->k; j++) {
    double v = (double)lp[j] + shift;
    lp[j] = v < 0 ? (float)v : 0;
  }
out:
  return st;
}

static enum status get_draws(struct coded *c, struct code_reader *r, int32_t vocab, struct sample *s, int32_t t, struct err *e) {
  int32_t *id = s->draw_id + (int64_t)t * s->n_draw, *count = s->draw_count + (int64_t)t * s->n_draw;
  int32_t left = s->n_draw, j = 0;
  for (; left > 0; j++) {
    uint32_t before = j ? (uint32_t)count[j - 1] : 0, n = 1;
    if (j == 0) n = code_get_number(r, c->model, FIRST_COUNT);
    else if (before > 1) n = before - code_get_number(r, c->model, fall_context(before));
    uint32_t got = code_get_id(r, c->model);
    if (n < 1 || n > (uint32_t)left || got >= (uint32_t)vocab)
      return err_set(e, STATUS_DATA, "target %d: token %u drawn %u times of %d", t, got, n, left);
    id[j] = (int32_t)got;
    count[j] = (int32_t)n;
    left -= (int32_t)n;
  }
  for (; j < s->n_draw; j++) id[j] = count[j] = 0;
  return STATUS_OK;
}

enum status coded_get(struct coded *c, const unsigned char *p, uint64_t bytes, int32_t vocab, struct sample *s, struct err *e) {
  enum status st = STATUS_OK;
  struct code_reader r;
  if (s->n_target == 0) return st;
  code_model_reset(c->model);
  code_reader_start(&r, p, bytes);
  for (int32_t t = 0; t < s->n_target; t++) {
    if (s->k) TRY(get_top(c, &r, vocab, s, t, e));
    if (s->n_draw) TRY(get_draws(c, &r, vocab, s, t, e));
  }
out:
  return st;
}

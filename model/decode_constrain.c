/* SPDX-License-Identifier: Apache-2.0
 * Constraints of streams. */
#include "decode_constrain.h"
#include <math.h>
#include "constrain.h"

enum status constrain_rows(struct stream *const *row, int n, struct err *e) {
  enum status st = STATUS_OK;
  for (int i = 0; i < n; i++) { /* before any mask is taken: forgetting moves them */
    if (row[i]->matcher) {
      TRY(constraint_breathe(row[i]->job.constraint, e));
    }
  }
  for (int i = 0; i < n; i++) {
    if (row[i]->matcher) {
      TRY(matcher_allowed(row[i]->matcher, &row[i]->allowed, &row[i]->may_end, e));
    }
  }
out:
  return st;
}

static int is_stop(const struct stream *s, int32_t id) {
  for (size_t i = 0; i < s->job.n_stop_ids; i++) {
    if (s->job.stop_ids[i] == id) {
      return 1;
    }
  }
  return 0;
}

static int is_allowed(const struct stream *s, int32_t id, int32_t known) {
  return (id < known && (s->allowed[id >> 6] >> (id & 63) & 1)) || (s->may_end && is_stop(s, id));
}

void constrain_logits(const struct stream *s, float *z, int32_t vocab) {
  float kept[16];
  size_t n_stop = s->job.n_stop_ids < 16 ? s->job.n_stop_ids : 16;
  if (!s->matcher) {
    return;
  }
  for (size_t i = 0; i < n_stop; i++) {
    kept[i] = s->job.stop_ids[i] < vocab ? z[s->job.stop_ids[i]] : 0;
  }
  int32_t known = matcher_vocab(s->matcher), end = known < vocab ? known : vocab;
  for (int32_t i = 0; i < end; i += 64) {
    uint64_t w = s->allowed[i >> 6];
    int32_t to = i + 64 < end ? i + 64 : end;
    for (int32_t k = i; w != UINT64_MAX && k < to; k++) {
      z[k] = w >> (k - i) & 1 ? z[k] : -INFINITY;
    }
  }
  for (int32_t i = end; i < vocab; i++) {
    z[i] = -INFINITY;
  }
  for (size_t i = 0; s->may_end && i < n_stop; i++) {
    if (s->job.stop_ids[i] < vocab) {
      z[s->job.stop_ids[i]] = kept[i];
    }
  }
}

int32_t constrain_choice(const struct stream *s, int32_t id, int32_t vocab) {
  if (!s->matcher || is_allowed(s, id, matcher_vocab(s->matcher))) {
    return id;
  }
  for (int32_t i = 0; i < vocab; i++) {
    if (is_allowed(s, i, matcher_vocab(s->matcher))) {
      return i;
    }
  }
  return id;
}

enum status constrain_take(struct stream *s, int32_t max_ctx, int *over, struct err *e) {
  int64_t made = (int64_t)(s->n - s->job.n_prompt), left = max_ctx - (int64_t)s->n;
  *over = 0;
  if (!s->matcher || (is_stop(s, s->next) && s->may_end)) {
    return STATUS_OK;
  }
  if (s->job.sampling.max_tokens > 0 && s->job.sampling.max_tokens - made < left) {
    left = s->job.sampling.max_tokens - made;
  }
  enum status st = matcher_take(s->matcher, &s->next, left > 0 ? left : 1, over, e);
  s->closed = matcher_closed(s->matcher);
  return st;
}

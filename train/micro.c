/* SPDX-License-Identifier: Apache-2.0
 * Micro-batches and the feed of samples. */
#include "micro.h"
#include <math.h>
#include <string.h>

enum { AHEAD_SAMPLES = 64 }; /* of the shuffled order, whose blocks are unpacked together */

int64_t samples_fitting(const struct sample *s, int64_t n, int64_t tokens, int64_t *n_tok) {
  int64_t i = 0, sum = 0;
  while (i < n && (i == 0 || sum + s[i].n_tok <= tokens)) {
    sum += s[i++].n_tok;
  }
  *n_tok = sum;
  return i;
}

static enum status micro_alloc(const struct sample *s, int64_t n, int32_t hidden_width, int draws, struct arena *a, struct micro *m, struct err *e) {
  int64_t tok = 0, doc = 0, target = 0;
  memset(m, 0, sizeof *m);
  m->k = n <= 0 ? 0 : draws ? s[0].n_draw : s[0].k;
  for (int64_t i = 0; i < n; i++) {
    tok += s[i].n_tok;
    doc += s[i].n_doc;
    target += s[i].n_target;
    int32_t k = draws ? s[i].n_draw : s[i].k;
    if (k != m->k) {
      return err_set(e, STATUS_DATA, "samples with %d and %d stored targets a position cannot share a batch", (int)m->k, (int)k);
    }
  }
  if (tok > INT32_MAX || tok < 1) {
    return err_set(e, STATUS_DATA, "a batch of %lld tokens is not possible", (long long)tok);
  }
  size_t t = (size_t)target, k = (size_t)m->k;
  m->ids = arena_calloc(a, (size_t)tok, sizeof *m->ids);
  m->start = arena_calloc(a, (size_t)doc + 1, sizeof *m->start);
  m->row = arena_calloc(a, t, sizeof *m->row);
  m->label = arena_calloc(a, t, sizeof *m->label);
  m->doc = arena_calloc(a, t, sizeof *m->doc);
  m->weight = arena_calloc(a, t, sizeof *m->weight);
  m->top_id = arena_calloc(a, t * k, sizeof *m->top_id);
  m->top_logprob = arena_calloc(a, t * k, sizeof *m->top_logprob);
  m->rest = draws ? NULL : arena_calloc(a, t, sizeof *m->rest);
  m->hidden = hidden_width > 0 ? arena_calloc(a, t * (size_t)hidden_width, sizeof *m->hidden) : NULL;
  if (m->ids == NULL || m->start == NULL || m->row == NULL || m->label == NULL || m->doc == NULL ||
      m->weight == NULL || m->top_id == NULL || m->top_logprob == NULL || (m->rest == NULL && !draws) || (hidden_width > 0 && m->hidden == NULL)) {
    return err_nomem(e, (unsigned long long)(t * (k * 8 + (size_t)hidden_width * 4 + 20)));
  }
  return STATUS_OK;
}

/* Targets of one sample behind those already there. */
static void add_targets(const struct sample *s, int32_t first_row, int32_t first_doc, int32_t hidden_width, struct micro *m) {
  int32_t doc = 0;
  size_t k = (size_t)m->k, w = (size_t)hidden_width, n = (size_t)s->n_target, at = (size_t)m->n;
  for (int32_t t = 0; t < s->n_target; t++) {
    int32_t pos = s->target_pos[t];
    while (pos >= s->doc_start[doc + 1]) {
      doc++;
    }
    m->row[m->n] = first_row + pos;
    m->label[m->n] = s->ids[pos + 1];
    m->doc[m->n] = first_doc + doc;
    m->weight[m->n] = s->weight != NULL ? s->weight[doc] : 1;
    m->weights += (double)m->weight[m->n];
    m->n++;
  }
  if (k > 0 && m->rest == NULL) {
    memcpy(m->top_id + at * k, s->draw_id, n * k * sizeof *m->top_id);
    for (size_t j = 0; j < n * k; j++) {
      m->top_logprob[at * k + j] = s->draw_count[j] > 0 ? logf((float)s->draw_count[j] / (float)s->n_draw) : -INFINITY;
    }
  } else if (k > 0) {
    memcpy(m->top_id + at * k, s->top_id, n * k * sizeof *m->top_id);
    memcpy(m->top_logprob + at * k, s->top_logprob, n * k * sizeof *m->top_logprob);
    memcpy(m->rest + at, s->rest, n * sizeof *m->rest);
  }
  if (w > 0 && s->hidden != NULL) {
    memcpy(m->hidden + at * w, s->hidden, n * w * sizeof *m->hidden);
  }
}

enum status micro_build(const struct sample *s, int64_t n, int32_t hidden_width, int draws, struct arena *a, struct micro *m, struct err *e) {
  enum status st = micro_alloc(s, n, hidden_width, draws, a, m, e);
  if (st != STATUS_OK) {
    return st;
  }
  int32_t tok = 0, doc = 0;
  for (int64_t i = 0; i < n; i++) {
    memcpy(m->ids + tok, s[i].ids, (size_t)s[i].n_tok * sizeof(int32_t));
    for (int32_t d = 0; d < s[i].n_doc; d++) {
      int64_t len = s[i].doc_start[d + 1] - s[i].doc_start[d];
      m->start[doc + d] = tok + s[i].doc_start[d];
      m->pairs += len * (len + 1) / 2;
    }
    add_targets(&s[i], tok, doc, hidden_width, m);
    tok += s[i].n_tok;
    doc += s[i].n_doc;
  }
  m->start[doc] = tok;
  m->packed = (struct packed){ m->ids, NULL, { tok, doc, m->start } };
  return STATUS_OK;
}

enum status feed_open(struct feed *f, struct shard_reader *r, uint64_t seed, struct err *e) {
  memset(f, 0, sizeof *f);
  f->reader = r;
  f->seed = seed;
  f->order_epoch = -1;
  f->n_samples = shard_info(r)->n_samples;
  if (f->n_samples < 1) {
    return err_set(e, STATUS_DATA, "the shard folder holds no samples");
  }
  f->order = mem_calloc((size_t)f->n_samples, sizeof *f->order);
  return f->order != NULL ? STATUS_OK : err_nomem(e, (unsigned long long)f->n_samples * sizeof *f->order);
}

void feed_close(struct feed *f) {
  mem_free(f->order);
  f->order = NULL;
}

enum status feed_step(struct feed *f, int64_t tokens, struct arena *a, struct sample **out, int64_t *n_out, struct err *e) {
  enum status st = STATUS_OK;
  int64_t n = 0, cap = 16, sum = 0;
  struct sample *s = arena_alloc(a, (size_t)cap * sizeof *s);
  if (f->at >= f->n_samples) {
    f->epoch++;
    f->at = 0;
  }
  if (f->order_epoch != f->epoch) {
    shard_order(f->reader, f->seed, (uint64_t)f->epoch, f->order);
    f->order_epoch = f->epoch;
  }
  while (s != NULL && f->at < f->n_samples) {
    if (n == cap) {
      struct sample *more = arena_alloc(a, (size_t)cap * 2 * sizeof *more);
      if (more != NULL) {
        memcpy(more, s, (size_t)cap * sizeof *s);
      }
      s = more;
      cap *= 2;
      continue;
    }
    if (n == 0) {
      int64_t left = f->n_samples - f->at;
      TRY(shard_ahead(f->reader, f->order + f->at, left < AHEAD_SAMPLES ? left : AHEAD_SAMPLES, e));
    }
    TRY(shard_read(f->reader, f->order[f->at], a, &s[n], e));
    if (n > 0 && sum + s[n].n_tok > tokens) {
      break; /* read again as the first of the next step */
    }
    sum += s[n++].n_tok;
    f->at++;
  }
  if (s == NULL) {
    st = err_nomem(e, (unsigned long long)cap * sizeof *s);
  }
  *out = s;
  *n_out = n;
out:
  return st;
}

/* SPDX-License-Identifier: Apache-2.0
 * Scoring packed sequences: logits exist for a chunk of rows at a time, the caller sees one row after the other. */
#include <math.h>
#include "decode.h"
#include "model_run.h"

enum { CHUNK_ROWS = 128 };

struct chunk {
  int32_t row[CHUNK_ROWS], seq[CHUNK_ROWS], pick[CHUNK_ROWS]; /* pick: place of the scored token's logit */
  int n;
  float *logits;         /* (CHUNK_ROWS, vocab) on the model's device, a part of run.logits; behind it what follows */
  float *results, *seen; /* on the device; for the host (the same memory on the CPU) */
  size_t result_bytes;
  int32_t *list;         /* (CHUNK_ROWS) row numbers, on the device */
};

/* Parts of results, by place: hidden(CHUNK_ROWS, width), lse, rest, logit(CHUNK_ROWS), logprob, id(CHUNK_ROWS, k). */
static float *part(float *results, const struct run *r, int which, int64_t k) {
  int64_t width = r->m->config.hidden, at = which == 0 ? 0 : CHUNK_ROWS * width + (which - 1) * CHUNK_ROWS;
  return results + (which < 5 ? at : CHUNK_ROWS * (width + 3 + k));
}
enum { PART_HIDDEN, PART_LSE, PART_REST, PART_LOGIT, PART_LOGPROB, PART_ID };

static enum status chunk_memory(struct run *r, int64_t k, struct chunk *c, struct err *e) {
  size_t d = (size_t)r->m->config.hidden, v = (size_t)r->m->config.vocab, results = CHUNK_ROWS * (d + 3 + 2 * (size_t)k);
  size_t bytes = (results + CHUNK_ROWS * (v + 1)) * sizeof(float);
  if (r->logits_bytes < bytes) {
    void *logits;
    device_block_free(r->m->dev, r->logits, r->logits_bytes);
    r->logits = NULL;
    r->logits_bytes = 0;
    enum status st = device_block(r->m->dev, bytes, "logits of the scored rows", &logits, e);
    if (st != STATUS_OK) {
      return st;
    }
    r->logits = logits;
    r->logits_bytes = bytes;
  }
  c->logits = r->logits;
  c->results = c->seen = c->logits + CHUNK_ROWS * v;
  c->list = (int32_t *)(void *)(c->results + results);
  c->result_bytes = results * sizeof(float);
  c->n = 0;
  if (r->m->k->on_device) {
    c->seen = mem_alloc(c->result_bytes);
    if (!c->seen) {
      return err_nomem(e, c->result_bytes);
    }
  }
  return STATUS_OK;
}

static enum status project(struct run *r, struct chunk *c, int64_t k, const float *hidden, struct err *e) {
  const struct kernels *kn = r->m->k;
  struct kdev *d = r->m->d;
  int64_t v = r->m->config.vocab, width = r->m->config.hidden;
  kn->upload(d, c->list, c->row, (size_t)c->n * sizeof *c->list);
  kn->gather_rows(d, c->n, width, c->list, hidden, part(c->results, r, PART_HIDDEN, k));
  model_logits(r->m, part(c->results, r, PART_HIDDEN, k), c->n, c->logits);
  kn->row_lse(d, c->n, v, c->logits, 1.0f, part(c->results, r, PART_LSE, k));
  if (k > 0) {
    kn->row_topk(d, c->n, v, k, c->logits, (int32_t *)(void *)part(c->results, r, PART_ID, k), part(c->results, r, PART_LOGPROB, k),
                 part(c->results, r, PART_REST, k));
  }
  kn->upload(d, c->list, c->pick, (size_t)c->n * sizeof *c->list);
  kn->gather_rows(d, c->n, 1, c->list, c->logits, part(c->results, r, PART_LOGIT, k));
  if (!kn->on_device) {
    return STATUS_OK;
  }
  kn->download(d, c->seen, c->results, c->result_bytes);
  return device_check(r->m->dev, e);
}

static enum status flush(struct run *r, struct chunk *c, int64_t k, const float *hidden, score_fn f, void *ctx, struct err *e) {
  int64_t width = r->m->config.hidden;
  for (int i = 0; i < c->n; i++) {
    int last = c->row[i] + 1 == r->starts[c->seq[i] + 1];
    c->pick[i] = (int32_t)(i * r->m->config.vocab + (last ? 0 : r->ids[c->row[i] + 1]));
  }
  enum status st = project(r, c, k, hidden, e);
  const float *lse = part(c->seen, r, PART_LSE, k), *rest = part(c->seen, r, PART_REST, k), *logit = part(c->seen, r, PART_LOGIT, k);
  const int32_t *id = (const int32_t *)(const void *)part(c->seen, r, PART_ID, k);
  for (int i = 0; st == STATUS_OK && i < c->n; i++) {
    int32_t t = c->row[i], s = c->seq[i];
    int last = t + 1 == r->starts[s + 1];
    struct score_row row = {.seq = s, .pos = t - r->starts[s], .last = last, .lse = lse[i], .rest = k > 0 ? rest[i] : 0.0f,
                            .logprob = last ? NAN : logit[i] - lse[i],
                            .top_id = k > 0 ? id + i * k : NULL, .top_logprob = k > 0 ? part(c->seen, r, PART_LOGPROB, k) + i * k : NULL,
                            .hidden = part(c->seen, r, PART_HIDDEN, k) + i * width,
                            .run = r, .logits = c->logits + i * r->m->config.vocab};
    st = f(ctx, &row, e);
  }
  c->n = 0;
  return st;
}

int score_row_finite(const struct score_row *row) { return isfinite(row->lse) && (row->last || isfinite(row->logprob)); }

enum status score_logits(const struct score_row *row, float *room, const float **logits, struct err *e) {
  const struct model *m = row->run->m;
  *logits = row->logits;
  if (!m->k->on_device) {
    return STATUS_OK;
  }
  m->k->download(m->d, room, row->logits, (size_t)m->config.vocab * sizeof *room);
  *logits = room;
  return device_check(m->dev, e);
}

enum status model_score(struct run *r, const struct packed *p, int64_t top_k, const unsigned char *want, score_fn f, void *ctx,
                        struct err *e) {
  enum status st = STATUS_OK;
  struct chunk *c = NULL;
  const float *hidden;
  int64_t k = top_k;
  if (k < 0 || k > r->m->config.vocab) {
    return err_set(e, STATUS_USAGE, "top %lld of a vocabulary of %d is not possible", (long long)k, r->m->config.vocab);
  }
  TRY(run_forward(r, p, &hidden, e));
  c = mem_calloc(1, sizeof *c);
  if (!c) {
    st = err_nomem(e, sizeof *c);
    goto out;
  }
  TRY(chunk_memory(r, k, c, e));
  for (int32_t s = 0; s < p->seqs.n_seq; s++) {
    for (int32_t t = p->seqs.start[s]; t < p->seqs.start[s + 1]; t++) {
      if (want && !want[t]) {
        continue;
      }
      c->row[c->n] = t;
      c->seq[c->n] = s;
      if (++c->n == CHUNK_ROWS) {
        TRY(flush(r, c, k, hidden, f, ctx, e));
      }
    }
  }
  if (c->n) {
    TRY(flush(r, c, k, hidden, f, ctx, e));
  }
out:
  if (c && c->seen != c->results) {
    mem_free(c->seen);
  }
  mem_free(c);
  return st;
}

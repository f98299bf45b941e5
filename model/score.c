/* SPDX-License-Identifier: Apache-2.0
 * Scoring packed sequences: logits exist for a chunk of rows at a time, the caller sees one row after the other. */
#include <math.h>
#include "decode.h"
#include "model_run.h"

enum { CHUNK_ROWS = 128 };

struct chunk {
  int32_t row[CHUNK_ROWS], seq[CHUNK_ROWS];
  int n;
  float *hidden, *logits, *lse, *rest, *logprob; /* parts of run.logits */
  int32_t *id;
};

static enum status chunk_memory(struct run *r, int64_t k, struct chunk *c, struct err *e) {
  size_t d = (size_t)r->m->config.hidden, v = (size_t)r->m->config.vocab;
  size_t bytes = CHUNK_ROWS * (d + v + 2 + 2 * (size_t)k) * sizeof(float);
  if (r->logits_bytes < bytes) {
    if (r->logits) {
      mem_block_free(r->logits, r->logits_bytes);
    }
    r->logits = mem_block(bytes);
    r->logits_bytes = r->logits ? bytes : 0;
    if (!r->logits) {
      return err_nomem(e, bytes);
    }
  }
  c->logits = r->logits;
  c->hidden = c->logits + CHUNK_ROWS * v;
  c->lse = c->hidden + CHUNK_ROWS * d;
  c->rest = c->lse + CHUNK_ROWS;
  c->logprob = c->rest + CHUNK_ROWS;
  c->id = (int32_t *)(void *)(c->logprob + CHUNK_ROWS * k);
  c->n = 0;
  return STATUS_OK;
}

static enum status flush(struct run *r, struct chunk *c, int64_t k, score_fn f, void *ctx, struct err *e) {
  int64_t v = r->m->config.vocab, d = r->m->config.hidden;
  model_logits(r->m, c->hidden, c->n, c->logits);
  r->m->k->row_lse(NULL, c->n, v, c->logits, 1.0f, c->lse);
  if (k > 0) {
    r->m->k->row_topk(NULL, c->n, v, k, c->logits, c->id, c->logprob, c->rest);
  }
  for (int i = 0; i < c->n; i++) {
    int32_t t = c->row[i], s = c->seq[i];
    int last = t + 1 == r->starts[s + 1];
    struct score_row row = {.seq = s, .pos = t - r->starts[s], .lse = c->lse[i], .rest = k > 0 ? c->rest[i] : 0.0f,
                            .logprob = last ? NAN : c->logits[i * v + r->ids[t + 1]] - c->lse[i],
                            .top_id = k > 0 ? c->id + i * k : NULL, .top_logprob = k > 0 ? c->logprob + i * k : NULL,
                            .hidden = c->hidden + i * d};
    enum status st = f(ctx, &row, e);
    if (st != STATUS_OK) {
      return st;
    }
  }
  c->n = 0;
  return STATUS_OK;
}

enum status model_score(struct run *r, const struct packed *p, int64_t top_k, const unsigned char *want, score_fn f, void *ctx,
                        struct err *e) {
  enum status st = STATUS_OK;
  struct chunk *c = NULL;
  const float *hidden;
  int64_t d = r->m->config.hidden, k = top_k;
  if (k < 0 || k > r->m->config.vocab) {
    return err_set(e, STATUS_USAGE, "top %lld of a vocabulary of %d is not possible", (long long)k, r->m->config.vocab);
  }
  TRY(run_forward(r, p, &hidden, e));
  c = mem_alloc(sizeof *c);
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
      memcpy(c->hidden + c->n * d, hidden + t * d, (size_t)d * sizeof(float));
      c->row[c->n] = t;
      c->seq[c->n] = s;
      if (++c->n == CHUNK_ROWS) {
        TRY(flush(r, c, k, f, ctx, e));
      }
    }
  }
  if (c->n) {
    TRY(flush(r, c, k, f, ctx, e));
  }
out:
  mem_free(c);
  return st;
}

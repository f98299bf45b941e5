/* SPDX-License-Identifier: Apache-2.0
 * Evaluation over shards. Positions go through the driver in blocks of at most one of its chunks, so that the teacher's
 * logits of a block serve every model. */
#include "evaluate.h"
#include <string.h>
#include "rng.h"
#include "stop.h"

enum { RESAMPLES = 1000 };

static enum status read_shard(void *ctx, int64_t i, struct arena *a, struct sample *s, struct err *e) {
  return shard_read(ctx, i, a, s, e);
}

struct sample_source source_of_shards(struct shard_reader *r) {
  const struct shard_info *i = shard_info(r);
  return (struct sample_source){ i->n_samples, i->n_tokens, i->vocab, read_shard, r };
}

void subject_free_docs(struct subject *s) {
  mem_free(s->doc);
  s->doc = NULL;
  s->n_doc = s->cap_doc = 0;
}

static enum status grow_docs(struct subject *s, int64_t more, struct err *e) {
  if (s->n_doc + more > s->cap_doc) {
    int64_t cap = (s->n_doc + more) * 2;
    struct loss_sums *doc = mem_realloc(s->doc, (size_t)cap * sizeof *doc);
    if (doc == NULL) {
      return err_nomem(e, (unsigned long long)cap * sizeof *doc);
    }
    s->doc = doc;
    s->cap_doc = cap;
  }
  memset(s->doc + s->n_doc, 0, (size_t)more * sizeof *s->doc);
  return STATUS_OK;
}

/* All positions of one micro-batch, every subject. hidden[i] are the subjects' last hidden states. */
static enum status project(struct evaluation *v, struct subject *s, size_t n, const struct micro *b, const struct loss_work *base,
                           const float *const *hidden, struct err *e) {
  int64_t chunk = loss_driver_chunk(v->driver);
  struct arena *a = arena_new(0);
  struct loss_sums *each = a != NULL ? arena_calloc(a, (size_t)chunk, sizeof *each) : NULL;
  if (each == NULL) {
    arena_free(a);
    return err_nomem(e, (unsigned long long)chunk * sizeof *each);
  }
  for (int64_t at = 0; at < b->n; at += chunk) {
    for (size_t i = 0; i < n; i++) {
      struct loss_work w = *base;
      struct loss_sums sums;
      w.n = b->n - at < chunk ? b->n - at : chunk;
      w.row = b->row + at;
      w.label = b->label + at;
      w.weight = NULL; /* plain means: weights are a matter of training */
      if (w.t_row != NULL) {
        w.t_row += at;
      } else if (w.t_hidden != NULL) {
        w.t_hidden += at * w.t_width;
      }
      if (w.k > 0) {
        w.top_id += at * w.k;
        w.top_logprob += at * w.k;
        w.rest += at;
      }
      w.hidden = hidden[i];
      w.head = model_head(s[i].model);
      w.width = model_config(s[i].model)->hidden;
      w.same_teacher = i > 0;
      enum status st = loss_driver_run(v->driver, &w, &sums, each, e);
      if (st != STATUS_OK) {
        arena_free(a);
        return st;
      }
      loss_sums_add(&s[i].sums, &sums);
      for (int64_t j = 0; v->want_docs && j < w.n; j++) {
        loss_sums_add(&s[i].doc[s[i].n_doc + b->doc[at + j]], &each[j]);
      }
    }
  }
  arena_free(a);
  return STATUS_OK;
}

static enum status one_batch(struct evaluation *v, struct subject *s, size_t n, const struct sample *sample, int64_t n_sample,
                             struct arena *a, struct err *e) {
  enum status st = STATUS_OK;
  struct micro b;
  const float **hidden = arena_calloc(a, n, sizeof *hidden);
  if (hidden == NULL) {
    return err_nomem(e, n * sizeof *hidden);
  }
  TRY(micro_build(sample, n_sample, v->target->mode == TARGET_HIDDEN ? (int32_t)v->target->width : 0, 0, a, &b, e));
  v->tokens += b.packed.seqs.n_tok;
  if (b.n == 0) {
    goto out;
  }
  struct loss_work base = { .vocab = v->data.vocab, .want = LOSS_WANT_CE };
  TRY(target_fill(v->target, &b, &base, e));
  if (v->target->mode != TARGET_NONE) {
    base.want |= LOSS_WANT_KL | LOSS_WANT_AGREE;
  }
  for (size_t i = 0; i < n; i++) {
    if (s[i].run == NULL) {
      hidden[i] = base.t_hidden;
    } else {
      TRY(run_forward(s[i].run, &b.packed, &hidden[i], e));
    }
    if (v->want_docs) {
      TRY(grow_docs(&s[i], b.packed.seqs.n_seq, e));
    }
  }
  TRY(project(v, s, n, &b, &base, hidden, e));
  for (size_t i = 0; v->want_docs && i < n; i++) {
    s[i].n_doc += b.packed.seqs.n_seq;
  }
out:
  return st;
}

enum status evaluate(struct evaluation *v, struct subject *s, size_t n, struct err *e) {
  enum status st = STATUS_OK;
  struct arena *a = arena_new(0);
  if (a == NULL) {
    return err_nomem(e, 0);
  }
  for (size_t i = 0; i < n; i++) {
    memset(&s[i].sums, 0, sizeof s[i].sums);
    s[i].n_doc = 0;
  }
  v->tokens = 0;
  for (int64_t at = 0; at < v->data.n && (v->token_limit == 0 || v->tokens < v->token_limit);) {
    struct sample batch[64];
    int64_t got = 0, tok = 0;
    arena_reset(a);
    while (got < 64 && at < v->data.n) {
      TRY(v->data.read(v->data.ctx, at, a, &batch[got], e));
      if (got > 0 && tok + batch[got].n_tok > v->max_tok) {
        break;
      }
      tok += batch[got++].n_tok;
      at++;
    }
    TRY(one_batch(v, s, n, batch, got, a, e));
    if (v->progress != NULL) {
      v->progress(v->progress_ctx, v->tokens);
    }
    if (stop_requested()) {
      st = err_set(e, STATUS_STOPPED, "evaluation stopped after %lld tokens", (long long)v->tokens);
      goto out;
    }
  }
out:
  arena_free(a);
  return st;
}

static double field(const struct loss_sums *s, enum sums_field f) {
  return f == SUMS_CE ? s->ce : f == SUMS_KL ? s->kl : s->agree;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

struct interval subject_interval(const struct subject *s, enum sums_field f, uint64_t seed) {
  double mean[RESAMPLES];
  struct rng r = { seed, 0x626f6f74, 0 };
  for (int i = 0; i < RESAMPLES; i++) {
    double sum = 0, n = 0;
    for (int64_t j = 0; j < s->n_doc; j++) {
      const struct loss_sums *d = &s->doc[rng_below(&r, (uint64_t)s->n_doc)];
      sum += field(d, f);
      n += (double)d->n;
    }
    mean[i] = n > 0 ? sum / n : 0;
  }
  qsort(mean, RESAMPLES, sizeof *mean, by_value);
  return (struct interval){ mean[RESAMPLES * 25 / 1000], mean[RESAMPLES * 975 / 1000 - 1] };
}

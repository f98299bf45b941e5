/* SPDX-License-Identifier: Apache-2.0
 * Importances from taps of a forward pass (sheet B1, B2). All sums are in double and in a fixed order: tokens of a sample in
 * order, samples in order, one channel never beside another. Samples are packed into runs of a few hundred tokens; attention
 * does not cross them, so packing changes nothing. */
#include <math.h>
#include "decode.h"
#include "log.h"
#include "prune.h"
#include "stop.h"

#define PACK_TOKENS 1024 /* tokens a forward pass, unless one sample is longer */

/* One tap of one layer: scores of each channel gathered over samples. */
struct gather {
  double *mean, *m2; /* (width): L2 keeps sum of squares in m2, MEAN the sum in mean, VAR Welford's pair */
  int64_t width;
};

struct pass {
  enum aggregate batch, seq;
  const int32_t *bound; /* (n_sample + 1) tokens of the samples in this pack */
  int32_t n_sample;
  int64_t seen;         /* samples before this pack */
  int n_layer;
  struct gather *ffn, *head, *norm1, *norm2; /* (n_layer) */
  double *score, *work; /* (widest tap) */
};

/* score(width) of one sample's x(rows, width); work: (width). Loops run along memory; a channel's sums still go position by
 * position. */
static void over_positions(enum aggregate kind, const float *x, int64_t rows, int64_t width, double *score, double *work) {
  for (int64_t c = 0; c < width; c++) score[c] = work[c] = 0;
  for (int64_t i = 0; i < rows; i++, x += width) {
    if (kind == AGG_MEAN) {
      for (int64_t c = 0; c < width; c++) score[c] += fabs((double)x[c]);
    } else if (kind == AGG_L2) {
      for (int64_t c = 0; c < width; c++) score[c] += (double)x[c] * (double)x[c];
    } else {
      for (int64_t c = 0; c < width; c++) { /* Welford: the squares of large means would swallow small variances */
        double d = (double)x[c] - work[c];
        work[c] += d / (double)(i + 1);
        score[c] += d * ((double)x[c] - work[c]);
      }
    }
  }
  for (int64_t c = 0; c < width; c++) score[c] = kind == AGG_L2 ? sqrt(score[c]) : score[c] / (double)rows;
}

static void tap(void *ctx, enum tap t, int layer, const float *x, int64_t rows, int64_t width) {
  struct pass *p = ctx;
  (void)rows;
  if (layer < 0 || layer >= p->n_layer) return;
  struct gather *g = t == TAP_FFN ? p->ffn : t == TAP_HEADS ? p->head : t == TAP_ATTN_NORM ? p->norm1 : t == TAP_FFN_NORM ? p->norm2 : NULL;
  if (g == NULL || g[layer].width != width) return;
  g += layer;
  for (int32_t s = 0; s < p->n_sample; s++) {
    double n = (double)(p->seen + s + 1);
    over_positions(p->seq, x + p->bound[s] * width, p->bound[s + 1] - p->bound[s], width, p->score, p->work);
    for (int64_t c = 0; c < width; c++) {
      double v = p->score[c];
      if (p->batch == AGG_VAR) {
        double d = v - g->mean[c];
        g->mean[c] += d / n;
        g->m2[c] += d * (v - g->mean[c]);
      } else {
        g->mean[c] += v;
        g->m2[c] += v * v;
      }
    }
  }
}

static double gathered(const struct gather *g, enum aggregate batch, int64_t c, int64_t samples) {
  if (batch == AGG_L2) return sqrt(g->m2[c]);
  return (batch == AGG_MEAN ? g->mean[c] : g->m2[c]) / (double)samples;
}

static enum status gather_new(struct arena *a, int n_layer, const int32_t *width, int64_t times, struct gather **out, struct err *e) {
  struct gather *g = arena_calloc(a, (size_t)n_layer, sizeof *g);
  if (g == NULL) return err_nomem(e, (size_t)n_layer * sizeof *g);
  for (int l = 0; l < n_layer; l++) {
    g[l].width = width[l] * times;
    g[l].mean = arena_calloc(a, (size_t)g[l].width, sizeof(double));
    g[l].m2 = arena_calloc(a, (size_t)g[l].width, sizeof(double));
    if (g[l].mean == NULL || g[l].m2 == NULL) return err_nomem(e, (size_t)g[l].width * sizeof(double));
  }
  *out = g;
  return STATUS_OK;
}

/* Samples [first, last) as one packed input. Arrays are caller's, big enough for all. */
struct pack {
  int32_t *ids, *start, *bound;
  struct packed in;
};

static int64_t pack_samples(const struct calib *c, int64_t first, int64_t n, int64_t max_tok, struct pack *p) {
  int32_t tok = 0, docs = 0;
  int64_t i = first;
  for (; i < n && (i == first || tok + c->s[i].n_tok <= max_tok); i++) {
    const struct calib_sample *s = &c->s[i];
    memcpy(p->ids + tok, s->ids, (size_t)s->n_tok * sizeof *s->ids);
    for (int32_t d = 0; d < s->n_doc; d++) p->start[docs++] = tok + s->start[d];
    p->bound[i - first] = tok;
    tok += s->n_tok;
  }
  p->bound[i - first] = p->start[docs] = tok;
  p->in = (struct packed){ p->ids, NULL, { tok, docs, p->start } };
  return i;
}

static enum status pack_new(const struct calib *c, struct arena *a, int64_t *max_tok, struct pack *p, struct err *e) {
  *max_tok = c->longest > PACK_TOKENS ? c->longest : PACK_TOKENS;
  if (*max_tok > c->n_tok) *max_tok = c->n_tok;
  size_t words = (size_t)*max_tok + 2;
  p->ids = arena_alloc(a, words * sizeof *p->ids);
  p->start = arena_alloc(a, words * sizeof *p->start);
  p->bound = arena_alloc(a, words * sizeof *p->bound);
  return p->ids && p->start && p->bound ? STATUS_OK : err_nomem(e, 3 * words * sizeof *p->ids);
}

static double cosine(const float *x, const float *y, int64_t n) {
  double xy = 0, xx = 0, yy = 0;
  for (int64_t i = 0; i < n; i++) {
    double a = (double)x[i], b = (double)y[i];
    xy += a * b, xx += a * a, yy += b * b;
  }
  return xy / fmax(sqrt(xx) * sqrt(yy), 1e-8);
}

static void block_sums(const struct run *r, int n_layer, int64_t rows, int64_t d, double *block, double *pair) {
  for (int l = 0; l < n_layer; l++) {
    const float *x = run_hidden_at(r, l), *y = run_hidden_at(r, l + 1), *z = l + 2 <= n_layer ? run_hidden_at(r, l + 2) : NULL;
    for (int64_t t = 0; t < rows; t++) {
      block[l] += cosine(x + t * d, y + t * d, d);
      if (z != NULL) pair[l] += cosine(x + t * d, z + t * d, d);
    }
  }
}

/* One NaN or infinity would rank its unit last, or every unit behind it, without a word. */
static enum status scores_finite(const struct model *m, const struct prune_scores *s, struct err *e) {
  const struct model_config *c = model_config(m);
  char what[96] = "";
  for (int l = 0; l < c->n_layer && !what[0]; l++) {
    if (!isfinite(s->block[l])) snprintf(what, sizeof what, "the importance of layer %d is", l);
    for (int32_t i = 0; i < c->n_head[l] && !what[0]; i++)
      if (!isfinite(s->head[l][i])) snprintf(what, sizeof what, "the importance of head %d of layer %d is", i, l);
    for (int32_t i = 0; i < c->ffn[l] && !what[0]; i++)
      if (!isfinite(s->ffn[l][i])) snprintf(what, sizeof what, "the importance of neuron %d of layer %d is", i, l);
  }
  for (int32_t i = 0; i < c->hidden && !what[0]; i++)
    if (!isfinite(s->emb[i])) snprintf(what, sizeof what, "the importance of channel %d is", i);
  return what[0] ? model_not_finite(m, what, e) : STATUS_OK;
}

static enum status collect(const struct pass *p, const struct model_config *c, int64_t samples, struct arena *a, struct prune_scores *s, struct err *e) {
  s->ffn = arena_calloc(a, (size_t)c->n_layer, sizeof *s->ffn);
  s->head = arena_calloc(a, (size_t)c->n_layer, sizeof *s->head);
  s->emb = arena_calloc(a, (size_t)c->hidden, sizeof *s->emb);
  if (s->ffn == NULL || s->head == NULL || s->emb == NULL) return err_nomem(e, (size_t)c->hidden * sizeof(double));
  for (int l = 0; l < c->n_layer; l++) {
    s->ffn[l] = arena_calloc(a, (size_t)c->ffn[l], sizeof(double));
    s->head[l] = arena_calloc(a, (size_t)c->n_head[l], sizeof(double));
    if (s->ffn[l] == NULL || s->head[l] == NULL) return err_nomem(e, (size_t)c->ffn[l] * sizeof(double));
    for (int32_t i = 0; i < c->ffn[l]; i++) s->ffn[l][i] = gathered(&p->ffn[l], p->batch, i, samples);
    for (int32_t h = 0; h < c->n_head[l]; h++) {
      double sum = 0;
      for (int32_t k = 0; k < c->head_dim; k++) {
        double v = gathered(&p->head[l], p->batch, (int64_t)h * c->head_dim + k, samples);
        sum += v * v;
      }
      s->head[l][h] = sqrt(sum);
    }
    for (int32_t i = 0; i < c->hidden; i++) {
      s->emb[i] += gathered(&p->norm1[l], p->batch, i, samples) + gathered(&p->norm2[l], p->batch, i, samples);
    }
  }
  return STATUS_OK;
}

enum status prune_importance(struct model *m, const struct calib *c, enum aggregate batch, enum aggregate seq, struct arena *a,
                             struct prune_scores *s, struct err *e) {
  enum status st = STATUS_OK;
  const struct model_config *cfg = model_config(m);
  struct run *r = NULL;
  struct progress *bar = NULL;
  struct pass p = { .batch = batch, .seq = seq, .n_layer = cfg->n_layer };
  struct pack pack;
  int64_t max_tok, done = 0;
  int32_t one[MODEL_MAX_LAYERS];
  memset(s, 0, sizeof *s);
  s->n_layer = cfg->n_layer;
  for (int l = 0; l < cfg->n_layer; l++) one[l] = 1;
  TRY(gather_new(a, cfg->n_layer, cfg->ffn, 1, &p.ffn, e));
  TRY(gather_new(a, cfg->n_layer, cfg->n_head, cfg->head_dim, &p.head, e));
  TRY(gather_new(a, cfg->n_layer, one, cfg->hidden, &p.norm1, e));
  TRY(gather_new(a, cfg->n_layer, one, cfg->hidden, &p.norm2, e));
  int64_t widest = cfg->hidden;
  for (int l = 0; l < cfg->n_layer; l++) {
    if (p.ffn[l].width > widest) widest = p.ffn[l].width;
    if (p.head[l].width > widest) widest = p.head[l].width;
  }
  p.score = arena_alloc(a, (size_t)widest * sizeof *p.score);
  p.work = arena_alloc(a, (size_t)widest * sizeof *p.work);
  s->block = arena_calloc(a, (size_t)cfg->n_layer, sizeof *s->block);
  s->pair = arena_calloc(a, (size_t)cfg->n_layer, sizeof *s->pair);
  if (p.score == NULL || p.work == NULL || s->block == NULL || s->pair == NULL) {
    st = err_nomem(e, 8);
    goto out;
  }
  TRY(pack_new(c, a, &max_tok, &pack, e));
  TRY(run_new(m, max_tok, RUN_HIDDEN_ALL, &r, e));
  run_set_tap(r, tap, &p);
  p.bound = pack.bound;
  bar = progress_new("importance", "tokens", (uint64_t)c->n_tok);
  for (int64_t i = 0; i < c->n;) {
    const float *hidden;
    int64_t next = pack_samples(c, i, c->n, max_tok, &pack);
    p.n_sample = (int32_t)(next - i);
    p.seen = i;
    TRY(run_forward(r, &pack.in, &hidden, e));
    block_sums(r, cfg->n_layer, pack.in.seqs.n_tok, cfg->hidden, s->block, s->pair);
    done += pack.in.seqs.n_tok;
    progress_set(bar, (uint64_t)done, "");
    if (stop_requested()) {
      st = err_set(e, STATUS_STOPPED, "stopped; run the same command again to start over");
      goto out;
    }
    i = next;
  }
  for (int l = 0; l < cfg->n_layer; l++) s->block[l] = 1 - s->block[l] / (double)done, s->pair[l] = 1 - s->pair[l] / (double)done;
  TRY(collect(&p, cfg, c->n, a, s, e));
  TRY(scores_finite(m, s, e));
out:
  progress_free(bar);
  run_free(r);
  return st;
}

/* ---- depth by loss ---- */

struct sum {
  const struct model *m;
  double loss;
  int64_t n;
};

static enum status add_row(void *ctx, const struct score_row *row, struct err *e) {
  struct sum *s = ctx;
  if (!score_row_finite(row)) return model_not_finite(s->m, "a calibration loss is", e);
  if (!row->last) s->loss -= (double)row->logprob, s->n++;
  return STATUS_OK;
}

enum status calib_loss(const struct model *m, struct run *r, const struct calib *c, int64_t n, double *loss, int64_t *n_pred, struct err *e) {
  enum status st = STATUS_OK;
  struct pack pack;
  struct sum sum = { .m = m };
  int64_t max_tok;
  struct arena *a = arena_new(0);
  if (a == NULL) return err_nomem(e, 1);
  TRY(pack_new(c, a, &max_tok, &pack, e));
  for (int64_t i = 0; i < n;) {
    i = pack_samples(c, i, n, max_tok, &pack);
    TRY(model_score(r, &pack.in, 0, NULL, add_row, &sum, e));
  }
  *loss = sum.n ? sum.loss / (double)sum.n : 0;
  *n_pred = sum.n;
out:
  arena_free(a);
  return st;
}

enum status prune_depth_loss(struct model *m, const struct calib *c, int64_t n, struct arena *a, struct prune_scores *s, struct err *e) {
  enum status st = STATUS_OK;
  struct run *r = NULL;
  struct progress *bar = NULL;
  int64_t n_pred, max_tok = c->longest > PACK_TOKENS ? c->longest : PACK_TOKENS;
  if (n > c->n) n = c->n;
  s->loss_without = arena_calloc(a, (size_t)s->n_layer, sizeof *s->loss_without);
  if (s->loss_without == NULL) return err_nomem(e, (size_t)s->n_layer * sizeof(double));
  TRY(run_new(m, max_tok, 0, &r, e));
  bar = progress_new("loss without layer", "layers", (uint64_t)s->n_layer + 1);
  TRY(calib_loss(m, r, c, n, &s->loss, &n_pred, e));
  for (int l = 0; l < s->n_layer; l++) {
    char note[64];
    run_skip_layer(r, l);
    TRY(calib_loss(m, r, c, n, &s->loss_without[l], &n_pred, e));
    snprintf(note, sizeof note, "layer %d: %.4f", l, s->loss_without[l]);
    progress_set(bar, (uint64_t)l + 2, note);
    if (stop_requested()) {
      st = err_set(e, STATUS_STOPPED, "stopped; run the same command again to start over");
      goto out;
    }
  }
out:
  progress_free(bar);
  run_free(r);
  return st;
}

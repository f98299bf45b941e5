/* SPDX-License-Identifier: Apache-2.0
 * Structured pruning after Minitron (arXiv 2407.14679; docs: sheets B1 to B3): importance of heads, feed-forward neurons and
 * embedding channels from forward passes, importance of layers by block importance or by the loss without them, and the
 * trimmed weights as a fill for the writers. Nothing here changes the model it looks at. */
#ifndef TRAIN_PRUNE_H
#define TRAIN_PRUNE_H
#include "model.h"
#include "tokenizer.h"

/* ---- calibration data ---- */
struct calib_sample {
  int32_t n_tok, n_doc;
  int32_t *ids, *start; /* (n_tok), (n_doc + 1): attention does not cross documents */
};
struct calib {
  struct calib_sample *s;
  int64_t n, n_tok;
  int32_t longest;
};
/* path: a shard folder, a JSON Lines file with rows of `ids`, `messages` or `text`, or "-". At most `samples` samples of at
 * most `length` tokens, arena memory. Shards: the first ones in the order of epoch 0 of seed. Needs two tokens a sample. */
MUST_USE enum status calib_read(const char *path, const struct weights *w, int64_t samples, int64_t length, uint64_t seed,
                                struct arena *a, struct calib *c, struct err *e);
/* Mean loss per predicted token of n samples, and the number of predictions. */
MUST_USE enum status calib_loss(const struct model *m, struct run *r, const struct calib *c, int64_t n, double *loss, int64_t *n_pred, struct err *e);

/* ---- importance ---- */
enum aggregate { AGG_L2, AGG_MEAN, AGG_VAR };
struct prune_scores {
  int32_t n_layer;
  double **ffn;   /* (layer)(ffn) */
  double **head;  /* (layer)(n_head): L2 over the channels of a head */
  double *emb;    /* (hidden): summed over both norms of all layers */
  double *block;  /* (layer): 1 - mean cos(x_l, x_{l+1}) */
  double *pair;   /* (layer - 1): the same over two layers at once */
  double loss;    /* of the whole model on the samples of prune_depth_loss */
  double *loss_without; /* (layer) or NULL: loss with this layer left out */
};
/* One forward pass over all samples. Score of a channel: over the positions of a sample first (seq), then over samples
 * (batch). Minitron's choice is batch L2, seq MEAN. Arena memory. */
MUST_USE enum status prune_importance(struct model *m, const struct calib *c, enum aggregate batch, enum aggregate seq, struct arena *a,
                                      struct prune_scores *s, struct err *e);
/* Adds loss and loss_without from the first n samples: n_layer + 1 forward passes. */
MUST_USE enum status prune_depth_loss(struct model *m, const struct calib *c, int64_t n, struct arena *a, struct prune_scores *s, struct err *e);

/* ---- choice ---- */
struct prune_shape {
  int64_t layers, heads, ffn, hidden; /* wanted, 0 = as they are; heads are query heads a layer */
};
struct prune_plan {
  struct model_config config; /* of the pruned model */
  struct model_config from;
  int32_t *layer;             /* (config.n_layer) old layer of each new one */
  int32_t **head, **ffn;      /* (config.n_layer)(kept units of that layer, ascending) */
  int32_t *hidden;            /* (config.hidden) kept channels, ascending */
  int32_t **residual;         /* (config.n_layer)(n_head of the new layer): old head whose difference is added, -1 = none; or NULL */
};
/* scores may be NULL when nothing has to be ranked (shape keeps all, or --random). by_loss: depth by loss_without instead of
 * block importance. Arena memory. */
MUST_USE enum status prune_choose(const struct model_config *from, const struct prune_shape *shape, const struct prune_scores *scores,
                                  int by_loss, int head_residual, struct arena *a, struct prune_plan *p, struct err *e);

/* ---- trimming ---- */
struct prune_source {
  const struct weights *w;
  const struct prune_plan *plan;
  int random;    /* random start of the same shape: the values of model_new(config, seed) */
  uint64_t seed;
};
/* A tensor_fill; ctx is a struct prune_source. */
MUST_USE enum status prune_fill(void *ctx, const struct tensor_out *t, int64_t row0, int64_t rows, float *dst, struct err *e);

#endif

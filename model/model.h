/* SPDX-License-Identifier: Apache-2.0
 * A transformer in memory: an architecture is a list of coarse operations (model/arch_*.c), a run is a plan over it with all
 * sizes computed first (64-bit) and one allocation. Forward, backward, taps, decoding are different plans over the same
 * operations. Parameters are float32, laid out in one block in tensor-list order (model_tensor_list), so that gradients and
 * optimiser state are blocks of the same layout. */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H
#include <stdint.h>
#include "device.h"
#include "err.h"
#include "kernel.h"
#include "mem.h"
#include "weights.h"

struct model;
/* MODEL_TRAIN: every parameter as float32 in one block that may be changed; needed for backward passes and model_param_block.
 * Without it (teachers, scoring, generating) matrices stay in the file in their stored type, exact but a fraction of the memory;
 * only vectors and the output projection are float32. */
enum { MODEL_TRAIN = 1 };
MUST_USE enum status model_open(const char *path, int flags, struct model **m, struct err *e);
MUST_USE enum status model_from_weights(const struct weights *w /* must outlive the model */, int flags, struct model **m, struct err *e);
MUST_USE enum status model_new(const struct model_config *c, uint64_t seed, struct model **m, struct err *e); /* random start, std 0.02 */
void model_close(struct model *m);
const struct model_config *model_config(const struct model *m);
const struct weights *model_weights(const struct model *m); /* NULL for model_new */
const struct kernels *model_kernels(const struct model *m);
const struct device *model_device(const struct model *m); /* the one in use when it was opened */
int64_t model_params(const struct model *m);          /* floats in the block, without padding */
float *model_param_block(struct model *m, int64_t *n_floats); /* on the model's device; NULL and 0 without MODEL_TRAIN */
/* A block of this layout for the host: itself on the CPU, a copy of a device's. fetch: its values; stage: room for values, which send
 * puts into the block; drop: after both (accepts NULL). */
MUST_USE enum status model_block_fetch(const struct model *m, const float *block, const float **host, struct err *e);
MUST_USE enum status model_block_stage(const struct model *m, float *block, float **host, struct err *e);
MUST_USE enum status model_block_send(const struct model *m, float *block, const float *host, struct err *e);
void model_block_drop(const struct model *m, const float *host);
/* One named parameter inside the block (or inside a block of the same layout by its offset). */
struct param { const char *name; int64_t offset, rows, cols; /* cols = 0: 1-d of `rows` values; offset -1: not in the block */ };
size_t model_param_count_list(const struct model *m);
const struct param *model_param_at(const struct model *m, size_t i);
const struct param *model_param_find(const struct model *m, const char *name);
/* Output projection (vocab, hidden): the embedding table when tied. */
const float *model_head(const struct model *m);
int64_t model_head_offset(const struct model *m); /* in the block; gradients of both uses add up there when tied */

/* ---- runs over packed sequences ---- */
struct run;
enum { RUN_BACKWARD = 1, RUN_HIDDEN_ALL = 2 /* keep hidden states of every layer */, RUN_RECOMPUTE = 4 };
/* Plans for at most max_tok packed tokens. */
MUST_USE enum status run_new(struct model *m, int64_t max_tok, int flags, struct run **r, struct err *e);
void run_free(struct run *r);
uint64_t run_bytes(const struct run *r);
struct packed {
  const int32_t *ids;       /* (n_tok) */
  const int32_t *positions; /* (n_tok), restart in every sequence; NULL = count from each sequence's start */
  struct seqs seqs;
};
/* Taps see intermediate activations during forward (for pruning and hidden-state losses); n rows of `width` floats. */
enum tap { TAP_EMBED, TAP_ATTN_NORM, TAP_HEADS /* input of o_proj */, TAP_FFN_NORM, TAP_FFN /* input of down_proj */, TAP_RESIDUAL /* after layer */ };
typedef void (*tap_fn)(void *ctx, enum tap t, int layer, const float *x, int64_t rows, int64_t width);
void run_set_tap(struct run *r, tap_fn f, void *ctx); /* models on the CPU only */
void run_skip_layer(struct run *r, int layer); /* -1 = none: depth importance by perplexity */
/* Final normed hidden state (n_tok, hidden) on the model's device, valid until the next forward. A device's calls may still be under
 * way and fail later: whoever fetches a result asks device_check. */
MUST_USE enum status run_forward(struct run *r, const struct packed *p, const float **hidden, struct err *e);
/* hidden.l of RUN_HIDDEN_ALL: 0 = embedding, l = after layer l. */
const float *run_hidden_at(const struct run *r, int l);
/* dhidden (n_tok, hidden) -> adds to grads (a block laid out like the parameters). Needs RUN_BACKWARD and the last forward. */
MUST_USE enum status run_backward(struct run *r, const float *dhidden, float *grads, struct err *e);
/* logits(rows, vocab) of rows of hidden states (chunks; never the whole matrix in training). */
void model_logits(const struct model *m, const float *hidden, int64_t rows, float *logits);

/* STATUS_DATA: "WHAT not finite: ..." with the tensor that holds such a value, where one does ("the logits of row 3 are"). Reads
 * every weight: for the end of a run, not for every row. */
MUST_USE enum status model_not_finite(const struct model *m, const char *what, struct err *e);

#endif

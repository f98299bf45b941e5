/* SPDX-License-Identifier: Apache-2.0
 * Inside of struct model, for the files of model/ that run it. Nothing outside model/ includes this. */
#ifndef MODEL_MODEL_PRIVATE_H
#define MODEL_MODEL_PRIVATE_H
#include "op.h"

struct stored { const void *data; enum dtype type; void *own; size_t own_bytes; };
struct model {
  struct model_config config;
  const struct device *dev;
  const struct kernels *k;    /* dev's */
  struct kdev *d;
  struct arena *arena;        /* lists and names */
  struct weights *own;        /* opened by model_open, NULL otherwise */
  const struct weights *w;    /* NULL for model_new */
  int flags;
  struct param *param;
  size_t n_param;
  struct stored *stored;      /* (n_param) where each parameter is read from, and in which type */
  int lean;                   /* matrices stay in the file; the block holds vectors and the output projection only */
  int64_t most_floats;        /* largest matrix that a run has to decode, 0 = none */
  float *block;
  int64_t n_floats;           /* with padding */
  int64_t params;             /* without */
  int32_t head;               /* parameter number of the output projection (the embedding when tied) */
  double *inv_freq;           /* (head_dim / 2) rotary frequencies after scaling, on the device */
  void *side;                 /* on a device: inv_freq and the stored matrices; NULL on the CPU */
  size_t side_bytes;
  struct op_list ops;
};

/* Sets stored[] of parameter i to the file's rows in HF order (a copy only where the file permutes rows). *found = 0 when they
 * cannot be used as they are. */
MUST_USE enum status model_store(struct model *m, size_t i, int *found, struct err *e);
/* Float32 values of parameter i: in the block or the map, else decoded into scratch (most_floats). */
const float *model_matrix(const struct model *m, int32_t param, float *scratch);
/* What a model on a device needs there beside its block: rotary frequencies, matrices in their stored type. */
MUST_USE enum status model_side(struct model *m, struct err *e);
MUST_USE enum status rotary_frequencies(const struct model_config *c, struct arena *a, double **inv_freq, struct err *e);

#endif

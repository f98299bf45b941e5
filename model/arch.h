/* SPDX-License-Identifier: Apache-2.0
 * Architectures: one file a family (arch_*.c) that lists its operations, one row in arch.c. The pieces below are what the
 * families share; a new family adds its own piece beside them or in its own file. */
#ifndef MODEL_ARCH_H
#define MODEL_ARCH_H
#include "op.h"

struct arch_builder {
  const struct model_config *config;
  const struct param *param;
  size_t n_param;
  struct arena *arena;
  struct op_list *list;
  int32_t op_cap, value_cap;
  enum status st;       /* first error; later calls do nothing */
  struct err *e;
};

struct arch {
  const char *name;                      /* model_config.arch */
  void (*build)(struct arch_builder *b); /* appends every operation; errors go to b->st */
};
extern const struct arch arch_llama, arch_mistral, arch_qwen2, arch_qwen3;
const struct arch *arch_find(const char *name);
MUST_USE enum status arch_build(const struct model_config *c, const struct param *param, size_t n_param, struct arena *a,
                                struct op_list *list, struct err *e);

enum { ARCH_QKV_BIAS = 1, ARCH_QK_NORM = 2 };
/* embed -> n_layer x (norm, q k v [bias] [head norm], rope, attention, o + residual, norm, gate, up, swiglu, down + residual)
 * -> norm: the decoder that all four families are, with flags for what differs. */
void arch_decoder(struct arch_builder *b, unsigned flags);

int32_t arch_value(struct arch_builder *b, int64_t width, int32_t layer);
/* Parameter number of "model.layers.LAYER.SUFFIX" (layer >= 0) or of SUFFIX itself; an error when the model has none. */
int32_t arch_param(struct arch_builder *b, int32_t layer, const char *suffix);
/* Appends an operation with nothing set but kind, layer and -1 for what is absent; NULL after an error. */
struct op *arch_op(struct arch_builder *b, const struct op_kind *kind, int32_t layer);
#endif

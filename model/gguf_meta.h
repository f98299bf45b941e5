/* SPDX-License-Identifier: Apache-2.0
 * The metadata part of a GGUF that is written: values into a buffer, counted. Used by gguf_write.c only. */
#ifndef MODEL_GGUF_META_H
#define MODEL_GGUF_META_H
#include "span.h"
#include "weights.h"
MUST_USE enum status gguf_put_u32(struct buf *b, uint32_t v, struct err *e);
MUST_USE enum status gguf_put_u64(struct buf *b, uint64_t v, struct err *e);
MUST_USE enum status gguf_put_string(struct buf *b, struct span s, struct err *e);
/* General and architecture keys; strings: key, value, ..., NULL. *pairs counts what was put. */
MUST_USE enum status gguf_put_meta(struct buf *b, uint64_t *pairs, const struct model_config *c, enum dtype dtype, const char *const *strings, struct err *e);
/* tokenizer.*: copied byte for byte from a GGUF, or made from a folder's tokenizer.json. */
MUST_USE enum status gguf_put_tokenizer(struct buf *b, uint64_t *pairs, const struct model_config *c, const struct weights *src, struct err *e);
#endif

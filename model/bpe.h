/* SPDX-License-Identifier: Apache-2.0
 * Byte-pair merging on token ids: pairs of ids in one hash table give rank and merged id. Short words by scanning for the
 * lowest rank, long ones through a heap; both take the lowest rank first, leftmost among equals (Sennrich et al. 2016, in
 * the order of Hugging Face's tokenizers). Also the byte alphabet of GPT-2 and a table from token bytes to id. */
#ifndef MODEL_BPE_H
#define MODEL_BPE_H
#include <stdint.h>
#include "err.h"
#include "mem.h"
#include "span.h"

/* GPT-2's printable alphabet: byte -> code point, and back (-1 when the code point stands for no byte). */
uint32_t bpe_byte_char(unsigned char b);
int bpe_char_byte(uint32_t c);
/* Text in that alphabet -> bytes into out (at most s.n). Returns 0 when some character is outside (nothing is promised of
 * out then). s must be well-formed UTF-8. */
int bpe_text_bytes(struct span s, char *out, size_t *n);
MUST_USE enum status bpe_bytes_text(struct span bytes, struct buf *out, struct err *e);

struct bpe_merge { int32_t a, b, to; };
struct bpe {
  int32_t byte_id[256];    /* -1: the vocabulary lacks this byte */
  struct bpe_merge *merge; /* in rank order; owned */
  size_t n_merge;
  struct bpe_slot *slot;
  uint64_t mask;
};
/* Takes over b->merge and b->byte_id and makes the table. A pair listed twice keeps its last rank, as in HF. */
MUST_USE enum status bpe_index(struct bpe *b, struct err *e);
void bpe_free(struct bpe *b); /* the members, not b */

struct bpe_scratch { void *p; size_t bytes; }; /* grows in the caller's arena */
/* ids[0..n) start as byte ids and are merged in place; *n becomes the count. len, when not NULL, holds the bytes of each
 * symbol and is merged along. */
MUST_USE enum status bpe_apply(const struct bpe *b, int32_t *ids, uint32_t *len, size_t *n, struct bpe_scratch *s, struct arena *a,
                               struct err *e);

/* Token bytes -> id; the bytes stay with the caller. */
struct word_map { struct word_slot *slot; uint64_t mask; };
MUST_USE enum status word_map_new(struct word_map *m, size_t n, struct err *e);
void word_map_put(struct word_map *m, struct span w, int32_t id); /* the first id of equal words stays */
int32_t word_map_get(const struct word_map *m, struct span w);    /* -1 when absent */
void word_map_free(struct word_map *m);
#endif

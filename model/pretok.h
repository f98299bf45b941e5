/* SPDX-License-Identifier: Apache-2.0
 * Pre-tokenisers: how text is cut into the words that byte-pair merging never crosses. "Add a pre-tokeniser": one row in
 * pretok.c. A row's `split` is a hand-written splitter that must give the same pieces as its pattern (NULL: the pattern
 * runs through PCRE2's JIT). */
#ifndef MODEL_PRETOK_H
#define MODEL_PRETOK_H
#include <stdint.h>
#include "err.h"
#include "json.h"
#include "mem.h"
#include "span.h"

struct pretok_row {
  const char *name;      /* ours, in hashes and messages */
  const char *gguf[8];   /* tokenizer.ggml.pre values; the first is written; NULL ends */
  const char *pattern;   /* PCRE2, UTF + UCP; \s stands as PRETOK_SPACE, see pretok.c */
  /* Its form in tokenizer.json: Digits(individual) first, then Split by hf_pattern (NULL: ByteLevel's own regex). */
  int hf_digits;
  const char *hf_pattern;
  /* What GGUF does not say but models with this pre-tokeniser do: normalise to NFC, take a word that is in the vocabulary
   * whole (Llama-3), put a bos in front. */
  int gguf_nfc, gguf_ignore_merges, gguf_bos;
  size_t (*split)(const char *p, size_t n, size_t at, size_t *end, size_t cap); /* as in pretok_split.h */
};
extern const struct pretok_row pretok_table[]; /* ends with name NULL */
const struct pretok_row *pretok_by_gguf(const char *pre); /* NULL when unknown */
/* The row whose form the "pre_tokenizer" object of a tokenizer.json has; *prefix_space = ByteLevel's add_prefix_space.
 * STATUS_DATA names what was found. */
MUST_USE enum status pretok_by_json(const struct json *pre, const struct pretok_row **row, int *prefix_space, struct err *e);
/* Appends the "pre_tokenizer" object. */
MUST_USE enum status pretok_put_json(const struct pretok_row *row, int prefix_space, struct buf *out, struct err *e);

struct pretok; /* compiled row; read-only, shared by threads */
MUST_USE enum status pretok_new(const struct pretok_row *row, struct pretok **p, struct err *e);
void pretok_free(struct pretok *p);
/* One pass over a text; owned by one thread. */
struct pretok_pass {
  const struct pretok *pretok;
  struct span text;
  size_t at;         /* start of the next piece */
  size_t pending;    /* end of a piece already found after a gap, 0 = none */
  void *match;
};
MUST_USE enum status pretok_begin(const struct pretok *p, struct pretok_pass *pass, struct err *e);
void pretok_text(struct pretok_pass *pass, struct span text); /* well-formed UTF-8; may be called again and again */
/* Ends in the text of the next pieces, at most cap; a piece begins where the one before it ends. *got = 0 at the end. */
MUST_USE enum status pretok_next(struct pretok_pass *pass, size_t *end, size_t cap, size_t *got, struct err *e);
void pretok_end(struct pretok_pass *pass);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * Inside of struct tokenizer, shared by model/tokenizer*.c only: a reader (tokenizer_json.c, tokenizer_gguf.c) fills a
 * struct tok_source, tokenizer_build makes the tables from it. */
#ifndef MODEL_TOKENIZER_IMPL_H
#define MODEL_TOKENIZER_IMPL_H
#include <stdatomic.h>
#include "bpe.h"
#include "pretok.h"
#include "tokenizer.h"

#define TOKEN_ID_LIMIT (1 << 22) /* more ids than any tokenizer has; bounds what a broken file can ask for */

/* Flags of added tokens, as in tokenizer.json. The numbers from 2 to 16 are written to GGUF. */
#define ADDED_QUIRKS (ADDED_LSTRIP | ADDED_RSTRIP | ADDED_SINGLE_WORD | ADDED_NORMALIZED)
enum { ADDED = 1, ADDED_LSTRIP = 2, ADDED_RSTRIP = 4, ADDED_SINGLE_WORD = 8, ADDED_NORMALIZED = 16, IN_VOCAB = 32 /* of the BPE model */ };

struct tok_entry {
  struct span text;   /* as in the file; NULL = hole */
  unsigned char type; /* enum token_type; 0 = hole */
  unsigned char flag;
};
struct tok_pair { struct span left, right; };

/* What a reader found. Spans belong to the file; the arena to the caller. */
struct tok_source {
  const char *what;  /* file name for messages */
  struct tok_entry *token;
  int32_t n;
  struct tok_pair *merge;
  size_t n_merge;
  const struct pretok_row *pre;
  int nfc, prefix_space, ignore_merges, add_bos, fuse_unk;
  int32_t bos, eos, pad, unk, bpe_unk; /* bpe_unk: emitted for a byte that the vocabulary lacks */
  struct span chat_template; /* NULL = none */
};
MUST_USE enum status tokenizer_build(const struct tok_source *s, struct tokenizer **t, struct err *e);
MUST_USE enum status tokenizer_read_json(const char *path, struct tokenizer **t, struct err *e);    /* tokenizer.json */
/* The same from memory; config (tokenizer_config.json) and tmpl (chat_template.jinja) may be NULL. For tests and fuzzing too. */
MUST_USE enum status tokenizer_parse_json(struct span text, const char *what, const struct json *config, struct span tmpl,
                                          struct tokenizer **t, struct err *e);

/* Added tokens by their bytes: children of a node are a list by `sib`. */
struct trie_node { int32_t child, sib, id; unsigned char byte; };
/* first: bytes that one begins with, n_first of them, `only` when it is one. */
struct trie { struct trie_node *node; int32_t n, cap, n_first; unsigned char only, first[256]; };

enum { TOKENIZER_CACHES = 16 };
struct tokenizer {
  int32_t n;
  char *blob;            /* bytes of all tokens */
  uint64_t *off;         /* (n + 1) into blob */
  unsigned char *type, *flag; /* (n) */
  /* Words that earlier calls met, for whoever takes them; NULL = in use or none yet. More than TOKENIZER_CACHES threads at a
   * time make their own and throw them away. A test that changes the fields below opens the file anew first. */
  _Atomic(struct word_cache *) *cache;
  struct bpe bpe;
  struct word_map words; /* bytes -> id of tokens written in the byte alphabet */
  struct word_map added; /* text -> id of added tokens */
  struct trie raw, norm; /* added tokens matched before and after normalisation */
  const struct pretok_row *pre;
  struct pretok *pretok;
  int nfc, prefix_space, ignore_merges, add_bos;
  int32_t bos, eos, pad, unk, bpe_unk;
  char *chat_template;
};
#endif

/* SPDX-License-Identifier: Apache-2.0
 * A vocabulary as a tree of bytes, so that the tokens which an automaton allows are found in one walk. Nodes stand in preorder:
 * a refused node is left by one jump. Control tokens are not in it. Constant once made; many constraints share one. */
#ifndef MODEL_CONSTRAIN_VOCAB_H
#define MODEL_CONSTRAIN_VOCAB_H
#include "constrain_nfa.h"
#include "tokenizer.h"

struct trie_node {
  unsigned char byte;
  uint16_t depth;        /* bytes from the root; the root itself is not stored */
  int32_t end;           /* node behind this subtree */
  int32_t first, here;   /* tokens first .. here - 1 end at this node; those of the subtree are first .. (next node's first) - 1 */
};
struct trie {
  struct trie_node *node; /* (n + 1), the last one only bounds the tokens */
  struct byte_set *below; /* (n + 1) bytes of the subtree without the node's own */
  int32_t n, n_token, longest; /* longest token in bytes */
  int32_t *token;         /* (n_token) ids in the order of the nodes */
  int32_t vocab;
  struct span *text;      /* (vocab) bytes of each token, {NULL,0} when it is not in the tree */
  struct byte_set single; /* bytes that are tokens of their own */
};
MUST_USE enum status trie_new(const struct tokenizer *t, struct trie **out, struct err *e);
/* The same from bytes: token i is text[i], which must outlive the trie (as the tokenizer above must); empty ones are left out. */
MUST_USE enum status trie_from_texts(const struct span *text, int32_t n, struct trie **out, struct err *e);
void trie_free(struct trie *t);
/* The longest token that text begins with (its length in *n); -1 = none. */
int32_t trie_longest(const struct trie *t, struct span text, size_t *n);
#endif

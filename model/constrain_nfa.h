/* SPDX-License-Identifier: Apache-2.0
 * A byte automaton with a stack (Thompson's construction): made from a language tree, cut down to the bytes that a vocabulary has
 * tokens for, with the shortest way to the end known for every node. Constant once made. Used by constrain_dfa.c. */
#ifndef MODEL_CONSTRAIN_NFA_H
#define MODEL_CONSTRAIN_NFA_H
#include "constrain_expr.h"

#define NFA_DEPTH 48 /* rules within rules: bounds what a recursive schema can nest */
#define NFA_FAR ((int64_t)1 << 40)

enum nfa_op {
  NFA_FAIL,     /* node 0 */
  NFA_BYTES,    /* a byte of the set, then next */
  NFA_SPLIT,    /* next or other */
  NFA_CALL,     /* the rule that begins at other, then next */
  NFA_LOOP,     /* the body that begins at other, min to max times, then next */
  NFA_LOOP_END, /* end of a body; next = its LOOP */
  NFA_RETURN    /* end of a rule, or of the whole where the stack is empty */
};
struct byte_set { uint64_t w[4]; };
static inline int byte_in(const struct byte_set *s, unsigned c) { return (int)(s->w[c >> 6] >> (c & 63) & 1); }
static inline void byte_add(struct byte_set *s, unsigned c) { s->w[c >> 6] |= (uint64_t)1 << (c & 63); }

struct nfa_node {
  enum nfa_op op;
  int32_t next, other, min, max, set;
  int64_t dist;  /* fewest bytes to the end of the rule (of the body); NFA_FAR = no way */
  int32_t need;  /* fewest levels of calls on some way there */
};
struct nfa {
  struct nfa_node *node;
  int32_t n, start;
  size_t cap;
  struct byte_set *set;
  size_t n_set, cap_set;
  unsigned char class_of[256]; /* bytes that no set tells apart */
  unsigned char class_byte[256]; /* one byte of each class */
  int n_class;
};
/* have: bytes that a token of their own stands for. STATUS_DATA: nothing in the language can be written with them. */
MUST_USE enum status nfa_new(const struct expr_build *b, const struct expr *root, const struct byte_set *have, struct nfa **n, struct err *e);
void nfa_free(struct nfa *n);
#endif

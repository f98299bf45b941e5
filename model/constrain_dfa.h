/* SPDX-License-Identifier: Apache-2.0
 * The automaton of constrain_nfa.h made deterministic as it is walked. A state is a set of (node, stack) pairs; stacks are shared
 * linked frames, so recursion and counted repetition need no copies of the automaton. States, frames and transitions are kept
 * until dfa_trim. Not for several threads at a time. */
#ifndef MODEL_CONSTRAIN_DFA_H
#define MODEL_CONSTRAIN_DFA_H
#include "constrain_nfa.h"

#define DFA_DEAD 0
struct dfa;
/* clip: more bytes than any token has. States that differ only in counts beyond it allow the same tokens (dfa_clip). n must
 * outlive the dfa. */
MUST_USE enum status dfa_new(const struct nfa *n, int32_t clip, struct dfa **d, struct err *e);
void dfa_free(struct dfa *d);
int32_t dfa_start(const struct dfa *d);
/* The state behind one more byte in *to; DFA_DEAD when nothing goes on. STATUS_LIMIT: the form is too ambiguous. */
MUST_USE enum status dfa_step(struct dfa *d, int32_t state, unsigned char byte, int32_t *to, struct err *e);
int dfa_accepts(const struct dfa *d, int32_t state);
int dfa_goes_on(const struct dfa *d, int32_t state); /* some byte leads on */
/* A state from which the same texts of fewer than `clip` bytes are possible: one for many. */
MUST_USE enum status dfa_clip(struct dfa *d, int32_t state, int32_t *to, struct err *e);
/* Fewest bytes to an accepting state (NFA_FAR when the nesting limit stands in the way), and a byte on that way. */
int64_t dfa_dist(const struct dfa *d, int32_t state);
unsigned char dfa_near_byte(const struct dfa *d, int32_t state);
/* Bytes (a set) that lead from the state to itself; computed once. */
MUST_USE enum status dfa_self(struct dfa *d, int32_t state, const struct byte_set **set, struct err *e);
/* Forgets everything but the states in keep, which get new numbers there. */
MUST_USE enum status dfa_trim(struct dfa *d, int32_t **keep, size_t n_keep, struct err *e);
size_t dfa_bytes(const struct dfa *d); /* memory taken */
int32_t dfa_count(const struct dfa *d);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * Constrained decoding: an answer can only take a stated form (form.h), because tokens that would leave it are masked before one
 * is chosen. What is possible next is a function of the answer's own bytes, so masks never depend on the batch or on threads, and
 * the model's choice among what is possible stays its own.
 *
 * Regular expressions match the whole answer. Known: literals, ., [...] with ranges and ^, \d \w \s (ASCII) and \D \W \S, \p{L}
 * (general categories), \n \t \r \f \v \a \e \0 \xHH \x{H..} (in a schema's pattern \uHHHH), groups (..) (?:..) (?<name>..), |, * + ? {m} {m,} {m,n} (to
 * 10000; lazy forms are the same), ^ and $ at the ends of the whole or of its alternatives. Refused: looking around, references,
 * possessive repetition, \b, options such as (?i).
 *
 * JSON schemas: the subset of core/schema.h. Written is one blank behind ',' and ':' and no other white space; properties in the
 * schema's order, optional ones may be missing; members that the schema does not name are not made where it names some; numbers
 * have at most 15 digits before and 9 behind the point, an exponent only where no bound is given; strings have no \u escapes.
 * What tokens cannot be bound by (not, uniqueItems, multipleOf, oneOf where several fit, pattern together with a length...) is
 * left to the check of the whole value: constraint_loose says which keywords those are.
 *
 * Closing: when the tokens that are left are just enough for the shortest end, the answer is ended that way (strings are closed,
 * missing members written with their shortest values). It then has the form, but its end is not the model's: FINISH_CLOSED. */
#ifndef MODEL_CONSTRAIN_H
#define MODEL_CONSTRAIN_H
#include "constrain_vocab.h"
#include "form.h"

struct constraint;
/* trie must outlive it. STATUS_USAGE, STATUS_DATA: the form is wrong or impossible. */
MUST_USE enum status constraint_new(const struct trie *trie, const struct form *f, struct constraint **c, struct err *e);
void constraint_free(struct constraint *c);
/* "uniqueItems at #/properties/a, ...": what is not bound; NULL = nothing. */
const char *constraint_loose(const struct constraint *c);
/* Keeps memory within bytes (default 128 MiB); called between tokens, by constraint_breathe. */
void constraint_set_bytes(struct constraint *c, size_t bytes);
MUST_USE enum status constraint_breathe(struct constraint *c, struct err *e);

/* One answer being made under a constraint. */
struct matcher;
MUST_USE enum status matcher_new(struct constraint *c, struct matcher **m, struct err *e);
void matcher_free(struct matcher *m);
/* Tokens that may come next, one bit each (trie's vocab, rounded up to 64); valid until constraint_breathe. *may_end: the answer
 * may be over here. */
MUST_USE enum status matcher_allowed(struct matcher *m, const uint64_t **bits, int *may_end, struct err *e);
/* The chosen token, of which `left` may still be made, this one included (0 = no limit). Closing may put another one in its place.
 * *over: 0 go on, 1 the form is complete and nothing can follow, 2 the answer ends before this token (closed where it stood). */
MUST_USE enum status matcher_take(struct matcher *m, int32_t *id, int64_t left, int *over, struct err *e);
int matcher_closed(const struct matcher *m); /* closing had a hand in it */
int32_t matcher_vocab(const struct matcher *m); /* tokens that its masks know */
#endif

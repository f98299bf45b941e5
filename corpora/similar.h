/* SPDX-License-Identifier: Apache-2.0
 * How alike two texts are, over the words of corpora/words.h: BM25 over a set of texts (demonstrations by similarity, retrieval
 * round trips, hard negatives) and ROUGE-L of two texts (Self-Instruct's bound). Results depend on nothing but the texts and
 * their order: equal scores go by number. Not thread safe. */
#ifndef CORPORA_SIMILAR_H
#define CORPORA_SIMILAR_H
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "mem.h"
#include "span.h"

/* Okapi BM25, k1 = 1.2, b = 0.75, idf = ln(1 + (N - df + 0.5) / (df + 0.5)) (never negative, as Lucene does). */
struct bm25;
struct bm25 *bm25_new(void); /* NULL = no memory */
void bm25_free(struct bm25 *b);
/* Texts are numbered from 0 in the order they come. The text itself is not kept. After the first bm25_top none may be added. */
MUST_USE enum status bm25_add(struct bm25 *b, struct span text, struct err *e);
size_t bm25_size(const struct bm25 *b);
struct bm25_hit { size_t n; double score; };
/* The k best, best first, only those that share a word with the query (score > 0). */
MUST_USE enum status bm25_top(struct bm25 *b, struct span query, size_t k, struct arena *a, struct bm25_hit **hit, size_t *n_hit, struct err *e);

/* F1 of the longest common subsequence of words (Lin 2004), 0 to 1; 0 when one has no words. */
MUST_USE enum status rouge_l(struct span x, struct span y, struct arena *a, double *f1, struct err *e);
#endif

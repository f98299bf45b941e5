/* SPDX-License-Identifier: Apache-2.0
 * Which rows of a corpus stay, by one walk in priority order (known rows, rows that brought their split, the others; each by
 * score, then id, then content): a row is dropped if and only if a *kept* row has the same normalised text (exact), or
 * Jaccard >= near over word 5-grams, or Jaccard >= leak and the other side of the split. So the result depends neither on the
 * order of arrival nor on threads nor on memory: everything that grows with the rows lies in spools and external sorts
 * within `memory_bytes`, besides 6 to 10 bytes a row.
 *
 * How: rows are ranked by an external sort. Bands of their MinHash signatures (near.h) are sorted; rows that share a band are
 * candidates, all pairs of them for small groups; a group above DEDUP_GROUP rows keeps a list of its kept rows during the walk
 * instead (Leskovec et al., Mining of Massive Datasets, 3.4). Candidates are sorted by rank, and the walk verifies each against
 * true Jaccard values. Missed is a pair at the threshold with probability below 1e-3 (near_bands). */
#ifndef CORPORA_DEDUP_H
#define CORPORA_DEDUP_H
#include <stdint.h>
#include "err.h"
#include "hash.h"
#include "span.h"

#define DEDUP_GROUP 32
#define DEDUP_SIDE_NONE 255
enum dedup_verdict { DEDUP_KEPT, DEDUP_EXACT, DEDUP_NEAR, DEDUP_LEAK };

struct dedup_settings {
  int exact, arrival; /* arrival: walk in order of dedup_add */
  double near;        /* Jaccard of near duplicates, 0 = off */
  double join;        /* groups of the split are joined through pairs with this Jaccard, 0 = off */
  double leak;        /* Jaccard that makes two sides of the split a leak, 0 = off */
  uint64_t memory_bytes;
  unsigned char (*side_of)(void *ctx, struct span key); /* side of a group, by its smallest key; for join */
  void *ctx;
};

struct dedup_row {
  struct span id, group; /* group: key of the split, for join */
  struct hash128 line;   /* of the whole record: with the id it says which row this is */
  double priority;
  uint64_t normal[2];
  const uint64_t *shingle; /* sorted; NULL when no Jaccard is asked for */
  size_t n_shingle;
  const uint32_t *sig;
  unsigned char side; /* DEDUP_SIDE_NONE = none */
  int fixed_side;     /* the row came with it and keeps it */
  int known;          /* from a signature file: its verdict below stands, and it is walked first */
  int merged;         /* from a signature file that is merged: decided anew, but no row of the input */
  enum dedup_verdict verdict;
  double score;
  struct span witness;
};

struct dedup;
MUST_USE enum status dedup_new(const struct dedup_settings *s, struct dedup **d, struct err *e);
void dedup_free(struct dedup *d); /* accepts NULL */
MUST_USE enum status dedup_add(struct dedup *d, const struct dedup_row *r, struct err *e); /* numbers count from 0 */

/* Decides all rows. `see` (may be NULL) gets each row that was decided here (not the known ones) in walk order with its verdict, score and witness, spans valid during the call. */
typedef enum status (*dedup_see)(void *ctx, const struct dedup_row *r, struct err *e);
MUST_USE enum status dedup_decide(struct dedup *d, dedup_see see, void *ctx, struct err *e);

struct dedup_result {
  enum dedup_verdict verdict;
  double score;
  struct span witness; /* id; valid until the next call */
  unsigned char side;
};
/* Results in order of number, after dedup_decide. Known rows are passed over: call once for each other row. */
MUST_USE enum status dedup_next(struct dedup *d, struct dedup_result *r, struct err *e);

struct dedup_counts { uint64_t rows, pairs, compared, big_groups, spilled_bytes, groups; };
void dedup_counts(const struct dedup *d, struct dedup_counts *c);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * Inside of dedup: what dedup.c (rows in, results out), dedup_pairs.c (candidates, groups of the split) and dedup_walk.c (the
 * walk) share. */
#ifndef CORPORA_DEDUP_IMPL_H
#define CORPORA_DEDUP_IMPL_H
#include "dedup.h"
#include "mem.h"
#include "sorter.h"
#include "spool.h"

enum { STATE_VERDICT = 3, STATE_PRESET = 4, STATE_FIXED = 8, STATE_INPUT = 16 }; /* of a row; INPUT: dedup_next tells of it */
struct entry { /* one row in the table; its size divides SPOOL_BLOCK */
  uint64_t id_at, shingle_at, normal[2];
  struct hash128 line;
  double priority;
  uint32_t id_n, n_shingle;
};
_Static_assert(sizeof(struct entry) == 64, "entries lie at number * 64");

struct big { uint32_t head; };                     /* list of a large group, 1 + index into node, 0 = empty */
struct node { uint32_t rank, row, next; };
struct cand { uint32_t rank, row; };

struct dedup {
  struct dedup_settings s;
  double least; /* the smallest Jaccard anything asks for, 0 = none */
  int rows, bands;
  struct spool *table, *ids, *shingles, *texts;
  struct sorter *rank, *same, *band, *known, *pairs, *keys, *drops;
  unsigned char *state, *side;
  uint32_t *rank_of, *parent;
  uint32_t n, cap;
  struct big *big;
  uint32_t n_big, cap_big;
  struct node *node;
  uint32_t n_node, cap_node;
  struct cand *cand;
  size_t n_cand, cap_cand;
  uint32_t *seen; /* rows among the candidates */
  size_t seen_slots;
  struct buf scratch[4];
  struct dedup_counts counts;
  /* results */
  uint32_t next;
  const unsigned char *drop; /* the one not given yet */
  int drop_got;
};
enum { RECORD_PAIR = 13, TYPE_EXACT = 0, TYPE_PAIR = 1, TYPE_BIG = 2 };
/* records: rank of the later row (4), type (1), rank of the earlier (4), its row (4); TYPE_BIG: number of the group (4), row of the later (4) */

MUST_USE enum status dedup_entry(struct dedup *d, uint32_t row, const struct entry **x, struct err *e);
MUST_USE enum status dedup_grow(void *array, uint32_t *cap, size_t need, size_t size, struct err *e);
MUST_USE enum status dedup_find_pairs(struct dedup *d, struct err *e);
MUST_USE enum status dedup_decide_walk(struct dedup *d, dedup_see see, void *ctx, struct err *e);
MUST_USE enum status dedup_join_groups(struct dedup *d, struct err *e);
/* Jaccard of two rows; `a` was loaded into scratch[0] (its shingles *sa). -1 when it is below t for sure. */
MUST_USE enum status dedup_compare(struct dedup *d, const uint64_t *sa, size_t n_a, uint32_t b, double t, double *jaccard, struct err *e);
MUST_USE enum status dedup_shingles(struct dedup *d, uint32_t row, struct buf *scratch, const uint64_t **s, size_t *n, struct err *e);
MUST_USE enum status dedup_add_drop(struct dedup *d, uint32_t row, enum dedup_verdict v, uint32_t witness, double score, uint64_t text_at, uint32_t text_n, struct err *e);
MUST_USE enum status dedup_list_add(struct dedup *d, uint32_t group, uint32_t rank, uint32_t row, struct err *e);
#endif

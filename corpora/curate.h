/* SPDX-License-Identifier: Apache-2.0
 * Inside of the curate stage: rows, verdicts and the filter table. A filter is one file corpora/filter_NAME.c with a
 * `const struct filter filter_NAME` and one row in filters.def; its options stand in struct curate_options and curate.c.
 * A row meets `scan` of every enabled filter in table order on some worker thread; rows that pass meet `admit` of every
 * enabled filter on one thread, in priority order (or in order of arrival when rows are not held). The first reason wins. */
#ifndef CORPORA_CURATE_H
#define CORPORA_CURATE_H
#include <stdint.h>
#include "err.h"
#include "mem.h"
#include "near.h"
#include "opt.h"
#include "record.h"
#include "words.h"

struct curate_options {
  int64_t min_chars, max_chars, min_words, max_words;
  int refusals, repetition, exact, arrival;
  double near, split_near, split_fraction, valid_fraction;
  struct opt_list against;
  int64_t against_n, split_seed;
  const char *split, *rejects, *only_split, *priority;
};

struct verdict {
  const char *reason;   /* NULL = keep; a constant: it is the ledger's reason */
  double score;         /* what was measured */
  const char *evidence; /* arena memory; "" when the score says all */
  const char *witness;  /* id of the kept row or the evaluation item, or "" */
};

/* What scanning found out about a row. While it is scanned everything lives in its own arena `a`; a held row keeps line, id,
 * shingles and signature in the stage's arena. */
struct row {
  struct arena *a;
  struct record rec;
  struct span id, text, answer; /* answer: contents of the assistant's messages joined with '\n', or {NULL,0} */
  struct words words;           /* not kept when held */
  uint64_t normal[2];           /* words.normal and the length in words: key of exact duplicates */
  uint64_t *shingle;
  size_t n_shingle;
  uint32_t *sig;                /* (NEAR_HASHES) */
  double priority;
  struct span group;            /* value that the split goes by, or {NULL,0} */
  const char *split;            /* name given by this run or found in the row; NULL = none */
  int has_split;                /* the row came with a split of its own */
  struct verdict v;
};

struct filter {
  const char *name, *summary;
  int (*enabled)(const struct curate_options *o);
  enum status (*open)(const struct curate_options *o, void **state, struct err *e); /* may be NULL */
  /* Thread safe: state is read only. */
  enum status (*scan)(const void *state, const struct curate_options *o, struct row *r, struct err *e); /* may be NULL */
  /* One thread, rows that stay addressable until close. */
  enum status (*admit)(void *state, const struct curate_options *o, struct row *r, struct err *e); /* may be NULL */
  void (*close)(void *state); /* may be NULL */
};
#define FILTER(name) extern const struct filter filter_##name;
#include "filters.def"
#undef FILTER
extern const struct filter *const filter_table[]; /* ends with NULL */

/* Does this run need shingles and signatures? */
int curate_needs_sets(const struct curate_options *o);
/* Sets r->v; evidence is copied into the row's arena. */
MUST_USE enum status curate_drop(struct row *r, const char *reason, double score, struct span evidence, struct span witness, struct err *e);

/* ---- split (curate_split.c) ---- */
struct split_spec {
  const char *field; /* dotted path; NULL = by id */
  int near;          /* join groups through near duplicates */
};
MUST_USE enum status curate_split_parse(const struct curate_options *o, struct arena *a, struct split_spec *s, struct err *e);
/* The value of the field as bytes ("" pieces after '#' of an id are left out, so children stay with their parent). */
MUST_USE enum status curate_split_group(const struct split_spec *s, struct row *r, struct err *e);
/* "train", "test" or "valid" of a group's key. */
const char *curate_split_of(const struct curate_options *o, struct span key);
/* Joins rows of equal key and near rows (all rows, also dropped ones: they may link two kept ones), then sets split in each. */
MUST_USE enum status curate_split_assign(const struct curate_options *o, const struct split_spec *s, struct row **row, size_t n, uint64_t *groups,
                                  struct err *e);
#endif

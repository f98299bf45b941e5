/* SPDX-License-Identifier: Apache-2.0
 * Inside of the curate stage: rows, verdicts and the filter table. A filter is one file corpora/filter_NAME.c with a
 * `const struct filter filter_NAME` and one row in filters.def; its options stand in struct curate_options and curate_options.c.
 * A row meets `scan` of every enabled filter in table order on some worker thread, the first reason wins. Filters with `early`
 * stand first in the table: they run before words are cut and may change the row (curate_edit). Rows that pass are
 * held for the walk over duplicates (dedup.h) when one is asked for, else they go on at once. */
#ifndef CORPORA_CURATE_H
#define CORPORA_CURATE_H
#include <stdint.h>
#include "dedup.h"
#include "err.h"
#include "mem.h"
#include "near.h"
#include "opt.h"
#include "record.h"
#include "words.h"

struct curate_options {
  int64_t min_chars, max_chars, min_words, max_words;
  int refusals, repetition, exact, arrival, leak, merge;
  int64_t repetition_min_words;
  double dup_line, dup_para, dup_line_chars, dup_para_chars, top_2, top_3, top_4, dup_5, dup_6, dup_7, dup_8, dup_9, dup_10;
  int quality, c4, fineweb;
  int64_t min_doc_words, max_doc_words, min_avg_word_length, max_avg_word_length, min_stop_words;
  double max_symbol_word_ratio, max_bullet_lines_ratio, max_ellipsis_lines_ratio, min_alpha_words_ratio;
  const char *stop_words;
  int remove_citations, terminal_punct, lorem_ipsum, javascript, curly_bracket, policy;
  int64_t min_num_sentences, min_words_per_line, max_word_length;
  double line_punct_thr, short_line_thr, char_duplicates_ratio, new_line_ratio;
  int line_punct_exclude_zero;
  int64_t short_line_length;
  const char *pii, *pii_kinds, *rules;
  double pii_min_score, copied, support, gibberish, mojibake;
  int fences;
  const char *lang, *lang_model;
  double lang_min;
  double near, split_near, split_fraction, valid_fraction;
  struct opt_list against, against_signatures;
  int64_t against_n, against_chars, split_seed;
  uint64_t memory;
  const char *split, *rejects, *only_split, *priority, *signatures_out;
};
extern const struct opt_row curate_rows[]; /* curate_options.c */

struct verdict {
  const char *reason;   /* NULL = keep; a constant: it is the ledger's reason */
  double score;         /* what was measured */
  const char *evidence; /* arena memory; "" when the score says all */
  const char *witness;  /* id of the kept row or the evaluation item, or "" */
  int where;            /* 1: bytes [at[0], at[1]) of the row's text are [at[2], at[3]) of the witness's */
  size_t at[4];
};

enum { CURATE_NOTES = 24 };
/* What scanning found out about a row; everything lives in its own arena `a`. */
struct row {
  struct arena *a;
  struct record rec;
  struct span id, text, answer; /* answer: contents of the assistant's messages joined with '\n', or {NULL,0} */
  struct words words;
  struct hash128 line;          /* of the row as it came in */
  uint64_t normal[2];           /* words.normal and the length in words: key of exact duplicates */
  uint64_t *shingle;
  size_t n_shingle;
  uint32_t *sig;                /* (NEAR_HASHES) */
  double priority;
  struct span group;            /* value that the split goes by, or {NULL,0} */
  const char *split;            /* name found in the row, kept as it is; NULL = none */
  struct verdict v;
  struct note { const char *what; uint64_t n; } note[CURATE_NOTES]; /* for the ledger: what was changed or marked, how often */
  int n_note;
};

struct filter {
  const char *name, *summary;
  int early;                    /* 1: before words are cut; r->text and r->words are not there yet */
  int (*enabled)(const struct curate_options *o);
  enum status (*open)(const struct curate_options *o, void **state, struct err *e); /* may be NULL */
  /* Thread safe: state is read only. */
  enum status (*scan)(const void *state, const struct curate_options *o, struct row *r, struct err *e);
  void (*close)(void *state); /* may be NULL */
};
#define FILTER(name) extern const struct filter filter_##name;
#include "filters.def"
#undef FILTER
extern const struct filter *const filter_table[]; /* ends with NULL */
enum { CURATE_FILTERS = sizeof(
#define FILTER(name) "x"
#include "filters.def"
#undef FILTER
) - 1 };

/* Sets r->v; evidence is copied into the row's arena. */
MUST_USE enum status curate_drop(struct row *r, const char *reason, double score, struct span evidence, struct span witness, struct err *e);

/* After curate_drop: where the evidence stands, in bytes of the row's text (record_text) and of the witness's. */
void curate_where(struct row *r, size_t from, size_t end, size_t witness_from, size_t witness_end);
/* `line` (copied) becomes the row; for early filters. */
MUST_USE enum status curate_edit(struct row *r, const struct buf *line, struct err *e);
/* Counts a change of the row in the ledger; what is a constant. Beyond CURATE_NOTES different ones a row the rest is left out. */
void curate_note(struct row *r, const char *what, uint64_t n);

/* ---- split (curate_split.c) ---- */
enum { CURATE_TRAIN, CURATE_TEST, CURATE_VALID };
struct split_spec {
  const char *field; /* dotted path; NULL = by id */
  int near;          /* join groups through near duplicates */
};
MUST_USE enum status curate_split_parse(const struct curate_options *o, struct arena *a, struct split_spec *s, struct err *e);
/* The value of the field as bytes ("" pieces after '#' of an id are left out, so children stay with their parent). */
MUST_USE enum status curate_split_group(const struct split_spec *s, struct row *r, struct err *e);
unsigned char curate_side_of(const struct curate_options *o, struct span key);
const char *curate_side_name(unsigned char side);

/* What duplicates and split ask of dedup; needs_sets: shingles and signatures have to be made. */
void curate_dedup_settings(const struct curate_options *o, const struct split_spec *split, struct dedup_settings *s);
int curate_holds(const struct curate_options *o); /* are rows held until the end of input? */
#endif

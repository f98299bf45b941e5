/* SPDX-License-Identifier: Apache-2.0
 * Scanner for personal data in plain text (UTF-8, decoded from JSON): used by the HTTP teachers before a body leaves, by
 * `curate --pii` and by de-identification. Kinds are rows of pii.def, national numbers rows of pii_ids.c, words that
 * announce something rows of pii_words.def. Recognisers are hand-written with bounded looks ahead and behind, so the time is
 * linear in the bytes on any input; invalid UTF-8 is just bytes. Found is what has the form *and* what proves it: a check
 * digit, a reserved prefix, or a word beside it. Names are found by context only (titles, fields, greetings), not by
 * a list of names: a bare "Maria Gomez" in running text is not seen. Nothing here logs or keeps a value. */
#ifndef FETCH_PII_H
#define FETCH_PII_H
#include <stddef.h>
#include "err.h"
#include "mem.h"
#include "span.h"

enum pii_kind {
#define PII(name, label, what) PII_##name,
#include "pii.def"
#undef PII
  PII_KINDS
};
const char *pii_kind_name(enum pii_kind k);  /* "email": for options, ledger reasons, reports */
const char *pii_kind_label(enum pii_kind k); /* "EMAIL": inside the brackets of a mask */
const char *pii_kind_about(enum pii_kind k); /* one sentence for help */

struct pii_hit {
  size_t offset, bytes; /* in the scanned text */
  enum pii_kind kind;
  double score;     /* 0..1: 0.9 form and proof, 0.5 form with weak proof */
  const char *what; /* the row that recognised it ("jp_my_number", "mr"); a constant */
};

struct pii; /* a compiled set of kinds: read only, shared by any number of threads */
#define PII_SCORE_DEFAULT 0.5
/* kinds: "all", or names joined with ',' ("email,phone"), or "all,-name" to leave some out. Hits below min_score are not
 * reported. An unknown name is STATUS_USAGE with the known ones. */
MUST_USE enum status pii_new(const char *kinds, double min_score, struct pii **p, struct err *e);
void pii_free(struct pii *p); /* accepts NULL */

/* Hits in order of offset, disjoint (of overlapping ones the longer, then the surer stays); arena memory. */
MUST_USE enum status pii_scan(const struct pii *p, struct span text, struct arena *a, struct pii_hit **hit, size_t *n, struct err *e);

/* Appends text with every hit replaced by its `[LABEL]`. */
MUST_USE enum status pii_mask(struct span text, const struct pii_hit *hit, size_t n, struct buf *out, struct err *e);

/* Consistent placeholders: `[PERSON_1]`, the same value (letter case, blanks and punctuation left out) gets the same number
 * as long as the map lives, numbers count from 1 per kind in order of first sight. One thread at a time per map. */
struct pii_map;
struct pii_map *pii_map_new(void); /* NULL = no memory */
void pii_map_free(struct pii_map *m);
MUST_USE enum status pii_replace(struct span text, const struct pii_hit *hit, size_t n, struct pii_map *m, struct buf *out, struct err *e);
/* The number that replaces one value, made when it is new. */
MUST_USE enum status pii_map_number(struct pii_map *m, enum pii_kind k, struct span value, unsigned *number, struct err *e);
#endif

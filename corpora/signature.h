/* SPDX-License-Identifier: Apache-2.0
 * Signature files: what has to be known of the rows of a corpus to decide duplicates against them later or on another machine,
 * without their text: id, score, hashes of word 5-grams, verdict. Format in docs/formats.md; every byte is under a checksum, so
 * a flipped bit or a cut end is STATUS_CHECKSUM at open or at the block. Written beside and renamed. */
#ifndef CORPORA_SIGNATURE_H
#define CORPORA_SIGNATURE_H
#include "dedup.h"

struct signature_writer;
MUST_USE enum status signature_create(const char *path, double near, struct signature_writer **w, struct err *e);
MUST_USE enum status signature_put(struct signature_writer *w, const struct dedup_row *r, struct err *e);
MUST_USE enum status signature_commit(struct signature_writer *w, struct err *e);
void signature_writer_free(struct signature_writer *w); /* accepts NULL; without a commit no file stands there */

struct signature_reader;
/* Maps the file, checks head and foot and that the blocks fill it; a block is checked when it is reached. */
MUST_USE enum status signature_open(const char *path, struct signature_reader **r, struct err *e);
MUST_USE enum status signature_from_memory(const char *name, struct span file, struct signature_reader **r, struct err *e); /* for tests */
uint64_t signature_rows(const struct signature_reader *r);
double signature_near(const struct signature_reader *r); /* Jaccard its verdicts were made with, 0 = none */
/* Next row, spans into the map; *got = 0 at the end. sig is not set. */
MUST_USE enum status signature_next(struct signature_reader *r, struct dedup_row *row, int *got, struct err *e);
void signature_close(struct signature_reader *r); /* accepts NULL */
#endif

/* SPDX-License-Identifier: Apache-2.0
 * fastText classifiers (`.bin`, `.ftz`; versions 11 and 12 of its format) for language identification: lid.176.ftz and the like.
 * Reads supervised models with any of its losses, plain or quantised, and gives the best label as fastText's predict does with
 * the text as one line (line ends count as blanks; "</s>" typed in a text is passed over). Every size in the file is checked before it is used. Read only after opening:
 * shared by any number of threads. Source: fastText 0.9.2, args.cc, dictionary.cc, productquantizer.cc, loss.cc. */
#ifndef CORPORA_LID_H
#define CORPORA_LID_H
#include <stdint.h>
#include "err.h"
#include "mem.h"
#include "span.h"

struct lid;
MUST_USE enum status lid_open(const char *path, struct lid **l, struct err *e);
MUST_USE enum status lid_from_memory(const char *name, struct span file, struct lid **l, struct err *e); /* copies nothing; for tests */
void lid_close(struct lid *l); /* accepts NULL */
/* Best label without "__label__" (lives as long as l) and its probability; {"",0} and 0 when the text has nothing the model knows. */
MUST_USE enum status lid_predict(const struct lid *l, struct span text, struct span *label, double *p, struct err *e);
#endif

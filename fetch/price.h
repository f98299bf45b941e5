/* SPDX-License-Identifier: Apache-2.0
 * What answers of a model cost: fetch/prices.yaml, or the user's file of the same form in front of it. docs/formats.md, "Price
 * table". Money is counted in micro-dollars, always rounded up. */
#ifndef FETCH_PRICE_H
#define FETCH_PRICE_H
#include "teacher.h"

struct price {
  int known;
  double in, cached, out, batch; /* dollars a million tokens; factor of batches */
  const char *read, *date;       /* arena memory */
};
/* user_file (may be NULL) is asked first. p->known = 0 when no row fits. */
MUST_USE enum status price_find(const char *user_file, const char *host, const char *model, struct arena *a, struct price *p, struct err *e);
uint64_t price_micro_usd(const struct price *p, double in_tok, double cached_tok, double out_tok);
#endif

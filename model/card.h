/* SPDX-License-Identifier: Apache-2.0
 * What a model says about where it comes from: retort.json of a folder that this program wrote (docs/formats.md, "Run folder:
 * student/"), metadata of a GGUF, the front matter of a Hugging Face README.md. Terms travel with weights (decision 13). */
#ifndef MODEL_CARD_H
#define MODEL_CARD_H
#include "weights.h"

struct model_card {
  const char *made_by;         /* stage that wrote it; NULL = not made by this program */
  const char *source;          /* what it was made from, as the user named it */
  const char *source_identity; /* hex of weights_identity of the source */
  const char *terms;           /* licence or terms of the weights and of all teachers; NULL = unknown */
  const char *key;             /* hex: same key = same inputs and options, so nothing needs to be done again */
  struct span extra;           /* more members of the object, raw JSON without braces, such as "\"kept\":{...}"; may be empty */
};
/* Strings are arena memory; absent ones are NULL. */
MUST_USE enum status card_of(const struct weights *w, struct arena *a, struct model_card *c, struct err *e);
/* FOLDER/retort.json, atomically. */
MUST_USE enum status card_write(const char *folder, const struct model_card *c, struct err *e);
/* The key that an existing output carries (a folder with retort.json, or a GGUF); NULL when it has none or is no model. */
const char *card_key_of(const char *path, struct arena *a);
/* Hex of SHA-256 over the parts (length-prefixed), arena memory; NULL = out of memory. */
const char *card_key(struct arena *a, const char *const *parts, size_t n);
#endif

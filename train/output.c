/* SPDX-License-Identifier: Apache-2.0
 * Terms and presence checks of stages that write models. */
#include "output.h"
#include "file.h"
#include "hash.h"
#include "log.h"
#include "terms.h"

enum status output_card(const struct weights *w, const char *path, const char *made_by, const char *stated, const char *accept,
                        struct arena *a, struct model_card *card, struct err *e) {
  enum status st = STATUS_OK;
  unsigned char id[32];
  const char *notice = NULL, *slash = strrchr(path, '/');
  struct model_card own;
  struct span name = { NULL, 0 };
  memset(card, 0, sizeof *card);
  TRY(card_of(w, a, &own, e));
  char *hex = arena_alloc(a, 65), *title = NULL;
  if (hex == NULL) return err_nomem(e, 65);
  if (gguf_str(w, "general.name", &name)) title = arena_strndup(a, name.p, name.n);
  /* Weights that this program made carry the sentence of the gate they went through, acceptance and all: it stays valid. */
  if (own.made_by != NULL && own.terms != NULL && stated == NULL) {
    card->terms = own.terms;
  } else {
    const struct terms_subject subject = { path, own.terms, title, NULL, slash && slash[1] ? slash + 1 : path };
    TRY(terms_gate(&subject, stated, accept, a, &card->terms, &notice, e));
    if (notice != NULL) log_info("%s", notice);
  }
  TRY(weights_identity(w, id, e));
  hash_hex(id, 32, hex);
  card->made_by = made_by;
  card->source = path;
  card->source_identity = hex;
out:
  return st;
}

enum status output_check(const char *path, const char *key, int force, struct arena *a, int *left_alone, struct err *e) {
  *left_alone = 0;
  if (!file_exists(path) && !folder_exists(path)) return STATUS_OK;
  const char *have = card_key_of(path, a);
  if (have != NULL && strcmp(have, key) == 0) {
    log_info("'%s' is there already, made from the same inputs with the same options: left alone", path);
    *left_alone = 1;
    return STATUS_OK;
  }
  if (force) return STATUS_OK;
  return err_set(e, STATUS_USAGE, "'%s' is there already and %s; --force replaces it", path,
                 have ? "was made from other inputs or with other options" : "was not made by this stage");
}

/* SPDX-License-Identifier: Apache-2.0
 * Constraints kept by form. A full table drops the one that was asked for longest ago among those nobody uses. */
#include "form_set.h"
#include "hash.h"
#include "log.h"

enum { KEPT = 80 }; /* more than a batch has jobs */

struct kept {
  struct constraint *c;
  struct form form; /* its text is a copy */
  char *text;
  uint64_t hash, used_at;
  int users;
};
struct form_set {
  const struct tokenizer *t;
  struct trie *trie;
  struct kept kept[KEPT];
  uint64_t clock;
};

enum status form_set_new(const struct tokenizer *t, struct form_set **out, struct err *e) {
  struct form_set *s = mem_calloc(1, sizeof *s);
  *out = s;
  if (!s) {
    return err_nomem(e, sizeof *s);
  }
  s->t = t;
  return STATUS_OK;
}

static void drop(struct kept *k) {
  constraint_free(k->c);
  mem_free(k->text);
  *k = (struct kept){0};
}

void form_set_free(struct form_set *s) {
  if (s) {
    for (int i = 0; i < KEPT; i++) {
      drop(&s->kept[i]);
    }
    trie_free(s->trie);
    mem_free(s);
  }
}

static struct kept *place(struct form_set *s) {
  struct kept *best = NULL;
  for (int i = 0; i < KEPT; i++) {
    struct kept *k = &s->kept[i];
    if (!k->c) {
      return k;
    }
    if (k->users == 0 && (!best || k->used_at < best->used_at)) {
      best = k;
    }
  }
  return best;
}

enum status form_set_get(struct form_set *s, const struct form *f, struct constraint **c, struct err *e) {
  enum status st = STATUS_OK;
  uint64_t hash = xxh3_seed(f->text.p ? f->text.p : "", f->text.n, (uint64_t)f->kind);
  struct kept *k = NULL;
  *c = NULL;
  if (f->kind == FORM_FREE) {
    return STATUS_OK;
  }
  for (int i = 0; i < KEPT && !k; i++) {
    struct kept *x = &s->kept[i];
    if (x->c && x->hash == hash && x->form.kind == f->kind && x->form.text.n == f->text.n && memcmp(x->text, f->text.p ? f->text.p : "", f->text.n) == 0) {
      k = x;
    }
  }
  if (!k) {
    if (!s->trie) {
      TRY(trie_new(s->t, &s->trie, e));
    }
    k = place(s);
    if (!k) {
      return err_set(e, STATUS_LIMIT, "more than %d forms of answers in use at once", KEPT);
    }
    drop(k);
    k->text = mem_strndup(f->text.p ? f->text.p : "", f->text.n);
    if (!k->text) {
      return err_nomem(e, f->text.n);
    }
    st = constraint_new(s->trie, f, &k->c, e);
    if (st != STATUS_OK) {
      drop(k);
      return st;
    }
    k->form = (struct form){f->kind, {k->text, f->text.n}};
    k->hash = hash;
    if (constraint_loose(k->c)) {
      log_warn("tokens are not bound by: %s; the whole answer is checked for it", constraint_loose(k->c));
    }
  }
  k->users++;
  k->used_at = ++s->clock;
  *c = k->c;
out:
  return st;
}

void form_set_put(struct form_set *s, struct constraint *c) {
  for (int i = 0; c && i < KEPT; i++) {
    if (s->kept[i].c == c && s->kept[i].users > 0) {
      s->kept[i].users--;
      return;
    }
  }
}

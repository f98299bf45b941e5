/* SPDX-License-Identifier: Apache-2.0
 * Filter "pii": rows with personal data (fetch/pii.h) are dropped, or the data masked ([EMAIL]) or replaced by placeholders
 * ([EMAIL_1], the same value the same number within the row, so that neither order nor threads matter; `augment --rules` with
 * `deidentify` numbers over all rows). All strings of a row that a person would read are looked at. Values go into no ledger
 * and no evidence: it shows the label, and what stands around it after masking. */
#include "curate.h"
#include "pii.h"

struct state {
  struct pii *pii;
  char what[PII_KINDS][32]; /* "pii_email": reason and count */
};

static int enabled(const struct curate_options *o) { return o->pii != NULL; }

static void close_pii(void *state) {
  struct state *s = state;
  if (!s) return;
  pii_free(s->pii);
  mem_free(s);
}

static enum status open_pii(const struct curate_options *o, void **state, struct err *e) {
  struct state *s = *state = mem_calloc(1, sizeof *s);
  if (!s) return err_nomem(e, sizeof *s);
  for (int k = 0; k < PII_KINDS; k++) snprintf(s->what[k], sizeof s->what[k], "pii_%s", pii_kind_name((enum pii_kind)k));
  return pii_new(o->pii_kinds, o->pii_min_score, &s->pii, e);
}

/* The first of them in its surroundings, all masked. */
static enum status drop(struct row *r, const char *reason, struct span text, const struct pii_hit *hit, size_t n, size_t all, struct err *e) {
  enum status st;
  struct buf b = { 0 };
  TRY(pii_mask(text, hit, n, &b, e));
  size_t from = hit->offset > 60 ? hit->offset - 60 : 0, end = hit->offset + 60 < b.n ? hit->offset + 60 : b.n;
  while (from > 0 && ((unsigned char)b.p[from] & 0xC0) == 0x80) from--;
  while (end < b.n && ((unsigned char)b.p[end] & 0xC0) == 0x80) end++;
  TRY(curate_drop(r, reason, (double)all, (struct span){ b.p + from, end - from }, (struct span){ "", 0 }, e));
out:
  buf_free(&b);
  return st;
}

static enum status scan(const void *state, const struct curate_options *o, struct row *r, struct err *e) {
  const struct state *s = state;
  enum status st;
  struct record_string *text;
  struct pii_map *map = NULL;
  struct buf b = { 0 };
  size_t n, hits, found = 0;
  TRY(record_strings(&r->rec, r->a, &text, &n, e));
  for (size_t i = 0; i < n; i++) {
    struct pii_hit *hit;
    TRY(pii_scan(s->pii, text[i].text, r->a, &hit, &hits, e));
    if (hits == 0) continue;
    found += hits;
    if (strcmp(o->pii, "drop") == 0) {
      st = drop(r, s->what[hit->kind], text[i].text, hit, hits, hits, e);
      goto out;
    }
    for (size_t h = 0; h < hits; h++) curate_note(r, s->what[hit[h].kind], 1);
    buf_clear(&b);
    if (strcmp(o->pii, "placeholder") == 0) {
      if (!map && !(map = pii_map_new())) {
        st = err_nomem(e, 0);
        goto out;
      }
      TRY(pii_replace(text[i].text, hit, hits, map, &b, e));
    } else {
      TRY(pii_mask(text[i].text, hit, hits, &b, e));
    }
    char *p = arena_strndup(r->a, b.p, b.n);
    if (!p) {
      st = err_nomem(e, b.n);
      goto out;
    }
    text[i].text = (struct span){ p, b.n };
    text[i].changed = 1;
  }
  if (found) {
    buf_clear(&b);
    TRY(record_splice(r->rec.line, text, n, &b, e));
    TRY(curate_edit(r, &b, e));
  }
out:
  pii_map_free(map);
  buf_free(&b);
  return st;
}

const struct filter filter_pii = { "pii", "personal data: rows dropped, or the data masked or replaced", 1, enabled, open_pii, scan, close_pii };

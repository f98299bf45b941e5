/* SPDX-License-Identifier: Apache-2.0
 * See teacher_pii.h. Messages name the kinds that were found, never a value. */
#include "teacher_pii.h"
#include "log.h"
#include "outgoing.h"

enum status teacher_pii_open(struct teacher *t, struct err *e)
{
  if (t->o.pii == NULL || strcmp(t->o.pii, "allow") == 0 || t->body_of->http == NULL) {
    return STATUS_OK;
  }
  return pii_new("all", PII_SCORE_DEFAULT, &t->pii, e);
}

struct walk {
  const struct pii *pii;
  struct pii_map *map;
  struct arena *a;
  unsigned found[PII_KINDS];
  size_t hits;
};

static enum status put_text(void *ctx, struct span text, struct buf *out, int *changed, struct err *e)
{
  enum status st = STATUS_OK;
  struct walk *w = ctx;
  struct pii_hit *hit = NULL;
  size_t n = 0;
  TRY(pii_scan(w->pii, text, w->a, &hit, &n, e));
  for (size_t i = 0; i < n; i++) {
    w->found[hit[i].kind]++;
  }
  w->hits += n;
  *changed = n > 0;
  st = n > 0 ? pii_replace(text, hit, n, w->map, out, e) : STATUS_OK;
out:
  return st;
}

static void tell(const struct walk *w, int refused)
{
  char kinds[300] = "";
  size_t n = 0;
  for (int k = 0; k < PII_KINDS; k++) {
    if (w->found[k] > 0 && n + 40 < sizeof kinds) {
      n += (size_t)snprintf(kinds + n, sizeof kinds - n, "%s%u %s", n ? ", " : "", w->found[k], pii_kind_name((enum pii_kind)k));
    }
  }
  if (refused) {
    log_warn("a question was not sent: it holds personal data (%s); see --pii", kinds);
  } else {
    log_debug("masked before sending: %s", kinds);
  }
}

enum status teacher_pii_check(const struct teacher *t, struct question *q, struct arena *a, int *refused, struct err *e)
{
  enum status st = STATUS_OK;
  struct walk w = { .pii = t->pii, .a = a };
  struct question masked = *q;
  *refused = 0;
  if (t->pii == NULL) {
    return STATUS_OK;
  }
  w.map = pii_map_new();
  if (w.map == NULL) {
    return err_nomem(e, 64);
  }
  TRY(outgoing_rewrite(&masked.messages, put_text, &w, a, e));
  TRY(outgoing_rewrite(&masked.tools, put_text, &w, a, e));
  if (w.hits > 0) {
    *refused = strcmp(t->o.pii, "refuse") == 0;
    tell(&w, *refused);
    q->messages = masked.messages;
    q->tools = masked.tools;
  }
out:
  pii_map_free(w.map);
  return st;
}

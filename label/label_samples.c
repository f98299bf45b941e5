/* SPDX-License-Identifier: Apache-2.0
 * Several answers to one question, for vote, star, prefer and rank. */
#include "label_judge.h"
#include "log.h"

#define WARM 0.8

void samples_warm(struct label *l)
{
  if (l->sampling.temperature <= 0) {
    l->sampling.temperature = WARM;
    log_info("--kind %s needs answers that differ: temperature %g (set --temperature for another)", l->kind->name, WARM);
  }
}

enum status samples_ask(struct label *l, struct row *row, const char *behind, struct samples **out, struct err *e)
{
  enum status st = STATUS_OK;
  struct samples *s = arena_calloc(row->a, 1, sizeof *s);
  size_t n = (size_t)l->o->samples;
  if (s == NULL || (s->s = arena_calloc(row->a, n, sizeof *s->s)) == NULL) {
    return err_nomem(e, n * sizeof *s->s);
  }
  s->n = n;
  label_of(row)->samples = (uint32_t)n;
  for (size_t i = 0; i < n; i++) {
    TRY(label_ask(l, row, (uint32_t)i, behind, (uint32_t)i, e));
  }
  *out = s;
out:
  return st;
}

enum status samples_take(struct label *l, struct row *row, struct samples *s, uint32_t tag, const struct answer *a, int *all, struct err *e)
{
  enum status st = STATUS_OK;
  const char *why;
  if (label_usable(l, row, a, &why)) {
    TRY(label_copy(row, span_trim(a->content), &s->s[tag].text, e));
    TRY(label_copy(row, a->reasoning, &s->s[tag].reasoning, e));
  } else {
    char *copy = arena_strndup(row->a, why, strlen(why));
    if (copy == NULL) {
      return err_nomem(e, 64);
    }
    s->why = copy;
    s->teacher_failed |= a->failed != STATUS_OK;
  }
  *all = ++s->back == s->n;
out:
  return st;
}

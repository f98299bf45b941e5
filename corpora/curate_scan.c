/* SPDX-License-Identifier: Apache-2.0
 * What is found out about one row on a worker thread: text, words, sets, and the verdicts of the scanning filters. */
#include "curate_scan.h"
#include <math.h>

const struct filter *const filter_table[] = {
#define FILTER(name) &filter_##name,
#include "filters.def"
#undef FILTER
  NULL
};

enum status curate_drop(struct row *r, const char *reason, double score, struct span evidence, struct span witness, struct err *e) {
  size_t n = evidence.n > 400 ? 400 : evidence.n;
  char *ev = arena_strndup(r->a, evidence.p ? evidence.p : "", n), *wi = arena_strndup(r->a, witness.p ? witness.p : "", witness.n);
  if (!ev || !wi) return err_nomem(e, n + witness.n);
  r->v = (struct verdict){ .reason = reason, .score = score, .evidence = ev, .witness = wi };
  return STATUS_OK;
}

void curate_where(struct row *r, size_t from, size_t end, size_t witness_from, size_t witness_end) {
  const size_t at[4] = { from, end, witness_from, witness_end };
  r->v.where = 1;
  memcpy(r->v.at, at, sizeof at);
}

enum status curate_edit(struct row *r, const struct buf *line, struct err *e) {
  char *p = arena_strndup(r->a, line->p ? line->p : "", line->n);
  return p ? record_split((struct span){ p, line->n }, r->a, &r->rec, e) : err_nomem(e, line->n);
}

void curate_note(struct row *r, const char *what, uint64_t n) {
  int i = 0;
  while (i < r->n_note && strcmp(r->note[i].what, what) != 0) i++;
  if (n == 0 || i == CURATE_NOTES) return;
  if (i == r->n_note) r->note[r->n_note++] = (struct note){ what, 0 };
  r->note[i].n += n;
}

/* Contents of the assistant's messages joined with '\n'. */
static enum status answer_of(struct row *r, struct err *e) {
  enum status st;
  struct buf b = { 0 };
  struct span messages, el, text;
  size_t at = 0;
  TRY(record_messages(&r->rec, r->a, &messages, e));
  while (messages.p && record_next_element(messages, &at, &el)) {
    struct record m;
    TRY(record_split(el, r->a, &m, e));
    if (!span_is(record_get(&m, "role"), "\"assistant\"") || span_type(record_get(&m, "content")) != 's') continue;
    TRY(span_string(record_get(&m, "content"), r->a, &text, e));
    if (b.n) TRY(buf_putc(&b, '\n', e));
    TRY(buf_put(&b, text.p, text.n, e));
  }
  if (b.n) {
    char *p = arena_strndup(r->a, b.p, b.n);
    if (!p) st = err_nomem(e, b.n);
    r->answer = (struct span){ p, b.n };
  }
out:
  buf_free(&b);
  return st;
}

static enum status sets_of(struct row *r, struct err *e) {
  enum status st = words_shingles(&r->words, NEAR_WORDS, r->a, &r->shingle, &r->n_shingle, e);
  if (st != STATUS_OK) return st;
  r->sig = arena_alloc(r->a, NEAR_HASHES * sizeof *r->sig);
  if (!r->sig) return err_nomem(e, NEAR_HASHES * sizeof *r->sig);
  near_signature(r->shingle, r->n_shingle, r->sig);
  return STATUS_OK;
}

static enum status priority_of(const struct curate_options *o, struct row *r, struct err *e) {
  struct span v;
  enum status st;
  if (!o->priority) return STATUS_OK;
  if ((st = record_path(&r->rec, o->priority, r->a, &v, e)) != STATUS_OK) return st;
  if (v.p == NULL) {
    r->priority = -HUGE_VAL; /* rows without the score come last */
    return STATUS_OK;
  }
  struct field f = { { "v", 1 }, v };
  struct record one = { v, &f, 1 };
  int found;
  st = record_number(&one, "v", &r->priority, &found, e);
  return st == STATUS_OK ? st : err_set(e, STATUS_DATA, "field '%s' is %s, expected a number (--priority)", o->priority, record_type_name(v));
}

/* A row that brings a split keeps it: no old row ever moves. */
static enum status split_found(struct row *r, struct err *e) {
  struct span v;
  enum status st = record_string(&r->rec, "split", r->a, &v, e);
  if (st != STATUS_OK || !v.p || v.n == 0) return st;
  char *p = arena_strndup(r->a, v.p, v.n);
  if (!p) return err_nomem(e, v.n);
  r->split = p;
  return STATUS_OK;
}

/* Text, words, sets: what filters that are not early look at. */
static enum status read_texts(const struct curate_options *o, const struct split_spec *split, int sets, struct row *r, struct err *e) {
  enum status st;
  TRY(record_text(&r->rec, r->a, &r->text, e));
  TRY(words_scan(r->text, r->a, &r->words, e));
  r->normal[0] = r->words.normal;
  r->normal[1] = r->words.n;
  if (o->refusals || o->fences || o->copied > 0 || o->support > 0) TRY(answer_of(r, e));
  TRY(priority_of(o, r, e));
  TRY(split_found(r, e));
  if (o->split) TRY(curate_split_group(split, r, e));
  if (sets) TRY(sets_of(r, e)); /* before the filters: they tell "repetition" what does not repeat */
out:
  return st;
}

enum status curate_scan_row(const struct curate_options *o, const struct split_spec *split, int sets, void *const *state, struct row *r, struct err *e) {
  enum status st;
  int late = 0;
  r->line = xxh3_128(r->rec.line.p, r->rec.line.n);
  TRY(record_id(&r->rec, r->a, &r->id, e));
  for (size_t f = 0; filter_table[f]; f++) {
    const struct filter *x = filter_table[f];
    if (!late && !x->early) {
      late = 1;
      TRY(read_texts(o, split, sets, r, e));
    }
    if (!x->enabled(o)) continue;
    TRY(x->scan(state[f], o, r, e));
    if (r->v.reason) break;
  }
  if (!late) TRY(split_found(r, e)); /* dropped early; what is left of it goes by its split */
out:
  return st;
}

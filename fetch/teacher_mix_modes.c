/* SPDX-License-Identifier: Apache-2.0
 * The ways of --mix, a row each. "Things to do to add one": write parse, next and choose here (or in a file of its own) and add a
 * row to the table at the end; say it in the help of --mix (teacher_options.h) and in docs/formats.md. */
#include "hash.h"
#include "record.h"
#include "teacher_mix.h"

static uint32_t everyone(const struct mix *m)
{
  return m->n >= 32 ? UINT32_MAX : (1u << m->n) - 1;
}

static enum status no_argument(struct mix *m, const char *arg, struct err *e)
{
  return arg == NULL ? STATUS_OK : err_set(e, STATUS_USAGE, "'--mix %s': takes nothing behind the colon", m->t->o.mix);
}

/* ---- all: every teacher answers, every answer is a row ---- */

static enum status ask_all(struct mix *m, struct mix_slot *s, struct err *e)
{
  (void)e;
  s->wanted = everyone(m);
  return STATUS_OK;
}

static enum status take_all(struct mix *m, struct mix_slot *s, struct err *e)
{
  (void)e;
  s->pick = everyone(m);
  return STATUS_OK;
}

/* ---- vote: the answer that most teachers gave; of equals the one of the earlier teacher ---- */

/* Lower case, blanks as one, no white space at the ends, no quotes and end punctuation around. */
static enum status plain_form(struct span text, struct arena *a, struct span *out, struct err *e)
{
  char *p = arena_alloc(a, text.n + 1);
  size_t n = 0;
  if (p == NULL) {
    return err_nomem(e, text.n);
  }
  for (size_t i = 0; i < text.n; i++) {
    unsigned char c = (unsigned char)text.p[i];
    if (c == ' ' || (c >= '\t' && c <= '\r')) {
      if (n > 0 && p[n - 1] != ' ') {
        p[n++] = ' ';
      }
    } else {
      p[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
  }
  while (n > 0 && strchr(" .!?\"'*", p[n - 1]) != NULL) {
    n--;
  }
  size_t skip = 0;
  while (skip < n && strchr("\"'*", p[skip]) != NULL) {
    skip++;
  }
  *out = (struct span){ p + skip, n - skip };
  return STATUS_OK;
}

static int pending(const struct mix *m, const struct mix_slot *s)
{
  for (size_t k = 0; k < m->n; k++) {
    if ((s->asked >> k & 1) && s->answer[k].failed == STATUS_STOPPED) {
      return (int)k + 1;
    }
  }
  return 0;
}

static enum status take_majority(struct mix *m, struct mix_slot *s, struct err *e)
{
  enum status st = STATUS_OK;
  struct span form[MIX_MAX];
  size_t best = m->n, votes_of_best = 0, first = 0;
  int wait = pending(m, s);
  for (size_t k = 0; k < m->n; k++) {
    const struct teacher_judgement *j = &m->t->judgement;
    form[k] = (struct span){ NULL, 0 };
    if (s->answer[k].failed != STATUS_OK) {
      continue;
    }
    struct span said = j->said ? j->said(j->ctx, &s->q, &s->answer[k]) : s->answer[k].content;
    if (said.p != NULL) {
      TRY(plain_form(said, s->a, &form[k], e));
    }
  }
  for (size_t k = 0; k < m->n; k++) {
    size_t votes = 0;
    for (size_t i = 0; i < m->n && form[k].p != NULL; i++) {
      votes += form[i].p != NULL && form[i].n == form[k].n && (form[k].n == 0 || memcmp(form[i].p, form[k].p, form[k].n) == 0);
    }
    if (votes > votes_of_best) {
      best = k;
      votes_of_best = votes;
    }
  }
  for (size_t k = m->n; best == m->n && k-- > 0;) { /* nobody's answer counts: the first that came stands, and gets asked again */
    first = s->answer[k].failed == STATUS_OK ? k : first;
  }
  best = wait ? (size_t)wait - 1 : best == m->n ? first : best; /* none answered: the first one's failure stands for all */
  answer_score(&s->answer[best], "agreement", (double)votes_of_best / (double)m->n);
  s->pick = 1u << best;
out:
  return st;
}

/* ---- route: the row's field names the teacher ---- */

static enum status parse_route(struct mix *m, const char *arg, struct err *e)
{
  if (arg == NULL || *arg == '\0') {
    return err_set(e, STATUS_USAGE, "'--mix %s': expected route:FIELD, such as route:meta.language", m->t->o.mix);
  }
  m->name = arg;
  return STATUS_OK;
}

/* Value of the field as text; {NULL,0} when it is not there. */
static enum status field_text(const struct mix *m, struct mix_slot *s, struct span *out, struct err *e)
{
  enum status st = STATUS_OK;
  *out = (struct span){ NULL, 0 };
  if (s->q.row != NULL) {
    TRY(record_path(s->q.row, m->name, s->a, out, e));
  }
  if (span_type(*out) == 's') { /* a number or true: its own text */
    st = span_string(*out, s->a, out, e);
  }
out:
  return st;
}

static enum status ask_routed(struct mix *m, struct mix_slot *s, struct err *e)
{
  enum status st = STATUS_OK;
  struct span v;
  if (s->asked != 0) {
    return STATUS_OK;
  }
  TRY(field_text(m, s, &v, e));
  s->why = "no teacher for this row";
  for (size_t k = 0; k < m->n && v.p != NULL && s->wanted == 0; k++) {
    const char *label = m->member[k]->label ? m->member[k]->label : m->member[k]->name;
    s->wanted = span_is(v, label) ? 1u << k : 0;
  }
  for (size_t k = 0; k < m->n && s->wanted == 0; k++) { /* one without a label takes what nobody else does */
    s->wanted = m->member[k]->label == NULL ? 1u << k : 0;
  }
out:
  return st;
}

static enum status take_asked(struct mix *m, struct mix_slot *s, struct err *e)
{
  (void)m;
  (void)e;
  s->pick = s->asked;
  return STATUS_OK;
}

/* ---- weights: by shares, the same teacher for a row whenever and wherever it is asked ---- */

static enum status parse_weights(struct mix *m, const char *arg, struct err *e)
{
  double sum = 0;
  const char *p = arg ? arg : "";
  for (size_t k = 0; k < m->n; k++) {
    char *end;
    m->weight[k] = strtod(p, &end);
    if (end == p || !(m->weight[k] >= 0) || m->weight[k] > 1e12 || *end != (k + 1 < m->n ? ',' : '\0')) {
      return err_set(e, STATUS_USAGE, "'--mix %s': expected %zu numbers of 0 or more with commas, one a teacher", m->t->o.mix, m->n);
    }
    sum += m->weight[k];
    m->weight[k] = sum;
    p = end + 1;
  }
  if (!(sum > 0)) {
    return err_set(e, STATUS_USAGE, "'--mix %s': all weights are 0", m->t->o.mix);
  }
  for (size_t k = 0; k < m->n; k++) {
    m->weight[k] /= sum;
  }
  return STATUS_OK;
}

static enum status ask_drawn(struct mix *m, struct mix_slot *s, struct err *e)
{
  struct span id = s->q.row ? record_get(s->q.row, "id") : (struct span){ NULL, 0 };
  id = id.p ? id : s->q.messages;
  (void)e;
  if (s->asked == 0) {
    double u = (double)(xxh3_seed(id.p, id.n, (uint64_t)m->t->o.seed) >> 11) * 0x1p-53;
    size_t k = 0;
    while (k + 1 < m->n && !(u < m->weight[k])) {
      k++;
    }
    s->wanted = 1u << k;
  }
  return STATUS_OK;
}

/* ---- cascade: the next teacher where the score of the answer is low. answered: it says something whole. valid: it would not be asked
 * again (the kind's form, the recipe's validators). logprob: mean log-probability of its tokens. judge: 1 to 10 by the teacher with
 * the label "judge", which answers nothing itself, else by the one who answered. ---- */

static enum status parse_cascade(struct mix *m, const char *arg, struct err *e)
{
  const char *colon = arg ? strrchr(arg, ':') : NULL;
  struct err own = { 0 };
  if (colon == NULL || colon == arg || opt_parse_num(colon + 1, &m->min, &own) != STATUS_OK) {
    return err_set(e, STATUS_USAGE, "'--mix %s': expected cascade:SCORE:MIN, such as cascade:logprob:-0.5 or cascade:answered:1", m->t->o.mix);
  }
  m->name = arena_strndup(m->t->a, arg, (size_t)(colon - arg));
  m->judged = m->name != NULL && strcmp(m->name, "judge") == 0;
  return m->name ? STATUS_OK : err_nomem(e, strlen(arg));
}

/* 1 for a whole, unfiltered answer that says something. */
static double answered(const struct answer *a)
{
  for (size_t i = 0; i < a->content.n && a->failed == STATUS_OK && strcmp(a->finish, "stop") == 0; i++) {
    if (strchr(" \t\r\n", a->content.p[i]) == NULL) {
      return 1;
    }
  }
  return 0;
}

static enum status ask_next(struct mix *m, struct mix_slot *s, struct err *e)
{
  enum status st = STATUS_OK;
  size_t n = 0;
  while (n < m->n && (s->asked >> n & 1)) {
    n++;
  }
  if (n == 0) {
    s->wanted = 1;
    return STATUS_OK;
  }
  struct answer *a = &s->answer[n - 1];
  if (n == mix_askable(m) || a->failed == STATUS_STOPPED) {
    return STATUS_OK;
  }
  int low = 1;
  if (a->failed == STATUS_OK) {
    const struct teacher_judgement *j = &m->t->judgement;
    answer_score(a, "answered", answered(a));
    if (j->score != NULL && answer_score_find(a, m->name) == NULL && !m->judged) {
      TRY(j->score(j->ctx, &s->q, a, e));
    }
    const struct record_number *score = answer_score_find(a, m->name);
    if (score == NULL && m->judged) {
      s->judge = (int)n - 1;
      return STATUS_OK;
    }
    if (score == NULL) {
      return err_set(e, STATUS_USAGE, "'--mix %s': an answer of '%s' has no score '%s'%s", m->t->o.mix, m->member[n - 1]->name, m->name,
                     strcmp(m->name, "logprob") == 0 ? "; ask for log-probabilities with --logprobs, if this teacher gives them"
                                                     : "; known are valid, judge, logprob and answered");
    }
    low = !(score->value >= m->min);
  }
  s->wanted = low ? 1u << n : 0;
out:
  return st;
}

/* The last one asked; when it failed, the last one before it that answered. */
static enum status take_last(struct mix *m, struct mix_slot *s, struct err *e)
{
  size_t n = 0;
  (void)e;
  while (n < m->n && (s->asked >> n & 1)) {
    n++;
  }
  size_t k = n - 1;
  while (k > 0 && s->answer[k].failed != STATUS_OK && s->answer[n - 1].failed != STATUS_STOPPED) {
    k--;
  }
  s->pick = 1u << (s->answer[k].failed == STATUS_OK ? k : n - 1);
  return STATUS_OK;
}

const struct mix_mode mix_mode_table[] = {
  { "all", "all", no_argument, ask_all, take_all, 0 },
  { "vote", "vote", no_argument, ask_all, take_majority, 0 },
  { "route", "route:FIELD", parse_route, ask_routed, take_asked, 0 },
  { "weights", "weights:A,B,...", parse_weights, ask_drawn, take_asked, 0 },
  { "cascade", "cascade:SCORE:MIN", parse_cascade, ask_next, take_last, 1 },
  { NULL, NULL, NULL, NULL, NULL, 0 },
};

/* SPDX-License-Identifier: Apache-2.0
 * Reading, asking about and writing rows, for every kind of question; see label.h. */
#include "json.h"
#include "label.h"

enum status label_copy(struct row *row, struct span s, struct span *out, struct err *e)
{
  char *copy = arena_strndup(row->a, s.p ? s.p : "", s.n);
  if (copy == NULL) {
    return err_nomem(e, s.n);
  }
  *out = (struct span){ copy, s.n };
  return STATUS_OK;
}

static const char *role_of(const struct json *m, size_t i)
{
  return json_cstr(json_get(json_at(m, i), "role"), "");
}

/* Text of a message: a string, or its text parts joined. */
static enum status text_of(struct row *row, const struct json *message, struct span *out, struct err *e)
{
  enum status st = STATUS_OK;
  const struct json *c = json_get(message, "content");
  struct buf b = { 0 };
  if (json_type(c) == JSON_STRING) {
    return label_copy(row, json_str(c), out, e);
  }
  for (size_t i = 0; i < json_size(c); i++) {
    struct span part = json_str(json_get(json_at(c, i), "text"));
    TRY(buf_put(&b, part.p ? part.p : "", part.n, e));
  }
  st = label_copy(row, (struct span){ b.p, b.n }, out, e);
out:
  buf_free(&b);
  return st;
}

/* Raw messages [0, n) in the row's arena. */
static enum status first_messages(struct row *row, const struct json *m, size_t n, struct span *out, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  TRY(buf_putc(&b, '[', e));
  for (size_t i = 0; i < n; i++) {
    TRY(buf_puts(&b, i ? "," : "", e));
    TRY(json_put(&b, json_at(m, i), e));
  }
  TRY(buf_putc(&b, ']', e));
  st = label_copy(row, (struct span){ b.p, b.n }, out, e);
out:
  buf_free(&b);
  return st;
}

/* *why: NULL when the conversation can be used, else the reason for the ledger. */
static enum status read_conversation(struct label *l, struct row *row, const char **why, struct err *e)
{
  enum status st = STATUS_OK;
  struct label_row *r = label_of(row);
  struct json *m = NULL;
  TRY(json_parse(r->messages, "messages", &m, e));
  size_t n = json_size(m), last_user = SIZE_MAX;
  int answered = n > 0 && strcmp(role_of(m, n - 1), "assistant") == 0;
  for (size_t i = 0; i < n; i++) {
    last_user = strcmp(role_of(m, i), "user") == 0 ? i : last_user;
  }
  if (last_user == SIZE_MAX) {
    *why = "no question";
    goto out;
  }
  TRY(text_of(row, json_at(m, last_user), &r->user, e));
  if (strcmp(role_of(m, 0), "system") == 0) {
    struct buf b = { 0 };
    st = json_put(&b, json_at(m, 0), e);
    if (st == STATUS_OK) {
      st = label_copy(row, (struct span){ b.p, b.n }, &r->system, e);
    }
    buf_free(&b);
    TRY(st);
  }
  if (l->kind->input == INPUT_ANSWERED) {
    if (!answered) {
      *why = "no answer";
      goto out;
    }
    TRY(text_of(row, json_at(m, n - 1), &r->answer, e));
  } else if (answered && !l->o->relabel) {
    *why = "already answered";
    goto out;
  }
  if (answered) {
    TRY(first_messages(row, m, n - 1, &r->messages, e));
  }
out:
  json_free(m);
  return st;
}

/* An answer of a preference row: a string, or messages of which the last is the answer. */
static enum status read_side(struct row *row, const char *key, struct span *raw, struct span *text, struct err *e)
{
  enum status st = STATUS_OK;
  struct json *m = NULL;
  *raw = record_get(&row->r, key);
  if (span_type(*raw) == 's') {
    return span_string(*raw, row->a, text, e);
  }
  if (span_type(*raw) != '[') {
    return err_set(e, STATUS_DATA, "field '%s' is %s, expected a string or an array of messages", key, record_type_name(*raw));
  }
  TRY(json_parse(*raw, key, &m, e));
  st = text_of(row, json_at(m, json_size(m) ? json_size(m) - 1 : 0), text, e);
out:
  json_free(m);
  return st;
}

static enum status read_pair(struct row *row, const char **why, struct err *e)
{
  enum status st = STATUS_OK;
  struct label_row *r = label_of(row);
  if (record_get(&row->r, "chosen").n == 0 || record_get(&row->r, "rejected").n == 0 || record_get(&row->r, "prompt").n == 0) {
    *why = "no pair";
    return STATUS_OK;
  }
  TRY(read_side(row, "prompt", &r->prompt_raw, &r->prompt, e));
  TRY(read_side(row, "chosen", &r->chosen_raw, &r->chosen, e));
  TRY(read_side(row, "rejected", &r->rejected_raw, &r->rejected, e));
out:
  return st;
}

enum status label_read(struct label *l, struct row *row, int *ok, struct err *e)
{
  enum status st = STATUS_OK;
  const char *why = NULL;
  struct err own = { 0 };
  struct label_row *r = arena_calloc(row->a, 1, sizeof *r);
  *ok = 0;
  if (r == NULL) {
    return err_nomem(e, sizeof *r);
  }
  row->state = r;
  if (l->kind->input == INPUT_PAIR) {
    st = read_pair(row, &why, &own);
  } else {
    st = record_messages(&row->r, row->a, &r->messages, &own);
    if (st == STATUS_OK && r->messages.p == NULL) {
      why = "no messages";
    } else if (st == STATUS_OK) {
      st = read_conversation(l, row, &why, &own);
    }
  }
  if (st == STATUS_DATA) {
    rows_fail_bad(row, "bad messages", &own);
  } else if (st != STATUS_OK) {
    return err_set(e, st, "%s", own.msg);
  } else if (why != NULL) {
    rows_drop(row, why);
  } else {
    *ok = 1;
  }
  return STATUS_OK;
}

/* ---- answers ---- */

const char *label_unusable(const struct label *l, const struct answer *a)
{
  if (a->failed != STATUS_OK) {
    return a->reason;
  }
  if (strcmp(a->finish, "content_filter") == 0) {
    return "content filter";
  }
  if (strcmp(a->finish, "refusal") == 0) {
    return "refusal";
  }
  if (span_trim(a->content).n == 0 && !(l->kind->tool_calls && a->tool_calls.n > 0)) {
    return "empty answer";
  }
  return l->o->drop_cut && strcmp(a->finish, "length") == 0 ? "cut off" : NULL;
}

int label_usable(struct label *l, struct row *row, const struct answer *a, const char **why)
{
  (void)row;
  *why = label_unusable(l, a);
  l->cut += *why == NULL && strcmp(a->finish, "length") == 0;
  return *why == NULL;
}

enum status label_refuse(struct row *row, const struct answer *a, const char *why, struct err *e)
{
  if (rows_kept(row)) { /* another teacher's answer was good */
    return STATUS_OK;
  }
  if (a->failed != STATUS_OK) {
    return rows_fail_answer(row, a, e);
  }
  rows_drop(row, why);
  return STATUS_OK;
}

/* ---- asking ---- */

static enum status ask(struct label *l, struct row *row, uint32_t tag, struct span messages, uint32_t ordinal, struct err *e)
{
  struct question q = { .messages = messages, .tools = record_get(&row->r, "tools"), .ordinal = ordinal, .samples = label_of(row)->samples, .sampling = l->sampling, .form = label_of(row)->form };
  return rows_ask(row, tag, &q, e);
}

enum status label_ask(struct label *l, struct row *row, uint32_t tag, const char *behind, uint32_t ordinal, struct err *e)
{
  enum status st = STATUS_OK;
  struct label_row *r = label_of(row);
  struct json *m = NULL;
  struct buf user = { 0 };
  struct span raw = r->messages;
  if (l->o->system == NULL && l->demos == NULL && behind == NULL) { /* the row's own bytes */
    return ask(l, row, tag, raw, ordinal, e);
  }
  TRY(json_parse(raw, "messages", &m, e));
  size_t n = json_size(m), last_user = 0;
  for (size_t i = 0; i < n; i++) {
    last_user = strcmp(role_of(m, i), "user") == 0 ? i : last_user;
  }
  buf_clear(&l->b);
  TRY(buf_putc(&l->b, '[', e));
  if (l->o->system != NULL) {
    TRY(message_put(&l->b, "system", (struct span){ l->o->system, strlen(l->o->system) }, e));
  }
  int demos_put_in = l->demos == NULL;
  for (size_t i = 0; i < n; i++) {
    if (!demos_put_in && strcmp(role_of(m, i), "system") != 0) {
      TRY(demos_put(l->demos, r->user, (size_t)l->o->shots, row->a, &l->b, e));
      demos_put_in = 1;
    }
    if (i == last_user && behind != NULL) {
      buf_clear(&user);
      TRY(buf_put(&user, r->user.p, r->user.n, e));
      TRY(buf_puts(&user, behind, e));
      TRY(message_put(&l->b, "user", (struct span){ user.p, user.n }, e));
      continue;
    }
    TRY(buf_puts(&l->b, l->b.p[l->b.n - 1] == '[' ? "" : ",", e));
    TRY(json_put(&l->b, json_at(m, i), e));
  }
  TRY(buf_putc(&l->b, ']', e));
  st = ask(l, row, tag, (struct span){ l->b.p, l->b.n }, ordinal, e);
out:
  json_free(m);
  buf_free(&user);
  return st;
}

enum status label_ask_text(struct label *l, struct row *row, uint32_t tag, const char *system, struct span user, uint32_t ordinal, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  struct question q = { .ordinal = ordinal, .sampling = l->sampling };
  q.sampling.temperature = 0;
  TRY(buf_putc(&b, '[', e));
  if (system != NULL) {
    TRY(message_put(&b, "system", (struct span){ system, strlen(system) }, e));
  }
  TRY(message_put(&b, "user", user, e));
  TRY(buf_putc(&b, ']', e));
  q.messages = (struct span){ b.p, b.n };
  st = rows_ask(row, tag, &q, e);
out:
  buf_free(&b);
  return st;
}

enum status label_again(struct label *l, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, const char *why, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  struct question next = *q;
  if (++label_of(row)->tries >= l->o->tries) {
    rows_drop(row, why);
    return STATUS_OK;
  }
  l->again++;
  TRY(message_again(q->messages, a->content, why, &b, e));
  next.messages = (struct span){ b.p, b.n };
  st = rows_ask(row, tag, &next, e);
out:
  buf_free(&b);
  return st;
}

/* ---- writing ---- */

/* The row's scores with those of the kind and those that several teachers gave. */
static enum status put_scores(struct row *row, const struct answer *a, const struct record_number *set, size_t n_set, struct buf *out, struct err *e)
{
  struct record_number all[ANSWER_SCORES + LABEL_SCORES];
  size_t n = 0;
  for (size_t i = 0; i < n_set && n < LABEL_SCORES; i++) {
    all[n++] = set[i];
  }
  for (size_t i = 0; i < a->n_scores; i++) {
    all[n++] = a->score[i];
  }
  return n > 0 ? record_scores(&row->r, all, n, out, e) : STATUS_OK;
}

enum status label_write(struct label *l, struct row *row, const struct field_edit *edits, size_t n, const struct record_number *set, size_t n_set,
                        const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct field_edit all[16];
  struct buf scores = { 0 }, id = { 0 };
  struct span parent;
  buf_clear(&l->teacher);
  buf_clear(&l->line);
  TRY(teacher_field(l->t, a, &l->teacher, e));
  TRY(put_scores(row, a, set, n_set, &scores, e));
  for (size_t i = 0; i < n && i < 12; i++) {
    all[i] = edits[i];
  }
  all[n++] = (struct field_edit){ "teacher", { l->teacher.p, l->teacher.n } };
  if (scores.n > 0) {
    all[n++] = (struct field_edit){ "scores", { scores.p, scores.n } };
  }
  if (a->parts > 1) { /* --mix all: one row becomes several, PARENT#1, PARENT#2, ... */
    TRY(record_id(&row->r, row->a, &parent, e));
    char *name = arena_printf(row->a, "%.*s#%u", (int)parent.n, parent.p, (unsigned)a->part + 1);
    if (name == NULL) {
      st = err_nomem(e, parent.n);
      goto out;
    }
    TRY(json_put_cstr(&id, name, e));
    all[n++] = (struct field_edit){ "id", { id.p, id.n } };
  }
  TRY(record_edit(&row->r, all, n, &l->line, e));
  TRY(rows_write(row, (struct span){ l->line.p, l->line.n }, e));
  rows_keep(row);
out:
  buf_free(&scores);
  buf_free(&id);
  return st;
}

enum status label_write_answer(struct label *l, struct row *row, struct span content, struct span rationale, const struct field_edit *more, size_t n_more,
                               const struct record_number *set, size_t n_set, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct label_row *r = label_of(row);
  struct buf m = { 0 }, why = { 0 };
  struct field_edit edits[12];
  size_t n = 0;
  TRY(buf_put(&m, r->messages.p, r->messages.n - 1, e));
  TRY(message_put(&m, "assistant", content, e));
  if (l->kind->tool_calls && a->tool_calls.n > 0) {
    m.n--; /* into the message */
    TRY(buf_puts(&m, ",\"tool_calls\":", e));
    TRY(buf_put(&m, a->tool_calls.p, a->tool_calls.n, e));
    TRY(buf_putc(&m, '}', e));
  }
  TRY(buf_putc(&m, ']', e));
  edits[n++] = (struct field_edit){ "messages", { m.p, m.n } };
  if (rationale.n > 0) {
    TRY(json_put_string(&why, rationale, e));
    edits[n++] = (struct field_edit){ "rationale", { why.p, why.n } };
  }
  for (size_t i = 0; i < n_more && n < 12; i++) {
    edits[n++] = more[i];
  }
  st = label_write(l, row, edits, n, set, n_set, a, e);
out:
  buf_free(&m);
  buf_free(&why);
  return st;
}

enum status label_reply(struct row *row, struct span content, struct span *raw, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  TRY(buf_putc(&b, '[', e));
  TRY(message_put(&b, "assistant", content, e));
  TRY(buf_putc(&b, ']', e));
  st = label_copy(row, (struct span){ b.p, b.n }, raw, e);
out:
  buf_free(&b);
  return st;
}

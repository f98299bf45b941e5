/* SPDX-License-Identifier: Apache-2.0
 * Demonstrations for few-shot questions: rows of a file whose conversation ends with an answer, chosen by BM25 of the question. */
#include "file.h"
#include "json.h"
#include "label.h"

struct demo {
  struct span user, answer;
};

struct demos {
  struct arena *a;
  struct demo *d;
  size_t n, cap;
  struct bm25 *index;
};

static enum status add(struct demos *s, struct span messages, struct err *e)
{
  enum status st = STATUS_OK;
  struct json *m = NULL;
  TRY(json_parse(messages, "messages", &m, e));
  size_t n = json_size(m);
  struct span user = n >= 2 ? json_str(json_get(json_at(m, n - 2), "content")) : (struct span){ NULL, 0 };
  struct span answer = n >= 2 ? json_str(json_get(json_at(m, n - 1), "content")) : (struct span){ NULL, 0 };
  if (user.p == NULL || answer.p == NULL || strcmp(json_cstr(json_get(json_at(m, n - 1), "role"), ""), "assistant") != 0 ||
      strcmp(json_cstr(json_get(json_at(m, n - 2), "role"), ""), "user") != 0) {
    st = err_set(e, STATUS_DATA, "its conversation does not end with a user's turn and an assistant's");
    goto out;
  }
  if (s->n == s->cap) {
    size_t cap = s->cap ? s->cap * 2 : 64;
    struct demo *d = mem_realloc(s->d, cap * sizeof *d);
    if (d == NULL) {
      st = err_nomem(e, cap * sizeof *d);
      goto out;
    }
    s->d = d;
    s->cap = cap;
  }
  char *u = arena_strndup(s->a, user.p, user.n), *w = arena_strndup(s->a, answer.p, answer.n);
  if (u == NULL || w == NULL) {
    st = err_nomem(e, user.n + answer.n);
    goto out;
  }
  s->d[s->n++] = (struct demo){ { u, user.n }, { w, answer.n } };
  st = bm25_add(s->index, user, e);
out:
  json_free(m);
  return st;
}

enum status demos_open(const char *path, struct demos **out, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf text = { 0 };
  struct arena *a = arena_new(0);
  struct demos *s = mem_calloc(1, sizeof *s);
  size_t line = 0;
  *out = NULL;
  if (a == NULL || s == NULL || (s->a = arena_new(0)) == NULL || (s->index = bm25_new()) == NULL) {
    st = err_nomem(e, sizeof *s);
    goto out;
  }
  TRY(file_read(path, (size_t)256 << 20, &text, e));
  for (struct span rest = { text.p, text.n }; rest.n > 0;) {
    struct record r;
    struct span row = span_line(&rest), messages = { NULL, 0 };
    line++;
    if (span_trim(row).n == 0) {
      continue;
    }
    arena_reset(a);
    st = record_split(row, a, &r, e);
    if (st == STATUS_OK) {
      st = record_messages(&r, a, &messages, e);
    }
    if (st == STATUS_OK && messages.p == NULL) {
      st = err_set(e, STATUS_DATA, "it has no messages");
    }
    if (st == STATUS_OK) {
      st = add(s, messages, e);
    }
    if (st != STATUS_OK) {
      err_prefix(e, "'--demos %s' line %zu", path, line);
      goto out;
    }
  }
  if (s->n == 0) {
    st = err_set(e, STATUS_DATA, "'--demos %s': no rows", path);
    goto out;
  }
  *out = s;
  s = NULL;
out:
  demos_close(s);
  arena_free(a);
  buf_free(&text);
  return st;
}

void demos_close(struct demos *d)
{
  if (d != NULL) {
    bm25_free(d->index);
    arena_free(d->a);
    mem_free(d->d);
    mem_free(d);
  }
}

enum status demos_put(struct demos *d, struct span question, size_t k, struct arena *a, struct buf *messages, struct err *e)
{
  enum status st = STATUS_OK;
  struct bm25_hit *hit;
  size_t n, take[64], n_take = 0;
  TRY(bm25_top(d->index, question, k + 16, a, &hit, &n, e));
  for (size_t i = 0; i < n && n_take < k && n_take < 64; i++) {
    struct span u = d->d[hit[i].n].user;
    if (u.n != question.n || memcmp(u.p, question.p, u.n) != 0) { /* the row itself may stand in the file */
      take[n_take++] = hit[i].n;
    }
  }
  while (n_take-- > 0) {
    TRY(message_put(messages, "user", d->d[take[n_take]].user, e));
    TRY(message_put(messages, "assistant", d->d[take[n_take]].answer, e));
  }
out:
  return st;
}

/* SPDX-License-Identifier: Apache-2.0
 * See teacher_control.h. The texts are data: control_tokens.def. */
#include "teacher_control.h"
#include "log.h"
#include "outgoing.h"

#define NAME_MOST 48

static const struct control { const char *begin, *end; } table[] = {
#define CONTROL(begin, end) { begin, end },
#include "control_tokens.def"
#undef CONTROL
};

static int begins(struct span s, const char *word)
{
  size_t n = strlen(word);
  return s.n >= n && memcmp(s.p, word, n) == 0;
}

/* Length of the control token that s begins with; 0 when it begins with none. */
static size_t token_length(struct span s)
{
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    const struct control *c = &table[i];
    size_t at = strlen(c->begin);
    if (!begins(s, c->begin)) {
      continue;
    }
    if (c->end[0] == '\0') {
      return at;
    }
    for (size_t n = 0; at + n < s.n && n <= NAME_MOST; n++) {
      struct span rest = { s.p + at + n, s.n - at - n };
      if (n > 0 && begins(rest, c->end)) {
        return at + n + strlen(c->end);
      }
      if ((unsigned char)rest.p[0] <= ' ') {
        break;
      }
    }
  }
  return 0;
}

struct found {
  size_t n;
  char first[64];
  int only_look;
};

static enum status put_text(void *ctx, struct span text, struct buf *out, int *changed, struct err *e)
{
  enum status st = STATUS_OK;
  struct found *f = ctx;
  size_t from = 0;
  *changed = 0;
  for (size_t i = 0; i < text.n; i++) {
    if (text.p[i] != '<' && text.p[i] != '[') {
      continue;
    }
    size_t n = token_length((struct span){ text.p + i, text.n - i });
    if (n == 0) {
      continue;
    }
    if (f->n++ == 0) {
      snprintf(f->first, sizeof f->first, "%.*s", (int)(n < 60 ? n : 60), text.p + i);
    }
    if (!f->only_look) {
      TRY(buf_put(out, text.p + from, i + 1 - from, e));
      TRY(buf_putc(out, ' ', e));
      from = i + 1;
      *changed = 1;
    }
  }
  if (*changed) {
    st = buf_put(out, text.p + from, text.n - from, e);
  }
out:
  return st;
}

/* The plain text of a question without messages. */
static enum status check_text(struct found *f, struct span *text, struct arena *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  int changed = 0;
  if (text->p == NULL) {
    return STATUS_OK;
  }
  TRY(put_text(f, *text, &b, &changed, e));
  if (changed) {
    char *copy = arena_strndup(a, b.p, b.n);
    st = copy ? STATUS_OK : err_nomem(e, b.n);
    *text = (struct span){ copy, copy ? b.n : 0 };
  }
out:
  buf_free(&b);
  return st;
}

/* Most questions hold nothing of the kind: a look at the raw bytes tells. An escape may hide a bracket or a bar. */
static int may_hold(struct span raw)
{
  static const char *const hides[] = { "\\u00", "\\uff5", "\\uFF5" };
  int may = 0;
  for (size_t i = 0; i < sizeof hides / sizeof *hides && raw.n > 0; i++) {
    may |= memmem(raw.p, raw.n, hides[i], strlen(hides[i])) != NULL;
  }
  for (size_t i = 0; i < sizeof table / sizeof *table && !may && raw.n > 0; i++) {
    may = memmem(raw.p, raw.n, table[i].begin, strlen(table[i].begin)) != NULL;
  }
  return may;
}

enum status teacher_control_check(struct teacher *t, struct question *q, struct arena *a, int *refused, struct err *e)
{
  enum status st = STATUS_OK;
  const char *how = t->o.control_tokens ? t->o.control_tokens : "allow";
  struct found f = { .only_look = strcmp(how, "break") != 0 };
  *refused = 0;
  if (t->body_of->http == NULL || (!may_hold(q->messages) && !may_hold(q->tools) && !may_hold(q->text))) {
    return STATUS_OK;
  }
  TRY(outgoing_rewrite(&q->messages, put_text, &f, a, e));
  TRY(outgoing_rewrite(&q->tools, put_text, &f, a, e));
  TRY(check_text(&f, &q->text, a, e));
  if (f.n > 0 && strcmp(how, "refuse") == 0) {
    *refused = 1;
    log_warn("a question was not sent: it holds '%s', which a server may read as a control token; see --control-tokens", f.first);
  } else if (f.n > 0 && f.only_look && !t->control_told) {
    t->control_told = 1;
    log_warn("a text holds '%s', which '%s' may read as a control token (said once); --control-tokens break sends it so that nobody can", f.first, t->name);
  }
out:
  return st;
}

/* SPDX-License-Identifier: Apache-2.0
 * Dialect `replay:BOOK[#NAME]`: answers from a recorded book only. The book's "teacher" notes say who was asked and how, so that
 * the same requests are built again without the weights or the network; a question that was not recorded fails. */
#include "json.h"
#include "log.h"
#include "teacher_dialect.h"

struct replay {
  struct book *book;
  char *want; /* NAME after '#', or NULL */
  int found, others;
  uint64_t missing;
};

static int replay_matches(const char *spec)
{
  return strncmp(spec, "replay:", 7) == 0;
}

static char *copy_of(struct arena *a, const struct json *j, const char *key)
{
  const char *v = json_cstr(json_get(j, key), NULL);
  return v ? arena_printf(a, "%s", v) : NULL;
}

/* The teacher wanted; of two identities under one name the one used last. */
static enum status read_note(void *ctx, struct span note, struct err *e)
{
  enum status st = STATUS_OK;
  struct teacher *t = ctx;
  struct replay *r = t->state;
  struct json *j = NULL;
  TRY(json_parse(note, "book", &j, e));
  const char *name = json_cstr(json_get(j, "name"), ""), *dialect = json_cstr(json_get(j, "dialect"), "");
  if (r->want != NULL && strcmp(r->want, name) != 0) {
    goto out;
  }
  r->others |= r->found && strcmp(t->name, name) != 0;
  r->found = 1;
  t->body_of = dialect_named(dialect);
  if (t->body_of == NULL) {
    st = err_set(e, STATUS_DATA, "'%s': recorded by a dialect '%s' that this retort does not have", t->o.teacher, dialect);
    goto out;
  }
  t->name = copy_of(t->a, j, "name");
  t->identity = copy_of(t->a, j, "identity");
  t->model = copy_of(t->a, j, "model");
  t->template_name = copy_of(t->a, j, "template");
  t->terms = copy_of(t->a, j, "terms");
  if (t->name == NULL || t->identity == NULL || t->terms == NULL) {
    st = err_set(e, STATUS_DATA, "'%s': a teacher note without name, identity or terms", t->o.teacher);
  }
out:
  json_free(j);
  return st;
}

static enum status replay_open(struct teacher *t, struct err *e)
{
  enum status st = STATUS_OK;
  struct replay *r = arena_calloc(t->a, 1, sizeof *r);
  const char *path = t->o.teacher + 7, *hash = strrchr(path, '#');
  char *folder = arena_strndup(t->a, path, hash ? (size_t)(hash - path) : strlen(path));
  if (r == NULL || folder == NULL) {
    return err_nomem(e, sizeof *r);
  }
  r->want = hash ? arena_printf(t->a, "%s", hash + 1) : NULL;
  t->state = r;
  TRY(book_open(folder, BOOK_READ, &r->book, e));
  TRY(book_notes(r->book, "teacher", read_note, t, e));
  if (!r->found) {
    st = err_set(e, STATUS_DATA, "'%s': no recorded teacher%s%s", folder, r->want ? " named " : "", r->want ? r->want : "");
  } else if (r->others) {
    st = err_set(e, STATUS_USAGE, "'%s': more than one teacher was recorded; name one as replay:BOOK#NAME", folder);
  }
  t->book = r->book;
out:
  return st;
}

static void replay_close(struct teacher *t)
{
  struct replay *r = t->state;
  if (r != NULL && r->book != NULL) {
    (void)!book_close(r->book, NULL);
  }
}

static enum status replay_body(const struct teacher *t, const struct question *q, struct buf *out, struct err *e)
{
  return t->body_of->body(t, q, out, e);
}

static enum status replay_parse(const struct teacher *t, struct span s, const struct question *q, struct arena *a, struct answer *out, struct err *e)
{
  return t->body_of->parse(t, s, q, a, out, e);
}

static enum status replay_step(struct teacher *t, struct step *n, struct err *e)
{
  enum status st = STATUS_OK;
  for (int got = 1; got == 1;) {
    struct ask *ask = NULL;
    TRY(teacher_pull(t, n->alone && t->ring_n == 0, &ask, &got, e));
    if (got == 1) {
      if (((struct replay *)t->state)->missing++ == 0) {
        log_warn("a question is not in the book: other rows, options or another template than were recorded");
      }
      teacher_failed(t, ask, STATUS_DATA, "not in the book");
    }
    if (got != 1 || t->ring_n > 256) {
      TRY(teacher_turn(t, e));
    }
    n->done = got == 0;
  }
out:
  return st;
}

enum status teacher_recorded(const struct teacher *t, const unsigned char key[32], struct span content, struct arena *a, struct answer *out,
                             struct span *body, int *found, struct err *e)
{
  enum status st = STATUS_OK;
  struct book_answer kept;
  *found = 0;
  if (t->d != &dialect_replay) {
    return err_set(e, STATUS_USAGE, "'%s': not a recorded teacher; give replay:BOOK", t->o.teacher);
  }
  TRY(book_find_key(((struct replay *)t->state)->book, key, a, &kept, found, e));
  if (!*found) {
    goto out;
  }
  *body = kept.body;
  int first_fits = 0;
  for (struct question q = { .kind = QUESTION_ANSWER };; q.choice++) { /* a request may have several answers (--choices) */
    struct answer one = { 0 };
    TRY(t->body_of->parse(t, kept.answer, &q, a, &one, e));
    int fits = one.failed == STATUS_OK && one.content.n == content.n && memcmp(one.content.p, content.p, content.n) == 0;
    if (q.choice == 0 || fits) {
      *out = one;
      first_fits = fits;
    }
    if (first_fits || one.failed != STATUS_OK || !t->body_of->choices || q.choice == 127) {
      break;
    }
  }
out:
  return st;
}

const struct dialect dialect_replay = {
  .name = "replay",
  .matches = replay_matches,
  .open = replay_open,
  .close = replay_close,
  .body = replay_body,
  .parse = replay_parse,
  .step = replay_step,
  .unrecorded = 1,
};

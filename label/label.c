/* SPDX-License-Identifier: Apache-2.0
 * The stage `retort label`: every row's conversation is put to the teacher, and its answer becomes the assistant's message. Rows
 * keep their order and their other fields byte for byte. The teacher (fetch/teacher.h) keeps journal, terms and limits. */
#include "json.h"
#include "ledger.h"
#include "log.h"
#include "record.h"
#include "stage.h"
#include "teacher.h"
#include "teacher_options.h"

struct label_options {
  struct teacher_options t;
  const char *system;
  int drop_cut, relabel;
};

static const struct opt_row label_rows[] = {
  TEACHER_OPTION_ROWS(label_options, t, "0", "0..5", "512", "1..1000000"),
  OPT_ROW(label_options, system, "system", 0, OPT_STR, NULL, NULL, "TEXT", "put a system message in front when asking; it is not kept in the row"),
  OPT_ROW(label_options, relabel, "relabel", 0, OPT_FLAG, NULL, NULL, NULL, "replace the answer of rows that end with one"),
  OPT_ROW(label_options, drop_cut, "drop-cut", 0, OPT_FLAG, NULL, NULL, NULL, "drop answers that --max-tokens cut off instead of marking them"),
  OPT_END
};

/* A row on its way: freed when its answer was written. */
struct row {
  struct arena *a;
  struct record r;
  struct span messages; /* the row's own, without the answer to come */
  int written;          /* answers kept so far, of several teachers */
  const char *lost;     /* why an answer of them was not */
  struct row *next, *next_made; /* free ones; all ever made */
};

struct label {
  struct ctx *c;
  const struct label_options *o;
  struct teacher *t;
  struct row *spare, *made;
  struct progress *progress;
  struct buf line, messages, teacher;
  uint64_t done, cut;
};

static enum status new_row(struct label *l, struct row **out, struct err *e)
{
  struct row *r = l->spare;
  if (r != NULL) {
    l->spare = r->next;
    r->written = 0;
    r->lost = NULL;
    arena_reset(r->a);
  } else {
    r = mem_calloc(1, sizeof *r);
    if (r == NULL || (r->a = arena_new(0)) == NULL) {
      mem_free(r);
      return err_nomem(e, sizeof *r);
    }
    r->next_made = l->made;
    l->made = r;
  }
  *out = r;
  return STATUS_OK;
}

static void keep_row(struct label *l, struct row *r)
{
  r->next = l->spare;
  l->spare = r;
}

/* Messages joined from pieces: [system,] own messages. Result in the row's arena. */
static enum status messages_to_ask(struct label *l, struct row *r, struct span *out, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  *out = r->messages;
  if (l->o->system == NULL) {
    return STATUS_OK;
  }
  TRY(buf_puts(&b, "[{\"role\":\"system\",\"content\":", e));
  TRY(json_put_cstr(&b, l->o->system, e));
  TRY(buf_puts(&b, "},", e));
  TRY(buf_put(&b, r->messages.p + 1, r->messages.n - 1, e));
  char *copy = arena_strndup(r->a, b.p, b.n);
  if (copy == NULL) {
    st = err_nomem(e, b.n);
    goto out;
  }
  *out = (struct span){ copy, b.n };
out:
  buf_free(&b);
  return st;
}

/* Checks the conversation. *why: NULL when it can be asked, else the reason for the ledger. With --relabel the last answer is
 * taken off. */
static enum status conversation(struct label *l, struct row *r, const char **why, struct err *e)
{
  enum status st = STATUS_OK;
  struct json *m = NULL;
  struct buf b = { 0 };
  *why = NULL;
  TRY(json_parse(r->messages, "messages", &m, e));
  size_t n = json_size(m), users = 0;
  for (size_t i = 0; i < n; i++) {
    const char *role = json_cstr(json_get(json_at(m, i), "role"), "");
    users += strcmp(role, "user") == 0;
  }
  if (n == 0 || users == 0) {
    *why = "no question";
    goto out;
  }
  if (strcmp(json_cstr(json_get(json_at(m, n - 1), "role"), ""), "assistant") != 0) {
    goto out;
  }
  if (!l->o->relabel) {
    *why = "already answered";
    goto out;
  }
  for (size_t i = 0; i + 1 < n; i++) {
    TRY(buf_putc(&b, i ? ',' : '[', e));
    TRY(json_put(&b, json_at(m, i), e));
  }
  TRY(buf_putc(&b, ']', e));
  char *copy = arena_strndup(r->a, b.p, b.n);
  if (copy == NULL) {
    st = err_nomem(e, b.n);
    goto out;
  }
  r->messages = (struct span){ copy, b.n };
out:
  json_free(m);
  buf_free(&b);
  return st;
}

static enum status next_question(void *ctx, int wait, struct question *q, int *got, struct err *e)
{
  enum status st = STATUS_OK;
  struct label *l = ctx;
  struct row *r = NULL;
  for (;;) {
    const char *why = NULL;
    struct err own = { 0 };
    if (!wait && !ctx_ready(l->c)) {
      *got = -1;
      return STATUS_OK;
    }
    TRY(new_row(l, &r, e));
    st = ctx_next_in(l->c, r->a, &r->r, got, e);
    if (st != STATUS_OK || !*got) {
      keep_row(l, r);
      return st;
    }
    st = record_messages(&r->r, r->a, &r->messages, &own);
    if (st == STATUS_OK && r->messages.p != NULL) {
      st = conversation(l, r, &why, &own);
    }
    if (st == STATUS_DATA) {
      ctx_fail_row(l->c, ctx_row(l->c), "bad messages", &own);
    } else if (st != STATUS_OK) {
      keep_row(l, r);
      return err_set(e, st, "%s", own.msg);
    } else if (r->messages.p == NULL) {
      ledger_dropped(ctx_ledger(l->c), "no messages");
    } else if (why != NULL) {
      ledger_dropped(ctx_ledger(l->c), why);
    } else {
      break;
    }
    keep_row(l, r);
  }
  TRY(messages_to_ask(l, r, &q->messages, e));
  q->tools = record_get(&r->r, "tools");
  q->ordinal = 0;
  q->sampling = teacher_sampling(&l->o->t);
  if (q->sampling.temperature > 0) { /* greedy answers do not depend on it, and stay one journal entry whatever the seed */
    q->sampling.seed = teacher_seed(q->sampling.seed, q->messages, 0);
  }
  q->row = &r->r;
  q->user = r;
out:
  return st;
}

static enum status write_row(struct label *l, struct row *r, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct span m = r->messages;
  struct buf reasoning = { 0 }, scores = { 0 }, id = { 0 };
  size_t end = m.n - 1; /* the closing bracket */
  buf_clear(&l->messages);
  buf_clear(&l->teacher);
  buf_clear(&l->line);
  TRY(buf_put(&l->messages, m.p, end, e));
  TRY(buf_puts(&l->messages, ",{\"role\":\"assistant\",\"content\":", e));
  TRY(json_put_string(&l->messages, a->content, e));
  if (a->tool_calls.n > 0) {
    TRY(buf_puts(&l->messages, ",\"tool_calls\":", e));
    TRY(buf_put(&l->messages, a->tool_calls.p, a->tool_calls.n, e));
  }
  TRY(buf_puts(&l->messages, "}]", e));
  TRY(teacher_field(l->t, a, &l->teacher, e));
  struct field_edit edits[5] = { { "messages", { l->messages.p, l->messages.n } }, { "teacher", { l->teacher.p, l->teacher.n } } };
  size_t n = 2;
  if (a->reasoning.n > 0) {
    TRY(json_put_string(&reasoning, a->reasoning, e));
    edits[n++] = (struct field_edit){ "rationale", { reasoning.p, reasoning.n } };
  }
  if (a->n_scores > 0) {
    TRY(record_scores(&r->r, a->score, a->n_scores, &scores, e));
    edits[n++] = (struct field_edit){ "scores", { scores.p, scores.n } };
  }
  if (a->parts > 1) { /* one row became several: PARENT#1, PARENT#2, ... */
    struct span parent;
    TRY(record_id(&r->r, r->a, &parent, e));
    char *name = arena_printf(r->a, "%.*s#%u", (int)parent.n, parent.p, (unsigned)a->part + 1);
    if (name == NULL) {
      st = err_nomem(e, parent.n);
      goto out;
    }
    TRY(json_put_cstr(&id, name, e));
    edits[n++] = (struct field_edit){ "id", { id.p, id.n } };
  }
  TRY(record_edit(&r->r, edits, n, &l->line, e));
  TRY(ctx_write(l->c, (struct span){ l->line.p, l->line.n }, e));
out:
  buf_free(&reasoning);
  buf_free(&scores);
  buf_free(&id);
  return st;
}

static int blank(struct span s)
{
  for (size_t i = 0; i < s.n; i++) {
    if (strchr(" \t\r\n", s.p[i]) == NULL || s.p[i] == '\0') {
      return 0;
    }
  }
  return 1;
}

static enum status got_answer(void *ctx, const struct question *q, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct label *l = ctx;
  struct row *r = q->user;
  struct ledger *g = ctx_ledger(l->c);
  int cut = strcmp(a->finish, "length") == 0, last = a->part + 1 >= a->parts;
  if (a->failed != STATUS_OK) {
    r->lost = arena_strndup(r->a, a->reason, strlen(a->reason));
  } else if (strcmp(a->finish, "content_filter") == 0) {
    r->lost = "content filter";
  } else if (strcmp(a->finish, "refusal") == 0) {
    r->lost = "refusal";
  } else if (blank(a->content) && a->tool_calls.n == 0) {
    r->lost = "empty answer";
  } else if (cut && l->o->drop_cut) {
    r->lost = "cut off";
  } else {
    l->cut += (uint64_t)cut;
    TRY(write_row(l, r, a, e));
    r->written++;
  }
  if (!last) {
    return STATUS_OK;
  }
  if (r->written > 0) {
    ledger_kept(g);
  } else if (a->failed != STATUS_OK) {
    ledger_failed(g, r->lost ? r->lost : "teacher failed");
  } else {
    ledger_dropped(g, r->lost);
  }
  progress_set(l->progress, ++l->done, NULL);
  keep_row(l, r);
out:
  return st;
}

static void report(const struct label *l)
{
  uint64_t asked, from_book;
  struct ledger *g = ctx_ledger(l->c);
  teacher_counts(l->t, &asked, &from_book);
  log_info("%llu answered (%llu asked, %llu from the book, %llu cut off by --max-tokens), %llu dropped, %llu failed",
           (unsigned long long)ledger_count_kept(g), (unsigned long long)asked, (unsigned long long)from_book, (unsigned long long)l->cut,
           (unsigned long long)ledger_count_dropped(g), (unsigned long long)ledger_count_failed(g));
}

static enum status label_run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e)
{
  enum status st = STATUS_OK;
  struct label l = { .c = c, .o = options };
  struct book *book = ctx_book(c);
  if (args->n > 0) {
    return err_set(e, STATUS_USAGE, "'%s': rows come from stdin, no arguments are taken", args->item[0]);
  }
  if (book == NULL && teacher_needs_book(&l.o->t)) {
    TRY(ctx_book_require(c, &book, e));
  }
  TRY(teacher_open(&l.o->t, book, ctx_common(c)->accept_terms, &l.t, e));
  l.progress = progress_new("label", "rows", 0);
  st = teacher_run(l.t, next_question, got_answer, &l, e);
  report(&l);
  if (st == STATUS_OK) {
    uint64_t failed = ledger_count_failed(ctx_ledger(c)), in = ledger_count_in(ctx_ledger(c));
    if (in > 0 && ledger_count_kept(ctx_ledger(c)) == 0) {
      st = err_set(e, STATUS_DATA, "none of %llu rows was answered: %llu failed, %llu dropped (reasons above)", (unsigned long long)in,
                   (unsigned long long)failed, (unsigned long long)ledger_count_dropped(ctx_ledger(c)));
    }
  }
out:
  progress_free(l.progress);
  teacher_close(l.t);
  while (l.made != NULL) {
    struct row *next = l.made->next_made;
    arena_free(l.made->a);
    mem_free(l.made);
    l.made = next;
  }
  buf_free(&l.line);
  buf_free(&l.messages);
  buf_free(&l.teacher);
  return st;
}

const struct stage stage_label = {
  .name = "label",
  .args = "--teacher T < rows",
  .summary = "let a teacher answer every row",
  .details = "Puts each row's conversation to the teacher and appends the answer as the assistant's message; the field `teacher` says who "
             "answered, how and under which terms. Rows keep their order. Answers go through the book: the same command again asks only what "
             "is missing. A row that cannot be answered is counted as failed; the exit status is 0 as long as one row was answered, 1 with "
             "--strict.\n\n"
             "  retort label --teacher model.gguf --max-tokens 256 < questions.jsonl > answers.jsonl\n"
             "  retort label --teacher http://127.0.0.1:8000/v1#qwen --teacher-terms apache-2.0 --book b < questions.jsonl\n"
             "  retort label --teacher a=one.gguf --teacher b=two.gguf --mix cascade:answered:1 < questions.jsonl",
  .flags = STAGE_ROWS_IN | STAGE_ROWS_OUT | STAGE_BOOK | STAGE_COMPUTE,
  .options = label_rows,
  .options_bytes = sizeof(struct label_options),
  .run = label_run,
};

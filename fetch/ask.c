/* SPDX-License-Identifier: Apache-2.0
 * The instrument `retort ask`: puts each row to a teacher as it is and prints everything the answer held, in one form for all
 * dialects: text, reasoning, tool calls, log-probabilities, a vector, usage. For looking at teachers and for comparing them; the
 * records of the pipe come from label and augment. */
#include "json.h"
#include "log.h"
#include "record.h"
#include "stage.h"
#include "teacher.h"
#include "teacher_options.h"

struct ask_options {
  struct teacher_options t;
  int score;
};

static const struct opt_row ask_rows[] = {
  OPT_ROW(ask_options, score, "score", 0, OPT_FLAG, NULL, NULL, NULL, "log-probabilities of the rows' text instead of answers (completions: and vllm: teachers)"),
  TEACHER_OPTION_ROWS(ask_options, t, "0", "0..5", "512", "1..1000000"),
  OPT_END
};

struct ask_row {
  struct arena *a;
  struct record r;
  struct span id;
  struct ask_row *next, *next_made; /* free ones; all ever made */
};

struct asking {
  struct ctx *c;
  const struct ask_options *o;
  struct teacher *t;
  struct ask_row *spare, *made;
  struct buf line;
};

static enum status new_row(struct asking *s, struct ask_row **out, struct err *e)
{
  struct ask_row *r = s->spare;
  if (r != NULL) {
    s->spare = r->next;
    arena_reset(r->a);
  } else {
    r = mem_calloc(1, sizeof *r);
    if (r == NULL || (r->a = arena_new(0)) == NULL) {
      mem_free(r);
      return err_nomem(e, sizeof *r);
    }
    r->next_made = s->made;
    s->made = r;
  }
  *out = r;
  return STATUS_OK;
}

static void keep_row(struct asking *s, struct ask_row *r)
{
  r->next = s->spare;
  s->spare = r;
}

/* The row's messages and text; a text alone is also asked as a user's message, for those who take only messages. */
static enum status fill(struct asking *s, struct ask_row *r, struct question *q, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  TRY(record_id(&r->r, r->a, &r->id, e));
  TRY(record_messages(&r->r, r->a, &q->messages, e));
  if (q->messages.p == NULL) {
    TRY(record_string(&r->r, "text", r->a, &q->text, e));
  } else if (s->o->score) {
    TRY(record_text(&r->r, r->a, &q->text, e));
  }
  if (q->text.p == NULL && q->messages.p == NULL) {
    st = err_set(e, STATUS_DATA, "found neither messages nor text");
    goto out;
  }
  if (q->messages.p == NULL) {
    TRY(buf_puts(&b, "[{\"role\":\"user\",\"content\":", e));
    TRY(json_put_string(&b, q->text, e));
    TRY(buf_puts(&b, "}]", e));
    char *copy = arena_strndup(r->a, b.p, b.n);
    st = copy ? STATUS_OK : err_nomem(e, b.n);
    q->messages = (struct span){ copy, b.n };
  }
out:
  buf_free(&b);
  return st;
}

static enum status next_question(void *ctx, int wait, struct question *q, int *got, struct err *e)
{
  enum status st = STATUS_OK;
  struct asking *s = ctx;
  struct ask_row *r = NULL;
  for (;;) {
    struct err own = { 0 };
    *q = (struct question){ .kind = s->o->score ? QUESTION_SCORE : QUESTION_ANSWER, .sampling = teacher_sampling(&s->o->t) };
    if (!wait && !ctx_ready(s->c)) {
      *got = -1;
      return STATUS_OK;
    }
    TRY(new_row(s, &r, e));
    st = ctx_next_in(s->c, r->a, &r->r, got, e);
    if (st != STATUS_OK || !*got) {
      keep_row(s, r);
      return st;
    }
    st = fill(s, r, q, &own);
    if (st == STATUS_OK) {
      break;
    }
    keep_row(s, r);
    if (st != STATUS_DATA) {
      return err_set(e, st, "%s", own.msg);
    }
    log_warn("'stdin' row %llu failed: %s", ctx_row(s->c), own.msg);
    ledger_failed(ctx_ledger(s->c), "bad row");
  }
  q->tools = record_get(&r->r, "tools");
  if (q->sampling.temperature > 0) {
    q->sampling.seed = teacher_seed(q->sampling.seed, q->messages, 0);
  }
  q->row = &r->r;
  q->user = r;
out:
  return st;
}

static enum status put_vector(const struct answer *a, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_puts(b, ",\"vector\":[", e));
  for (size_t i = 0; i < a->n_vector; i++) {
    TRY(buf_printf(b, e, "%s%.9g", i ? "," : "", (double)a->vector[i]));
  }
  TRY(buf_putc(b, ']', e));
out:
  return st;
}

static enum status put_answer(struct asking *s, const struct answer *a, struct buf *b, struct err *e)
{
  enum status st = STATUS_OK;
  TRY(buf_puts(b, ",\"content\":", e));
  TRY(json_put_string(b, a->content, e));
  TRY(buf_printf(b, e, ",\"finish\":\"%s\"", a->finish));
  if (a->reasoning.n > 0) {
    TRY(buf_puts(b, ",\"reasoning\":", e));
    TRY(json_put_string(b, a->reasoning, e));
  }
  if (a->tool_calls.n > 0) {
    TRY(buf_puts(b, ",\"tool_calls\":", e));
    TRY(buf_put(b, a->tool_calls.p, a->tool_calls.n, e));
  }
  if (a->logprobs.tok != NULL) {
    TRY(buf_puts(b, ",\"logprobs\":", e));
    TRY(token_logprobs_put(&a->logprobs, b, e));
  }
  if (a->vector != NULL) {
    TRY(put_vector(a, b, e));
  }
  if (a->usage.known) {
    TRY(buf_printf(b, e, ",\"usage\":{\"in\":%llu,\"cached\":%llu,\"out\":%llu}", (unsigned long long)a->usage.in_tok,
                   (unsigned long long)a->usage.cached_tok, (unsigned long long)a->usage.out_tok));
  }
  TRY(buf_puts(b, ",\"teacher\":", e));
  TRY(teacher_field(s->t, a, b, e));
out:
  return st;
}

static enum status got_answer(void *ctx, const struct question *q, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct asking *s = ctx;
  struct ask_row *r = q->user;
  buf_clear(&s->line);
  TRY(buf_puts(&s->line, "{\"id\":", e));
  TRY(json_put_string(&s->line, r->id, e));
  if (a->failed != STATUS_OK) {
    TRY(buf_puts(&s->line, ",\"failed\":", e));
    TRY(json_put_cstr(&s->line, a->reason, e));
  } else {
    TRY(put_answer(s, a, &s->line, e));
  }
  TRY(buf_putc(&s->line, '}', e));
  TRY(ctx_write(s->c, (struct span){ s->line.p, s->line.n }, e));
  if (a->part + 1 >= a->parts) {
    if (a->failed != STATUS_OK) {
      ledger_failed(ctx_ledger(s->c), a->reason);
    } else {
      ledger_kept(ctx_ledger(s->c));
    }
    keep_row(s, r);
  }
out:
  return st;
}

static enum status ask_run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e)
{
  enum status st = STATUS_OK;
  struct asking s = { .c = c, .o = options };
  struct book *book = ctx_book(c);
  if (args->n > 0) {
    return err_set(e, STATUS_USAGE, "'%s': rows come from stdin, no arguments are taken", args->item[0]);
  }
  if (book == NULL && teacher_needs_book(&s.o->t)) {
    TRY(ctx_book_require(c, &book, e));
  }
  TRY(teacher_open(&s.o->t, book, ctx_common(c)->accept_terms, &s.t, e));
  st = teacher_run(s.t, next_question, got_answer, &s, e);
out:
  teacher_close(s.t);
  while (s.made != NULL) {
    struct ask_row *next = s.made->next_made;
    arena_free(s.made->a);
    mem_free(s.made);
    s.made = next;
  }
  buf_free(&s.line);
  return st;
}

const struct stage stage_ask = {
  .name = "ask",
  .args = "--teacher T < rows",
  .summary = "print everything a teacher answers to each row",
  .details = "Puts each row's messages (or text) to the teacher and prints one line: `id`, `content`, `finish`, and where the teacher gave them "
             "`reasoning`, `tool_calls`, `logprobs`, `vector`, `usage`; `failed` with the reason instead of an answer. One form for all dialects.\n\n"
             "  retort ask --teacher http://127.0.0.1:8000/v1#qwen --teacher-terms apache-2.0 --logprobs 5 < questions.jsonl\n"
             "  retort ask --teacher completions:http://127.0.0.1:8000/v1#qwen --teacher-terms apache-2.0 --score --logprobs 5 < texts.jsonl\n"
             "  retort ask --teacher embeddings:http://127.0.0.1:8000/v1#e5 --teacher-terms mit < texts.jsonl",
  .flags = STAGE_ROWS_IN | STAGE_ROWS_OUT | STAGE_BOOK | STAGE_COMPUTE | STAGE_INSTRUMENT,
  .options = ask_rows,
  .options_bytes = sizeof(struct ask_options),
  .run = ask_run,
};

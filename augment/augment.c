/* SPDX-License-Identifier: Apache-2.0
 * The stage `retort augment`: a recipe asks the teacher about every row, several times, and each output that passes the recipe's
 * validators becomes a row PARENT#n with a conversation to be answered. What is rejected is counted by reason. */
#include "hash.h"
#include "ledger.h"
#include "log.h"
#include "recipe.h"
#include "record.h"
#include "rule.h"
#include "stage.h"
#include "teacher.h"
#include "teacher_options.h"

struct augment_options {
  struct teacher_options t;
  const char *recipe, *rules, *vertical, *lang;
  int64_t per_row;
};

static const struct opt_row augment_rows[] = {
  OPT_ROW(augment_options, recipe, "recipe", 'r', OPT_STR, NULL, NULL, "NAME", "recipe: a name (qa) or a .yaml file"),
  OPT_ROW(augment_options, rules, "rules", 0, OPT_STR, NULL, NULL, "FILE", "change rows by a rule file (YAML), without a teacher: substitution, de-identification, noise, dates, numbers, slots"),
  OPT_ROW(augment_options, per_row, "per-row", 0, OPT_INT, "0", "0..1000", "N", "how often to ask about a row; 0 is as the recipe says"),
  OPT_ROW(augment_options, vertical, "vertical", 0, OPT_STR, "general", NULL, "NAME", "field of knowledge, for the rows' task"),
  OPT_ROW(augment_options, lang, "lang", 0, OPT_STR, "en", NULL, "CODE", "language of the rows, for their task"),
  TEACHER_OPTION_ROWS(augment_options, t, "-1", "-1..5", "0", "0..1000000"),
  OPT_END
};

#define MAX_REASONS 16

struct row {
  struct arena *a;
  struct record r;
  struct span id, text;
  int64_t asked, answered; /* questions handed out, answers back */
  struct span *good;
  size_t n_good, written;
  const char *why;         /* of the last rejection */
  int any_rejected;        /* by a validator, not by a failure of the teacher */
  struct row *next, *next_made;
};

struct augment {
  struct ctx *c;
  const struct augment_options *o;
  struct recipe *recipe;
  struct teacher *t;
  struct sampling sampling;
  int64_t per_row;
  struct row *open;        /* the row that is being asked about */
  struct row *spare, *made;
  struct progress *progress;
  struct buf line, content, messages, task;
  struct { const char *reason; uint64_t n; } rejected[MAX_REASONS];
  uint64_t rows, questions;
};

static enum status new_row(struct augment *g, struct row **out, struct err *e)
{
  struct row *r = g->spare;
  if (r != NULL) {
    struct row kept = { .a = r->a, .next_made = r->next_made };
    g->spare = r->next;
    *r = kept;
    arena_reset(r->a);
  } else {
    r = mem_calloc(1, sizeof *r);
    if (r == NULL || (r->a = arena_new(0)) == NULL) {
      mem_free(r);
      return err_nomem(e, sizeof *r);
    }
    r->next_made = g->made;
    g->made = r;
  }
  *out = r;
  return STATUS_OK;
}

static void keep_row(struct augment *g, struct row *r)
{
  r->next = g->spare;
  g->spare = r;
}

/* Reads rows until one can be asked about. */
static enum status next_row(struct augment *g, int wait, int *got, struct err *e)
{
  enum status st = STATUS_OK;
  struct ledger *l = ctx_ledger(g->c);
  for (;;) {
    struct row *r = NULL;
    struct err own = { 0 };
    if (!wait && !ctx_ready(g->c)) {
      *got = -1;
      return STATUS_OK;
    }
    TRY(new_row(g, &r, e));
    st = ctx_next_in(g->c, r->a, &r->r, got, e);
    if (st != STATUS_OK || !*got) {
      keep_row(g, r);
      return st;
    }
    st = record_string(&r->r, "text", r->a, &r->text, &own);
    if (st == STATUS_OK) {
      st = record_id(&r->r, r->a, &r->id, &own);
    }
    if (st == STATUS_OK && (int64_t)r->text.n >= recipe_min_chars(g->recipe)) {
      r->good = arena_calloc(r->a, (size_t)g->per_row * teacher_parts(g->t), sizeof *r->good);
      if (r->good == NULL) {
        return err_nomem(e, (size_t)g->per_row * teacher_parts(g->t) * sizeof *r->good);
      }
      g->open = r;
      return STATUS_OK;
    }
    keep_row(g, r);
    if (st == STATUS_DATA) {
      ctx_fail_row(g->c, ctx_row(g->c), "bad row", &own);
    } else if (st != STATUS_OK) {
      return err_set(e, st, "%s", own.msg);
    } else {
      ledger_dropped(l, r->text.p == NULL ? "no text" : "too short");
    }
  }
out:
  return st;
}

static enum status next_question(void *ctx, int wait, struct question *q, int *got, struct err *e)
{
  enum status st = STATUS_OK;
  struct augment *g = ctx;
  if (g->open == NULL) {
    TRY(next_row(g, wait, got, e));
    if (*got != 1) {
      return STATUS_OK;
    }
  }
  struct row *r = g->open;
  buf_clear(&g->messages);
  TRY(recipe_ask(g->recipe, r->text, r->asked, &g->messages, e));
  char *copy = arena_strndup(r->a, g->messages.p, g->messages.n);
  if (copy == NULL) {
    return err_nomem(e, g->messages.n);
  }
  q->messages = (struct span){ copy, g->messages.n };
  q->tools = (struct span){ NULL, 0 };
  q->ordinal = (uint32_t)r->asked;
  q->sampling = g->sampling;
  q->sampling.seed = teacher_seed(g->sampling.seed, q->messages, q->ordinal);
  q->row = &r->r;
  q->user = r;
  *got = 1;
  if (++r->asked == g->per_row) {
    g->open = NULL;
  }
out:
  return st;
}

static void count_rejected(struct augment *g, const char *why)
{
  for (size_t i = 0; i < MAX_REASONS; i++) {
    if (g->rejected[i].reason == NULL || strcmp(g->rejected[i].reason, why) == 0) {
      g->rejected[i].reason = why;
      g->rejected[i].n++;
      return;
    }
  }
}

static enum status put_task(struct augment *g, const struct teacher *by, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  char key[65];
  const struct { const char *key, *value; } rows[] = { { "recipe", recipe_name(g->recipe) }, { "skill", recipe_skill(g->recipe) },
                                                       { "elicitation", recipe_elicitation(g->recipe) }, { "vertical", g->o->vertical },
                                                       { "lang", g->o->lang }, { "teacher", teacher_name(by) }, { "terms", teacher_terms(by) }, { "key", key } };
  hash_hex(a->key, sizeof a->key, key);
  buf_clear(&g->task);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    TRY(buf_puts(&g->task, i ? "," : "{", e));
    TRY(json_put_cstr(&g->task, rows[i].key, e));
    TRY(buf_putc(&g->task, ':', e));
    TRY(json_put_cstr(&g->task, rows[i].value, e));
  }
  TRY(buf_putc(&g->task, '}', e));
out:
  return st;
}

/* The parent's fields stay, but for its text: it is in the user's message now, and twice would count twice everywhere. */
static enum status write_child(struct augment *g, struct row *r, const struct answer *a, struct span answer, struct err *e)
{
  enum status st = STATUS_OK;
  struct buf id = { 0 }, scores = { 0 };
  char *name = arena_printf(r->a, "%.*s#%zu", (int)r->id.n, r->id.p, ++r->written);
  if (name == NULL) {
    return err_nomem(e, r->id.n);
  }
  buf_clear(&g->content);
  buf_clear(&g->messages);
  buf_clear(&g->line);
  TRY(json_put_cstr(&id, name, e));
  TRY(recipe_output(g->recipe, r->text, answer, &g->content, e));
  TRY(buf_puts(&g->messages, "[{\"role\":\"user\",\"content\":", e));
  TRY(json_put_string(&g->messages, (struct span){ g->content.p, g->content.n }, e));
  TRY(buf_puts(&g->messages, "}]", e));
  TRY(put_task(g, teacher_of(g->t, a), a, e));
  struct field_edit edits[5] = { { "id", { id.p, id.n } }, { "text", { NULL, 0 } }, { "messages", { g->messages.p, g->messages.n } },
                                 { "task", { g->task.p, g->task.n } } };
  size_t n = 4;
  if (a->n_scores > 0) {
    TRY(record_scores(&r->r, a->score, a->n_scores, &scores, e));
    edits[n++] = (struct field_edit){ "scores", { scores.p, scores.n } };
  }
  TRY(record_edit(&r->r, edits, n, &g->line, e));
  TRY(ctx_write(g->c, (struct span){ g->line.p, g->line.n }, e));
out:
  buf_free(&id);
  buf_free(&scores);
  return st;
}

static void close_row(struct augment *g, struct row *r)
{
  struct ledger *l = ctx_ledger(g->c);
  if (r->n_good > 0) {
    ledger_kept(l);
  } else if (r->any_rejected) {
    ledger_dropped(l, r->why);
  } else {
    ledger_failed(l, r->why);
  }
  progress_set(g->progress, ++g->rows, NULL);
  keep_row(g, r);
}

static enum status got_answer(void *ctx, const struct question *q, const struct answer *a, struct err *e)
{
  enum status st = STATUS_OK;
  struct augment *g = ctx;
  struct row *r = q->user;
  struct span parsed;
  const char *why = NULL;
  if (a->failed != STATUS_OK) {
    /* The reason lives as long as the question; the ledger copies it only later. */
    why = arena_strndup(r->a, a->reason, strlen(a->reason));
    r->why = r->any_rejected || why == NULL ? r->why : why;
    why = "teacher failed";
  } else if (strcmp(a->finish, "refusal") == 0 || strcmp(a->finish, "content_filter") == 0) {
    why = strcmp(a->finish, "refusal") == 0 ? "refusal" : "content filter";
    r->any_rejected = 1;
    r->why = why;
  } else {
    TRY(recipe_take(g->recipe, a->content, r->text, q->ordinal, r->good, r->n_good, r->a, &parsed, &why, e));
    if (why == NULL) {
      r->good[r->n_good++] = parsed;
      g->questions++;
      TRY(write_child(g, r, a, parsed, e));
    } else {
      r->any_rejected = 1;
      r->why = why;
    }
  }
  if (why != NULL) {
    count_rejected(g, why);
  }
  if (a->part + 1 >= a->parts && ++r->answered == g->per_row) {
    close_row(g, r);
  }
out:
  return st;
}

static void report(struct augment *g)
{
  char text[1000];
  size_t n = 0;
  uint64_t asked, from_book;
  teacher_counts(g->t, &asked, &from_book);
  text[0] = '\0';
  for (size_t i = 0; i < MAX_REASONS && g->rejected[i].reason != NULL && n < sizeof text; i++) {
    n += (size_t)snprintf(text + n, sizeof text - n, "%s%s %llu", n ? ", " : "; rejected: ", g->rejected[i].reason, (unsigned long long)g->rejected[i].n);
  }
  log_info("%s: %llu outputs (%llu asked, %llu from the book) gave %llu rows%s", recipe_name(g->recipe), (unsigned long long)(asked + from_book),
           (unsigned long long)asked, (unsigned long long)from_book, (unsigned long long)g->questions, text);
}

static void set_sampling(struct augment *g)
{
  const struct teacher_options *t = &g->o->t;
  g->sampling = teacher_sampling(t);
  if (t->temperature < 0) {
    g->sampling.temperature = recipe_sampling(g->recipe, "temperature", 0);
    g->sampling.top_p = t->top_p < 1 ? t->top_p : recipe_sampling(g->recipe, "top_p", 1);
  }
  if (t->max_tokens == 0) {
    g->sampling.max_tokens = (int64_t)recipe_sampling(g->recipe, "max_tokens", 256);
  }
  g->per_row = g->o->per_row > 0 ? g->o->per_row : recipe_per_row(g->recipe);
}

static enum status augment_run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e)
{
  enum status st = STATUS_OK;
  struct augment g = { .c = c, .o = options };
  struct book *book = ctx_book(c);
  if (args->n > 0) {
    return err_set(e, STATUS_USAGE, "'%s': rows come from stdin, no arguments are taken", args->item[0]);
  }
  if (g.o->rules != NULL) {
    if (g.o->recipe != NULL || g.o->t.teachers.n > 0) {
      return err_set(e, STATUS_USAGE, "'--rules' changes rows without a teacher: leave out --recipe and --teacher");
    }
    return rules_run(c, g.o->rules, g.o->t.seed, e);
  }
  if (g.o->recipe == NULL) {
    const char *all = recipe_names(ctx_arena(c));
    return err_set(e, STATUS_USAGE, "no recipe: name one with --recipe (%s), or a rule file with --rules", all ? all : "");
  }
  TRY(recipe_open(g.o->recipe, &g.recipe, e));
  if (book == NULL && teacher_needs_book(&g.o->t)) {
    TRY(ctx_book_require(c, &book, e));
  }
  TRY(teacher_open(&g.o->t, book, ctx_common(c)->accept_terms, &g.t, e));
  set_sampling(&g);
  g.progress = progress_new("augment", "rows", 0);
  st = teacher_run(g.t, next_question, got_answer, &g, e);
  report(&g);
  if (st == STATUS_OK && !g.o->t.dry_run) {
    uint64_t failed = ledger_count_failed(ctx_ledger(c)), in = ledger_count_in(ctx_ledger(c));
    if (failed > 0 && failed == in) {
      st = err_set(e, STATUS_DATA, "all %llu rows failed", (unsigned long long)in);
    }
  }
out:
  progress_free(g.progress);
  teacher_close(g.t);
  recipe_close(g.recipe);
  while (g.made != NULL) {
    struct row *next = g.made->next_made;
    arena_free(g.made->a);
    mem_free(g.made);
    g.made = next;
  }
  buf_free(&g.line);
  buf_free(&g.content);
  buf_free(&g.messages);
  buf_free(&g.task);
  return st;
}

const struct stage stage_augment = {
  .name = "augment",
  .args = "--recipe NAME --teacher T | --rules FILE < rows",
  .summary = "make examples from documents with a teacher",
  .details = "Asks the teacher about every row as the recipe says; outputs that pass the recipe's validators become rows PARENT#1, PARENT#2... with "
             "`messages` to be answered by label and a `task`. A row none of whose outputs passes is dropped with the last reason; the counts of all "
             "outputs are on stderr. Recipes: docs/formats.md.\n\n"
             "  retort fetch docs/ --split chars:1500 | retort augment --recipe qa --teacher model.gguf > questions.jsonl\n"
             "  retort augment --rules noise.yaml < rows.jsonl > more.jsonl\n"
             "  retort augment --recipe ./mine.yaml --teacher replay:book < passages.jsonl",
  .flags = STAGE_ROWS_IN | STAGE_ROWS_OUT | STAGE_BOOK | STAGE_COMPUTE,
  .options = augment_rows,
  .options_bytes = sizeof(struct augment_options),
  .run = augment_run,
};

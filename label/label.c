/* SPDX-License-Identifier: Apache-2.0
 * The stage `retort label`: a kind of question (label/kinds.def) is put to the teacher about every row, and what it says is written
 * into the row. Rows keep their order and their other fields byte for byte. The teacher (fetch/teacher.h) keeps journal, terms and limits. */
#include "label.h"
#include "file.h"
#include "ledger.h"
#include "log.h"
#include "stage.h"
#include "teacher_options.h"

#define KIND(n) extern const struct kind kind_##n;
#include "kinds.def"
#undef KIND
const struct kind *const kind_table[] = {
#define KIND(n) &kind_##n,
#include "kinds.def"
#undef KIND
  NULL
};

#define KIND(n) "|" #n
static const char kind_names[] =
#include "kinds.def"
;
#undef KIND

static const struct opt_row label_rows[] = {
  OPT_ROW(label_options, kind, "kind", 'k', OPT_ENUM, "answer", kind_names + 1, "NAME", "what is asked about each row (see above)"),
  TEACHER_OPTION_ROWS(label_options, t, "0", "0..5", "512", "1..1000000"),
  OPT_ROW(label_options, system, "system", 0, OPT_STR, NULL, NULL, "TEXT", "put a system message in front when asking; it is not kept in the row"),
  OPT_ROW(label_options, demos, "demos", 0, OPT_STR, NULL, NULL, "FILE", "answered rows to take demonstrations from, chosen by similarity"),
  OPT_ROW(label_options, shots, "shots", 0, OPT_INT, "3", "1..32", "N", "demonstrations in front of a question, with --demos"),
  OPT_ROW(label_options, samples, "samples", 'n', OPT_INT, "5", "1..100", "N", "answers to a question, for vote, prefer, rank and star"),
  OPT_ROW(label_options, think, "think", 0, OPT_FLAG, NULL, NULL, NULL, "vote: let the teacher reason first and compare the final answers"),
  OPT_ROW(label_options, tries, "tries", 0, OPT_INT, "3", "1..20", "N", "how often to ask in all when an output has the wrong form (the reason is appended)"),
  OPT_ROW(label_options, rubric, "rubric", 0, OPT_STR, NULL, NULL, "FILE", "criteria for the kinds that judge; principles for revise"),
  OPT_ROW(label_options, aspects, "aspects", 0, OPT_LIST, NULL, NULL, "WORD", "score: an aspect that gets a score of its own (repeatable)"),
  OPT_ROW(label_options, scale, "scale", 0, OPT_INT, "10", "2..100", "N", "best score a judge can give; the worst is 1"),
  OPT_ROW(label_options, min_score, "min-score", 0, OPT_NUM, "0", "0..100", "X", "drop rows whose (lowest) score is below"),
  OPT_ROW(label_options, margin, "margin", 0, OPT_NUM, "1", "0..100", "X", "prefer: least difference of the scores of chosen and rejected"),
  OPT_ROW(label_options, min_agree, "min-agree", 0, OPT_NUM, "0.5", "0..1", "X", "vote: least share of the samples that must agree"),
  OPT_ROW(label_options, gold, "gold", 0, OPT_STR, NULL, NULL, "FIELD", "star: where the right answer stands, such as meta.answer"),
  OPT_ROW(label_options, choices, "choice", 0, OPT_LIST, NULL, NULL, "TEXT", "classify: a label rows may get when they have no `choices` (repeatable)"),
  OPT_ROW(label_options, pairs, "pairs", 0, OPT_FLAG, NULL, NULL, NULL, "revise: write a preference of the revision over the answer"),
  OPT_ROW(label_options, relabel, "relabel", 0, OPT_FLAG, NULL, NULL, NULL, "replace the answer of rows that end with one"),
  OPT_ROW(label_options, drop_cut, "drop-cut", 0, OPT_FLAG, NULL, NULL, NULL, "drop answers that --max-tokens cut off instead of marking them"),
  OPT_ROW(label_options, unordered, "unordered", 0, OPT_FLAG, NULL, NULL, NULL, "write rows as they finish instead of in the order they came: the same rows with the same ids and ledger, and a slow row holds nobody up"),
  OPT_END
};

static enum status label_begin(void *ctx, struct row *row, struct err *e)
{
  struct label *l = ctx;
  int ok;
  enum status st = label_read(l, row, &ok, e);
  return st == STATUS_OK && ok ? l->kind->begin(l, row, e) : st;
}

static enum status label_answer(void *ctx, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, struct err *e)
{
  struct label *l = ctx;
  return l->kind->answer(l, row, tag, q, a, e);
}

static enum status label_wrong(void *ctx, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, const char **why, struct err *e)
{
  const struct label *l = ctx;
  (void)tag;
  (void)q;
  (void)e;
  *why = label_unusable(l, a);
  if (*why == NULL && l->kind->wrong != NULL) {
    *why = l->kind->wrong(l, row, a);
  }
  return STATUS_OK;
}

static struct span label_said(void *ctx, struct row *row, const struct answer *a)
{
  const struct label *l = ctx;
  return l->kind->said != NULL ? l->kind->said(l, row, a) : a->content;
}

static void report(const struct label *l)
{
  uint64_t asked, from_book;
  struct ledger *g = ctx_ledger(l->c);
  teacher_counts(l->t, &asked, &from_book);
  log_info("%llu answered (%llu asked, %llu from the book, %llu cut off by --max-tokens, %llu asked again), %llu dropped, %llu failed",
           (unsigned long long)ledger_count_kept(g), (unsigned long long)asked, (unsigned long long)from_book, (unsigned long long)l->cut,
           (unsigned long long)l->again, (unsigned long long)ledger_count_dropped(g), (unsigned long long)ledger_count_failed(g));
}

static enum status set_up(struct label *l, struct buf *rubric, struct err *e)
{
  enum status st = STATUS_OK;
  for (const struct kind *const *k = kind_table; *k != NULL; k++) {
    l->kind = strcmp((*k)->name, l->o->kind) == 0 ? *k : l->kind;
  }
  l->sampling = teacher_sampling(&l->o->t);
  if (l->o->rubric != NULL) {
    TRY(file_read(l->o->rubric, (size_t)1 << 20, rubric, e));
    l->rubric = span_trim((struct span){ rubric->p, rubric->n });
  }
  if (l->o->demos != NULL) {
    TRY(demos_open(l->o->demos, &l->demos, e));
  }
  if (l->kind->open != NULL) {
    st = l->kind->open(l, e);
  }
out:
  return st;
}

static enum status label_run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e)
{
  enum status st = STATUS_OK;
  struct label l = { .c = c, .o = options };
  struct book *book = ctx_book(c);
  struct buf rubric = { 0 };
  static const struct rows_ops ops = { .begin = label_begin, .answer = label_answer, .wrong = label_wrong, .said = label_said };
  if (args->n > 0) {
    return err_set(e, STATUS_USAGE, "'%s': rows come from stdin, no arguments are taken", args->item[0]);
  }
  TRY(set_up(&l, &rubric, e));
  if (book == NULL && teacher_needs_book(&l.o->t)) {
    TRY(ctx_book_require(c, &book, e));
  }
  TRY(teacher_open(&l.o->t, book, ctx_common(c)->accept_terms, &l.t, e));
  if (teacher_parts(l.t) > 1 && !l.kind->parts) {
    st = err_set(e, STATUS_USAGE, "--mix all gives several answers to a question, --kind %s takes one: use another mix, or --kind answer", l.kind->name);
    goto out;
  }
  st = rows_run(c, l.t, &ops, &l, (uint64_t)l.o->t.seed, l.o->unordered, e);
  report(&l);
  if (st == STATUS_OK && !l.o->t.dry_run) {
    uint64_t in = ledger_count_in(ctx_ledger(c));
    if (in > 0 && ledger_count_kept(ctx_ledger(c)) == 0) {
      st = err_set(e, STATUS_DATA, "none of %llu rows was answered (reasons above); rows to answer have `messages` that end with the "
                   "user's turn, such as 'retort augment' writes", (unsigned long long)in);
    }
  }
out:
  teacher_close(l.t);
  demos_close(l.demos);
  buf_free(&rubric);
  buf_free(&l.line);
  buf_free(&l.b);
  buf_free(&l.teacher);
  return st;
}

const struct stage stage_label = {
  .name = "label",
  .args = "--teacher T [--kind NAME] < rows",
  .summary = "let a teacher answer, score, compare or rank every row",
  .details = "Puts each row's conversation to the teacher and appends the answer as the assistant's message; the field `teacher` says who "
             "answered, how and under which terms. Rows keep their order. Answers go through the book: the same command again asks only what "
             "is missing. A row that cannot be answered is counted as failed; the exit status is 0 as long as one row was answered, 1 with "
             "--strict.\n\n"
             "Kinds: answer (few-shot with --demos); cot, pot, classify; score, pairwise, rank, revise (feedback on rows that have answers); "
             "prefer (best of n), vote, self_judge, star, context. `retort taxonomy` says which part of the survey each serves, "
             "docs/formats.md what each reads and writes.\n\n"
             "  retort label --teacher model.gguf --max-tokens 256 < questions.jsonl > answers.jsonl\n"
             "  retort label --kind vote --think -n 5 --teacher http://127.0.0.1:8000/v1#qwen --teacher-terms apache-2.0 --book b < questions.jsonl\n"
             "  retort label --teacher a=one.gguf --teacher b=two.gguf --mix cascade:answered:1 < questions.jsonl",
  .flags = STAGE_ROWS_IN | STAGE_ROWS_OUT | STAGE_BOOK | STAGE_COMPUTE,
  .options = label_rows,
  .options_bytes = sizeof(struct label_options),
  .run = label_run,
};

/* SPDX-License-Identifier: Apache-2.0
 * What the label stage and its kinds of question share. "Things to do to add a kind": (1) label/kind_NAME.c with a `const struct
 * kind kind_NAME`; (2) a row KIND(NAME) in label/kinds.def; (3) a case in tests/net/label_kinds.py. A kind asks through
 * rows_ask and decides each row (fetch/teacher_rows.h). */
#ifndef LABEL_LABEL_H
#define LABEL_LABEL_H
#include "answer_parse.h"
#include "similar.h"
#include "teacher_rows.h"

struct label_options {
  struct teacher_options t;
  const char *kind, *system, *rubric, *demos, *gold;
  struct opt_list choices, aspects;
  int64_t samples, shots, tries, scale;
  double min_score, margin, min_agree;
  int drop_cut, relabel, unordered, think, pairs;
};

enum kind_input { INPUT_QUESTION, INPUT_ANSWERED, INPUT_PAIR };

struct label;
struct kind {
  const char *name, *summary;
  const char *elicitation;   /* of the survey: labeling, feedback, self */
  enum kind_input input;     /* what a row must hold */
  const char *writes;        /* fields, for help and docs */
  int tool_calls;            /* keeps the calls of an answer */
  int parts;                 /* takes several answers to one question (--mix all): each becomes a row */
  enum status (*open)(struct label *l, struct err *e); /* checks options; may be NULL */
  enum status (*begin)(struct label *l, struct row *row, struct err *e);
  enum status (*answer)(struct label *l, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, struct err *e);
  /* For several teachers, asked in any order, changing nothing; either may be NULL. Why a usable answer would be asked again; what
   * of it counts in a vote ({NULL,0}: nothing). */
  const char *(*wrong)(const struct label *l, const struct row *row, const struct answer *a);
  struct span (*said)(const struct label *l, const struct row *row, const struct answer *a);
};
extern const struct kind *const kind_table[]; /* ends with NULL */

struct label {
  struct ctx *c;
  const struct label_options *o;
  const struct kind *kind;
  struct teacher *t;
  struct sampling sampling;
  struct span rubric;        /* text of --rubric */
  struct demos *demos;       /* or NULL */
  struct buf line, b, teacher; /* scratch */
  uint64_t cut, again;
};

/* row->state of every kind. */
struct label_row {
  struct span messages;      /* conversation that is asked: ends with the user's turn (INPUT_ANSWERED: the judged answer taken off) */
  struct span user, answer;  /* text of the last user turn; of the judged answer */
  struct span system;        /* raw message object of the row's own system turn, or {NULL,0} */
  struct span prompt, chosen, rejected; /* INPUT_PAIR: texts of the last user turn and of both answers; prompt as raw messages */
  struct span prompt_raw, chosen_raw, rejected_raw;
  uint32_t samples;          /* how often the same is asked, for servers that give several at once; 0 = not known */
  struct form form;          /* of its questions (label_ask), {0} = anything */
  int tries;
  void *kind;                /* the kind's own */
};
static inline struct label_row *label_of(const struct row *row)
{
  return row->state;
}

/* ---- label_row.c ---- */
/* Reads what the kind needs; 0 when the row was decided (dropped or failed). */
MUST_USE enum status label_read(struct label *l, struct row *row, int *ok, struct err *e);
/* 0 when the answer cannot be used: failed, filtered, empty, cut off under --drop-cut; *why says it (kept by the row). */
int label_usable(struct label *l, struct row *row, const struct answer *a, const char **why);
/* The same, without counting. */
const char *label_unusable(const struct label *l, const struct answer *a);
/* Drops or fails the row as such an answer deserves. */
MUST_USE enum status label_refuse(struct row *row, const struct answer *a, const char *why, struct err *e);
/* Asks with --system in front, demonstrations and the row's conversation; the last user turn gets `behind` appended. */
MUST_USE enum status label_ask(struct label *l, struct row *row, uint32_t tag, const char *behind, uint32_t ordinal, struct err *e);
/* Asks an instruction of its own: system (may be NULL) and one user turn. Greedy unless sampling says otherwise. */
MUST_USE enum status label_ask_text(struct label *l, struct row *row, uint32_t tag, const char *system, struct span user, uint32_t ordinal, struct err *e);
/* Asks again with the reason while --tries allows, else drops the row with it. */
MUST_USE enum status label_again(struct label *l, struct row *row, uint32_t tag, const struct question *q, const struct answer *a, const char *why,
                                 struct err *e);
/* Writes the row with these fields, `teacher` and `scores` (the row's own, the kind's, those of several teachers), and keeps it. */
enum { LABEL_SCORES = 64 };
MUST_USE enum status label_write(struct label *l, struct row *row, const struct field_edit *edits, size_t n, const struct record_number *set, size_t n_set,
                                 const struct answer *a, struct err *e);
/* The same with content as the assistant's message; rationale may be empty. */
MUST_USE enum status label_write_answer(struct label *l, struct row *row, struct span content, struct span rationale, const struct field_edit *more,
                                        size_t n_more, const struct record_number *set, size_t n_set, const struct answer *a, struct err *e);
/* A copy in the row's arena. */
MUST_USE enum status label_copy(struct row *row, struct span s, struct span *out, struct err *e);
/* "[{"role":"assistant","content":...}]" as TRL's chosen and rejected want it, raw in the row's arena. */
MUST_USE enum status label_reply(struct row *row, struct span content, struct span *raw, struct err *e);

/* ---- demos.c ---- */
struct demos;
/* Rows of FILE whose conversation ends with an answer. */
MUST_USE enum status demos_open(const char *path, struct demos **d, struct err *e);
void demos_close(struct demos *d);
/* Appends the k most similar to question (never one with the same question), the most similar last, as turns. */
MUST_USE enum status demos_put(struct demos *d, struct span question, size_t k, struct arena *a, struct buf *messages, struct err *e);
#endif

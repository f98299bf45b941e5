/* SPDX-License-Identifier: Apache-2.0
 * What teacher_open.c (terms), teacher_window.c (journal, claims, order) and the dialects (teacher_*.c) share. "Things to do to add a
 * dialect": write teacher_NAME.c with a `const struct dialect dialect_NAME`, add it to the table in teacher_open.c; it needs open,
 * body, parse, step. */
#ifndef FETCH_TEACHER_DIALECT_H
#define FETCH_TEACHER_DIALECT_H
#include "book.h"
#include "teacher.h"
#include "terms.h"

/* One question on its way. The dialect gets it from teacher_pull and gives it back through teacher_answered or teacher_failed. */
struct ask {
  struct question q;
  struct buf body;       /* exact request: what the journal compares */
  unsigned char key[32];
  struct arena *a;       /* memory of this question and its answer; the dialect may use it too */
  void *dialect;         /* the dialect's own, reset to NULL before each pull */
  /* teacher_window.c's: */
  int state;
  int followers;         /* same question further back in the window waits for this one */
  struct ask *leader;
  struct ask *next;      /* of one of the lists of struct teacher */
  struct ask *chain;     /* of one bucket of the window's keys */
  struct span answer;    /* journal form */
  struct answer out;
};

struct http_api;
struct pii;
struct quote;
struct step {
  int alone;    /* nobody else has work: the step may sleep until something moves */
  int done;     /* set: nothing is left to do, ever */
  double until; /* set by those who do not sleep: seconds until there is something to do without an event */
};
struct dialect {
  const char *name;
  const struct http_api *http; /* of dialects on teacher_http.h, else NULL */
  int needs_book;
  int (*matches)(const char *spec); /* asked in table order */
  /* Sets t->name, t->identity, t->subject (cheaply: the terms gate stands between open and ready). */
  enum status (*open)(struct teacher *t, struct err *e);
  enum status (*ready)(struct teacher *t, struct err *e); /* load, connect; may be NULL */
  void (*close)(struct teacher *t);
  enum status (*body)(const struct teacher *t, const struct question *q, struct buf *out, struct err *e);
  /* Journal form -> answer (arena memory), usage included. STATUS_DATA when it is malformed. */
  enum status (*parse)(const struct teacher *t, struct span answer, const struct question *q, struct arena *a, struct answer *out, struct err *e);
  /* A run is begin, steps until n->done, end. A step pulls questions, does what can be done, takes and passes on what came
   * (teacher_turn). Only when n->alone may it sleep, on input too. end gets the run's status so far (e says why when it is not OK)
   * and returns it, or its own failure. begin and end may be NULL. */
  enum status (*begin)(struct teacher *t, struct err *e);
  enum status (*step)(struct teacher *t, struct step *n, struct err *e);
  enum status (*end)(struct teacher *t, enum status st, struct err *e);
  /* After the last question of a run (of the whole mix, for a member): sends what was gathered. STATUS_STOPPED while answers are
   * still to come. NULL when there is nothing to do. */
  enum status (*flush)(struct teacher *t, struct err *e);
  /* Tokens of a request by the teacher's own tokenizer, for quotes; NULL when it is not here. */
  enum status (*count_tokens)(struct teacher *t, struct ask *k, int64_t *n, struct err *e);
  int choices;                      /* its requests take several answers (`n`), its parse knows q->choice */
  int computes;                     /* a step takes long, and more questions at once are cheaper: local */
  int unrecorded;                   /* writes no note of itself: replay, and the mix, whose members do */
};

struct teacher {
  const struct dialect *d;
  const struct dialect *body_of; /* whose body and parse are used: d, or the recorded one for replay */
  const char *label;             /* LABEL of --teacher LABEL=T, or NULL */
  const char *accept_terms;
  struct teacher_judgement judgement;
  struct teacher_options o;
  struct arena *a;
  struct book *book;             /* journal, NULL = none */
  char *name, *identity, *model, *template_name;
  struct form form;              /* of the options, FORM_FREE = none */
  struct pii *pii;               /* what looks at outgoing text, or NULL */
  struct span request;           /* members of --request, each with a comma in front */
  const char *terms;
  struct terms_subject subject;
  void *state, *outer;           /* the dialect's own; of one that stands on another (batch): of the outer one */
  int in_mix;                    /* its flush is the mix's business */
  /* Of a member that computes: lets the other members go on, now and then. lease: it holds the machine lease, so nothing may be passed on. */
  enum status (*meanwhile)(void *ctx, int lease, struct err *e);
  void *meanwhile_ctx;
  int control_told;              /* that a text holds control tokens was said */
  struct quote *quote;           /* --dry-run: what it would ask */
  int deferred;                  /* 1: an answer that is still to come stands in front, so nothing behind it can be passed on */
  uint64_t asked, from_book, pulled;
  /* one run: */
  question_next next;
  answer_done done;
  void *ctx;
  struct ask **ring;             /* window, oldest first */
  size_t ring_n, ring_head, ring_cap;
  size_t window_bytes;
  struct ask **bucket;           /* what is in the window, by key */
  struct ask *hand, *hand_last;  /* claimed, not yet handed out */
  struct ask *put;               /* answered, not yet passed on or committed */
  struct ask *spare;             /* finished asks, used again */
  size_t pull_ahead;             /* the dialect can take so many questions now (claimed together); 0 = 1 */
  size_t n_elsewhere;            /* questions that other processes of the book are asking */
  double elsewhere_looked, elsewhere_since;
  int ended, uncommitted, elsewhere_told, unordered;
  int later;                     /* the stage has no question before it gets an answer back */
};

/* *got = 1: *ask is to be asked; 0: no more, ever; -1: none now (input would block with wait = 0, the window is full, or
 * other processes are asking what is left, or the stage waits for an answer itself: call teacher_turn, sleep a little, ask again). Questions that the journal answers are not
 * handed out. */
MUST_USE enum status teacher_pull(struct teacher *t, int wait, struct ask **ask, int *got, struct err *e);
/* answer: journal form, copied. STATUS_DATA when it does not parse (the ask stays open: ask again or fail it). meta: JSON for the book. */
MUST_USE enum status teacher_answered(struct teacher *t, struct ask *ask, struct span answer, struct span meta, struct err *e);
/* The same in two steps, for those who need the parsed answer (ask->out) to write meta. */
MUST_USE enum status teacher_take(struct teacher *t, struct ask *ask, struct span answer, struct err *e);
MUST_USE enum status teacher_keep(struct teacher *t, struct ask *ask, struct span meta, struct err *e);
/* Its answer comes in a later run (a batch): the stage gets it as failed with STATUS_STOPPED, and so it gets all that stand behind. */
void teacher_deferred(struct teacher *t, struct ask *ask);
void teacher_failed(struct teacher *t, struct ask *ask, enum status why, const char *reason);
/* With --choices, samples of one question share a request: the same body under the ordinal and the seed of the first of them, so
 * that the others follow it like any question asked twice. Returns that ordinal. */
uint32_t teacher_group_choices(const struct teacher *t, struct question *q);
/* 1 when a pull would read input: worth waking up for. */
int teacher_wants_input(const struct teacher *t);
/* Commits what was answered and passes on in order what can be; may sleep on a full pipe. */
MUST_USE enum status teacher_turn(struct teacher *t, struct err *e);

/* teacher_run in its parts, for who runs several. teacher_finish is called once after teacher_begin, whatever happened: st is the
 * run's status so far. */
MUST_USE enum status teacher_begin(struct teacher *t, question_next next, answer_done done, void *ctx, struct err *e);
MUST_USE enum status teacher_step(struct teacher *t, struct step *n, struct err *e);
MUST_USE enum status teacher_finish(struct teacher *t, enum status st, struct err *e);

/* In place of the dialect's step and end under --dry-run. */
MUST_USE enum status teacher_quote_step(struct teacher *t, struct step *n, struct err *e);
MUST_USE enum status teacher_quote_end(struct teacher *t, enum status st, struct err *e);
/* What the members' quotes come to; says nothing where a price is not known. */
void teacher_quote_sum(struct teacher *const *member, size_t n);
MUST_USE enum status teacher_window_start(struct teacher *t, struct err *e); /* an empty window, for a run */
void teacher_window_drop(struct teacher *t); /* after it, and for teacher_close */

/* {"temperature":0.7,...} with what differs from plain greedy decoding; max_tokens and seed always. */
MUST_USE enum status teacher_put_sampling(const struct sampling *s, struct buf *out, struct err *e);
/* Same members without braces, each with a comma in front, as request parameters of a server. limit: the name that it gives to
 * max_tokens. */
MUST_USE enum status teacher_put_parameters(const struct sampling *s, const char *limit, struct buf *out, struct err *e);

const struct dialect *dialect_of(const char *spec); /* by its prefix */
const struct dialect *dialect_named(const char *name); /* NULL when there is none */
/* One teacher of the list, with its own key and terms, behind the gate. */
MUST_USE enum status teacher_open_one(const struct teacher_options *o, size_t which, struct book *book, const char *accept_terms,
                                      struct teacher **out, struct err *e);

extern const struct dialect dialect_openai, dialect_anthropic, dialect_completions, dialect_vllm, dialect_embeddings, dialect_batch, dialect_local, dialect_replay, dialect_mix;
#endif

/* SPDX-License-Identifier: Apache-2.0
 * Whoever answers: a local model, a server, a recorded book, or several of them together. augment and label know only this
 * header. A dialect is one file (fetch/teacher_*.c) and one row. Every answer goes through the journal of the book (when there
 * is one): found there, it costs nothing; else it is asked, committed, then passed on. */
#ifndef FETCH_TEACHER_H
#define FETCH_TEACHER_H
#include <stdint.h>
#include "decode.h"
#include "err.h"
#include "form_options.h"
#include "mem.h"
#include "device.h"
#include "opt.h"
#include "record.h"
#include "span.h"
#include "token_logprobs.h"
struct book;
struct weights;
struct teacher_options { /* option group TEACHER_OPTION_ROWS of fetch/teacher_options.h */
  struct opt_list teachers;    /* [LABEL=]T: GGUF, HF folder, run folder, http(s)://host/v1#model, replay:BOOK */
  struct opt_list key_envs, stated_terms; /* [LABEL=]VALUE, for all teachers or for the one with that label */
  const char *mix;             /* how several teachers work together, or NULL */
  const char *teacher, *key_env, *teacher_terms; /* of one teacher: set by teacher_open out of the lists */
  const char *chat_template, *ca_file;
  struct opt_list stop;
  struct form_options form;    /* of every answer whose question states none */
  const char *request;         /* JSON object: further members of every request to a server, or NULL */
  int64_t batch_size;          /* requests in one batch of the Batch API */
  int64_t logprobs, choices;   /* alternatives a token, 0 = off; answers a request where a stage wants several (`n`) */
  int64_t batch, concurrency, max_tokens, retries, seed, top_k;
  double temperature, top_p, min_p, repetition_penalty, timeout_s, connect_timeout_s, silence_timeout_s, outage_s;
  const char *pii;             /* "refuse", "mask" or "allow": personal data in what is sent to a server */
  const char *control_tokens;  /* "allow", "break" or "refuse": text that a server may read as a control token */
  int64_t key_fd;              /* file descriptor the key is read from; -1 = none */
  const char *prices;          /* YAML file of prices in front of the shipped ones, or NULL */
  double max_usd;              /* of the whole book; below 0 = no limit */
  int dry_run;                 /* ask nothing, say what it would cost */
  struct device_options dev;   /* of local teachers */
  double rpm, tpm_in, tpm_out; /* requests and tokens a minute, 0 = no limit of ours */
};
struct teacher;
/* Finds the dialect, asks the terms gate, then loads or connects. book may be NULL (no journal). */
MUST_USE enum status teacher_open(const struct teacher_options *o, struct book *book, const char *accept_terms, struct teacher **t, struct err *e);
void teacher_close(struct teacher *t);
/* 1 when answers of a teacher cost money or time of others, so that the stage must have a book (ctx_book_require). */
int teacher_needs_book(const struct teacher_options *o);
const char *teacher_name(const struct teacher *t);
const char *teacher_identity(const struct teacher *t); /* stable text: hash of weights + kernel contract, or host and model */
const char *teacher_terms(const struct teacher *t);    /* SPDX id or the terms record's name */
/* The terms gate alone, for stages that take weights without asking them (shard, prune, export). *terms: arena memory. */
MUST_USE enum status teacher_terms_gate(const struct weights *w, const char *stated, const char *accept, struct arena *a,
                                        const char **terms, struct err *e);

enum question_kind {
  QUESTION_ANSWER, /* an answer to messages, or the continuation of text */
  QUESTION_SCORE,  /* log-probabilities of text itself; no answer */
};
struct question {
  enum question_kind kind;
  struct span messages;    /* JSON array of messages; must live until the answer came */
  struct span text;        /* instead of messages: plain text for completions and embeddings, or {NULL,0} */
  struct span tools;       /* or {NULL,0} */
  uint32_t ordinal;        /* sample number: votes and best-of-n are different requests */
  uint32_t samples;        /* when ordinals 0 to samples - 1 of the same messages will be asked: a server may be asked for several
                              in one request (--choices); 0 = not known */
  uint32_t choice, choices; /* set by teacher_run: which of the answers of one request (choices > 1) this is */
  struct sampling sampling; /* start from teacher_sampling */
  struct form form;        /* what the answer must look like (its text lives as long as messages); {0} = as the options say. The
                              stage judges it (form_check); a form of the options is judged by the teacher: reason "wrong form" */
  const struct record *row; /* what several teachers are chosen by (its id, --mix route:FIELD), or NULL; lives as long as messages */
  void *user;
  struct span body;        /* the exact request when it is known already (asked again from the book), else {NULL,0} */
};
struct usage { /* as the teacher counted; known = 0 when it did not */
  uint64_t in_tok, cached_tok, out_tok; /* cached_tok: the part of in_tok that the server had seen before */
  int known;
};
/* Numbers an answer gets on its way, for the record's `scores` and for --mix cascade. */
enum { ANSWER_SCORES = 8 };
struct answer {
  struct span content;     /* UTF-8 text */
  struct span reasoning;   /* or {NULL,0} */
  struct span tool_calls;  /* JSON array of {"id","type":"function","function":{"name","arguments"}}, or {NULL,0}; content may be "" then */
  const char *finish;      /* "stop" "length" "tool_calls"; "content_filter" "refusal": no answer to learn from */
  struct token_logprobs logprobs; /* of the answer's tokens, of the text's for QUESTION_SCORE; only when asked for */
  const float *vector;     /* (n_vector) of an embeddings teacher, or NULL */
  size_t n_vector;
  enum status failed;      /* STATUS_OK, else the question failed for good; reason tells why */
  const char *reason;      /* short, of a small set: a key of the ledger */
  struct span sampling_json; /* what was used, for the record's teacher field */
  int from_book;
  unsigned char key[32];   /* of the journal: book_key of what was asked; zeros = not asked */
  struct usage usage;      /* of the request that made it, also when it comes from the book */
  const struct teacher *by;  /* who answered, of several; NULL = the teacher that was run */
  uint32_t part, parts;      /* --mix all: this is answer `part` of `parts` (0 = 1) to the question; the last one ends it */
  struct record_number score[ANSWER_SCORES];
  size_t n_scores;
};
/* Sets a score (the newest value of a name counts); one too many is left out. name must live as long as the answer. */
void answer_score(struct answer *a, const char *name, double value);
/* NULL when there is none. */
const struct record_number *answer_score_find(const struct answer *a, const char *name);
/* Sampling as the options say. */
struct sampling teacher_sampling(const struct teacher_options *o);
/* A seed of its own for one question, from the run's seed, what is asked and the sample number; below 2^31, as servers take it. */
uint64_t teacher_seed(uint64_t seed, struct span messages, uint32_t ordinal);
/* Pulls questions, hands answers back IN ORDER of the questions (bounded window). wait = 0: must not sleep on input; *got = 1:
 * a question; 0: no more, ever; -1 (only when wait is 0): none now, input may bring one; QUESTION_LATER: none before one more
 * answer was handed back (a second question follows from the first answer); only while answers are owed, whatever wait is. */
enum { QUESTION_LATER = -2 };
typedef enum status (*question_next)(void *ctx, int wait, struct question *q, int *got, struct err *e);
typedef enum status (*answer_done)(void *ctx, const struct question *q, const struct answer *a, struct err *e);
MUST_USE enum status teacher_run(struct teacher *t, question_next next, answer_done done, void *ctx, struct err *e);
/* Most answers to one question: the number of teachers under --mix all, else 1. */
size_t teacher_parts(const struct teacher *t);
/* Who gave this answer: a->by, else t. */
const struct teacher *teacher_of(const struct teacher *t, const struct answer *a);
/* What a stage knows better than the mix does. Either may be NULL; ctx is theirs. Only asked when there are several teachers. */
struct teacher_judgement {
  /* The part of the answer that votes compare (case, white space and end punctuation aside); {NULL,0}: it has no vote. */
  struct span (*said)(void *ctx, const struct question *q, const struct answer *ans);
  /* Adds scores to an answer (answer_score: "valid") before a cascade decides. */
  enum status (*score)(void *ctx, const struct question *q, struct answer *ans, struct err *e);
  void *ctx;
};
void teacher_judge_by(struct teacher *t, const struct teacher_judgement *j);
/* Hands answers back as they come instead of in order (before teacher_run). */
void teacher_unordered(struct teacher *t);
/* {"name","identity","sampling","terms","finish","key"}: the record's teacher field (all strings; key = the journal's, in hex). */
MUST_USE enum status teacher_field(const struct teacher *t, const struct answer *a, struct buf *out, struct err *e);
/* Questions asked of the teacher and answers taken from the book so far. */
void teacher_counts(const struct teacher *t, uint64_t *asked, uint64_t *from_book);
/* What the book of a replay: teacher holds under a record's `teacher.key`: the answer whose text is `content` (else the first of that
 * request) and the request's body, in arena memory. *found = 0: nothing. Thread safe. STATUS_USAGE for any other teacher. */
MUST_USE enum status teacher_recorded(const struct teacher *t, const unsigned char key[32], struct span content, struct arena *a,
                                      struct answer *out, struct span *body, int *found, struct err *e);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * Whoever answers: a local model, an OpenAI-compatible server, a recorded book. augment and label know only this header.
 * A dialect is one file (fetch/teacher_*.c) and one row. Every answer goes through the journal of the book (when there is
 * one): found there, it costs nothing; else it is asked, committed, then passed on. */
#ifndef FETCH_TEACHER_H
#define FETCH_TEACHER_H
#include <stdint.h>
#include "decode.h"
#include "err.h"
#include "mem.h"
#include "opt.h"
#include "span.h"
struct book;
struct weights;
struct teacher_options { /* option group TEACHER_OPTION_ROWS of fetch/teacher_options.h */
  const char *teacher;         /* GGUF, HF folder, run folder, http(s)://host/v1#model, replay:BOOK */
  const char *chat_template, *key_env, *teacher_terms, *ca_file;
  struct opt_list stop;
  int64_t batch, concurrency, max_tokens, retries, seed, top_k;
  double temperature, top_p, min_p, repetition_penalty, timeout_s, outage_s;
};
struct teacher;
/* Finds the dialect, asks the terms gate, then loads or connects. book may be NULL (no journal). */
MUST_USE enum status teacher_open(const struct teacher_options *o, struct book *book, const char *accept_terms, struct teacher **t, struct err *e);
void teacher_close(struct teacher *t);
/* 1 when answers of this teacher cost money or time of others, so that the stage must have a book (ctx_book_require). */
int teacher_needs_book(const char *spec);
const char *teacher_name(const struct teacher *t);
const char *teacher_identity(const struct teacher *t); /* stable text: hash of weights + kernel contract, or host and model */
const char *teacher_terms(const struct teacher *t);    /* SPDX id or the terms record's name */
/* The terms gate alone, for stages that take weights without asking them (shard, prune, export). *terms: arena memory. */
MUST_USE enum status teacher_terms_gate(const struct weights *w, const char *stated, const char *accept, struct arena *a,
                                        const char **terms, struct err *e);

struct question {
  struct span messages;    /* JSON array of messages; must live until the answer came */
  struct span tools;       /* or {NULL,0} */
  uint32_t ordinal;        /* sample number: votes and best-of-n are different requests */
  struct sampling sampling; /* start from teacher_sampling */
  void *user;
};
struct usage { /* as the teacher counted; known = 0 when it did not */
  uint64_t in_tok, cached_tok, out_tok; /* cached_tok: the part of in_tok that the server had seen before */
  int known;
};
struct answer {
  struct span content;     /* UTF-8 text */
  struct span reasoning;   /* or {NULL,0} */
  const char *finish;      /* "stop" "length" "content_filter" */
  enum status failed;      /* STATUS_OK, else the question failed for good; reason tells why */
  const char *reason;      /* short, of a small set: a key of the ledger */
  struct span sampling_json; /* what was used, for the record's teacher field */
  int from_book;
  struct usage usage;      /* of the request that made it, also when it comes from the book */
};
/* Sampling as the options say. */
struct sampling teacher_sampling(const struct teacher_options *o);
/* A seed of its own for one question, from the run's seed, what is asked and the sample number; below 2^31, as servers take it. */
uint64_t teacher_seed(uint64_t seed, struct span messages, uint32_t ordinal);
/* Pulls questions, hands answers back IN ORDER of the questions (bounded window). wait = 0: must not sleep on input; *got = 1:
 * a question; 0: no more, ever; -1 (only when wait is 0): none now. */
typedef enum status (*question_next)(void *ctx, int wait, struct question *q, int *got, struct err *e);
typedef enum status (*answer_done)(void *ctx, const struct question *q, const struct answer *a, struct err *e);
MUST_USE enum status teacher_run(struct teacher *t, question_next next, answer_done done, void *ctx, struct err *e);
/* {"name","identity","sampling","terms","finish"}: the record's teacher field (all strings). */
MUST_USE enum status teacher_field(const struct teacher *t, const struct answer *a, struct buf *out, struct err *e);
/* Questions asked of the teacher and answers taken from the book so far. */
void teacher_counts(const struct teacher *t, uint64_t *asked, uint64_t *from_book);
#endif

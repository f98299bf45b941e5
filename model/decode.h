/* SPDX-License-Identifier: Apache-2.0
 * Batched decoding with a KV cache: prompts join and leave the batch as they start and finish; the batch size never changes
 * an answer. Sampling uses one counter-based stream per prompt, so an answer depends on (prompt, settings, seed) only. */
#ifndef MODEL_DECODE_H
#define MODEL_DECODE_H
#include <stdint.h>
#include "constrain.h"
#include "err.h"
#include "model.h"
#include "span.h"
#include "tokenizer.h"
struct sampling {
  double temperature;   /* 0 = greedy */
  int64_t top_k;        /* 0 = off */
  double top_p;         /* 1 = off */
  double min_p;         /* 0 = off */
  double repetition_penalty; /* 1 = off; over prompt and answer, as HF does */
  int64_t max_tokens;   /* 0 = until the context ends */
  uint64_t seed;
  const char *const *stop; /* stop strings, cut off the text */
  size_t n_stop;
  int64_t top_logprobs; /* > 0: keep per-token log-probabilities and the top k */
};
struct decode_job {
  const int32_t *prompt; size_t n_prompt; /* owned by the caller until done */
  struct sampling sampling;
  const int32_t *stop_ids; size_t n_stop_ids; /* eos and end of turn */
  void *user;
  struct constraint *constraint; /* the form of the answer, or NULL; lives until done, used on the decoder's thread only */
};
enum finish { FINISH_STOP, FINISH_LENGTH, FINISH_CONTEXT /* also: the prompt alone does not fit (n = 0) */, FINISH_CLOSED /* constrain.h */ };
const char *finish_name(enum finish f); /* "stop" "length" "context" "closed" */
struct decode_result {
  const int32_t *id; size_t n;   /* without the stop token */
  struct span text;              /* decoded, valid UTF-8, stop string cut off */
  enum finish finish;
  const float *logprob;          /* (n) when top_logprobs > 0 */
  const int32_t *top_id; const float *top_logprob; /* (n, top_logprobs) */
};
struct decoder;
MUST_USE enum status decoder_new(struct model *m, const struct tokenizer *t, int max_batch, struct decoder **d, struct err *e);
/* Bytes the key-value caches may take (default 2 GiB): a job waits until room is left for its prompt and max_tokens; one job
 * always runs. Which jobs wait never changes an answer. */
void decoder_set_cache_bytes(struct decoder *d, uint64_t bytes);
/* Bytes for beginnings that several prompts share, beside the above (default 64 MiB; 0: every prompt is run from its first token).
 * Kept from one run to the next, so the model's parameters stay as they are while the decoder lives. Never changes an answer. */
MUST_USE enum status decoder_set_prefix_bytes(struct decoder *d, uint64_t bytes, struct err *e);
/* STATUS_DATA when the logits of a job are not finite: the model is broken, so all jobs end.
 * Pulls jobs through next and hands results to done in order of finishing. *got = 1: a job; 0: none now and never again;
 * DECODE_LATER: none now, ask again after the next token (only while a job it gave is unfinished). */
enum { DECODE_LATER = 2 };
typedef enum status (*decode_next)(void *ctx, struct decode_job *job, int *got, struct err *e);
typedef enum status (*decode_done)(void *ctx, const struct decode_job *job, const struct decode_result *r, struct err *e);
MUST_USE enum status decoder_run(struct decoder *d, decode_next next, decode_done done, void *ctx, struct err *e);
/* Called after every token of the batch from now on (NULL: not any more), for who has other things to look after meanwhile. */
void decoder_between(struct decoder *d, enum status (*between)(void *ctx, struct err *e), void *ctx);
double decoder_tokens_per_second(const struct decoder *d); /* generated tokens of the last run by its wall time */
/* Of the last run: prompt tokens that went through the model, prompt tokens whose rows another prompt had left, made tokens. */
void decoder_counts(const struct decoder *d, uint64_t *prompt_tok, uint64_t *reused_tok, uint64_t *made_tok);
void decoder_free(struct decoder *d);

/* One token from a row of logits (sample.c). The order is Hugging Face's: penalty, temperature, top k, top p, min p. u in [0, 1) decides; ties go to the lower id. w: sample_scratch_bytes(vocab). */
size_t sample_scratch_bytes(int32_t vocab);
int32_t sample_token(const struct sampling *s, const float *logits, int32_t vocab, const int32_t *seen, size_t n_seen, double u, void *w);

/* Scoring of given text: log-probability of each token, top k and exact remaining mass, for packed sequences. Row i scores
 * token i + 1 of the same sequence; the last row of a sequence has logprob NAN. Calls row(...) in order. */
struct score_row {
  int32_t seq, pos;
  int last;                          /* of its sequence */
  float logprob, lse, rest;
  const int32_t *top_id;
  const float *top_logprob, *hidden; /* (top_k) (width), until the call returns */
  const struct run *run;             /* for score_logits */
  const float *logits;               /* on the model's device */
};
typedef enum status (*score_fn)(void *ctx, const struct score_row *row, struct err *e);
/* All logits of a row, within its call: *logits is the row itself or room (vocab floats), to which a device's row is fetched. */
MUST_USE enum status score_logits(const struct score_row *row, float *room, const float **logits, struct err *e);
/* 0: the row's logits, or the next token's log-probability, are not finite: no number of it may be used (model_not_finite). */
int score_row_finite(const struct score_row *row);
MUST_USE enum status model_score(struct run *r, const struct packed *p, int64_t top_k, const unsigned char *want /* per token or NULL */,
                                 score_fn f, void *ctx, struct err *e);
#endif

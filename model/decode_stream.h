/* SPDX-License-Identifier: Apache-2.0
 * One sequence being decoded: its tokens, its cache, its text so far, and when it is over. */
#ifndef MODEL_DECODE_STREAM_H
#define MODEL_DECODE_STREAM_H
#include "decode.h"
#include "decode_kv.h"

struct stream {
  int active, made;       /* made: the first token exists, so the next run is a single step */
  struct decode_job job;
  struct kv_cache kv;
  int32_t *ids;           /* prompt, then answer */
  size_t n, cap;
  size_t shared;          /* tokens of the prompt's beginning that an earlier prompt had too */
  int32_t next;           /* the token just sampled */
  int broken;             /* the logits it was to come from are not finite */
  struct buf bytes, text; /* raw answer bytes; UTF-8 made of them at the end */
  size_t cut;             /* bytes of the answer when a stop string was found */
  enum finish finish;
  float *logprob, *top_logprob; /* (n answer), (n answer, k) */
  int32_t *top_id;
  size_t top_cap;         /* tokens there is room for */
  float chosen;           /* log-probability of `next`, meaningful when top_logprobs > 0 */
  struct matcher *matcher; /* of job.constraint, or NULL */
  const uint64_t *allowed; int may_end, closed; /* what it may go on with (decode_constrain.h) */
};
MUST_USE enum status stream_start(struct stream *s, const struct decode_job *job, struct err *e);
/* Keeps the top k of the row the next token comes from. */
MUST_USE enum status stream_top(struct stream *s, int64_t k, const int32_t *id, const float *logprob, struct err *e);
/* Appends the token; *over = 1 when a stop id or string, max_tokens or the context ended the stream. */
MUST_USE enum status stream_token(struct stream *s, const struct tokenizer *t, int32_t id, int32_t max_ctx, int *over, struct err *e);
MUST_USE enum status stream_result(struct stream *s, struct decode_result *r, struct err *e);
void stream_end(struct stream *s);  /* gives the cache back, keeps small buffers for the next job */
void stream_free(struct stream *s);
#endif

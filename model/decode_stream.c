/* SPDX-License-Identifier: Apache-2.0
 * The life of one decoded sequence. Stop strings are searched in bytes over the whole tail of the answer, so one that lies
 * across token borders is found, and the text is cut before it. */
#include "decode_stream.h"

static enum status grow_ids(struct stream *s, size_t need, struct err *e) {
  if (need <= s->cap) {
    return STATUS_OK;
  }
  size_t cap = need + need / 2 + 64;
  int32_t *p = mem_realloc(s->ids, cap * sizeof *p);
  if (!p) {
    return err_nomem(e, cap * sizeof *p);
  }
  s->ids = p;
  s->cap = cap;
  return STATUS_OK;
}

enum status stream_start(struct stream *s, const struct decode_job *job, struct err *e) {
  enum status st = grow_ids(s, job->n_prompt + 1, e);
  if (st != STATUS_OK) {
    return st;
  }
  memcpy(s->ids, job->prompt, job->n_prompt * sizeof *s->ids);
  s->job = *job;
  s->n = job->n_prompt;
  s->made = 0;
  s->shared = 0;
  s->kv.len = 0;
  s->finish = FINISH_STOP;
  buf_clear(&s->bytes);
  buf_clear(&s->text);
  s->closed = 0;
  if (job->constraint) {
    st = matcher_new(job->constraint, &s->matcher, e);
  }
  s->active = st == STATUS_OK;
  return st;
}

enum status stream_top(struct stream *s, int64_t k, const int32_t *id, const float *logprob, struct err *e) {
  size_t at = s->n - s->job.n_prompt;
  if (at >= s->top_cap) {
    size_t cap = at + at / 2 + 32;
    float *chosen = mem_realloc(s->logprob, cap * sizeof *chosen);
    s->logprob = chosen ? chosen : s->logprob;
    float *lp = mem_realloc(s->top_logprob, cap * (size_t)k * sizeof *lp);
    s->top_logprob = lp ? lp : s->top_logprob;
    int32_t *ids = mem_realloc(s->top_id, cap * (size_t)k * sizeof *ids);
    s->top_id = ids ? ids : s->top_id;
    if (!chosen || !lp || !ids) {
      return err_nomem(e, cap * (size_t)k * sizeof *ids);
    }
    s->top_cap = cap;
  }
  memcpy(s->top_id + at * (size_t)k, id, (size_t)k * sizeof *id);
  memcpy(s->top_logprob + at * (size_t)k, logprob, (size_t)k * sizeof *logprob);
  return STATUS_OK;
}

/* Earliest stop string that ends in the bytes from `fresh` on. */
static int find_stop(struct stream *s, size_t fresh) {
  const struct sampling *p = &s->job.sampling;
  size_t best = SIZE_MAX;
  for (size_t i = 0; i < p->n_stop; i++) {
    size_t n = strlen(p->stop[i]);
    if (n == 0 || n > s->bytes.n) {
      continue;
    }
    for (size_t at = fresh + 1 > n ? fresh + 1 - n : 0; at + n <= s->bytes.n && at < best; at++) {
      if (!memcmp(s->bytes.p + at, p->stop[i], n)) {
        best = at;
      }
    }
  }
  if (best == SIZE_MAX) {
    return 0;
  }
  s->bytes.n = best;
  s->bytes.p[best] = 0;
  return 1;
}

enum status stream_token(struct stream *s, const struct tokenizer *t, int32_t id, int32_t max_ctx, int *over, struct err *e) {
  enum status st = STATUS_OK;
  size_t made = s->n - s->job.n_prompt;
  s->made = 1;
  *over = 1;
  for (size_t i = 0; i < s->job.n_stop_ids; i++) {
    if (id == s->job.stop_ids[i]) {
      return STATUS_OK;
    }
  }
  TRY(grow_ids(s, s->n + 1, e));
  s->ids[s->n++] = id;
  if (s->job.sampling.top_logprobs > 0) {
    s->logprob[made] = s->chosen;
  }
  size_t fresh = s->bytes.n;
  if (t && !tokenizer_is_special(t, id)) {
    struct span b = tokenizer_token_bytes(t, id);
    TRY(buf_put(&s->bytes, b.p, b.n, e));
  }
  if (s->bytes.n > fresh && find_stop(s, fresh)) {
    return STATUS_OK;
  }
  if (s->job.sampling.max_tokens > 0 && made + 1 >= (uint64_t)s->job.sampling.max_tokens) {
    s->finish = FINISH_LENGTH;
  } else if (s->n >= (size_t)max_ctx) {
    s->finish = FINISH_CONTEXT;
  } else {
    *over = 0;
  }
out:
  return st;
}

enum status stream_result(struct stream *s, struct decode_result *r, struct err *e) {
  struct utf8_stream u = {{0}, 0};
  enum status st = STATUS_OK;
  TRY(utf8_stream_put(&u, (struct span){s->bytes.p, s->bytes.n}, &s->text, e));
  TRY(utf8_stream_flush(&u, &s->text, e));
  int top = s->job.sampling.top_logprobs > 0;
  *r = (struct decode_result){.id = s->ids + s->job.n_prompt, .n = s->n - s->job.n_prompt, .finish = s->finish,
                              .text = {s->text.p ? s->text.p : "", s->text.n}, .logprob = top ? s->logprob : NULL,
                              .top_id = top ? s->top_id : NULL, .top_logprob = top ? s->top_logprob : NULL};
out:
  return st;
}

void stream_end(struct stream *s) {
  kv_free(&s->kv);
  s->kv.len = 0;
  s->active = 0;
  matcher_free(s->matcher);
  s->matcher = NULL;
  mem_free(s->logprob); /* the next job may want another k */
  mem_free(s->top_logprob);
  mem_free(s->top_id);
  s->logprob = s->top_logprob = NULL;
  s->top_id = NULL;
  s->top_cap = 0;
}

void stream_free(struct stream *s) {
  stream_end(s);
  mem_free(s->ids);
  buf_free(&s->bytes);
  buf_free(&s->text);
}

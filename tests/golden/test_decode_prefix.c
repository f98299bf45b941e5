/* SPDX-License-Identifier: Apache-2.0
 * Shared beginnings of prompts: answers and log-probabilities have the same bits with and without them, for every batch size,
 * thread count, order of prompts, size of the table and instruction set; and most prompt tokens are in fact saved. SmolLM2
 * needs $RETORT_CACHE. */
#include "golden/model_case.h"
#include "decode.h"
#include "kernel.h"
#include "rng.h"

enum { JOBS = 26, LONGEST = 1300, MADE = 24, TOP = 4 };
struct row {
  int32_t ids[LONGEST];
  size_t n, made;
  struct sampling sampling;
  int32_t id[MADE], top[MADE * TOP];
  float logprob[MADE], top_logprob[MADE * TOP];
};
static struct row rows[JOBS], want[JOBS];
static int order[JOBS], n_jobs, at;

static enum status next(void *ctx, struct decode_job *job, int *got, struct err *e) {
  (void)ctx, (void)e;
  *got = at < n_jobs;
  if (*got) {
    struct row *r = &rows[order[at++]];
    *job = (struct decode_job){.prompt = r->ids, .n_prompt = r->n, .sampling = r->sampling, .user = r};
  }
  return STATUS_OK;
}

static enum status done(void *ctx, const struct decode_job *job, const struct decode_result *r, struct err *e) {
  struct row *to = job->user;
  (void)ctx, (void)e;
  assert_true(r->n <= MADE);
  to->made = r->n;
  memcpy(to->id, r->id, r->n * sizeof *r->id);
  memcpy(to->logprob, r->logprob, r->n * sizeof(float));
  memcpy(to->top, r->top_id, r->n * TOP * sizeof(int32_t));
  memcpy(to->top_logprob, r->top_logprob, r->n * TOP * sizeof(float));
  return STATUS_OK;
}

static void forget_answers(void) {
  for (int i = 0; i < n_jobs; i++) {
    memset(rows[i].id, 0, sizeof rows[i].id);
    memset(rows[i].top, 0, sizeof rows[i].top);
    memset(rows[i].logprob, 0, sizeof rows[i].logprob);
    memset(rows[i].top_logprob, 0, sizeof rows[i].top_logprob);
    rows[i].made = 0;
  }
  at = 0;
}

static size_t put(struct row *r, const int32_t *ids, size_t n) {
  memcpy(r->ids + r->n, ids, n * sizeof *ids);
  return r->n += n;
}

static void put_random(struct row *r, struct rng *g, size_t n, uint64_t vocab) {
  for (size_t i = 0; i < n; i++) {
    r->ids[r->n++] = (int32_t)rng_below(g, vocab);
  }
}

/* Three families that begin alike for `system` tokens and then for `shots` more, with own ends; the rest are special. */
static void fill(size_t system, size_t shots, size_t most, uint64_t vocab) {
  static struct row family[3];
  struct rng g = {17, 0, 0};
  memset(family, 0, sizeof family);
  memset(rows, 0, sizeof rows);
  for (int f = 0; f < 3; f++) {
    put_random(&family[f], &g, f ? 0 : system, vocab);
    if (f) {
      put(&family[f], family[0].ids, system);
    }
    put_random(&family[f], &g, shots + (size_t)f * 3, vocab);
  }
  for (n_jobs = 0; n_jobs < JOBS - 4; n_jobs++) {
    struct row *r = &rows[n_jobs];
    put(r, family[n_jobs % 3].ids, family[n_jobs % 3].n);
    put_random(r, &g, 1 + (size_t)(n_jobs * 7) % most, vocab);
    r->sampling = (struct sampling){.temperature = n_jobs % 2 ? 0.8 : 0, .top_p = 1, .repetition_penalty = 1, .seed = 5 + (uint64_t)n_jobs,
                                    .max_tokens = n_jobs == 0 ? MADE : 3 + n_jobs % 5, .top_logprobs = TOP};
  }
  rows[1].n = family[1].n;             /* nothing beyond what is shared */
  rows[7].n = family[1].n - 1;         /* less */
  rows[4].n = system;
  for (int i = 0; i < 4; i++, n_jobs++) { /* the same prompt again, other seeds; and of several pieces */
    struct row *r = &rows[n_jobs];
    r->sampling = rows[3].sampling;
    r->sampling.seed += 1000 + (uint64_t)i;
    put(r, rows[i < 2 ? 2 : 0].ids, rows[i < 2 ? 2 : 0].n);
    if (i == 3) {
      put_random(r, &g, most * 3, vocab);
    }
  }
}

/* Shuffled by a seed; 0 leaves them in order. The first stays, so that it is still going on when the others come. */
static void shuffle(uint64_t seed) {
  struct rng g = {seed, 0, 0};
  for (int i = 0; i < n_jobs; i++) {
    order[i] = i;
  }
  for (int i = n_jobs - 1; seed && i > 1; i--) {
    int j = 1 + (int)rng_below(&g, (uint64_t)i), t = order[i];
    order[i] = order[j];
    order[j] = t;
  }
}

static size_t prompt_tokens(void) {
  size_t n = 0;
  for (int i = 0; i < n_jobs; i++) {
    n += rows[i].n;
  }
  return n;
}

/* Two runs of one decoder; the part of the prompt tokens that the second took over. */
static double answer(struct model *m, int batch, int threads, uint64_t bytes, uint64_t seed) {
  struct decoder *d = NULL;
  uint64_t run_tok, reused, made;
  MUST(pool_setup(threads, E));
  MUST(decoder_new(m, NULL, batch, &d, E));
  MUST(decoder_set_prefix_bytes(d, bytes, E));
  shuffle(seed);
  for (int again = 0; again < (bytes ? 2 : 1); again++) {
    forget_answers();
    MUST(decoder_run(d, next, done, NULL, E));
    decoder_counts(d, &run_tok, &reused, &made);
    assert_int_equal(run_tok + reused, prompt_tokens());
    assert_true(bytes || !reused);
    if (bytes) {
      assert_memory_equal(rows, want, sizeof rows);
    }
  }
  decoder_free(d);
  pool_close();
  return (double)reused / (double)(run_tok + reused);
}

/* The bits of a run without sharing, one prompt at a time. Then one prompt is what the first was, with its answer behind: the
 * rows of the answer were made by steps, which add in another order, and may not be taken over. */
static void reference(struct model *m) {
  answer(m, 1, 1, 0, 0);
  struct row *turn = &rows[JOBS - 2];
  turn->n = rows[0].n;
  put(turn, rows[0].id, rows[0].made);
  put(turn, rows[0].ids, 9);
  answer(m, 1, 1, 0, 0);
  memcpy(want, rows, sizeof want);
}

static struct model *random_model(int32_t window) {
  static struct model_config c;
  struct model *m = NULL;
  memset(&c, 0, sizeof c);
  snprintf(c.arch, sizeof c.arch, "llama");
  c.n_layer = 2, c.hidden = 48, c.head_dim = 12, c.vocab = 211, c.max_ctx = 2048, c.window = window;
  for (int l = 0; l < 2; l++) {
    c.n_head[l] = l ? 2 : 4;
    c.n_kv_head[l] = l ? 1 : 2;
    c.ffn[l] = l ? 72 : 40;
  }
  c.tied = 1, c.norm_eps = 1e-5f, c.rope_theta = 10000;
  c.bos = c.eos = c.pad = c.unk = -1;
  MUST(model_new(&c, 5, &m, E));
  int64_t n;
  float *x = model_param_block(m, &n);
  for (int64_t i = 0; i < n; i++) {
    x[i] *= 8; /* the small start values give nearly even logits */
  }
  return m;
}

static void test_sharing_never_matters(void **state) {
  (void)state;
  static const char *const isa[] = {"generic", "avx2", NULL};
  static const struct { int batch, threads; uint64_t bytes, seed; double least; } runs[] = {
      {1, 1, 1 << 26, 0, 0.7}, {3, 2, 1 << 26, 3, 0.7}, {8, 3, 1 << 26, 4, 0.7}, {26, 2, 1 << 26, 5, 0.6},
      {1, 2, 100000, 6, 0.1}, {8, 1, 100000, 7, 0.1}, {3, 1, 1, 0, 0}}; /* too little room for all; for anything */
  kernels_cpu();
  for (int i = 0; i < 3; i++) {
    kernels_cpu_select(isa[i]);
    for (int window = 0; window <= 90; window += 90) {
      struct model *m = random_model(window);
      fill(40, 260, 90, 211);
      reference(m);
      for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
        double part = answer(m, runs[r].batch, runs[r].threads, runs[r].bytes, runs[r].seed);
        if (part < runs[r].least) {
          print_message("run %zu took over %.3f of the prompt tokens\n", r, part);
          fail();
        }
      }
      model_close(m);
    }
  }
}

/* Every family of small golden models: biases, norms of heads, windows. */
static void test_golden_models(void **state) {
  (void)state;
  for (int i = 0; i < CASE_N; i++) {
    struct golden_case c;
    case_open(case_names[i], 0, &c);
    fill(5, 20, 9, (uint64_t)c.vocab);
    assert_true(model_config(c.m)->max_ctx >= 64);
    reference(c.m);
    for (int batch = 1; batch <= 8; batch += batch + 1) { /* 1 3 7 */
      assert_true(answer(c.m, batch, 2, 1 << 20, (uint64_t)batch) > 0.3);
    }
    case_close(&c);
  }
}

static enum status open_and_answer(struct model *m, struct err *e) {
  enum status st = STATUS_OK;
  struct decoder *d = NULL;
  forget_answers();
  TRY(decoder_new(m, NULL, 2, &d, e));
  TRY(decoder_run(d, next, done, NULL, e));
out:
  decoder_free(d);
  return st;
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  struct err e;
  struct model *m = random_model(0);
  fill(40, 60, 20, 211);
  n_jobs = 5;
  shuffle(0);
  for (long n = 1, reached = 0; !reached; n++) {
    memset(&e, 0, sizeof e);
    mem_fail_at(n);
    enum status st = open_and_answer(m, &e);
    reached = !mem_failed();
    mem_fail_at(0);
    assert_true(reached ? st == STATUS_OK : st == STATUS_NOMEM && e.msg[0]);
    assert_true(n < 10000);
  }
  model_close(m);
}

static void test_smollm2(void **state) {
  (void)state;
  struct model *m = NULL;
  const char *cache = getenv("RETORT_CACHE");
  char path[1024];
  if (!cache || !*cache) {
    print_message("needs RETORT_CACHE\n");
    skip();
  }
  snprintf(path, sizeof path, "%s/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", cache);
  MUST(model_open(path, 0, &m, E));
  fill(12, 24, 6, 40000);
  for (int i = 1; i < n_jobs; i++) {
    rows[i].sampling.max_tokens = 2; /* time */
  }
  reference(m);
  for (int r = 0; r < 3; r++) {
    assert_true(answer(m, r == 0 ? 1 : r == 1 ? 3 : 8, r + 1, 1 << 26, (uint64_t)r) > 0.5);
  }
  model_close(m);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_sharing_never_matters), cmocka_unit_test(test_golden_models),
                                     cmocka_unit_test(test_every_allocation_may_fail), cmocka_unit_test(test_smollm2)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

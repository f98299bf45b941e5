/* SPDX-License-Identifier: Apache-2.0
 * Batched decoding: greedy answers of the six small models, sampled answers that depend on no batch size, thread count or cache
 * limit (bit by bit, log-probabilities too), prompts cut into pieces, and every way an answer ends. */
#include "golden/model_case.h"
#include "decode.h"
#include "decode_stream.h"
#include "rng.h"

enum { MAX_JOBS = 16, MAX_MADE = 64, TOP = 4 };
struct answers {
  struct decode_job job[MAX_JOBS];
  int n, at, done;
  int32_t id[MAX_JOBS][MAX_MADE], top[MAX_JOBS][MAX_MADE * TOP];
  float logprob[MAX_JOBS][MAX_MADE], top_logprob[MAX_JOBS][MAX_MADE * TOP];
  size_t made[MAX_JOBS];
  enum finish finish[MAX_JOBS];
  int slot[MAX_JOBS];
};

static enum status next(void *ctx, struct decode_job *job, int *got, struct err *e) {
  struct answers *a = ctx;
  (void)e;
  *got = a->at < a->n;
  if (*got) {
    a->slot[a->at] = a->at;
    *job = a->job[a->at];
    job->user = &a->slot[a->at++];
  }
  return STATUS_OK;
}

static enum status done(void *ctx, const struct decode_job *job, const struct decode_result *r, struct err *e) {
  struct answers *a = ctx;
  int i = *(int *)job->user;
  (void)e;
  assert_true(r->n <= MAX_MADE);
  if (r->n) {
    memcpy(a->id[i], r->id, r->n * sizeof *r->id);
  }
  if (r->logprob && r->n) {
    memcpy(a->logprob[i], r->logprob, r->n * sizeof(float));
    memcpy(a->top[i], r->top_id, r->n * TOP * sizeof(int32_t));
    memcpy(a->top_logprob[i], r->top_logprob, r->n * TOP * sizeof(float));
  }
  a->made[i] = r->n;
  a->finish[i] = r->finish;
  a->done++;
  return STATUS_OK;
}

static void run_jobs(struct model *m, struct answers *a, int batch, uint64_t cache_bytes) {
  struct decoder *d = NULL;
  MUST(decoder_new(m, NULL, batch, &d, E));
  if (cache_bytes) {
    decoder_set_cache_bytes(d, cache_bytes);
  }
  a->at = a->done = 0;
  MUST(decoder_run(d, next, done, a, E));
  assert_int_equal(a->done, a->n);
  decoder_free(d);
}

static void test_golden_greedy(void **state) {
  (void)state;
  for (int i = 0; i < CASE_N; i++) {
    struct golden_case c;
    struct json *j = NULL;
    char path[1024];
    int32_t prompt[64];
    static struct answers a;
    case_open(case_names[i], 0, &c);
    snprintf(path, sizeof path, CASE_DATA "%s/train.json", c.name);
    MUST(json_parse_file(path, 1 << 24, &j, E));
    const struct json *g = json_get(j, "greedy"), *ids = json_get(g, "ids");
    size_t n = json_size(json_get(g, "prompt")), steps = json_size(ids);
    assert_true(n > 0 && n <= 64 && steps == 16);
    for (size_t q = 0; q < n; q++) {
      prompt[q] = (int32_t)json_int(json_at(json_get(g, "prompt"), q), -1);
    }
    memset(&a, 0, sizeof a);
    for (a.n = 0; a.n < 5; a.n++) { /* the same prompt beside shorter ones */
      a.job[a.n] = (struct decode_job){.prompt = prompt, .n_prompt = a.n % 2 ? n - 2 : n,
                                       .sampling = {.top_p = 1, .repetition_penalty = 1, .max_tokens = (int64_t)steps}};
    }
    run_jobs(c.m, &a, 3, 0);
    for (int q = 0; q < 5; q += 2) {
      assert_int_equal(a.made[q], steps);
      assert_int_equal(a.finish[q], FINISH_LENGTH);
      for (size_t t = 0; t < steps; t++) {
        assert_int_equal(a.id[q][t], json_int(json_at(ids, t), -1));
      }
    }
    json_free(j);
    case_close(&c);
  }
}

/* A random model with room for prompts of several pieces. */
static struct model *random_model(int32_t max_ctx, int32_t window) {
  static struct model_config c;
  struct model *m = NULL;
  memset(&c, 0, sizeof c);
  snprintf(c.arch, sizeof c.arch, "llama");
  c.n_layer = 2;
  c.hidden = 32;
  c.head_dim = 8;
  c.vocab = 211;
  c.max_ctx = max_ctx;
  c.window = window;
  for (int l = 0; l < 2; l++) {
    c.n_head[l] = l ? 2 : 4; /* widths differ by layer */
    c.n_kv_head[l] = l ? 1 : 2;
    c.ffn[l] = l ? 48 : 40;
  }
  c.tied = 1;
  c.norm_eps = 1e-5f;
  c.rope_theta = 10000;
  c.bos = c.eos = c.pad = c.unk = -1;
  MUST(model_new(&c, 5, &m, E));
  /* std 0.02 gives nearly even logits: louder, so that greedy is decided */
  int64_t n;
  float *x = model_param_block(m, &n);
  for (int64_t i = 0; i < n; i++) {
    x[i] *= 8;
  }
  return m;
}

static int32_t long_ids[4000];

static void fill_jobs(struct answers *a) {
  static const size_t lengths[] = {1, 7, 511, 512, 513, 1300, 2, 64, 30, 5, 1024, 100};
  struct rng r = {11, 0, 0};
  memset(a, 0, sizeof *a);
  for (size_t i = 0; i < sizeof long_ids / sizeof *long_ids; i++) {
    long_ids[i] = (int32_t)rng_below(&r, 211);
  }
  for (a->n = 0; a->n < 12; a->n++) {
    int i = a->n;
    a->job[i] = (struct decode_job){.prompt = long_ids + 37 * i, .n_prompt = lengths[i]};
    a->job[i].sampling = (struct sampling){.temperature = i % 3 ? 0.9 : 0, .top_p = i % 2 ? 0.9 : 1, .top_k = i % 4 == 3 ? 20 : 0,
                                           .repetition_penalty = i % 5 ? 1 : 1.2, .max_tokens = 3 + 5 * i, .seed = 99 + (uint64_t)i,
                                           .top_logprobs = TOP};
  }
}

static void test_batch_never_matters(void **state) {
  (void)state;
  static struct answers one, other;
  static const struct { int batch, threads; uint64_t cache; } runs[] = {{5, 1, 0}, {12, 2, 0}, {7, 3, 0}, {12, 2, 200000}};
  for (int window = 0; window <= 96; window += 96) {
    struct model *m = random_model(2048, window);
    fill_jobs(&one);
    run_jobs(m, &one, 1, 0);
    for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
      fill_jobs(&other);
      MUST(pool_setup(runs[r].threads, E));
      run_jobs(m, &other, runs[r].batch, runs[r].cache);
      pool_close();
      assert_memory_equal(one.made, other.made, sizeof one.made);
      assert_memory_equal(one.id, other.id, sizeof one.id);
      assert_memory_equal(one.logprob, other.logprob, sizeof one.logprob);
      assert_memory_equal(one.top, other.top, sizeof one.top);
      assert_memory_equal(one.top_logprob, other.top_logprob, sizeof one.top_logprob);
      assert_memory_equal(one.finish, other.finish, sizeof one.finish);
    }
    model_close(m);
  }
}

/* Greedy with the cache against the whole sequence run again for every token; prompts of one and of three pieces. */
static void test_cache_against_whole_runs(void **state) {
  (void)state;
  static struct answers a;
  struct model *m = random_model(2048, 0);
  struct run *r = NULL;
  MUST(run_new(m, 1400, 0, &r, E));
  fill_jobs(&a);
  for (int i = 0; i < a.n; i++) {
    a.job[i].sampling = (struct sampling){.top_p = 1, .repetition_penalty = 1, .max_tokens = 6};
  }
  run_jobs(m, &a, 4, 0);
  int64_t vocab = 211;
  float z[211];
  for (int i = 4; i <= 6; i++) {
    int32_t ids[1400], n = (int32_t)a.job[i].n_prompt;
    memcpy(ids, a.job[i].prompt, (size_t)n * sizeof *ids);
    for (int t = 0; t < 6; t++) {
      int32_t start[2] = {0, n};
      struct packed p = {ids, NULL, {n, 1, start}};
      const float *hidden;
      MUST(run_forward(r, &p, &hidden, E));
      model_logits(m, hidden + (int64_t)(n - 1) * 32, 1, z);
      int best = 0;
      for (int q = 1; q < vocab; q++) {
        best = z[q] > z[best] ? q : best;
      }
      assert_int_equal(a.id[i][t], best);
      ids[n++] = best;
    }
  }
  run_free(r);
  model_close(m);
}

static void test_ends(void **state) {
  (void)state;
  static struct answers a;
  struct model *m = random_model(40, 0);
  struct sampling greedy = {.top_p = 1, .repetition_penalty = 1};
  fill_jobs(&a);
  a.n = 4;
  a.job[0] = (struct decode_job){.prompt = long_ids, .n_prompt = 30, .sampling = greedy};           /* context ends */
  a.job[1] = (struct decode_job){.prompt = long_ids, .n_prompt = 40, .sampling = greedy};           /* no room at all */
  a.job[2] = (struct decode_job){.prompt = long_ids, .n_prompt = 30, .sampling = greedy};           /* stop id, set below */
  a.job[3] = (struct decode_job){.prompt = long_ids, .n_prompt = 30, .sampling = greedy};
  a.job[3].sampling.max_tokens = 1;
  run_jobs(m, &a, 2, 0);
  assert_int_equal(a.made[0], 10);
  assert_int_equal(a.finish[0], FINISH_CONTEXT);
  assert_int_equal(a.made[1], 0);
  assert_int_equal(a.finish[1], FINISH_CONTEXT);
  assert_int_equal(a.made[3], 1);
  assert_int_equal(a.finish[3], FINISH_LENGTH);
  int32_t stop = a.id[0][4];
  size_t first = 0;
  while (a.id[0][first] != stop) {
    first++;
  }
  a.job[2].stop_ids = &stop;
  a.job[2].n_stop_ids = 1;
  run_jobs(m, &a, 2, 0);
  assert_int_equal(a.made[2], first);
  assert_int_equal(a.finish[2], FINISH_STOP);
  struct decoder *d = NULL;
  struct err e;
  MUST(decoder_new(m, NULL, 2, &d, E));
  a.job[0].n_prompt = 0;
  a.at = 0;
  assert_int_equal(decoder_run(d, next, done, &a, &e), STATUS_DATA);
  decoder_free(d);
  model_close(m);
}

/* Token borders are not borders for stop strings; the text is cut before the earliest one. */
static void test_stop_strings(void **state) {
  (void)state;
  struct tokenizer *t = NULL;
  struct arena *arena = arena_new(0);
  struct tokens tok;
  const char *text = "one two three. Four, five \xc3\xa9";
  static const struct { const char *stop[2]; size_t n; const char *want; } cases[] = {
    {{"ee. Fo", NULL}, 1, "one two thr"}, {{"five", "two"}, 2, "one "}, {{"absent", ""}, 2, "one two three. Four, five \xc3\xa9"}, {{"o", NULL}, 1, ""},
  };
  MUST(tokenizer_open(TEST_SOURCE "/tests/golden/data/tokenizer/gpt2_style.tokenizer.json", &t, E));
  MUST(tokenizer_encode(t, (struct span){text, strlen(text)}, 0, arena, &tok, E));
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct stream s;
    struct decode_result r;
    struct decode_job job = {.prompt = tok.id, .n_prompt = 1, .sampling = {.top_p = 1, .stop = cases[i].stop, .n_stop = cases[i].n}};
    int over = 0;
    memset(&s, 0, sizeof s);
    MUST(stream_start(&s, &job, E));
    for (size_t q = 0; q < tok.n && !over; q++) {
      MUST(stream_token(&s, t, tok.id[q], 1000, &over, E));
    }
    assert_int_equal(over, i != 2);
    MUST(stream_result(&s, &r, E));
    assert_int_equal(r.text.n, strlen(cases[i].want));
    assert_memory_equal(r.text.p, cases[i].want, r.text.n);
    stream_free(&s);
  }
  arena_free(arena);
  tokenizer_close(t);
}

static enum status open_and_answer(struct answers *a, struct err *e) {
  enum status st = STATUS_OK;
  struct model *m = NULL;
  struct decoder *d = NULL;
  struct run *r = NULL;
  TRY(model_open(CASE_DATA "qwen3", 0, &m, e));
  TRY(run_new(m, 20, RUN_HIDDEN_ALL, &r, e));
  TRY(decoder_new(m, NULL, 2, &d, e));
  a->at = a->done = 0;
  TRY(decoder_run(d, next, done, a, e));
out:
  decoder_free(d);
  run_free(r);
  model_close(m);
  return st;
}

/* Fails the first allocation, then the second, and so on: always NOMEM with a message, never a crash or a leak. */
static void test_every_allocation_may_fail(void **state) {
  (void)state;
  static struct answers a;
  struct err e;
  int reached = 0;
  fill_jobs(&a);
  a.n = 2;
  for (long n = 1; !reached; n++) {
    memset(&e, 0, sizeof e);
    mem_fail_at(n);
    enum status st = open_and_answer(&a, &e);
    reached = !mem_failed();
    mem_fail_at(0);
    assert_true(reached ? st == STATUS_OK : st == STATUS_NOMEM && e.msg[0]);
    assert_true(n < 10000);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_allocation_may_fail), cmocka_unit_test(test_golden_greedy), cmocka_unit_test(test_batch_never_matters),
                                     cmocka_unit_test(test_cache_against_whole_runs), cmocka_unit_test(test_ends),
                                     cmocka_unit_test(test_stop_strings)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

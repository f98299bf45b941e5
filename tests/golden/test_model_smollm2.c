/* SPDX-License-Identifier: Apache-2.0
 * SmolLM2-135M (Q4_1 GGUF, exact weights) against transformers in float32: top-64 log-probabilities of eight prompts, and 48
 * greedy tokens of each at every batch size and thread count. Needs $RETORT_CACHE. */
#include "golden/model_case.h"
#include "decode.h"
#include "file.h"
#include "log.h"
#include "tokenizer.h"

#define SMOL_DATA TEST_SOURCE "/tests/golden/data/smollm2/"
/* observed on AVX-512: see the printed lines */
static const double LOGPROB_ABS = 5e-4;
enum { PROMPTS = 8, TOP = 64, STEPS = 48 };

static struct model *model;
static struct tokenizer *tok;

static int set_up(void **state) {
  (void)state;
  const char *cache = getenv("RETORT_CACHE");
  char path[1024];
  if (!cache || !*cache) {
    return 0;
  }
  snprintf(path, sizeof path, "%s/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", cache);
  MUST(pool_setup(2, E));
  double began = clock_seconds();
  MUST(model_open(path, 0, &model, E));
  print_message("opened in %.2f s\n", clock_seconds() - began);
  MUST(tokenizer_from_weights(model_weights(model), &tok, E));
  pool_close();
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  tokenizer_close(tok);
  model_close(model);
  return 0;
}

struct top_check {
  const int32_t *id; const float *want; int32_t start[PROMPTS + 1];
  double worst, rest_worst;
  int order_differs, rows;
};

static enum status see_row(void *ctx, const struct score_row *row, struct err *e) {
  struct top_check *t = ctx;
  int64_t at = (t->start[row->seq] + row->pos) * (int64_t)TOP;
  double mass = 0;
  (void)e;
  for (int i = 0; i < TOP; i++) {
    int32_t id;
    float want;
    int found = 0;
    memcpy(&id, (const char *)t->id + (at + i) * 4, 4);
    memcpy(&want, (const char *)t->want + (at + i) * 4, 4);
    for (int j = 0; j < TOP && !found; j++) {
      if (row->top_id[j] == id) {
        double d = fabs((double)row->top_logprob[j] - want);
        t->worst = d > t->worst || isnan(d) ? d : t->worst;
        found = 1;
      }
    }
    t->order_differs += !found; /* only where the 64th and 65th lie within rounding */
    mass += exp(row->top_logprob[i]);
  }
  double whole = fabs(mass + exp(row->rest) - 1);
  t->rest_worst = whole > t->rest_worst || isnan(whole) ? whole : t->rest_worst;
  t->rows++;
  return STATUS_OK;
}

static void test_top64(void **state) {
  (void)state;
  struct weights *ref = NULL;
  struct run *r = NULL;
  struct top_check t = {0};
  if (!model) {
    print_message("needs RETORT_CACHE\n");
    skip();
  }
  MUST(pool_setup(2, E));
  MUST(weights_open(SMOL_DATA "top64.safetensors", &ref, E));
  memcpy(t.start, case_tensor(ref, "cu_seqlens", DT_I32, PROMPTS + 1), sizeof t.start);
  int32_t n = t.start[PROMPTS];
  t.id = case_tensor(ref, "top_ids", DT_I32, (int64_t)n * TOP);
  t.want = case_tensor(ref, "top_logprob", DT_F32, (int64_t)n * TOP);
  int32_t *ids = mem_alloc((size_t)n * sizeof *ids);
  memcpy(ids, case_tensor(ref, "input_ids", DT_I32, n), (size_t)n * sizeof *ids);
  MUST(run_new(model, n, 0, &r, E));
  struct packed p = {ids, NULL, {n, PROMPTS, t.start}};
  MUST(model_score(r, &p, TOP, NULL, see_row, &t, E));
  assert_int_equal(t.rows, n);
  case_bound("smollm2", "top-64 log-probabilities", t.worst, LOGPROB_ABS);
  case_bound("smollm2", "mass of top 64 and rest", t.rest_worst, 1e-5);
  assert_true(t.order_differs <= n / 20);
  print_message("observed: log-probabilities %.2g, mass %.2g, %d of %d ids beyond the cut\n", t.worst, t.rest_worst, t.order_differs, n * TOP);
  mem_free(ids);
  run_free(r);
  weights_close(ref);
  pool_close();
}

/* Weights left in the file (rows put in order, decoded by need) against all of them read to float32: the same bits. */
static void test_stored_is_exact(void **state) {
  (void)state;
  struct model *whole = NULL;
  struct run *a = NULL, *b = NULL;
  const float *x, *y;
  int32_t ids[20], start[2] = {0, 20};
  if (!model) {
    print_message("needs RETORT_CACHE\n");
    skip();
  }
  for (int i = 0; i < 20; i++) {
    ids[i] = 1 + 2003 * i;
  }
  MUST(pool_setup(2, E));
  MUST(model_from_weights(model_weights(model), MODEL_TRAIN, &whole, E));
  MUST(run_new(model, 20, 0, &a, E));
  MUST(run_new(whole, 20, 0, &b, E));
  struct packed p = {ids, NULL, {20, 1, start}};
  MUST(run_forward(a, &p, &x, E));
  MUST(run_forward(b, &p, &y, E));
  assert_memory_equal(x, y, (size_t)(20 * model_config(model)->hidden) * sizeof(float));
  run_free(a);
  run_free(b);
  model_close(whole);
  pool_close();
}

struct greedy { int32_t prompt[PROMPTS][512], want[PROMPTS][STEPS]; size_t n[PROMPTS]; int at, wrong, done; struct span text[PROMPTS]; };

static enum status next_prompt(void *ctx, struct decode_job *job, int *got, struct err *e) {
  struct greedy *g = ctx;
  (void)e;
  *got = g->at < PROMPTS;
  if (*got) {
    memset(job, 0, sizeof *job);
    job->prompt = g->prompt[g->at];
    job->n_prompt = g->n[g->at];
    job->sampling = (struct sampling){.top_p = 1, .repetition_penalty = 1, .max_tokens = STEPS};
    job->user = g->want[g->at++];
  }
  return STATUS_OK;
}

static enum status check_answer(void *ctx, const struct decode_job *job, const struct decode_result *r, struct err *e) {
  struct greedy *g = ctx;
  (void)e;
  g->done++;
  g->wrong += r->n != STEPS || memcmp(r->id, job->user, STEPS * sizeof(int32_t)) || r->finish != FINISH_LENGTH;
  return STATUS_OK;
}

static void read_greedy(struct greedy *g) {
  struct buf b = {0};
  MUST(file_read(SMOL_DATA "greedy.jsonl", 1 << 24, &b, E));
  char *line = b.p;
  for (int i = 0; i < PROMPTS; i++) {
    struct json *j = NULL;
    char *end = memchr(line, '\n', (size_t)(b.p + b.n - line));
    end = end ? end : b.p + b.n;
    MUST(json_parse((struct span){line, (size_t)(end - line)}, "greedy.jsonl", &j, E));
    g->n[i] = json_size(json_get(j, "ids"));
    assert_true(g->n[i] > 0 && g->n[i] <= 512);
    for (size_t q = 0; q < g->n[i]; q++) {
      g->prompt[i][q] = (int32_t)json_int(json_at(json_get(j, "ids"), q), -1);
    }
    for (size_t q = 0; q < STEPS; q++) {
      g->want[i][q] = (int32_t)json_int(json_at(json_get(j, "greedy_hf_f32"), q), -1);
    }
    json_free(j);
    line = end + 1;
  }
  buf_free(&b);
}

static void test_greedy(void **state) {
  (void)state;
  static struct greedy g;
  static const int batches[] = {1, 3, 8}; /* the batch of 1 with two threads only, three threads with the batch of 8 only: time */
  if (!model) {
    print_message("needs RETORT_CACHE\n");
    skip();
  }
  read_greedy(&g);
  for (int threads = 1; threads <= 3; threads++) {
    for (size_t b = 0; b < 3; b++) {
      struct decoder *d = NULL;
      if ((batches[b] == 1 && threads == 1) || (batches[b] != 8 && threads == 3)) {
        continue;
      }
      MUST(pool_setup(threads, E));
      MUST(decoder_new(model, tok, batches[b], &d, E));
      g.at = g.wrong = g.done = 0;
      MUST(decoder_run(d, next_prompt, check_answer, &g, E));
      print_message("batch %d, %d threads: %.0f tok/s, %d of %d differ\n", batches[b], threads, decoder_tokens_per_second(d), g.wrong, g.done);
      assert_int_equal(g.done, PROMPTS);
      assert_int_equal(g.wrong, 0);
      decoder_free(d);
      pool_close();
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_top64), cmocka_unit_test(test_stored_is_exact), cmocka_unit_test(test_greedy)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}

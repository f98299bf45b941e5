/* SPDX-License-Identifier: Apache-2.0
 * Decoding on the device: the golden greedy answers of six small models, alone and beside other prompts, and scored rows (log-
 * probabilities, top k, remaining mass) against the CPU's. */
#include "device/device_test.h"
#include <math.h>
#include "decode.h"
#include "json.h"

enum { JOBS = 5, MADE = 16, TOP = 5, TOK = 24 };
static const char *const names[] = { "llama_tied", "llama_untied_rope3", "mistral", "mistral_window", "qwen2", "qwen3" };

struct answers {
  struct decode_job job[JOBS];
  int n, at, slot[JOBS];
  int32_t id[JOBS][MADE];
  size_t made[JOBS];
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
  assert_true(r->n <= MADE);
  memcpy(a->id[i], r->id, r->n * sizeof *r->id);
  a->made[i] = r->n;
  return STATUS_OK;
}

static struct model *open_model(const char *name) {
  char path[500];
  struct err e;
  struct model *m = NULL;
  snprintf(path, sizeof path, TEST_SOURCE "/tests/golden/data/model/%s", name);
  ok(model_open(path, 0, &m, &e), &e);
  return m;
}

static void golden_answers(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    static struct answers a;
    char path[500];
    int32_t prompt[64];
    struct json *j = NULL;
    struct decoder *d = NULL;
    struct err e;
    device_use(the_device);
    struct model *m = open_model(names[i]);
    snprintf(path, sizeof path, TEST_SOURCE "/tests/golden/data/model/%s/train.json", names[i]);
    ok(json_parse_file(path, 1 << 24, &j, &e), &e);
    const struct json *g = json_get(j, "greedy"), *ids = json_get(g, "ids");
    size_t n = json_size(json_get(g, "prompt"));
    assert_true(n > 2 && n <= 64 && json_size(ids) == MADE);
    for (size_t q = 0; q < n; q++) {
      prompt[q] = (int32_t)json_int(json_at(json_get(g, "prompt"), q), -1);
    }
    memset(&a, 0, sizeof a);
    for (a.n = 0; a.n < JOBS; a.n++) { /* the same prompt beside shorter ones */
      a.job[a.n] = (struct decode_job){ .prompt = prompt, .n_prompt = a.n % 2 ? n - 2 : n, .sampling = { .top_p = 1, .repetition_penalty = 1, .max_tokens = MADE } };
    }
    ok(decoder_new(m, NULL, 3, &d, &e), &e);
    ok(decoder_run(d, next, done, &a, &e), &e);
    for (int q = 0; q < JOBS; q += 2) {
      assert_int_equal(a.made[q], MADE);
      for (size_t t = 0; t < MADE; t++) {
        assert_int_equal(a.id[q][t], json_int(json_at(ids, t), -1));
      }
    }
    decoder_free(d);
    model_close(m);
    json_free(j);
  }
}

struct scored { int n; float logprob[TOK], rest[TOK], top[TOK * TOP]; int32_t id[TOK * TOP]; };

static enum status keep(void *ctx, const struct score_row *row, struct err *e) {
  struct scored *s = ctx;
  (void)e;
  s->logprob[s->n] = row->logprob;
  s->rest[s->n] = row->rest;
  memcpy(s->top + s->n * TOP, row->top_logprob, TOP * sizeof *s->top);
  memcpy(s->id + s->n * TOP, row->top_id, TOP * sizeof *s->id);
  s->n++;
  return STATUS_OK;
}

static void near_to(float got, float want) {
  if (!(got == want || (isnan(got) && isnan(want)) || fabsf(got - want) < 2e-5f)) { /* observed 2e-6 */
    fail_msg("%.9g, wanted %.9g", (double)got, (double)want);
  }
}

static void scored_rows(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof names / sizeof *names; i += 2) {
    int32_t ids[TOK], start[] = { 0, 9, TOK };
    struct packed p = { ids, NULL, { TOK, 2, start } };
    static struct scored s[2];
    memset(s, 0, sizeof s);
    for (int on = 0; on < 2; on++) {
      struct err e;
      struct run *r = NULL;
      device_use(on ? the_device : NULL);
      struct model *m = open_model(names[i]);
      for (int t = 0; t < TOK; t++) {
        ids[t] = (t * 37 + 5) % model_config(m)->vocab;
      }
      ok(run_new(m, TOK, 0, &r, &e), &e);
      ok(model_score(r, &p, TOP, NULL, keep, &s[on], &e), &e);
      run_free(r);
      model_close(m);
    }
    assert_int_equal(s[0].n, TOK);
    assert_int_equal(s[1].n, TOK);
    assert_memory_equal(s[0].id, s[1].id, sizeof s[0].id);
    for (int t = 0; t < TOK; t++) {
      near_to(s[1].logprob[t], s[0].logprob[t]);
      near_to(s[1].rest[t], s[0].rest[t]);
      for (int k = 0; k < TOP; k++) {
        near_to(s[1].top[t * TOP + k], s[0].top[t * TOP + k]);
      }
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(golden_answers), cmocka_unit_test(scored_rows) };
  return device_main(tests, sizeof tests / sizeof *tests);
}

/* SPDX-License-Identifier: Apache-2.0
 * Twenty AdamW steps of six small models against float64 (tests/golden/data/model/NAME/train.json): loss and gradient norm
 * of every step, L2 norm of every final parameter; in one micro-batch, in four, and at 1, 2 and 3 threads. */
#include "golden_file.h"
#include <math.h>
#include "json.h"
#include "pool.h"
#include "trainer.h"

enum { ROWS = 4, LEN = 16 };
static const char *const names[] = { "llama_tied", "llama_untied_rope3", "qwen2", "qwen3", "mistral", "mistral_window" };

struct trained { float *block; int64_t n; double loss[20]; };

static void ok(enum status st, const struct err *e) {
  if (st != STATUS_OK) {
    fail_msg("%s: %s", status_name(st), e->msg);
  }
}

static void fill_samples(const struct json *data, struct sample *s) {
  static int32_t ids[ROWS * LEN], start[2] = { 0, LEN }, pos[LEN - 1];
  static unsigned char mask[LEN];
  for (int i = 0; i < LEN - 1; i++) {
    pos[i] = i;
  }
  memset(mask, 1, sizeof mask);
  for (size_t r = 0; r < ROWS; r++) {
    for (size_t i = 0; i < LEN; i++) {
      ids[r * LEN + i] = (int32_t)json_int(json_at(json_at(data, r), i), -1);
    }
    s[r] = (struct sample){ .n_tok = LEN, .n_doc = 1, .ids = ids + r * LEN, .mask = mask, .doc_start = start, .n_target = LEN - 1, .target_pos = pos };
  }
}

static struct trained train_one(const char *name, const struct json *g, int64_t micro_tokens, int compare) {
  char path[500];
  struct err e;
  struct model *m = NULL;
  struct target none = { 0 };
  struct trainer t;
  struct trained out = { 0 };
  struct sample s[ROWS];
  snprintf(path, sizeof path, TEST_SOURCE "/tests/golden/data/model/%s", name);
  ok(model_open(path, MODEL_TRAIN, &m, &e), &e);
  struct trainer_options o = { .loss = loss_find("ce"), .params = { .temperature = 1 }, .micro_tokens = micro_tokens, .context = LEN,
                               .optim = { 1e-3, 0.9, 0.95, 1e-8, 0.1, 1.0 } };
  ok(trainer_open(&t, m, &none, &o, &e), &e);
  const struct json *loss = json_get(g, "loss_f64"), *norm = json_get(g, "grad_norm_f64");
  double worst = 0, worst_norm = 0;
  for (size_t i = 0; i < 20; i++) {
    struct step_result r;
    fill_samples(json_at(json_get(g, "data_ids"), i % 5), s);
    ok(trainer_step(&t, s, ROWS, o.optim.lr, &r, &e), &e);
    assert_true(r.updated && r.sums.n == ROWS * (LEN - 1));
    out.loss[i] = r.sums.loss / r.sums.weight;
    worst = fmax(worst, fabs(out.loss[i] - json_num(json_at(loss, i), NAN)));
    worst_norm = fmax(worst_norm, fabs(r.norm / json_num(json_at(norm, i), NAN) - 1));
  }
  if (compare) {
    print_message("%s: loss off %.1e, gradient norm off %.1e\n", name, worst, worst_norm);
  }
  assert_true(worst < 3e-5); /* observed 2e-6 */
  assert_true(worst_norm < 1e-4);
  const float *block = model_param_block(m, &out.n);
  out.block = mem_alloc((size_t)out.n * sizeof(float));
  memcpy(out.block, block, (size_t)out.n * sizeof(float));
  for (size_t i = 0; compare && i < model_param_count_list(m); i++) {
    const struct param *p = model_param_at(m, i);
    const struct json *f = json_get(json_get(g, "final_params_f64"), p->name);
    double l2 = 0, want = json_num(json_get(f, "l2"), NAN);
    for (int64_t j = 0; j < p->rows * (p->cols > 0 ? p->cols : 1); j++) {
      l2 += (double)block[p->offset + j] * (double)block[p->offset + j];
    }
    double tol = strstr(p->name, "k_proj.bias") != NULL ? 3e-4 : 5e-6;
    if (!(fabs(sqrt(l2) / want - 1) < tol)) {
      fail_msg("%s %s: L2 norm %.9g, golden %.9g", name, p->name, sqrt(l2), want);
    }
  }
  trainer_close(&t);
  model_close(m);
  return out;
}

static void twenty_steps(void **state) {
  (void)state;
  struct err e;
  for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
    char path[500];
    struct json *g = NULL;
    snprintf(path, sizeof path, TEST_SOURCE "/tests/golden/data/model/%s/train.json", names[n]);
    ok(json_parse_file(path, 1 << 24, &g, &e), &e);
    struct trained one = { 0 };
    for (int threads = 1; threads <= 3; threads++) {
      pool_close();
      ok(pool_setup(threads, &e), &e);
      struct trained x = train_one(names[n], g, ROWS * LEN, threads == 1);
      if (threads == 1) {
        one = x;
        continue;
      }
      assert_memory_equal(one.block, x.block, (size_t)one.n * sizeof(float));
      mem_free(x.block);
    }
    struct trained four = train_one(names[n], g, LEN, 0);
    for (int i = 0; i < 20; i++) {
      assert_true(fabs(four.loss[i] - one.loss[i]) < 1e-5);
    }
    mem_free(one.block);
    mem_free(four.block);
    json_free(g);
  }
  pool_close();
}

int main(void) {
  const struct CMUnitTest tests[] = { cmocka_unit_test(twenty_steps) };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 * Backward pass of the six small models: every gradient against float64, finite differences, recomputation and threads bit by
 * bit, twenty AdamW steps. */
#include "golden/model_case.h"

/* observed over all six models on AVX-512: see the printed lines */
static const double LOSS_ABS = 1e-5, GRAD_REL_MAX = 5e-5, STEP_LOSS_ABS = 3e-5, L2_REL = 5e-6, L2_REL_K_BIAS = 3e-4;

static float *grads_for(struct golden_case *c, int flags, double *loss) {
  struct run *r = NULL;
  int64_t n;
  (void)model_param_block(c->m, &n);
  float *g = mem_calloc((size_t)n, sizeof *g);
  assert_non_null(g);
  int32_t count = 0;
  for (int i = 0; i < CASE_TOK; i++) {
    count += c->labels[i] >= 0;
  }
  struct packed p = {c->ids, NULL, {CASE_TOK, CASE_SEQ, c->start}};
  MUST(run_new(c->m, CASE_TOK, flags, &r, E));
  *loss = case_loss(r, c->m, &p, c->labels, count, g);
  run_free(r);
  return g;
}

static double grad_worst(const struct golden_case *c, const float *g) {
  struct weights *ref = NULL;
  char path[1024];
  double worst = 0;
  snprintf(path, sizeof path, CASE_DATA "%s/grads.safetensors", c->name);
  MUST(weights_open(path, &ref, E));
  assert_int_equal(weights_count(ref), model_param_count_list(c->m));
  for (size_t i = 0; i < model_param_count_list(c->m); i++) {
    const struct param *p = model_param_at(c->m, i);
    int64_t n = p->rows * (p->cols ? p->cols : 1);
    const float *want = case_tensor(ref, p->name, DT_F32, n);
    double top = 0, off = 0;
    for (int64_t j = 0; j < n; j++) {
      float w;
      memcpy(&w, (const char *)want + j * 4, 4);
      double d = fabs((double)g[p->offset + j] - w);
      top = fabs(w) > top ? fabs(w) : top;
      off = d > off || isnan(d) ? d : off;
    }
    case_bound(c->name, p->name, off / top, GRAD_REL_MAX);
    worst = off / top > worst ? off / top : worst;
  }
  weights_close(ref);
  return worst;
}

static void test_gradients(void **state) {
  (void)state;
  double seen_grad = 0, seen_loss = 0;
  for (int i = 0; i < CASE_N; i++) {
    struct golden_case c;
    int64_t n;
    double loss, again, ref;
    case_open(case_names[i], MODEL_TRAIN, &c);
    (void)model_param_block(c.m, &n);
    float *g = grads_for(&c, RUN_BACKWARD, &loss);
    memcpy(&ref, case_tensor(c.io, "loss_f64", DT_F64, 1), 8);
    case_bound(c.name, "loss", fabs(loss - ref), LOSS_ABS);
    seen_loss = fabs(loss - ref) > seen_loss ? fabs(loss - ref) : seen_loss;
    double d = grad_worst(&c, g);
    seen_grad = d > seen_grad ? d : seen_grad;
    static const int plans[] = {RUN_BACKWARD | RUN_RECOMPUTE, RUN_BACKWARD | RUN_HIDDEN_ALL, RUN_BACKWARD | RUN_RECOMPUTE | RUN_HIDDEN_ALL};
    for (size_t f = 0; f < 3; f++) {
      float *other = grads_for(&c, plans[f], &again);
      assert_true(loss == again);
      assert_memory_equal(g, other, (size_t)n * sizeof(float));
      mem_free(other);
    }
    for (int threads = 2; threads <= 3; threads++) {
      MUST(pool_setup(threads, E));
      float *other = grads_for(&c, RUN_BACKWARD, &again);
      pool_close();
      assert_memory_equal(g, other, (size_t)n * sizeof(float));
      mem_free(other);
    }
    mem_free(g);
    case_close(&c);
  }
  print_message("observed: loss %.2g, gradients %.2g of their maximum\n", seen_loss, seen_grad);
}

/* A few values of every parameter: (L(x + h) - L(x - h)) / 2h. Float32 limits it: h = 1e-2, bound 2 % of the largest. */
static void test_finite_differences(void **state) {
  (void)state;
  struct golden_case c;
  double loss, up, down;
  int64_t n;
  case_open("qwen3", MODEL_TRAIN, &c);
  float *x = model_param_block(c.m, &n);
  float *g = grads_for(&c, RUN_BACKWARD, &loss);
  for (size_t i = 0; i < model_param_count_list(c.m); i++) {
    const struct param *p = model_param_at(c.m, i);
    int64_t count = p->rows * (p->cols ? p->cols : 1);
    double top = 0;
    for (int64_t j = 0; j < count; j++) {
      top = fabs((double)g[p->offset + j]) > top ? fabs((double)g[p->offset + j]) : top;
    }
    int64_t at = p->offset + count / 3;
    float keep = x[at], h = 1e-2f;
    x[at] = keep + h;
    mem_free(grads_for(&c, RUN_BACKWARD, &up));
    x[at] = keep - h;
    mem_free(grads_for(&c, RUN_BACKWARD, &down));
    x[at] = keep;
    case_bound(p->name, "finite difference", fabs((up - down) / (2 * (double)h) - g[at]), 0.02 * top + 1e-5);
  }
  mem_free(g);
  case_close(&c);
}

struct steps { const struct json *j; float *grads, *mom, *var; int64_t n; };

static double step_loss(struct golden_case *c, struct run *r, const struct steps *s, int step, float *grads) {
  enum { ROWS = 4, LEN = 16 };
  int32_t ids[ROWS * LEN], labels[ROWS * LEN], start[ROWS + 1] = {0, 16, 32, 48, 64};
  const struct json *data = json_at(json_get(s->j, "data_ids"), (size_t)(step % 5));
  for (int i = 0; i < ROWS * LEN; i++) {
    ids[i] = (int32_t)json_int(json_at(json_at(data, (size_t)(i / LEN)), (size_t)(i % LEN)), -1);
  }
  for (int i = 0; i < ROWS * LEN; i++) {
    labels[i] = i % LEN == LEN - 1 ? -1 : ids[i + 1];
  }
  struct packed p = {ids, NULL, {ROWS * LEN, ROWS, start}};
  return case_loss(r, c->m, &p, labels, ROWS * (LEN - 1), grads);
}

static void adamw_step(struct golden_case *c, const struct steps *s, int step, double norm) {
  const struct kernels *k = model_kernels(c->m);
  int64_t n;
  float *x = model_param_block(c->m, &n);
  double scale = 1 / (norm + 1e-6) < 1 ? 1 / (norm + 1e-6) : 1;
  for (size_t i = 0; i < model_param_count_list(c->m); i++) {
    const struct param *p = model_param_at(c->m, i);
    int64_t o = p->offset, count = p->rows * (p->cols ? p->cols : 1);
    k->adamw(NULL, count, x + o, s->grads + o, s->mom + o, s->var + o, 1e-3f, 0.9f, 0.95f, 1e-8f, p->cols ? 0.1f : 0.0f,
             (float)scale, step + 1);
  }
}

static void test_adamw(void **state) {
  (void)state;
  double seen = 0, seen_l2 = 0;
  for (int i = 0; i < CASE_N; i++) {
    struct golden_case c;
    struct json *j = NULL;
    struct run *r = NULL;
    char path[1024];
    struct steps s = {0};
    case_open(case_names[i], MODEL_TRAIN, &c);
    snprintf(path, sizeof path, CASE_DATA "%s/train.json", c.name);
    MUST(json_parse_file(path, 1 << 24, &j, E));
    s.j = j;
    float *x = model_param_block(c.m, &s.n);
    s.grads = mem_calloc((size_t)s.n * 3, sizeof(float));
    assert_non_null(s.grads);
    s.mom = s.grads + s.n;
    s.var = s.mom + s.n;
    MUST(run_new(c.m, 64, RUN_BACKWARD, &r, E));
    for (int step = 0; step <= 20; step++) {
      memset(s.grads, 0, (size_t)s.n * sizeof(float));
      double loss = step_loss(&c, r, &s, step, s.grads);
      double off = fabs(loss - json_num(json_at(json_get(j, "loss_f64"), (size_t)step), NAN));
      case_bound(c.name, "loss of a step", off, STEP_LOSS_ABS);
      seen = off > seen ? off : seen;
      if (step < 20) {
        adamw_step(&c, &s, step, sqrt(model_kernels(c.m)->sum_squares(NULL, s.n, s.grads)));
      }
    }
    for (size_t q = 0; q < model_param_count_list(c.m); q++) {
      const struct param *p = model_param_at(c.m, q);
      double want = json_num(json_get(json_get(json_get(j, "final_params_f64"), p->name), "l2"), NAN);
      double got = sqrt(model_kernels(c.m)->sum_squares(NULL, p->rows * (p->cols ? p->cols : 1), x + p->offset));
      int k_bias = strstr(p->name, "k_proj.bias") != NULL;
      case_bound(c.name, p->name, fabs(got - want) / want, k_bias ? L2_REL_K_BIAS : L2_REL);
      seen_l2 = !k_bias && fabs(got - want) / want > seen_l2 ? fabs(got - want) / want : seen_l2;
    }
    run_free(r);
    mem_free(s.grads);
    json_free(j);
    case_close(&c);
  }
  print_message("observed: step losses %.2g, final norms %.2g\n", seen, seen_l2);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradients), cmocka_unit_test(test_finite_differences), cmocka_unit_test(test_adamw)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

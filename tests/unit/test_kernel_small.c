/* SPDX-License-Identifier: Apache-2.0
 * The small kernels against double precision, gradients against finite differences of the double reference, and the same
 * bits for 1, 2 and 3 threads. */
#include "kernel_check.h"

static const int64_t shapes[][2] = {{1, 1}, {3, 17}, {17, 37}, {130, 64}, {37, 577}, {1000, 10}, {129, 576}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

#define EACH_THREADS(call_a, call_b, check)          \
  do {                                               \
    use_threads(1);                                  \
    call_a;                                          \
    for (int t_ = 2; t_ <= 3; t_++) {                \
      use_threads(t_);                               \
      call_b;                                        \
      check;                                         \
    }                                                \
  } while (0)

static void rmsnorm_reference(int64_t width, const double *x, const float *gamma, double eps, double *out, double *rstd) {
  double sum = 0;
  for (int64_t c = 0; c < width; c++) {
    sum += x[c] * x[c];
  }
  *rstd = 1 / sqrt(sum / (double)width + eps);
  for (int64_t c = 0; c < width; c++) {
    out[c] = x[c] * *rstd * (double)gamma[c];
  }
}

static void rmsnorm(void **state) {
  const struct kernels *k = kernels_cpu();
  (void)state;
  for (int s = 0; s < N_SHAPES; s++) {
    int64_t n = shapes[s][0], width = shapes[s][1], all = n * width;
    float *x = filled(all, 1), *gamma = filled(width, 2), *out = floats(all), *out2 = floats(all), *rstd = floats(n), *rstd2 = floats(n);
    float *dout = filled(all, 3), *dx = filled(all, 4), *dx0 = filled(all, 4), *dx2 = floats(all), *dg = filled(width, 5), *dg2 = floats(width);
    double *wide = doubles(all), *want = doubles(all), *want_rstd = doubles(n), *try = doubles(width), r;
    double eps = (double)1e-5f;
    for (int64_t i = 0; i < all; i++) {
      x[i] *= s % 2 ? 100 : 1e-3f;
      wide[i] = (double)x[i];
    }
    for (int64_t i = 0; i < n; i++) {
      rmsnorm_reference(width, wide + i * width, gamma, eps, want + i * width, want_rstd + i);
    }
    EACH_THREADS(k->rmsnorm_forward(NULL, n, width, x, gamma, 1e-5f, out, rstd),
                 k->rmsnorm_forward(NULL, n, width, x, gamma, 1e-5f, out2, rstd2), { CHECK_SAME(out, out2, all); CHECK_SAME(rstd, rstd2, n); });
    CHECK_CLOSE(out, want, all, 0, 3e-7); /* observed 1.5e-7 */
    CHECK_CLOSE(rstd, want_rstd, n, 0, 1e-7); /* observed 6e-8 */
    /* dx is added to what is there, dgamma too */
    k->rmsnorm_backward(NULL, n, width, x, gamma, rstd, dout, dx, 1, dg);
    float *dg_start = filled(width, 5);
    for (int threads = 2; threads <= 3; threads++) {
      use_threads(threads);
      memcpy(dx2, dx0, (size_t)all * sizeof *dx2);
      memcpy(dg2, dg_start, (size_t)width * sizeof *dg2);
      k->rmsnorm_backward(NULL, n, width, x, gamma, rstd, dout, dx2, 1, dg2);
      CHECK_SAME(dx, dx2, all);
      CHECK_SAME(dg, dg2, width);
    }
    k->rmsnorm_backward(NULL, n, width, x, gamma, rstd, dout, dx2, 0, NULL);
    for (int probe = 0; probe < 40; probe++) {
      int64_t at = (int64_t)probe * 7919 % all, row = at / width, c = at % width;
      double keep = wide[at], h = 1e-6 * fmax(1e-3, fabs(keep)), sum[2] = {0};
      for (int side = 0; side < 2; side++) {
        wide[at] = keep + (side ? h : -h);
        rmsnorm_reference(width, wide + row * width, gamma, eps, try, &r);
        for (int64_t i = 0; i < width; i++) {
          sum[side] += try[i] * (double)dout[row * width + i];
        }
      }
      wide[at] = keep;
      double want_dx = (sum[1] - sum[0]) / (2 * h), scale = (double)rstd[row];
      CHECK_CLOSE(dx2 + at, &want_dx, 1, scale, 3e-7); /* observed 4.7e-8 */
      want_dx += (double)dx0[at];
      CHECK_CLOSE(dx + at, &want_dx, 1, scale + 1, 3e-7); /* observed 5e-8 */
      double want_dg = (double)dg_start[c];
      for (int64_t i = 0; i < n; i++) {
        want_dg += (double)dout[i * width + c] * wide[i * width + c] * want_rstd[i];
      }
      CHECK_CLOSE(dg + c, &want_dg, 1, 1, 1e-6); /* observed 2.3e-7 */
    }
    mem_free(x), mem_free(gamma), mem_free(out), mem_free(out2), mem_free(rstd), mem_free(rstd2), mem_free(dout), mem_free(dx), mem_free(dx0);
    mem_free(dx2), mem_free(dg), mem_free(dg2), mem_free(wide), mem_free(want), mem_free(want_rstd), mem_free(try), mem_free(dg_start);
  }
}

static void rope(void **state) {
  static const int32_t dims[] = {2, 10, 64, 37, 128};
  const struct kernels *k = kernels_cpu();
  enum { N = 70, HEADS = 3 };
  (void)state;
  for (int d = 0; d < 5; d++) {
    int32_t dh = dims[d], half = dh / 2, ld = HEADS * dh + 5;
    float *x = filled(N * ld, 1), *x0 = filled(N * ld, 1), *x2 = filled(N * ld, 1), *cs = floats(N * dh);
    double *want = doubles(N * ld), *before = doubles(N * ld);
    for (int64_t i = 0; i < N; i++) {
      for (int32_t c = 0; c < half; c++) {
        double angle = (double)i * pow(10000, -2.0 * c / dh);
        cs[i * dh + c] = (float)cos(angle);
        cs[i * dh + half + c] = (float)sin(angle);
      }
    }
    for (int64_t i = 0; i < N * ld; i++) {
      want[i] = before[i] = (double)x0[i];
    }
    for (int64_t i = 0; i < N; i++) {
      for (int32_t h = 0; h < HEADS; h++) {
        for (int32_t c = 0; c < half; c++) {
          int64_t at = i * ld + h * dh + c;
          double angle = (double)i * pow(10000, -2.0 * c / dh), a = before[at], b = before[at + half];
          want[at] = a * cos(angle) - b * sin(angle);
          want[at + half] = b * cos(angle) + a * sin(angle);
        }
      }
    }
    use_threads(1);
    k->rope(NULL, N, HEADS, dh, cs, x, ld, 0);
    use_threads(3);
    k->rope(NULL, N, HEADS, dh, cs, x2, ld, 0);
    CHECK_SAME(x, x2, N * ld);
    CHECK_CLOSE(x, want, N * ld, 1, 3e-7); /* observed 8e-8 */
    k->rope(NULL, N, HEADS, dh, cs, x, ld, 1);
    CHECK_CLOSE(x, before, N * ld, 1, 3e-7); /* observed 1.2e-7: the inverse turns back */
    mem_free(x), mem_free(x0), mem_free(x2), mem_free(cs), mem_free(want), mem_free(before);
  }
}

static double swiglu_of(double g, double u) { return g / (1 + exp(-g)) * u; }

static void swiglu(void **state) {
  const struct kernels *k = kernels_cpu();
  enum { N = 20011 };
  float *g = filled(N, 1), *u = filled(N, 2), *d = filled(N, 3), *out = floats(N), *out2 = floats(N), *dg = floats(N), *du = floats(N);
  float *dg2 = floats(N), *du2 = floats(N);
  double *want = doubles(N), *want_dg = doubles(N), *want_du = doubles(N);
  (void)state;
  for (int64_t i = 0; i < N; i++) {
    g[i] *= i % 3 ? 8.0f : i % 2 ? 200.0f : 0.01f; /* exp(-g) overflows for g = -200: the result is -0 */
    double a = (double)g[i], b = (double)u[i], h = 1e-5;
    want[i] = swiglu_of(a, b);
    want_dg[i] = (double)d[i] * (swiglu_of(a + h, b) - swiglu_of(a - h, b)) / (2 * h);
    want_du[i] = (double)d[i] * swiglu_of(a, 1);
  }
  EACH_THREADS({ k->swiglu_forward(NULL, N, g, u, out); k->swiglu_backward(NULL, N, g, u, d, dg, du); },
               { k->swiglu_forward(NULL, N, g, u, out2); k->swiglu_backward(NULL, N, g, u, d, dg2, du2); },
               { CHECK_SAME(out, out2, N); CHECK_SAME(dg, dg2, N); CHECK_SAME(du, du2, N); });
  CHECK_CLOSE(out, want, N, 1e-3, 5e-7);    /* observed 2e-7 */
  CHECK_CLOSE(dg, want_dg, N, 1, 1e-6);     /* observed 3e-7 */
  CHECK_CLOSE(du, want_du, N, 1e-3, 5e-7); /* observed 1.8e-7 */
  memcpy(out2, g, N * sizeof *out2); /* in place */
  k->swiglu_forward(NULL, N, out2, u, out2);
  CHECK_SAME(out, out2, N);
  mem_free(g), mem_free(u), mem_free(d), mem_free(out), mem_free(out2), mem_free(dg), mem_free(du), mem_free(dg2), mem_free(du2);
  mem_free(want), mem_free(want_dg), mem_free(want_du);
}

static void embed(void **state) {
  const struct kernels *k = kernels_cpu();
  enum { VOCAB = 50, N = 333, WIDTH = 577 };
  float *table = filled(VOCAB * WIDTH, 1), *out = floats(N * WIDTH), *dout = filled(N * WIDTH, 2), *dt = filled(VOCAB * WIDTH, 3);
  float *dt2 = filled(VOCAB * WIDTH, 3);
  double *want = doubles(VOCAB * WIDTH);
  int32_t ids[N];
  (void)state;
  for (int i = 0; i < VOCAB * WIDTH; i++) {
    want[i] = (double)dt[i];
  }
  for (int i = 0; i < N; i++) {
    ids[i] = i * 7 % 11 ? i * 13 % VOCAB : VOCAB - 1; /* one id very often */
  }
  use_threads(1);
  k->embed_forward(NULL, N, WIDTH, ids, DT_F32, table, out);
  k->embed_backward(NULL, N, WIDTH, ids, dout, dt);
  use_threads(3);
  k->embed_backward(NULL, N, WIDTH, ids, dout, dt2);
  CHECK_SAME(dt, dt2, VOCAB * WIDTH);
  for (int i = 0; i < N; i++) {
    CHECK_SAME(out + i * WIDTH, table + ids[i] * WIDTH, WIDTH);
    for (int c = 0; c < WIDTH; c++) {
      want[ids[i] * WIDTH + c] += (double)dout[i * WIDTH + c];
    }
  }
  CHECK_CLOSE(dt, want, VOCAB * WIDTH, 1, 2e-6); /* observed 6.4e-7 */
  mem_free(table), mem_free(out), mem_free(dout), mem_free(dt), mem_free(dt2), mem_free(want);
}

static void bias_add_scale_squares(void **state) {
  const struct kernels *k = kernels_cpu();
  (void)state;
  for (int s = 0; s < N_SHAPES; s++) {
    int64_t n = shapes[s][0], width = shapes[s][1], all = n * width;
    float *y = filled(all, 1), *y0 = filled(all, 1), *bias = filled(width, 2), *db = filled(width, 3), *db2 = filled(width, 3), *sum = floats(all);
    double *want = doubles(width), squares = 0;
    use_threads(1);
    k->bias_forward(NULL, n, width, bias, y);
    k->bias_backward(NULL, n, width, y0, db);
    use_threads(3);
    k->bias_backward(NULL, n, width, y0, db2);
    CHECK_SAME(db, db2, width);
    k->add(NULL, all, y, y0, sum);
    for (int64_t i = 0; i < all; i++) {
      assert_true(y[i] == y0[i] + bias[i % width]);
      assert_true(sum[i] == y[i] + y0[i]);
      squares += (double)y0[i] * (double)y0[i];
    }
    float *start = filled(width, 3);
    for (int64_t c = 0; c < width; c++) {
      want[c] = (double)start[c];
      for (int64_t i = 0; i < n; i++) {
        want[c] += (double)y0[i * width + c];
      }
    }
    CHECK_CLOSE(db, want, width, 1, 2e-7); /* observed 5.5e-8 */
    double got = k->sum_squares(NULL, all, y0);
    assert_true(fabs(got - squares) <= 1e-12 * squares);
    use_threads(1);
    assert_true(got == k->sum_squares(NULL, all, y0));
    k->add(NULL, all, y, y0, y); /* out may be a */
    CHECK_SAME(y, sum, all);
    k->scale(NULL, all, -0.5f, y);
    for (int64_t i = 0; i < all; i++) {
      assert_true(y[i] == sum[i] * -0.5f);
    }
    mem_free(y), mem_free(y0), mem_free(bias), mem_free(db), mem_free(db2), mem_free(sum), mem_free(want), mem_free(start);
  }
  { /* more than one chunk */
    enum { N = 1000003 };
    float *x = filled(N, 9);
    double want = 0;
    for (int64_t i = 0; i < N; i++) {
      want += (double)x[i] * (double)x[i];
    }
    for (int threads = 1; threads <= 3; threads++) {
      use_threads(threads);
      double got = k->sum_squares(NULL, N, x);
      assert_true(fabs(got - want) <= 1e-12 * want);
      assert_true(threads == 1 || got == k->sum_squares(NULL, N, x));
    }
    mem_free(x);
  }
}

/* torch.optim.AdamW's arithmetic in double, three steps. */
static void adamw(void **state) {
  const struct kernels *k = kernels_cpu();
  enum { N = 40001 };
  const double lr = 3e-3, b1 = 0.9, b2 = 0.999, eps = 1e-8, wd = 0.1, gs = 0.25;
  float *p = filled(N, 1), *p2 = filled(N, 1), *g = floats(N), *m = floats(N), *m2 = floats(N), *v = floats(N), *v2 = floats(N);
  double *wp = doubles(N), *wm = doubles(N), *wv = doubles(N);
  (void)state;
  for (int i = 0; i < N; i++) {
    wp[i] = (double)p[i];
  }
  for (int step = 1; step <= 3; step++) {
    fill(g, N, (uint32_t)step);
    for (int i = 0; i < N; i += 3) {
      g[i] *= 1e-6f; /* eps matters */
    }
    use_threads(1);
    k->adamw(NULL, N, p, g, m, v, lr, b1, b2, eps, wd, gs, step);
    use_threads(3);
    k->adamw(NULL, N, p2, g, m2, v2, lr, b1, b2, eps, wd, gs, step);
    CHECK_SAME(p, p2, N);
    CHECK_SAME(m, m2, N);
    CHECK_SAME(v, v2, N);
    for (int i = 0; i < N; i++) {
      double grad = (double)g[i] * gs;
      wp[i] *= 1 - lr * wd;
      wm[i] = b1 * wm[i] + (1 - b1) * grad;
      wv[i] = b2 * wv[i] + (1 - b2) * grad * grad;
      wp[i] -= lr * (wm[i] / (1 - pow(b1, step))) / (sqrt(wv[i] / (1 - pow(b2, step))) + eps);
    }
    CHECK_CLOSE(p, wp, N, 0.01, 1e-6); /* observed 2.6e-7 */
    CHECK_CLOSE(m, wm, N, 0.01, 1e-6); /* observed 3.6e-7; a difference of steps may be near 0 */
    CHECK_CLOSE(v, wv, N, 1e-18, 1e-6); /* observed 2.6e-7 */
  }
  mem_free(p), mem_free(p2), mem_free(g), mem_free(m), mem_free(m2), mem_free(v), mem_free(v2), mem_free(wp), mem_free(wm), mem_free(wv);
}

static void mark_row(void *ctx, int64_t row, int worker) {
  assert_true(worker >= 0 && worker < pool_threads());
  ((int *)ctx)[row]++;
}

static void rows_each_once(void **state) {
  enum { N = 70000 };
  static int seen[N];
  (void)state;
  use_threads(3);
  memset(seen, 0, sizeof seen);
  kernels_cpu()->rows(NULL, N, mark_row, seen);
  kernels_cpu()->rows(NULL, 0, mark_row, NULL);
  for (int i = 0; i < N; i++) {
    assert_int_equal(seen[i], 1);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(rmsnorm), cmocka_unit_test(rope),  cmocka_unit_test(swiglu),        cmocka_unit_test(embed),
                                     cmocka_unit_test(bias_add_scale_squares), cmocka_unit_test(adamw), cmocka_unit_test(rows_each_once)};
  return run_each_isa(tests, sizeof tests / sizeof *tests);
}

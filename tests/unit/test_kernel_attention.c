/* SPDX-License-Identifier: Apache-2.0
 * Attention against a double-precision reference written from the formula, its gradient against finite differences of that
 * reference, decoding against the last rows of the forward pass, and the same bits for 1, 2 and 3 threads. */
#include "kernel_check.h"

struct shape {
  int32_t heads, groups, dh, window;
  int32_t lengths[6]; /* 0 ends */
};
static const struct shape shapes[] = {
    {1, 1, 1, 0, {1}},          {2, 1, 10, 0, {3, 1, 5}},    {3, 3, 37, 4, {17, 2}},      {9, 3, 64, 0, {70, 1, 130}},
    {4, 2, 64, 50, {200, 64}},  {6, 2, 128, 0, {65}},        {2, 2, 32, 1, {40}},         {4, 1, 96, 64, {64, 129, 128, 3}},
    {3, 1, 16, 300, {330, 20}},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static int32_t tokens(const struct shape *s, int32_t *start, int32_t *n_seq) {
  int32_t n = 0, i = 0;
  start[0] = 0;
  for (; i < 6 && s->lengths[i] > 0; i++) {
    n += s->lengths[i];
    start[i + 1] = n;
  }
  *n_seq = i;
  return n;
}

/* out(n,H,dh) and lse(n,H) from q(n,H,dh), k,v(n,G,dh), all packed; sequences [first, n_seq). */
static void reference(const struct shape *s, const int32_t *start, int32_t first, int32_t n_seq, const double *q, const double *k, const double *v,
                      double *out, double *lse) {
  int32_t dh = s->dh, H = s->heads, G = s->groups;
  double p[1024], scale = (double)(float)(1.0 / sqrt((double)dh));
  for (int32_t b = first; b < n_seq; b++) {
    for (int32_t i = start[b]; i < start[b + 1]; i++) {
      for (int32_t h = 0; h < H; h++) {
        int32_t g = h / (H / G);
        double sum = 0, max = -INFINITY;
        for (int32_t j = start[b]; j <= i; j++) {
          double dot = 0;
          for (int32_t c = 0; c < dh; c++) {
            dot += q[(i * H + h) * dh + c] * k[(j * G + g) * dh + c];
          }
          p[j - start[b]] = s->window == 0 || i - j < s->window ? dot * scale : -INFINITY;
          max = fmax(max, p[j - start[b]]);
        }
        for (int32_t j = start[b]; j <= i; j++) {
          p[j - start[b]] = exp(p[j - start[b]] - max);
          sum += p[j - start[b]];
        }
        if (lse) {
          lse[i * H + h] = max + log(sum);
        }
        for (int32_t c = 0; c < dh; c++) {
          double o = 0;
          for (int32_t j = start[b]; j <= i; j++) {
            o += p[j - start[b]] / sum * v[(j * G + g) * dh + c];
          }
          out[(i * H + h) * dh + c] = o;
        }
      }
    }
  }
}

static double *widen(const float *x, int64_t n) {
  double *d = doubles(n);
  for (int64_t i = 0; i < n; i++) {
    d[i] = (double)x[i];
  }
  return d;
}

/* Tensors of one case inside rows that are wider than needed, as slices of a fused buffer are. */
struct run {
  int32_t start[8], n_seq, n;
  struct seqs seqs;
  struct attn_shape a;
  int64_t nq, nk, ldq, ldkv, ldo;
  float *q, *k, *v, *fq, *fkv, *fo, *lse;
};

static float *spread(const float *x, int64_t n, int64_t width, int64_t ld) {
  float *f = floats(n * ld);
  for (int64_t i = 0; i < n; i++) {
    memcpy(f + i * ld, x + i * width, (size_t)width * sizeof *f);
  }
  return f;
}

static void run_open(struct run *r, const struct shape *s, float size) {
  r->n = tokens(s, r->start, &r->n_seq);
  r->seqs = (struct seqs){r->n, r->n_seq, r->start};
  r->a = (struct attn_shape){s->heads, s->groups, s->dh, s->window, (float)(1.0 / sqrt((double)s->dh))};
  int64_t wq = (int64_t)s->heads * s->dh, wk = (int64_t)s->groups * s->dh;
  r->nq = r->n * wq;
  r->nk = r->n * wk;
  r->ldq = wq + 3;
  r->ldkv = 2 * wk;
  r->ldo = wq + 1;
  r->q = filled(r->nq, 1);
  r->k = filled(r->nk, 2);
  r->v = filled(r->nk, 3);
  for (int64_t i = 0; i < r->nq; i++) {
    r->q[i] *= size;
  }
  r->fq = spread(r->q, r->n, wq, r->ldq);
  r->fkv = spread(r->k, r->n, wk, r->ldkv);
  for (int64_t i = 0; i < r->n; i++) {
    memcpy(r->fkv + i * r->ldkv + wk, r->v + i * wk, (size_t)wk * sizeof(float));
  }
  r->fo = floats(r->n * r->ldo);
  r->lse = floats((int64_t)r->n * s->heads);
  kernels_cpu()->attention_forward(NULL, &r->seqs, &r->a, r->fq, r->ldq, r->fkv, r->fkv + wk, r->ldkv, r->fo, r->ldo, r->lse);
}

static void run_close(struct run *r) {
  mem_free(r->q), mem_free(r->k), mem_free(r->v), mem_free(r->fq), mem_free(r->fkv), mem_free(r->fo), mem_free(r->lse);
}

static float *packed(const float *f, int64_t n, int64_t width, int64_t ld) {
  float *x = floats(n * width);
  for (int64_t i = 0; i < n; i++) {
    memcpy(x + i * width, f + i * ld, (size_t)width * sizeof *x);
  }
  return x;
}

static void forward_matches(void **state) {
  (void)state;
  for (int s = 0; s < N_SHAPES; s++) {
    for (int large = 0; large < 2; large++) { /* large: scores of hundreds, one key takes all */
      struct run r, r2;
      use_threads(1);
      run_open(&r, &shapes[s], large ? 1000 : 1);
      double *q = widen(r.q, r.nq), *k = widen(r.k, r.nk), *v = widen(r.v, r.nk), *want = doubles(r.nq);
      double *want_lse = doubles((int64_t)r.n * shapes[s].heads);
      reference(&shapes[s], r.start, 0, r.n_seq, q, k, v, want, want_lse);
      float *out = packed(r.fo, r.n, (int64_t)shapes[s].heads * shapes[s].dh, r.ldo);
      CHECK_CLOSE(out, want, r.nq, 1, large ? 3e-4 : 2e-6); /* observed 1.1e-4 when large */
      CHECK_CLOSE(r.lse, want_lse, (int64_t)r.n * shapes[s].heads, 1, large ? 1e-4 : 2e-6); /* observed 1.4e-5 when large */
      for (int threads = 2; threads <= 3; threads++) {
        use_threads(threads);
        run_open(&r2, &shapes[s], large ? 1000 : 1);
        CHECK_SAME(r.fo, r2.fo, r.n * r.ldo);
        CHECK_SAME(r.lse, r2.lse, (int64_t)r.n * shapes[s].heads);
        run_close(&r2);
      }
      mem_free(q), mem_free(k), mem_free(v), mem_free(want), mem_free(want_lse), mem_free(out);
      run_close(&r);
    }
  }
}

/* The last `tail` tokens of each sequence (all, if it is shorter) against its cache: the bits of the forward pass. */
static void check_tail(const struct run *r, int32_t tail) {
  int64_t wq = (int64_t)r->a.n_head * r->a.head_dim, wk = (int64_t)r->a.n_kv_head * r->a.head_dim;
  float *q = floats(r->nq), *got = floats(r->nq);
  int32_t start[8] = {0}, from[8];
  struct kv_view view[8];
  for (int32_t b = 0; b < r->n_seq; b++) {
    int32_t n = r->start[b + 1] - r->start[b], take = tail < n ? tail : n;
    from[b] = r->start[b + 1] - take;
    start[b + 1] = start[b] + take;
    view[b] = (struct kv_view){r->k + r->start[b] * wk, r->v + r->start[b] * wk, n};
    memcpy(q + start[b] * wq, r->q + from[b] * wq, (size_t)(take * wq) * sizeof *q);
  }
  struct seqs s = {start[r->n_seq], r->n_seq, start};
  kernels_cpu()->attention_decode(NULL, &s, &r->a, q, view, got);
  for (int32_t b = 0; b < r->n_seq; b++) {
    for (int32_t t = start[b]; t < start[b + 1]; t++) {
      CHECK_SAME(got + t * wq, r->fo + (from[b] + t - start[b]) * r->ldo, wq);
    }
  }
  mem_free(q), mem_free(got);
}

static void decode_is_the_last_rows(void **state) {
  (void)state;
  static const char *const isa[] = {"generic", "avx2", NULL};
  static const int32_t tails[] = {1, 2, 5, 63, 64, 65, 100, 1000};
  use_threads(2);
  for (int i = 0; i < 3; i++) {
    kernels_cpu_select(isa[i]);
    for (int s = 0; s < N_SHAPES; s++) {
      struct run r;
      run_open(&r, &shapes[s], 3);
      for (size_t t = 0; t < sizeof tails / sizeof *tails; t++) {
        check_tail(&r, tails[t]);
      }
      run_close(&r);
    }
  }
}

/* The gradient by the chain rule in double, every value of it; itself checked by the finite differences below. */
static void reference_backward(const struct shape *s, const int32_t *start, int32_t n_seq, const double *q, const double *k, const double *v,
                               const double *out, const double *lse, const float *dout, double *dq, double *dk, double *dv) {
  int64_t dh = s->dh, H = s->heads, G = s->groups;
  double scale = (double)(float)(1.0 / sqrt((double)dh));
  for (int32_t b = 0; b < n_seq; b++) {
    for (int64_t i = start[b]; i < start[b + 1]; i++) {
      for (int64_t h = 0; h < H; h++) {
        int64_t g = h / (H / G), row = (i * H + h) * dh;
        for (int64_t j = start[b]; j <= i; j++) {
          int64_t key = (j * G + g) * dh;
          double score = 0, dp = 0;
          if (s->window && i - j >= s->window) {
            continue;
          }
          for (int64_t c = 0; c < dh; c++) {
            score += q[row + c] * k[key + c];
            dp += (double)dout[row + c] * (v[key + c] - out[row + c]);
          }
          double p = exp(score * scale - lse[i * H + h]);
          for (int64_t c = 0; c < dh; c++) {
            dv[key + c] += p * (double)dout[row + c];
            dq[row + c] += p * dp * scale * k[key + c];
            dk[key + c] += p * dp * scale * q[row + c];
          }
        }
      }
    }
  }
}

/* The finite differences are the same for each instruction set: made once. */
static double slope[N_SHAPES][3][25];
static int known[N_SHAPES];

/* d/dx of sum(out * dout) by central differences of the double reference, at some places of each input. */
static void backward_matches(void **state) {
  (void)state;
  for (int s = 0; s < N_SHAPES; s++) {
    const struct shape *sh = &shapes[s];
    struct run r;
    use_threads(1);
    run_open(&r, sh, 2);
    int64_t wq = (int64_t)sh->heads * sh->dh, wk = (int64_t)sh->groups * sh->dh;
    float *dout = filled(r.nq, 9), *fdout = spread(dout, r.n, wq, r.ldo), *dq = floats(r.n * r.ldq), *dkv = floats(r.n * r.ldkv);
    float *dq2 = floats(r.n * r.ldq), *dkv2 = floats(r.n * r.ldkv);
    void *scratch = mem_calloc(1, kernels_cpu()->attention_backward_scratch_bytes(&r.seqs, &r.a) + 1);
    kernels_cpu()->attention_backward(NULL, &r.seqs, &r.a, r.fq, r.ldq, r.fkv, r.fkv + wk, r.ldkv, r.fo, fdout, r.ldo, r.lse, dq, dkv,
                                      dkv + wk, scratch);
    for (int threads = 2; threads <= 3; threads++) {
      use_threads(threads);
      kernels_cpu()->attention_backward(NULL, &r.seqs, &r.a, r.fq, r.ldq, r.fkv, r.fkv + wk, r.ldkv, r.fo, fdout, r.ldo, r.lse, dq2, dkv2,
                                        dkv2 + wk, scratch);
      CHECK_SAME(dq, dq2, r.n * r.ldq);
      CHECK_SAME(dkv, dkv2, r.n * r.ldkv);
    }
    double *in[3] = {widen(r.q, r.nq), widen(r.k, r.nk), widen(r.v, r.nk)}, *out = doubles(r.nq), *lse = doubles((int64_t)r.n * sh->heads);
    double *all[3] = {doubles(r.nq), doubles(r.nk), doubles(r.nk)};
    reference(sh, r.start, 0, r.n_seq, in[0], in[1], in[2], out, lse);
    reference_backward(sh, r.start, r.n_seq, in[0], in[1], in[2], out, lse, dout, all[0], all[1], all[2]);
    for (int which = 0; which < 3; which++) {
      int64_t width = which == 0 ? wq : wk;
      float *got = packed(which == 0 ? dq : which == 1 ? dkv : dkv + wk, r.n, width, which == 0 ? r.ldq : r.ldkv);
      CHECK_CLOSE(got, all[which], r.n * width, 1, 4e-6); /* observed 1.3e-6 */
      mem_free(got);
    }
    for (int which = 0; which < 3; which++) {
      int64_t n = which == 0 ? r.nq : r.nk, width = which == 0 ? wq : wk;
      for (int probe = 0; probe < (r.n > 60 ? 4 : 25); probe++) {
        int64_t at = (int64_t)probe * 7919 % n;
        double keep = in[which][at], sum[2] = {0}, h = 1e-5;
        int64_t row = at / width, c = at % width;
        int32_t b = 0; /* its sequence: no other can depend on it */
        while (r.start[b + 1] <= row) {
          b++;
        }
        for (int side = 0; side < 2 && !known[s]; side++) {
          in[which][at] = keep + (side ? h : -h);
          reference(sh, r.start, b, b + 1, in[0], in[1], in[2], out, NULL);
          for (int64_t i = r.start[b] * wq; i < r.start[b + 1] * wq; i++) {
            sum[side] += out[i] * (double)dout[i];
          }
        }
        in[which][at] = keep;
        if (!known[s]) {
          slope[s][which][probe] = (sum[1] - sum[0]) / (2 * h);
        }
        double want = slope[s][which][probe];
        float got = which == 0 ? dq[row * r.ldq + c] : dkv[row * r.ldkv + c + (which == 2 ? wk : 0)];
        CHECK_CLOSE(&got, &want, 1, 1, 2e-6); /* observed 3.9e-7 */
        assert_true(fabs(all[which][at] - want) < 1e-7 * (1 + fabs(want)));
      }
    }
    known[s] = 1;
    for (int which = 0; which < 3; which++) {
      mem_free(in[which]), mem_free(all[which]);
    }
    mem_free(lse);
    mem_free(out), mem_free(dout), mem_free(fdout), mem_free(dq), mem_free(dkv), mem_free(dq2), mem_free(dkv2), mem_free(scratch);
    run_close(&r);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(forward_matches), cmocka_unit_test(decode_is_the_last_rows),
                                     cmocka_unit_test(backward_matches)};
  return run_each_isa(tests, sizeof tests / sizeof *tests);
}

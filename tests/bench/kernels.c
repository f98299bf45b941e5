/* SPDX-License-Identifier: Apache-2.0
 * Speed of the CPU kernels on the shapes of SmolLM2-135M; matrix products beside oneDNN's own threaded dnnl_sgemm, in turn,
 * best of several. Run: ninja -C build bench_kernels && build/tests/bench_kernels [threads] [gemm|gemv|rest] */
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernel.h"
#include "mem.h"
#include "pool.h"

extern void omp_set_num_threads(int n);

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void rest_ms(long ms) { /* lets the other library's spinning threads go to sleep */
  struct timespec t = {0, ms * 1000000};
  nanosleep(&t, NULL);
}

static float *numbers(int64_t n) {
  float *x = mem_block((size_t)n * sizeof *x);
  uint32_t s = 1;
  for (int64_t i = 0; i < n; i++) {
    s = s * 1664525u + 1013904223u;
    x[i] = (float)((int32_t)(s >> 8) - (1 << 23)) / (float)(1 << 23);
  }
  return x;
}

static const struct kernels *K;
static int threads;

static void bench_gemm(void) {
  static const int64_t shape[][3] = {{1024, 576, 576}, {1024, 192, 576}, {1024, 1536, 576}, {1024, 576, 1536}, {1024, 8192, 576},
                                     {128, 49152, 576}, {16, 576, 576}, {64, 1536, 576}, {200, 576, 576}};
  static const char *const name[] = {"nt", "nn", "tn"};
  float *a = numbers(1024 * 8192), *b = numbers((int64_t)49152 * 1536), *c = numbers((int64_t)49152 * 1536);
  printf("%-22s %10s %10s %7s\n", "product m n k", "GFLOP/s", "oneDNN", "share");
  for (size_t s = 0; s < sizeof shape / sizeof *shape; s++) {
    int64_t m = shape[s][0], n = shape[s][1], k = shape[s][2];
    for (int which = 0; which < 3; which++) {
      double best[2] = {1e9, 1e9}, flops = 2.0 * (double)m * (double)n * (double)k;
      int repeat = flops < 2e8 ? 20 : 4;
      for (int round = 0; round < 7; round++) {
        for (int lib = 0; lib < 2; lib++) {
          rest_ms(lib == 0 ? 10 : 1);
          for (int i = 0; i < repeat; i++) {
            double t = now();
            if (lib == 0) {
              if (which == 0) K->gemm_nt(NULL, m, n, k, a, k, b, k, c, n, 0);
              if (which == 1) K->gemm_nn(NULL, m, n, k, a, n, b, k, c, k, 0);
              if (which == 2) K->gemm_tn(NULL, m, n, k, a, n, b, k, c, k, 0);
            } else {
              omp_set_num_threads(threads);
              if (which == 0) dnnl_sgemm('N', 'T', m, n, k, 1, a, k, b, k, 0, c, n);
              if (which == 1) dnnl_sgemm('N', 'N', m, k, n, 1, a, n, b, k, 0, c, k);
              if (which == 2) dnnl_sgemm('T', 'N', n, k, m, 1, a, n, b, k, 0, c, k);
            }
            t = now() - t;
            best[lib] = t < best[lib] ? t : best[lib];
          }
        }
      }
      printf("%s %5lld %6lld %5lld   %10.1f %10.1f %6.0f%%\n", name[which], (long long)m, (long long)n, (long long)k, flops / best[0] / 1e9,
             flops / best[1] / 1e9, 100 * best[1] / best[0]);
    }
  }
}

static void bench_gemv(void) {
  static const enum dtype types[] = {DT_F32, DT_BF16, DT_F16, DT_Q8_0, DT_Q4_0, DT_Q4_1, DT_Q4_K, DT_Q6_K};
  static const int64_t shape[][2] = {{576, 768}, {1536, 768}, {49152, 768}}; /* k in whole blocks of 256 */
  static const int64_t rows[] = {1, 2, 4, 8, 16, 32, 64};
  float *x = numbers(64 * 1536), *y = numbers((int64_t)64 * 49152);
  unsigned char *w = mem_block((size_t)49152 * 1536 * 4);
  memset(w, 0x31, (size_t)49152 * 1536 * 4);
  printf("\n%-18s", "gemv us (GB/s)");
  for (int r = 0; r < 7; r++) {
    printf("        m = %-5lld", (long long)rows[r]);
  }
  printf("\n");
  for (int t = 0; t < 8; t++) {
    for (int s = 0; s < 3; s++) {
      int64_t n = shape[s][0], k = shape[s][1];
      printf("%-5s %5lld %4lld  ", dtype_name(types[t]), (long long)n, (long long)k);
      for (int r = 0; r < 7; r++) {
        double best = 1e9;
        for (int i = 0; i < (s == 2 ? 8 : 60); i++) {
          double at = now();
          K->gemv(NULL, rows[r], n, k, x, k, types[t], w, y, n);
          at = now() - at;
          best = at < best ? at : best;
        }
        printf("  %9.1f (%4.1f)", best * 1e6, (double)dtype_bytes(types[t], n * k) / best / 1e9);
      }
      printf("\n");
    }
  }
}

static void report(const char *name, double seconds, double gflop) {
  if (gflop > 0) {
    printf("%-44s %9.3f ms %8.1f GFLOP/s\n", name, seconds * 1e3, gflop / seconds);
  } else {
    printf("%-44s %9.3f ms\n", name, seconds * 1e3);
  }
}

#define TIME(name, gflop, call)               \
  do {                                        \
    double best_ = 1e9;                       \
    for (int r_ = 0; r_ < 12; r_++) {         \
      double t_ = now();                      \
      call;                                   \
      t_ = now() - t_;                        \
      best_ = t_ < best_ ? t_ : best_;        \
    }                                         \
    report(name, best_, gflop);               \
  } while (0)

static void bench_attention(const char *name, int32_t n_seq, int32_t length) {
  enum { H = 9, G = 3, DH = 64 };
  int32_t start[17], n = n_seq * length;
  for (int32_t i = 0; i <= n_seq; i++) {
    start[i] = i * length;
  }
  struct seqs s = {n, n_seq, start};
  struct attn_shape a = {H, G, DH, 0, 0.125f};
  float *q = numbers(n * H * DH), *k = numbers(n * G * DH), *v = numbers(n * G * DH), *o = numbers(n * H * DH), *lse = numbers(n * H);
  float *dout = numbers(n * H * DH), *dq = numbers(n * H * DH), *dk = numbers(n * G * DH), *dv = numbers(n * G * DH);
  void *scratch = mem_block(K->attention_backward_scratch_bytes(&s, &a) + 1);
  double pair = (double)n_seq * length * (length + 1) / 2 * H * DH * 2 * 1e-9; /* one product over visible pairs */
  char text[64];
  snprintf(text, sizeof text, "attention_forward %s", name);
  TIME(text, 2 * pair, K->attention_forward(NULL, &s, &a, q, H * DH, k, v, G * DH, o, H * DH, lse));
  snprintf(text, sizeof text, "attention_backward %s", name);
  TIME(text, 5 * pair,
       K->attention_backward(NULL, &s, &a, q, H * DH, k, v, G * DH, o, dout, H * DH, lse, dq, dk, dv, scratch));
  struct kv_view view[16];
  int32_t one_each[17];
  for (int i = 0; i <= 16; i++) {
    one_each[i] = i;
  }
  for (int i = 0; i < 16; i++) {
    view[i] = (struct kv_view){k, v, length};
  }
  struct seqs streams = {16, 16, one_each};
  snprintf(text, sizeof text, "attention_decode 16 x %d keys", (int)length);
  TIME(text, 16.0 * length * H * DH * 4e-9, K->attention_decode(NULL, &streams, &a, q, view, o));
}

static void bench_rest(void) {
  int64_t n = 1024, d = 576, f = 1536, v = 49152;
  float *x = numbers(n * f), *y = numbers(n * f), *z = numbers(n * f), *o = numbers(n * f), *o2 = numbers(n * f), *g = numbers(f);
  float *logits = numbers(128 * v), *r = numbers(n), *lp = numbers(128 * 64);
  int32_t *ids = mem_block(128 * 64 * sizeof *ids);
  printf("\n");
  bench_attention("4 x 256", 4, 256);
  bench_attention("1 x 1024", 1, 1024);
  TIME("rmsnorm_forward 1024 x 576", 0, K->rmsnorm_forward(NULL, n, d, x, g, 1e-5f, o, r));
  TIME("rmsnorm_backward 1024 x 576", 0, K->rmsnorm_backward(NULL, n, d, x, g, r, y, o, 0, z));
  TIME("swiglu_forward 1024 x 1536", 0, K->swiglu_forward(NULL, n * f, x, y, o));
  TIME("swiglu_backward 1024 x 1536", 0, K->swiglu_backward(NULL, n * f, x, y, z, o, o2));
  TIME("row_lse 128 x 49152", 0, K->row_lse(NULL, 128, v, logits, 1, r));
  TIME("row_topk 128 x 49152, k 64", 0, K->row_topk(NULL, 128, v, 64, logits, ids, lp, r));
  float *p = numbers(1 << 24), *gr = numbers(1 << 24), *mo = mem_block((size_t)4 << 24), *va = mem_block((size_t)4 << 24);
  TIME("adamw 16.8 M", 0, K->adamw(NULL, 1 << 24, p, gr, mo, va, 1e-4, 0.9, 0.95, 1e-8, 0.1, 1, 3));
  TIME("sum_squares 16.8 M", 0, (void)K->sum_squares(NULL, 1 << 24, p));
}

int main(int argc, char **argv) {
  struct err e;
  const char *only = argc > 2 ? argv[2] : "";
  if (pool_setup(argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0, &e) != STATUS_OK) {
    return 1;
  }
  threads = pool_threads();
  K = kernels_cpu();
  printf("%s, %d threads\n", kernel_contract(), threads);
  if (!*only || strcmp(only, "gemm") == 0) bench_gemm();
  if (!*only || strcmp(only, "gemv") == 0) bench_gemv();
  if (!*only || strcmp(only, "rest") == 0) bench_rest();
  return 0;
}

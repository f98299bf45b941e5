/* SPDX-License-Identifier: Apache-2.0
 * Stored types against llama.cpp's own Python package (tests/golden/data/quant/make_quant.py), blocks written out by hand,
 * 16-bit floats through all their values, and every instruction set against the readable decoder. */
#include "kernel_check.h"

static unsigned char *golden(const char *name, size_t *bytes) {
  char path[1024];
  snprintf(path, sizeof path, "%s/tests/golden/data/quant/%s", TEST_SOURCE, name);
  FILE *f = fopen(path, "rb");
  if (!f) {
    fail_msg("%s cannot be opened", path);
    return NULL;
  }
  unsigned char *p = mem_calloc(1, 65536 + 1);
  *bytes = fread(p + 1, 1, 65536, f); /* odd address on purpose: weight files are mapped anywhere */
  fclose(f);
  return p;
}

static void decode_matches_gguf(void **state) {
  static const enum dtype types[] = {DT_Q4_0, DT_Q4_1, DT_Q8_0, DT_Q4_K, DT_Q6_K};
  (void)state;
  for (int t = 0; t < 5; t++) {
    char name[32];
    size_t bytes, want_bytes;
    snprintf(name, sizeof name, "%s.blocks", dtype_name(types[t]));
    unsigned char *blocks = golden(name, &bytes);
    snprintf(name, sizeof name, "%s.f32", dtype_name(types[t]));
    unsigned char *want = golden(name, &want_bytes);
    int64_t n = (int64_t)(want_bytes / 4);
    assert_int_equal(bytes, dtype_bytes(types[t], n));
    float *got = floats(n), *exact = floats(n);
    memcpy(exact, want + 1, want_bytes);
    kernels_cpu()->decode(NULL, types[t], n, blocks + 1, got);
    for (int64_t i = 0; i < n; i++) {
      if (!(got[i] == exact[i])) { /* exact: the arithmetic of a block is the same in all implementations */
        fail_msg("%s value %lld is %.9g, expected %.9g", dtype_name(types[t]), (long long)i, (double)got[i], (double)exact[i]);
      }
    }
    mem_free(blocks), mem_free(want), mem_free(got), mem_free(exact);
  }
}

static void encode_matches_gguf(void **state) {
  static const enum dtype types[] = {DT_Q8_0, DT_Q4_1, DT_BF16, DT_F16};
  size_t bytes, want_bytes;
  unsigned char *raw = golden("encode.f32", &bytes);
  int64_t n = (int64_t)(bytes / 4);
  float *x = floats(n);
  (void)state;
  memcpy(x, raw + 1, bytes);
  for (int t = 0; t < 4; t++) {
    char name[32];
    snprintf(name, sizeof name, "encode.%s", dtype_name(types[t]));
    unsigned char *want = golden(name, &want_bytes), *got = mem_calloc(1, want_bytes + 1);
    assert_int_equal(want_bytes, dtype_bytes(types[t], n));
    kernels_cpu()->encode(NULL, types[t], n, x, got + 1);
    for (size_t i = 0; i < want_bytes; i++) {
      if (got[i + 1] != want[i + 1]) {
        fail_msg("%s byte %zu is %d, expected %d", dtype_name(types[t]), i, got[i + 1], want[i + 1]);
      }
    }
    mem_free(want), mem_free(got);
  }
  mem_free(raw), mem_free(x);
}

/* Blocks by hand, from the layouts in ggml-common.h. f16 0.5 = 0x3800, 1.0 = 0x3c00, -2.0 = 0xc000. */
static void blocks_by_hand(void **state) {
  float y[256];
  (void)state;
  unsigned char q4_0[18] = {0x00, 0x38, [2] = 0xf0, [17] = 0x3a};
  kernels_cpu()->decode(NULL, DT_Q4_0, 32, q4_0, y);
  assert_true(y[0] == -4 && y[16] == 3.5f && y[15] == 1 && y[31] == -2.5f && y[1] == -4);
  unsigned char q4_1[20] = {0x00, 0x38, 0x00, 0xc0, [4] = 0xf0, [19] = 0x3a};
  kernels_cpu()->decode(NULL, DT_Q4_1, 32, q4_1, y);
  assert_true(y[0] == -2 && y[16] == 5.5f && y[15] == 3 && y[31] == -0.5f);
  unsigned char q8_0[34] = {0x00, 0x38, [2] = 0x80, [33] = 0x7f};
  kernels_cpu()->decode(NULL, DT_Q8_0, 32, q8_0, y);
  assert_true(y[0] == -64 && y[31] == 63.5f && y[7] == 0);
  /* group 1: scale 63 (s[1]), min 1 (s[5]); group 5: scale 4 low bits of s[9], high two from s[1] >> 6 */
  unsigned char q4_k[144] = {0x00, 0x3c, 0x00, 0x3c, [4 + 1] = 63 | 2 << 6, [4 + 5] = 1 | 3 << 6, [4 + 9] = 5 | 7 << 4, [16] = 0x90, [16 + 64] = 0x20};
  kernels_cpu()->decode(NULL, DT_Q4_K, 256, q4_k, y);
  assert_true(y[32] == 63 * 9 - 1 && y[33] == -1 && y[160] == (5 + 32) * 2 - (7 + 48) && y[0] == 0);
  unsigned char q6_k[210] = {[0] = 0x21, [128] = 0x80 | 0x01, [192] = 3, [192 + 4] = 0xff, [208] = 0x00, [209] = 0x3c};
  kernels_cpu()->decode(NULL, DT_Q6_K, 256, q6_k, y);
  /* value 0: low nibble 1, bits 0-1 of qh = 1 -> 17 - 32 = -15, scale 3; value 64: high nibble 2, bits 4-5 = 0 -> 2 - 32, scale -1 */
  assert_true(y[0] == -45 && y[64] == 30 && y[96] == 0);
}

static void halves_round_trip(void **state) {
  enum { N = 65536 };
  unsigned char *all = mem_calloc(2, N), *back = mem_calloc(2, N);
  float *x = floats(N);
  (void)state;
  for (int bf = 0; bf < 2; bf++) {
    enum dtype t = bf ? DT_BF16 : DT_F16;
    for (int i = 0; i < N; i++) {
      all[2 * i] = (unsigned char)(i & 255);
      all[2 * i + 1] = (unsigned char)(i >> 8);
    }
    kernels_cpu()->decode(NULL, t, N, all, x);
    for (int i = 0; i < N; i++) { /* value from the fields of the format */
      int e_bits = bf ? 8 : 5, m_bits = bf ? 7 : 10, exponent = i >> m_bits & ((1 << e_bits) - 1), m = i & ((1 << m_bits) - 1);
      double want = exponent ? ldexp(1 + ldexp(m, -m_bits), exponent - (1 << (e_bits - 1)) + 1) : ldexp(m, 2 - (1 << (e_bits - 1)) - m_bits);
      if (exponent == (1 << e_bits) - 1) {
        assert_true(m ? isnan(x[i]) : isinf(x[i]));
      } else {
        assert_true((double)x[i] == (i & 0x8000 ? -want : want));
      }
    }
    kernels_cpu()->encode(NULL, t, N, x, back);
    for (int i = 0; i < N; i++) {
      if (!isnan(x[i])) {
        assert_true(back[2 * i] == all[2 * i] && back[2 * i + 1] == all[2 * i + 1]);
      }
    }
    /* between two neighbours: to the nearer one, ties to even */
    for (int i = 1; i < (bf ? 0x7f00 : 0x7b00); i += 97) {
      float mid = (x[i] + x[i + 1]) / 2, in[3] = {nextafterf(mid, 0), mid, nextafterf(mid, INFINITY)};
      unsigned char out[6];
      kernels_cpu()->encode(NULL, t, 3, in, out);
      assert_int_equal(out[0] | out[1] << 8, i);
      assert_int_equal(out[2] | out[3] << 8, i % 2 ? i + 1 : i);
      assert_int_equal(out[4] | out[5] << 8, i + 1);
    }
  }
  mem_free(all), mem_free(back), mem_free(x);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(decode_matches_gguf), cmocka_unit_test(encode_matches_gguf), cmocka_unit_test(blocks_by_hand),
                                     cmocka_unit_test(halves_round_trip)};
  return run_each_isa(tests, sizeof tests / sizeof *tests);
}

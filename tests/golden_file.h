/* SPDX-License-Identifier: Apache-2.0
 * A reader of golden safetensors files for tests, on purpose independent of model/weights.c: values come as doubles, bit
 * for bit. Small files, one dtype of F64 F32 I32 I64 each; fails the test on anything unexpected. */
#ifndef TESTS_GOLDEN_FILE_H
#define TESTS_GOLDEN_FILE_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "file.h"

struct golden_file { struct buf b; };

static inline void golden_open(struct golden_file *g, const char *path) {
  struct err e;
  memset(g, 0, sizeof *g);
  if (file_read(path, (size_t)1 << 30, &g->b, &e) != STATUS_OK) {
    fail_msg("%s", e.msg);
  }
}

static inline void golden_close(struct golden_file *g) {
  buf_free(&g->b);
}

/* Values of tensor `name` as doubles (mem_free), their number in *n; NULL when the file has no such tensor. */
static inline double *golden_get(const struct golden_file *g, const char *name, size_t *n) {
  char key[300], type[8] = "";
  unsigned long long a = 0, z = 0;
  uint64_t head;
  memcpy(&head, g->b.p, 8);
  snprintf(key, sizeof key, "\"%s\":{", name);
  const char *h = g->b.p + 8, *at = strstr(h, key);
  if (at == NULL || (uint64_t)(at - h) > head) {
    return NULL;
  }
  const char *t = strstr(at, "\"dtype\":\""), *o = strstr(at, "\"data_offsets\":[");
  assert_non_null(t);
  assert_non_null(o);
  assert_int_equal(sscanf(t, "\"dtype\":\"%3[A-Z0-9]\"", type), 1);
  assert_int_equal(sscanf(o, "\"data_offsets\":[%llu,%llu]", &a, &z), 2);
  size_t width = type[1] == '6' ? 8 : 4;
  const char *p = g->b.p + 8 + head + a;
  assert_true(8 + head + z <= g->b.n);
  *n = (size_t)(z - a) / width;
  double *v = mem_alloc(*n * sizeof *v);
  assert_non_null(v);
  for (size_t i = 0; i < *n; i++) {
    union { double d; float f; int32_t i; int64_t l; } u;
    memcpy(&u, p + i * width, width);
    v[i] = type[0] == 'F' ? (width == 8 ? u.d : (double)u.f) : (width == 8 ? (double)u.l : (double)u.i);
  }
  return v;
}
#endif

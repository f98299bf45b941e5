/* SPDX-License-Identifier: Apache-2.0
 * Opens a file of weights and, when it is accepted, uses all that it promises. */
#ifndef TESTS_FUZZ_WEIGHTS_H
#define TESTS_FUZZ_WEIGHTS_H
#include "mem.h"
#include "weights.h"

static inline void use_weights(const char *path) {
  struct weights *w = NULL;
  struct err e = { 0 };
  if (weights_open(path, &w, &e) != STATUS_OK) {
    if (e.msg[0] == '\0' || w != NULL) abort();
    return;
  }
  float row[4096];
  for (size_t i = 0; i < weights_count(w); i++) {
    const struct tensor *t = weights_at(w, i);
    if (weights_find(w, t->name) != t) abort();
    int64_t width = 1;
    for (int k = 1; k < t->n_dim; k++) width *= t->dim[k];
    int64_t rows = t->n_dim == 1 ? t->dim[0] : 1;
    if (t->n_dim > 0 && t->dim[0] == 0) continue;
    if (rows * width > 4096 || width > 4096) continue;
    if (weights_read(t, t->n_dim > 1 ? t->dim[0] - 1 : 0, rows, row, &e) != STATUS_OK) abort();
  }
  static const char *const keys[] = { "general.architecture", "tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "llama.block_count", "x" };
  struct arena *a = arena_new((size_t)1 << 26);
  for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
    struct span s, *many;
    int64_t v, *ints;
    double d;
    uint64_t n = 0, bytes = 0;
    if (gguf_str(w, keys[i], &s)) bytes += s.n;
    (void)gguf_int(w, keys[i], &v);
    (void)gguf_num(w, keys[i], &d);
    if (gguf_array_strings(w, keys[i], a, &many, &n)) {
      for (uint64_t k = 0; k < n; k++) bytes += many[k].n ? (unsigned char)many[k].p[many[k].n - 1] : 0;
    }
    (void)gguf_array_ints(w, keys[i], a, &ints, &n);
    if (bytes == UINT64_MAX) abort();
  }
  arena_free(a);
  unsigned char id[32];
  if (weights_identity(w, id, &e) != STATUS_OK) abort();
  weights_close(w);
}
#endif

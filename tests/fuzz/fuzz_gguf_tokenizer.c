/* SPDX-License-Identifier: Apache-2.0
 * The tokenizer in a GGUF file's metadata from hostile bytes: refused with a message, or it encodes, decodes and hashes. */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>
#include "tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "%s\n", what);
  abort();
}

static void use(const struct tokenizer *t) {
  static const char text[] = "Hello  1 the world<|end|> 12 \xc3\xa9 e\xcc\x81 \xff";
  struct arena *a = arena_new(0);
  struct tokens k;
  struct buf b = { 0 };
  unsigned char h[32];
  check(tokenizer_encode(t, (struct span){ text, sizeof text - 1 }, 1, a, &k, NULL) == STATUS_OK, "encode failed");
  check(tokenizer_decode(t, k.id, k.n, 0, &b, NULL) == STATUS_OK, "decode failed");
  for (int32_t i = -1; i <= tokenizer_vocab(t); i++) check(tokenizer_token_text(t, i, &b, NULL) == STATUS_OK, "token_text failed");
  for (size_t i = 0; i < tokenizer_merge_count(t); i++) {
    int32_t left, right;
    tokenizer_merge_at(t, i, &left, &right);
    check(tokenizer_token_bytes(t, left).n && tokenizer_token_bytes(t, right).n, "a merge of nothing");
  }
  tokenizer_hash(t, h);
  buf_free(&b);
  arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char path[64];
  struct tokenizer *t = NULL;
  struct err e = { 0 };
  int fd = memfd_create("fuzz", MFD_CLOEXEC);
  if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  enum status st = tokenizer_open(path, &t, &e);
  check(st == STATUS_OK ? t != NULL : e.msg[0] != '\0', "an error without a message");
  if (t) use(t);
  tokenizer_close(t);
  close(fd);
  return 0;
}

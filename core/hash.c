/* SPDX-License-Identifier: Apache-2.0
 * Hashes: libcrypto's SHA-256 behind an own type, xxHash's XXH3. */
#define XXH_INLINE_ALL
#include "hash.h"
#include <openssl/evp.h>
#include <xxhash.h>
#include "file.h"
#include "mem.h"

struct sha256 { EVP_MD_CTX *c; };

struct sha256 *sha256_new(void) {
  struct sha256 *s = mem_calloc(1, sizeof *s);
  if (s == NULL) return NULL;
  s->c = EVP_MD_CTX_new();
  if (s->c == NULL || EVP_DigestInit_ex(s->c, EVP_sha256(), NULL) != 1) {
    sha256_free(s);
    return NULL;
  }
  return s;
}
void sha256_add(struct sha256 *s, const void *p, size_t n) { (void)EVP_DigestUpdate(s->c, p, n); }
void sha256_end(struct sha256 *s, unsigned char out[32]) {
  unsigned int n = 32;
  (void)EVP_DigestFinal_ex(s->c, out, &n);
  sha256_free(s);
}
void sha256_free(struct sha256 *s) {
  if (s == NULL) return;
  EVP_MD_CTX_free(s->c);
  mem_free(s);
}
void sha256_of(const void *p, size_t n, unsigned char out[32]) {
  unsigned int len = 32;
  (void)EVP_Digest(p, n, out, &len, EVP_sha256(), NULL);
}

enum status sha256_of_file(const char *path, unsigned char out[32], struct err *e) {
  enum status st = STATUS_OK;
  struct sha256 *s = sha256_new();
  FILE *f = NULL;
  char *chunk = mem_alloc(1 << 16);
  if (s == NULL || chunk == NULL) {
    st = err_nomem(e, 1 << 16);
    goto out;
  }
  f = fopen(path, "rb");
  if (f == NULL) {
    st = err_sys(e, STATUS_IO, "'%s' cannot be opened", path);
    goto out;
  }
  size_t n;
  while ((n = fread(chunk, 1, 1 << 16, f)) > 0) sha256_add(s, chunk, n);
  if (ferror(f)) {
    st = err_sys(e, STATUS_IO, "'%s' cannot be read", path);
    goto out;
  }
  sha256_end(s, out);
  s = NULL;
out:
  if (f) fclose(f);
  sha256_free(s);
  mem_free(chunk);
  return st;
}

void hash_hex(const unsigned char *p, size_t n, char *out) {
  static const char digit[] = "0123456789abcdef";
  for (size_t i = 0; i < n; i++) {
    out[2 * i] = digit[p[i] >> 4];
    out[2 * i + 1] = digit[p[i] & 15];
  }
  out[2 * n] = '\0';
}

static int nibble(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

int hash_unhex(const char *hex, size_t n, unsigned char *out) {
  for (size_t i = 0; i < n; i++) {
    int hi = nibble(hex[2 * i]), lo = hi < 0 ? -1 : nibble(hex[2 * i + 1]);
    if (lo < 0) return 0;
    out[i] = (unsigned char)(hi << 4 | lo);
  }
  return 1;
}

uint64_t xxh3(const void *p, size_t n) { return XXH3_64bits(p, n); }
uint64_t xxh3_seed(const void *p, size_t n, uint64_t seed) { return XXH3_64bits_withSeed(p, n, seed); }
struct hash128 xxh3_128(const void *p, size_t n) {
  XXH128_hash_t h = XXH3_128bits(p, n);
  struct hash128 r = { h.low64, h.high64 };
  return r;
}

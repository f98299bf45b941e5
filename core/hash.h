/* SPDX-License-Identifier: Apache-2.0
 * SHA-256 (OpenSSL's libcrypto) for identities and manifests, XXH3 (xxHash) for block checks and digests. */
#ifndef CORE_HASH_H
#define CORE_HASH_H
#include <stddef.h>
#include <stdint.h>
#include "err.h"

struct sha256; /* streaming state */
struct sha256 *sha256_new(void); /* NULL when out of memory */
void sha256_add(struct sha256 *s, const void *p, size_t n);
void sha256_end(struct sha256 *s, unsigned char out[32]); /* frees s */
void sha256_free(struct sha256 *s);                        /* for early exits; accepts NULL */
void sha256_of(const void *p, size_t n, unsigned char out[32]);
MUST_USE enum status sha256_of_file(const char *path, unsigned char out[32], struct err *e);
void hash_hex(const unsigned char *p, size_t n, char *out); /* out has 2n + 1 bytes */
int hash_unhex(const char *hex, size_t n, unsigned char *out); /* 2n lower-case digits to n bytes; 0 at anything else (a NUL ends it) */
uint64_t xxh3(const void *p, size_t n);
uint64_t xxh3_seed(const void *p, size_t n, uint64_t seed);
struct hash128 { uint64_t lo, hi; };
struct hash128 xxh3_128(const void *p, size_t n);

#endif

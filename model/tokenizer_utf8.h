/* SPDX-License-Identifier: Apache-2.0
 * UTF-8 for the tokenizer: lossy reading as Rust's from_utf8_lossy (one U+FFFD per maximal subpart of an ill-formed
 * sequence, Unicode 3.9 table 3-7), code point classes, and NFC through utf8proc. Only tokenizer and template files use it. */
#ifndef MODEL_TOKENIZER_UTF8_H
#define MODEL_TOKENIZER_UTF8_H
#include <stdint.h>
#include "err.h"
#include "mem.h"
#include "span.h"
/* Length of the well-formed character at p[0..n) (n > 0), 1 to 4; or minus the length of the maximal ill-formed subpart
 * (-1 to -3). *cut = 1 when the bytes end inside a sequence that could still become well-formed. */
int utf8_step(const unsigned char *p, size_t n, int *cut);
/* Offset of the first ill-formed byte, n when there is none. */
size_t utf8_valid_prefix(struct span s);
/* Appends s with every maximal ill-formed subpart as U+FFFD. */
MUST_USE enum status utf8_lossy(struct span s, struct buf *out, struct err *e);
/* Well-formed input: code point at p and its length. */
uint32_t utf8_decode(const char *p, int *len);
int utf8_encode(uint32_t c, char out[4]);
int utf8_is_space(uint32_t c); /* Unicode White_Space */
int utf8_is_word(uint32_t c);  /* letters, marks, Nd, Nl, Pc, join controls: \w of Rust's regex, near enough */

/* Where normalised text came from: normalised bytes up to `to` stem from source bytes up to `from`. Sorted. */
struct nfc_stop { size_t to, from; };
struct nfc_map { struct nfc_stop *stop; size_t n; };
/* NFC of well-formed s. *out = s itself when it already is NFC as far as a quick check can tell. map may be NULL; map->n = 0
 * when *out is s. Arena memory. Linear in s: runs of combining marks are sorted by counting, unlike in utf8proc_map. */
MUST_USE enum status utf8_nfc(struct span s, struct arena *a, struct span *out, struct nfc_map *map, struct err *e);
#endif

/* SPDX-License-Identifier: Apache-2.0
 * Hand-written splitters of the known pre-tokenisers (rows of pretok.c). Each gives the pieces of its row's PCRE2 pattern for any
 * well-formed UTF-8; tests/unit/pretok_split_test.c holds them against PCRE2. Only pretok.c and that test use them. */
#ifndef MODEL_PRETOK_SPLIT_H
#define MODEL_PRETOK_SPLIT_H
#include <stddef.h>

/* Class of every code point as the PCRE2 of the build sees it, made by tools/make_classes.c: blocks of 256. */
enum { CLASS_OTHER, CLASS_LETTER, CLASS_NUMBER, CLASS_SPACE };
extern const unsigned char pretok_class_index[0x1100];
extern const unsigned char pretok_class_block[][256];

/* Ends of the next pieces from `at` on, at most cap; returns how many (0 only at the end of the text). Nothing behind p + n is read. */
size_t split_gpt2(const char *p, size_t n, size_t at, size_t *end, size_t cap);
size_t split_smollm(const char *p, size_t n, size_t at, size_t *end, size_t cap);
size_t split_qwen2(const char *p, size_t n, size_t at, size_t *end, size_t cap);
size_t split_llama3(const char *p, size_t n, size_t at, size_t *end, size_t cap);
#endif

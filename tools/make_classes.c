/* SPDX-License-Identifier: Apache-2.0
 * Build step: asks PCRE2 for the class (model/pretok_split.h) of every code point and writes the answer as a two-stage table, so
 * that the hand-written splitters agree with the patterns of the PCRE2 this was built with. usage: make_classes > classes.c */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { BLOCKS = 0x1100 };

static int encode(unsigned c, unsigned char *u) {
  if (c < 0x80) return u[0] = (unsigned char)c, 1;
  int n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (int i = n - 1; i > 0; i--, c >>= 6) u[i] = (unsigned char)(0x80 | (c & 0x3f));
  u[0] = (unsigned char)((0xf0 << (4 - n) & 0xf0) | c);
  return n;
}

int main(void) {
  static const char *const pattern[] = { "\\p{L}", "\\p{N}",
    "[\\t-\\r\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}]" };
  static unsigned char block[256][256];
  unsigned char index[BLOCKS];
  pcre2_code *code[3];
  int n = 0, err;
  size_t at;
  for (int k = 0; k < 3; k++)
    if (!(code[k] = pcre2_compile((PCRE2_SPTR)pattern[k], PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &err, &at, NULL))) return 1;
  pcre2_match_data *m = pcre2_match_data_create(1, NULL);
  if (!m) return 1;
  for (unsigned b = 0; b < BLOCKS; b++) {
    unsigned char now[256] = { 0 }, u[4];
    for (unsigned i = 0; i < 256; i++) {
      unsigned c = b << 8 | i;
      if (c >= 0xd800 && c < 0xe000) continue; /* surrogates are no characters */
      int len = encode(c, u);
      for (int k = 0; k < 3 && !now[i]; k++) {
        int rc = pcre2_match(code[k], u, (size_t)len, 0, 0, m, NULL);
        if (rc < 0 && rc != PCRE2_ERROR_NOMATCH) return 1;
        if (rc > 0) now[i] = (unsigned char)(k + 1);
      }
    }
    int at_block = 0;
    while (at_block < n && memcmp(block[at_block], now, 256) != 0) at_block++;
    if (at_block == n && n == 256) return 1;
    if (at_block == n) memcpy(block[n++], now, 256);
    index[b] = (unsigned char)at_block;
  }
  printf("/* made by tools/make_classes.c */\n#include \"pretok_split.h\"\nconst unsigned char pretok_class_index[%d] = {", BLOCKS);
  for (int b = 0; b < BLOCKS; b++) printf("%s%d,", b % 64 ? "" : "\n", index[b]);
  printf("\n};\nconst unsigned char pretok_class_block[][256] = {");
  for (int k = 0; k < n; k++) {
    printf("\n{");
    for (int i = 0; i < 256; i++) printf("%d,", block[k][i]);
    printf("},");
  }
  printf("\n};\n");
  for (int k = 0; k < 3; k++) pcre2_code_free(code[k]);
  pcre2_match_data_free(m);
  return ferror(stdout) || fflush(stdout) != 0;
}

/* SPDX-License-Identifier: Apache-2.0
 * The scanner for personal data on any bytes: hits lie inside the text, in order and apart; a masked text holds no more of what
 * was found where it was found, and scanning twice gives the same. */
#include <stdlib.h>
#include <string.h>
#include "pii.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct pii *p;
  struct arena *a = arena_new(0);
  struct pii_hit *h, *again;
  size_t n, m, at = 0, masked;
  struct buf b = { 0 };
  if (!a || pii_new("all", 0.0, &p, NULL) != STATUS_OK) abort();
  char *text = mem_alloc(size + 1); /* its own block: a read beyond the end is seen */
  if (!text) abort();
  if (size) memcpy(text, data, size);
  struct span s = { text, size };
  if (pii_scan(p, s, a, &h, &n, NULL) != STATUS_OK || pii_scan(p, s, a, &again, &m, NULL) != STATUS_OK || n != m) abort();
  masked = size;
  for (size_t i = 0; i < n; i++) {
    if (h[i].offset < at || h[i].bytes == 0 || h[i].bytes > size - h[i].offset || h[i].kind >= PII_KINDS || h[i].offset != again[i].offset) abort();
    at = h[i].offset + h[i].bytes;
    masked = masked - h[i].bytes + strlen(pii_kind_label(h[i].kind)) + 2;
  }
  if (pii_mask(s, h, n, &b, NULL) != STATUS_OK || b.n != masked) abort();
  buf_free(&b);
  mem_free(text);
  pii_free(p);
  arena_free(a);
  return 0;
}

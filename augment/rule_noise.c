/* SPDX-License-Identifier: Apache-2.0
 * The walk of the noise methods. */
#include "rule_noise.h"

static int is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

size_t noise_fixed(struct span t, size_t i) {
  size_t k = i;
  if (t.p[i] == '[') { /* [LABEL_12] */
    for (k = i + 1; k < t.n && ((t.p[k] >= 'A' && t.p[k] <= 'Z') || (t.p[k] >= '0' && t.p[k] <= '9') || t.p[k] == '_'); k++) {
    }
    return k < t.n && t.p[k] == ']' && k > i + 2 ? k + 1 - i : 0;
  }
  if (t.p[i] == '{' && i + 1 < t.n && t.p[i + 1] == '{') {
    for (k = i + 2; k + 1 < t.n && k < i + 200; k++)
      if (t.p[k] == '}' && t.p[k + 1] == '}') return k + 2 - i;
    return 0;
  }
  if (i && !is_space(t.p[i - 1]) && t.p[i - 1] != '(' && t.p[i - 1] != '<') return 0;
  if ((t.n - i > 7 && memcmp(t.p + i, "http", 4) == 0) || (t.n - i > 4 && memcmp(t.p + i, "www.", 4) == 0)) {
    while (k < t.n && !is_space(t.p[k])) k++;
    return k - i;
  }
  return 0;
}

enum status noise_apply(const void *state, struct rule_row *r, noise_step step, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = { 0 };
  for (size_t x = 0; x < r->n; x++) {
    struct span t = r->text[x].text;
    if (!rule_wants(r, x)) continue;
    buf_clear(&b);
    for (size_t i = 0; i < t.n;) {
      size_t took = noise_fixed(t, i);
      if (took) TRY(buf_put(&b, t.p + i, took, e));
      else TRY(step(state, r, t, i, &took, &b, e));
      i += took;
    }
    TRY(rule_put(r, x, &b, e));
  }
out:
  buf_free(&b);
  return st;
}

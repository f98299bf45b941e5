/* SPDX-License-Identifier: Apache-2.0
 * Keys and passwords: by the prefixes that services give their keys, by PEM headers, and by a word such as "password" with a
 * separator and a value that looks like one. */
#include <string.h>
#include "pii_impl.h"

enum alphabet { UPPER, WORDS, BASE64URL };
static const struct key_row { const char *prefix, *what; size_t min; enum alphabet set; } rows[] = {
  { "AKIA", "aws", 16, UPPER }, { "ASIA", "aws", 16, UPPER }, { "sk-ant-", "anthropic", 20, BASE64URL }, { "sk-", "openai", 20, BASE64URL },
  { "sk_live_", "stripe", 16, WORDS }, { "sk_test_", "stripe", 16, WORDS }, { "rk_live_", "stripe", 16, WORDS }, { "pk_live_", "stripe", 16, WORDS },
  { "ghp_", "github", 20, WORDS }, { "gho_", "github", 20, WORDS }, { "ghu_", "github", 20, WORDS }, { "ghs_", "github", 20, WORDS }, { "ghr_", "github", 20, WORDS },
  { "github_pat_", "github", 22, WORDS }, { "glpat-", "gitlab", 20, BASE64URL }, { "xoxb-", "slack", 20, BASE64URL }, { "xoxp-", "slack", 20, BASE64URL },
  { "xoxa-", "slack", 20, BASE64URL }, { "xoxr-", "slack", 20, BASE64URL }, { "xoxs-", "slack", 20, BASE64URL }, { "AIza", "google", 30, BASE64URL },
  { "ya29.", "google", 30, BASE64URL }, { "hf_", "huggingface", 30, WORDS }, { "npm_", "npm", 30, WORDS }, { "pypi-", "pypi", 60, BASE64URL }, { "dop_v1_", "digitalocean", 40, WORDS },
  { "SG.", "sendgrid", 40, BASE64URL }, { "gsk_", "groq", 40, WORDS }, { "xai-", "xai", 40, BASE64URL }, { "r8_", "replicate", 30, WORDS }, { "shpat_", "shopify", 30, WORDS },
  { "AGE-SECRET-KEY-1", "age", 50, UPPER }, { "eyJ", "jwt", 30, BASE64URL }, { NULL, NULL, 0, UPPER }
};
const char *const pii_key_prefixes[] = { "ak", "as", "sk", "rk", "pk", "gh", "gi", "gl", "xo", "ai", "ya", "hf", "np", "py", "do", "sg", "gs", "xa", "r8", "sh", "ag", "ey", NULL };

static int in_set(int c, enum alphabet set) {
  if (set == UPPER) return is_upper(c) || is_digit(c);
  return is_alnum(c) || c == '_' || (set == BASE64URL && (c == '-' || c == '.'));
}

/* Letters, digits and enough different bytes: not "sk-learn-and-other-packages", not "xxxxxxxx". */
static int looks_random(const struct look *s, size_t from, size_t to) {
  unsigned long long seen[4] = { 0 };
  int digits = 0, different = 0;
  for (size_t i = from; i < to; i++) {
    unsigned c = s->t[i];
    digits += is_digit((int)c);
    if (!(seen[c >> 6] >> (c & 63) & 1)) different++;
    seen[c >> 6] |= 1ull << (c & 63);
  }
  return digits > 0 && different >= 6;
}

/* -----BEGIN ... PRIVATE KEY----- to its END line, at most 8 KiB; without the end, 64 lines' worth are taken. */
static size_t private_key(struct look *s, size_t i) {
  size_t line = i + 11, max = i + 8192 < s->n ? i + 8192 : s->n;
  while (line < max && line - i < 48 && (is_upper(s->t[line]) || s->t[line] == ' ')) line++;
  if (line < i + 22 || memcmp(s->t + line - 11, "PRIVATE KEY", 11) != 0 || !look_word(s, line, "-----")) return i;
  size_t end = line + 5;
  for (; end < max; end++)
    if (s->t[end] == '-' && max - end >= 9 && !memcmp(s->t + end, "-----END ", 9)) {
      while (end < max && s->t[end] != '\n' && s->t[end] != '\\') end++;
      break;
    } else if (!is_alnum(s->t[end]) && !strchr("+/= \r\n\t\\:,-.()", s->t[end])) {
      break;
    }
  look_add(s, PII_api_key, i, end, 0.95, "private_key");
  return end;
}

size_t pii_key(struct look *s, size_t i) {
  if (s->t[i] == '-') return s->n - i > 30 && !memcmp(s->t + i, "-----BEGIN ", 11) ? private_key(s, i) : i;
  if (i > 0 && (s->t[i - 1] == '_' || s->t[i - 1] == '-')) return i;
  for (const struct key_row *r = rows; r->prefix; r++) {
    size_t n = strlen(r->prefix), to = i + n;
    if (s->n - i < n || memcmp(s->t + i, r->prefix, n) != 0) continue;
    while (to < s->n && to - i < 1024 && in_set(s->t[to], r->set)) to++;
    while (to > i + n && (s->t[to - 1] == '.' || s->t[to - 1] == '-')) to--; /* the sentence's */
    if (to - i - n < r->min || !looks_random(s, i + n, to)) return i;
    if (r->set == UPPER && is_lower(look_at(s, to))) return i;
    look_add(s, PII_api_key, i, to, 0.9, r->what);
    return to;
  }
  return i;
}

static int is_value(int c) { return c > ' ' && c < 0x7F && !strchr("\"'`<>,;()[]{}", c); }

static size_t skip_blanks(const struct look *s, size_t i, size_t max) {
  size_t from = i;
  while (i - from < max && (look_at(s, i) == ' ' || look_at(s, i) == '\t')) i++;
  return i;
}

size_t pii_secret(struct look *s, size_t i, int bearer) {
  size_t at = i, min = bearer ? 16 : 8;
  if (bearer) {
    at = skip_blanks(s, at, 2);
    if (at == i) return i;
  } else {
    while (at - i < 2 && (look_at(s, at) == '"' || look_at(s, at) == '\'')) at++;
    at = skip_blanks(s, at, 3);
    if (look_at(s, at) == ':' || look_at(s, at) == '=') at++;
    else if (look_word(s, at, "is ")) at += 3;
    else return i;
    if (look_at(s, at) == '>') at++; /* => */
    at = skip_blanks(s, at, 3);
  }
  if (look_at(s, at) == '"' || look_at(s, at) == '\'' || look_at(s, at) == '`') at++;
  size_t end = at;
  int digits = 0, letters = 0, others = 0;
  for (; end < s->n && end - at < 512 && is_value(s->t[end]); end++) {
    digits += is_digit(s->t[end]);
    letters += is_alpha(s->t[end]);
    others += !is_alnum(s->t[end]);
  }
  while (end > at && strchr(".:!?", s->t[end - 1])) end--;
  if (end - at < min || !letters || (!digits && others == 0)) return i;
  if (!digits && end - at < 12) return i;
  if (s->t[at] == '$' || s->t[at] == '%') return i; /* ${VAR}, %VAR% */
  if (look_word(s, at, "os.") || look_word(s, at, "process.") || look_word(s, at, "getenv") || look_word(s, at, "http") || look_word(s, at, "your")) return i;
  look_add(s, PII_api_key, at, end, 0.7, bearer ? "bearer" : "secret");
  return i;
}

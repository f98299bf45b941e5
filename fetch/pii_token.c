/* SPDX-License-Identifier: Apache-2.0
 * Personal data that is one token: e-mail, IPv6, addresses with credentials, IBAN. */
#include <string.h>
#include "pii_impl.h"

/* ---- e-mail: RFC 5321 sizes (64 before '@', 255 behind), ASCII only, a dot and a top-level name of letters ---- */
static int is_local(int c) { return is_alnum(c) || (c != 0 && strchr("._%+-'&/=!#$*?^{|}~", c) != NULL); }

size_t pii_email(struct look *s, size_t at) {
  size_t from = at, to = at + 1, dot = 0;
  while (from > 0 && at - from < 64 && is_local(s->t[from - 1])) from--;
  while (from < at && !is_alnum(s->t[from]) && s->t[from] != '_') from++; /* leading punctuation belongs to the sentence */
  for (size_t k = at; k > from; k--) /* "to:mail=a@b", "x/a@b": what stands before these is not the mailbox */
    if (strchr("=/?!#{|}^*$&", s->t[k - 1])) {
      from = k;
      break;
    }
  if (from == at || s->t[at - 1] == '.') return at;
  while (to < s->n && to - at < 256 && (is_alnum(s->t[to]) || ((s->t[to] == '-' || s->t[to] == '.') && is_alnum(look_at(s, to + 1)) && to > at + 1))) {
    if (s->t[to] == '.') dot = to;
    to++;
  }
  if (!dot || to - dot < 3 || to - at > 256) return at;
  for (size_t k = dot + 1; k < to; k++)
    if (!is_alpha(s->t[k]) && !look_word(s, dot + 1, "xn--")) return at; /* 1.2.3@4.5 */
  look_add(s, PII_email, from, to, 0.95, "email");
  return to;
}

/* ---- IPv6 ---- */
static int is_hex(int c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

size_t pii_ipv6(struct look *s, size_t colon) {
  size_t from = colon, i, groups = 0, twice = 0, letters = 0, digits = 0, widest = 0;
  while (from > 0 && colon - from < 4 && is_hex(s->t[from - 1])) from--;
  int before = from > 0 ? s->t[from - 1] : 0;
  if (is_alnum(before) || before == ':' || before == '.' || before == '_') return colon;
  for (i = from; i < s->n && i - from < 45;) {
    size_t g = i;
    while (g < s->n && g - i < 5 && is_hex(s->t[g])) {
      digits += (size_t)is_digit(s->t[g]);
      letters += (size_t)!is_digit(s->t[g]);
      g++;
    }
    if (g - i > 4) return colon;
    groups += g > i;
    if (g - i > widest) widest = g - i;
    i = g;
    if (look_at(s, i) != ':') break;
    if (look_at(s, i + 1) == ':') {
      if (twice++) return colon;
      i += 2;
      continue;
    }
    if (!is_hex(look_at(s, i + 1))) break; /* "2001:db8::1: text" */
    i++;
  }
  int next = look_at(s, i);
  if (is_alnum(next) || next == '_' || (next == ':' && look_at(s, i + 1) == ':')) return colon;
  if (twice ? groups < 2 || groups > 7 : groups != 8) return colon;
  if (digits == 0 || (twice && (widest < 3 || (groups == 2 && letters == 0)))) return colon; /* a::b is a name of C++, 1::2 a slice */
  look_add(s, PII_ip, from, i, 0.9, "ipv6");
  return i;
}

/* ---- scheme://user:password@host/path, and keys in the query ---- */
static int ends_url(int c) { return c <= ' ' || c >= 0x7F || strchr("\"<>`\\|{}", c) != NULL; }

static int secret_in_query(const struct look *s, size_t q, size_t end) {
  static const char *const names[] = { "api_key=", "apikey=", "api-key=", "key=", "access_token=", "token=", "auth=", "password=", "passwd=", "pwd=",
                                       "secret=", "client_secret=", "sig=", "signature=", "x-amz-signature=", NULL };
  for (; q < end; q++) {
    if (s->t[q] != '?' && s->t[q] != '&') continue;
    for (size_t k = 0; names[k]; k++) {
      if (!look_word(s, q + 1, names[k])) continue;
      size_t v = q + 1 + strlen(names[k]), n = 0;
      while (v + n < end && s->t[v + n] != '&' && s->t[v + n] != '#') n++;
      if (n >= 8) return 1;
    }
  }
  return 0;
}

size_t pii_url(struct look *s, size_t colon) {
  size_t from = colon, end = colon + 3, at = 0, second = 0, slash = 0, query = 0;
  if (colon < s->url_done) return colon;
  while (from > 0 && colon - from < 12 && (is_alnum(s->t[from - 1]) || s->t[from - 1] == '+')) from--;
  if (from == colon) return colon;
  for (; end < s->n && end - colon < 2048 && !ends_url(s->t[end]); end++) {
    int c = s->t[end];
    if (c == '/' && !slash) slash = end;
    if (c == '?' && !query) query = end;
    if (!slash && !query && c == '@') at = end;
    if (!slash && !query && !at && c == ':' && !second) second = end;
  }
  s->url_done = end;
  while (end > colon + 3 && strchr(".,;:!?)]'*_", s->t[end - 1])) end--;
  if (at && second && at > second + 1 && is_alnum(look_at(s, at + 1))) {
    look_add(s, PII_url_credentials, from, end, 0.9, "userinfo");
    return end;
  }
  if (query && query < end && secret_in_query(s, query, end)) {
    look_add(s, PII_url_credentials, from, end, 0.7, "query");
    return end;
  }
  return colon + 3;
}

/* ---- IBAN: ISO 13616 lengths of countries; ISO 7064 mod 97-10 ---- */
static const char iban_lengths[] =
  "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23"
  "IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27"
  "SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30";

static size_t iban_length(int a, int b) {
  for (const char *p = iban_lengths; *p; p += 4)
    if (p[0] == a && p[1] == b) return (size_t)((p[2] - '0') * 10 + p[3] - '0');
  return 0;
}

size_t pii_iban(struct look *s, size_t i) {
  size_t want = iban_length(s->t[i], look_at(s, i + 1)), n = 0, at = i;
  unsigned head = 0, mod = 0;
  if (!want || !is_digit(look_at(s, i + 3))) return i;
  for (; n < want && at < s->n; at++) {
    int c = s->t[at];
    if ((c == ' ' || c == '-') && n % 4 == 0 && n > 0) continue; /* groups of four */
    if (!is_digit(c) && !is_upper(c)) return i;
    unsigned v = is_digit(c) ? (unsigned)(c - '0') : (unsigned)(c - 'A' + 10);
    if (n < 4) head = head * (v < 10 ? 10 : 100) + v; /* the first four count last: at most 2 x 2 + 2 digits */
    else mod = (mod * (v < 10 ? 10 : 100) + v) % 97;
    n++;
  }
  if (n < want || is_alnum(look_at(s, at))) return i;
  if ((mod * 1000000u + head) % 97 != 1) return i;
  look_add(s, PII_iban, i, at, 0.95, "iban");
  return at;
}

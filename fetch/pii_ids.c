/* SPDX-License-Identifier: Apache-2.0
 * National identity, insurance and tax numbers: one row each with its form, its check, how sure the form alone is and how sure
 * with its word before it. A form with a weak check (one digit of ten) is believed only behind its word. Add a country by
 * adding a row and, when the words are new, rows in pii_words.def. */
#include <string.h>
#include "pii_impl.h"

typedef int (*check)(const unsigned char *c, size_t n); /* c: digits and capitals without separators */

static unsigned value(unsigned char c) { return is_digit(c) ? (unsigned)(c - '0') : (unsigned)(c - 'A' + 10); }
static int month_day(unsigned m, unsigned d) { return m >= 1 && m <= 12 && d >= 1 && d <= 31; }
static unsigned two(const unsigned char *c) { return value(c[0]) * 10 + value(c[1]); }
static unsigned weighted(const unsigned char *c, const char *weights, size_t n) { /* weights as '0' + w */
  unsigned sum = 0;
  for (size_t i = 0; i < n; i++) sum += value(c[i]) * (unsigned)(weights[i] - '0');
  return sum;
}
static int luhn(const unsigned char *c, size_t n) {
  unsigned sum = 0;
  for (size_t i = 0; i < n; i++) {
    unsigned v = value(c[n - 1 - i]) * (i % 2 + 1);
    sum += v > 9 ? v - 9 : v;
  }
  return sum % 10 == 0 && sum > 0;
}

/* SSA: no area 000, 666; no group 00; no serial 0000. Areas from 900 are ITINs (IRS: group 50-65, 70-88, 90-92, 94-99). */
static int us_ssn(const unsigned char *c, size_t n) {
  (void)n;
  unsigned area = value(c[0]) * 100 + two(c + 1), group = two(c + 3), serial = two(c + 5) * 100 + two(c + 7);
  if (area == 0 || area == 666 || group == 0 || serial == 0) return 0;
  return area < 900 || (group >= 50 && group <= 65) || (group >= 70 && group <= 88) || (group >= 90 && group != 93);
}
/* Order of the Ministry of Internal Affairs no. 85 of 2014, article 5. */
static int jp_my_number(const unsigned char *c, size_t n) {
  (void)n;
  unsigned sum = 0, different = 0;
  for (unsigned i = 1; i <= 11; i++) sum += value(c[11 - i]) * (i <= 6 ? i + 1 : i - 5);
  for (size_t i = 1; i < 12; i++) different |= c[i] != c[0];
  return different && value(c[11]) == (sum % 11 <= 1 ? 0 : 11 - sum % 11);
}
static int uk_nhs(const unsigned char *c, size_t n) {
  (void)n;
  unsigned k = 11 - weighted(c, ":98765432", 9) % 11;
  return k != 10 && value(c[9]) == k % 11;
}
static int uk_nino(const unsigned char *c, size_t n) {
  (void)n;
  static const char *const never[] = { "BG", "GB", "NK", "KN", "TN", "NT", "ZZ", NULL };
  if (strchr("DFIQUV", c[0]) || strchr("DFIQUVO", c[1]) || c[8] > 'D') return 0;
  for (size_t i = 0; never[i]; i++)
    if (c[0] == (unsigned char)never[i][0] && c[1] == (unsigned char)never[i][1]) return 0;
  return 1;
}
static int de_steuer(const unsigned char *c, size_t n) { /* ISO 7064 mod 11,10 */
  unsigned p = 10;
  for (size_t i = 0; i + 1 < n; i++) {
    unsigned x = (value(c[i]) + p) % 10;
    p = (x ? x : 10) * 2 % 11;
  }
  return c[0] != '0' && value(c[10]) == (11 - p) % 10;
}
static int fr_nir(const unsigned char *c, size_t n) {
  (void)n;
  unsigned long long v = 0;
  unsigned month = two(c + 3);
  for (size_t i = 0; i < 13; i++) v = v * 10 + value(c[i]);
  return (c[0] == '1' || c[0] == '2') && ((month >= 1 && month <= 12) || month >= 20) && 97 - (unsigned)(v % 97) == two(c + 13);
}
static int es_letter(unsigned long long v, unsigned char letter) { return "TRWAGMYFPDXBNJZSQVHLCKE"[v % 23] == (char)letter; }
static int es_dni(const unsigned char *c, size_t n) {
  unsigned long long v = 0;
  for (size_t i = 0; i + 1 < n; i++) v = v * 10 + value(c[i]);
  return v > 0 && es_letter(v, c[8]);
}
static int es_nie(const unsigned char *c, size_t n) {
  if (c[0] < 'X') return 0;
  unsigned long long v = (unsigned long long)(c[0] - 'X');
  for (size_t i = 1; i + 1 < n; i++) v = v * 10 + value(c[i]);
  return es_letter(v, c[8]);
}
static int it_codice_fiscale(const unsigned char *c, size_t n) {
  (void)n;
  static const unsigned char odd[] = { 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23 };
  unsigned sum = 0;
  for (size_t i = 0; i < 15; i++) {
    unsigned v = is_digit(c[i]) ? value(c[i]) : (unsigned)(c[i] - 'A');
    sum += i % 2 ? v : odd[v];
  }
  return strchr("ABCDEHLMPRST", c[8]) && sum % 26 == (unsigned)(c[15] - 'A');
}
static int nl_bsn(const unsigned char *c, size_t n) {
  (void)n;
  unsigned sum = weighted(c, "98765432", 8);
  return sum > 0 && sum >= value(c[8]) && (sum - value(c[8])) % 11 == 0;
}
static int br_cpf(const unsigned char *c, size_t n) {
  (void)n;
  unsigned a = weighted(c, ":98765432", 9) * 10 % 11 % 10, b = weighted(c, ";:98765432", 10) * 10 % 11 % 10, different = 0;
  for (size_t i = 1; i < 11; i++) different |= c[i] != c[0];
  return different && a == value(c[9]) && b == value(c[10]);
}
static int ca_sin(const unsigned char *c, size_t n) { return c[0] != '8' && c[0] != '0' && luhn(c, n); }
static int au_tfn(const unsigned char *c, size_t n) {
  (void)n;
  unsigned sum = weighted(c, "14375869:", 9);
  return sum > 0 && sum % 11 == 0;
}
static int in_aadhaar(const unsigned char *c, size_t n) { /* Verhoeff: the dihedral group of ten */
  static const unsigned char perm[8][10] = { { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 }, { 1, 5, 7, 6, 2, 8, 3, 0, 9, 4 }, { 5, 8, 0, 3, 7, 9, 6, 1, 4, 2 },
                                             { 8, 9, 1, 6, 0, 4, 3, 5, 2, 7 }, { 9, 4, 5, 3, 1, 2, 6, 8, 7, 0 }, { 4, 2, 8, 6, 5, 7, 3, 9, 0, 1 },
                                             { 2, 7, 9, 3, 8, 0, 6, 4, 1, 5 }, { 7, 0, 4, 6, 9, 1, 3, 2, 5, 8 } };
  unsigned x = 0;
  for (size_t i = 0; i < n; i++) {
    unsigned y = perm[i % 8][value(c[n - 1 - i])], flip = x >= 5;
    x = y < 5 ? (flip ? (x - 5 + 5 - y) % 5 + 5 : (x + y) % 5 + 0) : (flip ? (x - 5 + 5 - (y - 5)) % 5 : (x + y - 5) % 5 + 5);
  }
  return x == 0 && c[0] >= '2';
}
static int cn_resident(const unsigned char *c, size_t n) { /* GB 11643: ISO 7064 mod 11-2 */
  unsigned p = 0, year = two(c + 6) * 100 + two(c + 8);
  for (size_t i = 0; i + 1 < n; i++) p = (p + value(c[i])) * 2 % 11;
  unsigned k = (12 - p) % 11;
  return year >= 1880 && year <= 2100 && month_day(two(c + 10), two(c + 12)) && (k == 10 ? c[17] == 'X' : is_digit(c[17]) && value(c[17]) == k);
}
static int kr_rrn(const unsigned char *c, size_t n) {
  (void)n;
  return month_day(two(c + 2), two(c + 4)) && c[6] >= '1' && c[6] <= '8';
}
static int pl_pesel(const unsigned char *c, size_t n) {
  (void)n;
  return month_day(two(c + 2) % 20, two(c + 4)) && (10 - weighted(c, "1379137913", 10) % 10) % 10 == value(c[10]);
}
static int se_personnummer(const unsigned char *c, size_t n) { return month_day(two(c + 2), two(c + 4)) && luhn(c, n); }
static int ch_ahv(const unsigned char *c, size_t n) {
  (void)n;
  return c[0] == '7' && c[1] == '5' && c[2] == '6' && (10 - weighted(c, "131313131313", 12) % 10) % 10 == value(c[12]);
}
static int sg_nric(const unsigned char *c, size_t n) {
  (void)n;
  unsigned sum = weighted(c + 1, "2765432", 7) + (c[0] == 'T' || c[0] == 'G' ? 4 : 0);
  return strchr("ST", c[0]) ? "JZIHGFEDCBA"[sum % 11] == (char)c[8] : strchr("FG", c[0]) ? "XWUTRQPNMLK"[sum % 11] == (char)c[8] : 0;
}
static int be_national(const unsigned char *c, size_t n) {
  (void)n;
  unsigned long long v = 0;
  for (size_t i = 0; i < 9; i++) v = v * 10 + value(c[i]);
  unsigned k = two(c + 9);
  return month_day(two(c + 2), two(c + 4)) && (97 - (unsigned)(v % 97) == k || 97 - (unsigned)((2000000000ull + v) % 97) == k);
}

/* Forms: d digit, A capital, x capital or digit, ? perhaps a blank, hyphen or full stop, anything else itself. */
static const struct id_row { const char *what, *form; check check; double alone; enum word_mark mark; double marked; } rows[] = {
  { "us_ssn", "ddd-dd-dddd", us_ssn, 0.85, MARK_SSN, 0.95 },
  { "us_ssn", "ddd dd dddd", us_ssn, 0.3, MARK_SSN, 0.9 },
  { "us_ssn", "ddddddddd", us_ssn, 0.05, MARK_SSN, 0.85 },
  { "jp_my_number", "dddd?dddd?dddd", jp_my_number, 0.4, MARK_MY_NUMBER, 0.95 },
  { "uk_nhs", "ddd?ddd?dddd", uk_nhs, 0.2, MARK_NHS, 0.95 },
  { "uk_nino", "AA?dd?dd?dd?A", uk_nino, 0.75, MARK_ID, 0.9 },
  { "de_steuer_id", "dd?ddd?ddd?ddd", de_steuer, 0.2, MARK_STEUER, 0.95 },
  { "fr_nir", "d?dd?dd?dd?ddd?ddd?dd", fr_nir, 0.8, MARK_NIR, 0.95 },
  { "es_dni", "dddddddd?A", es_dni, 0.7, MARK_ID, 0.9 },
  { "es_nie", "A?ddddddd?A", es_nie, 0.8, MARK_ID, 0.9 },
  { "it_codice_fiscale", "AAAAAAddAddAdddA", it_codice_fiscale, 0.95, MARK_ID, 0.95 },
  { "nl_bsn", "dddd?dd?ddd", nl_bsn, 0.1, MARK_BSN, 0.95 },
  { "br_cpf", "ddd.ddd.ddd-dd", br_cpf, 0.95, MARK_CPF, 0.95 },
  { "br_cpf", "ddddddddddd", br_cpf, 0.3, MARK_CPF, 0.95 },
  { "ca_sin", "ddd?ddd?ddd", ca_sin, 0.2, MARK_SIN, 0.9 },
  { "au_tfn", "ddd?ddd?ddd", au_tfn, 0.2, MARK_TFN, 0.9 },
  { "in_aadhaar", "dddd?dddd?dddd", in_aadhaar, 0.4, MARK_AADHAAR, 0.95 },
  { "cn_resident_id", "dddddddddddddddddx", cn_resident, 0.9, MARK_ID, 0.95 },
  { "kr_rrn", "dddddd-ddddddd", kr_rrn, 0.8, MARK_RRN, 0.95 },
  { "pl_pesel", "ddddddddddd", pl_pesel, 0.3, MARK_PESEL, 0.95 },
  { "se_personnummer", "dddddd-dddd", se_personnummer, 0.6, MARK_PERSONNUMMER, 0.95 },
  { "ch_ahv", "ddd.dddd.dddd.dd", ch_ahv, 0.95, MARK_ID, 0.95 },
  { "sg_nric", "AdddddddA", sg_nric, 0.8, MARK_ID, 0.9 },
  { "be_national", "dd.dd.dd-ddd.dd", be_national, 0.95, MARK_ID, 0.95 },
  { NULL, NULL, NULL, 0, MARK_NONE, 0 }
};

static size_t match(const struct look *s, size_t i, const char *form, unsigned char c[24], size_t *n) {
  int sep = 0;
  *n = 0;
  for (; *form; form++) {
    int x = look_at(s, i);
    if (*form == '?') {
      if ((x == ' ' || x == '-' || x == '.') && (sep == 0 || sep == x)) sep = x, i++;
      continue;
    }
    if (*form == 'd' ? !is_digit(x) : *form == 'A' ? !is_upper(x) : *form == 'x' ? !is_digit(x) && !is_upper(x) : x != (unsigned char)*form) return 0;
    if (*form == 'd' || *form == 'A' || *form == 'x') c[(*n)++] = (unsigned char)x;
    else sep = x;
    i++;
  }
  int next = look_at(s, i), after = look_at(s, i + 1);
  if (is_alnum(next) || next == '_' || ((next == '-' || next == '.' || (next == ' ' && sep == ' ')) && is_digit(after))) return 0;
  return i;
}

size_t pii_id(struct look *s, size_t i) {
  unsigned char c[24];
  size_t n, best = i;
  double score = 0;
  const struct id_row *found = NULL;
  int digit = is_digit(s->t[i]);
  for (const struct id_row *r = rows; r->what; r++) {
    if ((r->form[0] == 'd') != digit) continue;
    size_t end = match(s, i, r->form, c, &n);
    if (!end || !r->check(c, n)) continue;
    double x = look_marked(s, r->mark, i, 60) || (r->mark == MARK_ID && look_marked(s, MARK_SSN, i, 60)) ? r->marked : r->alone;
    if (x > score) score = x, best = end, found = r;
  }
  if (!found || score < s->p->min_score) return i;
  look_add(s, PII_national_id, i, best, score, found->what);
  return best;
}

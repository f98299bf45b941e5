/* SPDX-License-Identifier: Apache-2.0
 * Medical record numbers and dates of birth: known by the words beside them. */
#include <string.h>
#include "pii_impl.h"

static int is_blank(int c) { return c == ' ' || c == '\t'; }

/* Behind the announcing word: blanks, signs and small words that may stand before the value. */
static size_t skip_filler(const struct look *s, size_t i, const char *const *words) {
  static const char *const wide[] = { "：", "は", "　", "番号", "nº", "n°", NULL };
  for (int round = 0; round < 6; round++) {
    size_t from = i;
    while (i - from < 6 && look_at(s, i) != 0 && strchr(" \t:#=.-()\"'*|\n", look_at(s, i))) i++;
    for (size_t k = 0; wide[k]; k++)
      if (look_word(s, i, wide[k])) i += strlen(wide[k]);
    for (size_t k = 0; words[k]; k++) {
      size_t n = strlen(words[k]);
      if (look_word(s, i, words[k]) && !is_alnum(look_at(s, i + n))) {
        i += n;
        break;
      }
    }
    if (i == from) break;
  }
  return i;
}

size_t pii_mrn(struct look *s, size_t i) {
  static const char *const filler[] = { "number", "numbers", "no", "num", "nr", "id", "is", "was", "of", "mrn", "recorded as", "assigned", NULL };
  size_t at = skip_filler(s, i, filler), end = at, digits = 0, letters = 0;
  for (; end < s->n && end - at < 24; end++) {
    int c = s->t[end];
    if (is_digit(c)) digits++;
    else if (is_alpha(c)) letters++;
    else if ((c != '-' && c != '/' && c != '.') || !is_alnum(look_at(s, end + 1))) break;
  }
  if (is_alnum(look_at(s, end)) || digits < 4 || letters > 6 || end - at < 4 || digits < letters) return i;
  if (end - at == 10 && s->t[at + 4] == '-' && s->t[at + 7] == '-') return i; /* a date in a table */
  look_add(s, PII_mrn, at, end, 0.9, "mrn");
  return i;
}

/* ---- dates ---- */
static const struct { const char *name; int month; } months[] = {
  { "january", 1 }, { "february", 2 }, { "march", 3 }, { "april", 4 }, { "may", 5 }, { "june", 6 }, { "july", 7 }, { "august", 8 }, { "september", 9 },
  { "october", 10 }, { "november", 11 }, { "december", 12 }, { "jan", 1 }, { "feb", 2 }, { "mar", 3 }, { "apr", 4 }, { "jun", 6 }, { "jul", 7 }, { "aug", 8 },
  { "sept", 9 }, { "sep", 9 }, { "oct", 10 }, { "nov", 11 }, { "dec", 12 }, { "januar", 1 }, { "februar", 2 }, { "märz", 3 }, { "mai", 5 }, { "juni", 6 },
  { "juli", 7 }, { "oktober", 10 }, { "dezember", 12 }, { "janvier", 1 }, { "février", 2 }, { "mars", 3 }, { "avril", 4 }, { "juin", 6 }, { "juillet", 7 },
  { "août", 8 }, { "septembre", 9 }, { "octobre", 10 }, { "novembre", 11 }, { "décembre", 12 }, { "enero", 1 }, { "febrero", 2 }, { "marzo", 3 }, { "abril", 4 },
  { "mayo", 5 }, { "junio", 6 }, { "julio", 7 }, { "agosto", 8 }, { "septiembre", 9 }, { "octubre", 10 }, { "noviembre", 11 }, { "diciembre", 12 },
  { "gennaio", 1 }, { "febbraio", 2 }, { "aprile", 4 }, { "maggio", 5 }, { "giugno", 6 }, { "luglio", 7 }, { "settembre", 9 }, { "ottobre", 10 },
  { "dicembre", 12 }, { NULL, 0 }
};

static size_t month_name(const struct look *s, size_t i) {
  size_t best = 0;
  if (!is_alpha(look_at(s, i))) return 0;
  for (size_t k = 0; months[k].name; k++) {
    if (months[k].name[0] != to_lower(s->t[i])) continue;
    size_t n = strlen(months[k].name);
    if (n > best && look_word(s, i, months[k].name) && !is_alpha(look_at(s, i + n))) best = n;
  }
  return best ? i + best : 0;
}

static size_t digits_at(const struct look *s, size_t i, size_t max, unsigned *v) {
  size_t from = i;
  *v = 0;
  while (i - from < max && is_digit(look_at(s, i))) *v = *v * 10 + (unsigned)(s->t[i++] - '0');
  return is_digit(look_at(s, i)) ? from : i; /* more digits than allowed: nothing */
}
static int is_year(unsigned y, size_t n) { return n == 4 ? y >= 1850 && y <= 2100 : n == 2; }
static int day_month(unsigned a, unsigned b) { return (a >= 1 && a <= 31 && b >= 1 && b <= 12) || (b >= 1 && b <= 31 && a >= 1 && a <= 12); }

/* 3/5/1980, 1980-05-03, 03.05.80, 19800503 */
static size_t numeric_date(const struct look *s, size_t i) {
  unsigned a, b, c;
  size_t j = digits_at(s, i, 8, &a), n = j - i;
  if (n == 8) return is_year(a / 10000, 4) && day_month(a % 100, a / 100 % 100) ? j : 0;
  int sep = look_at(s, j);
  if ((n != 4 && n != 1 && n != 2) || (sep != '/' && sep != '-' && sep != '.')) return 0;
  j++;
  if (sep == '.' && look_at(s, j) == ' ') j++;
  size_t k = digits_at(s, j, 2, &b);
  if (k == j || look_at(s, k) != sep) return 0;
  k++;
  if (sep == '.' && look_at(s, k) == ' ') k++;
  size_t m = digits_at(s, k, n == 4 ? 2 : 4, &c);
  if (m == k || is_alpha(look_at(s, m))) return 0;
  return n == 4 ? (is_year(a, 4) && day_month(b, c) ? m : 0) : (is_year(c, m - k) && day_month(a, b) ? m : 0);
}

static size_t small_words(const struct look *s, size_t i) { /* between the parts of a written date */
  static const char *const words[] = { "of", "de", "del", "st", "nd", "rd", "th", "er", "º", NULL };
  for (int round = 0; round < 3; round++) {
    while (is_blank(look_at(s, i)) || look_at(s, i) == ',' || look_at(s, i) == '.') i++;
    for (size_t k = 0; words[k]; k++)
      if (look_word(s, i, words[k]) && !is_alnum(look_at(s, i + strlen(words[k])))) i += strlen(words[k]);
  }
  return i;
}

/* May 3rd, 1980; 3 May 1980; 3. Mai 1980; 3 de mayo de 1980 */
static size_t written_date(const struct look *s, size_t i) {
  unsigned day, year;
  size_t m = month_name(s, i), d, y;
  if (m) {
    d = small_words(s, m);
    y = digits_at(s, d, 2, &day);
    if (y == d || day < 1 || day > 31) return 0;
  } else {
    d = digits_at(s, i, 2, &day);
    if (d == i || day < 1 || day > 31) return 0;
    d = small_words(s, d);
    if (look_at(s, d) == '-') d++;
    y = month_name(s, d);
    if (!y) return 0;
    if (look_at(s, y) == '-') y++;
  }
  y = small_words(s, y);
  d = digits_at(s, y, 4, &year);
  return d - y == 4 && is_year(year, 4) ? d : 0;
}

/* 1980年5月3日, 昭和55年5月3日 */
static size_t japanese_date(const struct look *s, size_t i) {
  static const char *const eras[] = { "昭和", "平成", "令和", "大正", "明治", NULL };
  unsigned v;
  size_t j = i, era = 0;
  for (size_t k = 0; eras[k] && !era; k++)
    if (look_word(s, i, eras[k])) era = 1, j += strlen(eras[k]);
  size_t k = digits_at(s, j, 4, &v);
  if (k == j && era && look_word(s, j, "元")) k = j + 3;
  if (k == j || (!era && !is_year(v, k - j)) || !look_word(s, k, "年")) return 0;
  j = k + 3;
  k = digits_at(s, j, 2, &v);
  if (k == j || v < 1 || v > 12 || !look_word(s, k, "月")) return 0;
  j = k + 3;
  k = digits_at(s, j, 2, &v);
  return k != j && v >= 1 && v <= 31 && look_word(s, k, "日") ? k + 3 : 0;
}

static size_t date_at(const struct look *s, size_t i) {
  size_t end = numeric_date(s, i);
  if (!end) end = written_date(s, i);
  return end ? end : japanese_date(s, i);
}

size_t pii_dob(struct look *s, size_t i, int born) {
  static const char *const filler[] = { "is", "was", "on", "the", "am", "le", "el", "il", "date", "mm/dd/yyyy", "dd/mm/yyyy", NULL };
  size_t at = skip_filler(s, i, filler), end = date_at(s, at);
  if (!end && born) { /* born in Leeds, England, on 3 May 1980: within the sentence */
    for (at = i; at < s->n && at - i < 64 && !end; at++) {
      int c = s->t[at];
      if (c == '.' || c == ';' || c == '\n' || c == '?') break;
      if ((is_digit(c) || (is_alpha(c) && strchr("jfmasondegl", to_lower(c)))) && !is_alnum(s->t[at - 1])) end = date_at(s, at);
      if (end) break;
    }
  }
  /* the letters are those that months begin with */
  if (end) look_add(s, PII_dob, at, end, 0.9, born ? "born" : "dob");
  return i;
}

/* 1980年5月3日生まれ: the date ends at i. */
size_t pii_dob_before(struct look *s, size_t i) {
  for (size_t back = 8; back <= 32 && back <= i; back++) {
    size_t at = i - back;
    if ((s->t[at] & 0xC0) == 0x80 || (is_digit(s->t[at]) && at > 0 && is_digit(s->t[at - 1]))) continue;
    size_t end = japanese_date(s, at);
    if (!end) end = numeric_date(s, at);
    if (!end || i - end > 3) continue;
    size_t era = at >= 6 && !is_digit(s->t[at - 1]) ? japanese_date(s, at - 6) : 0; /* the name of the era belongs to it */
    look_add(s, PII_dob, era == end ? at - 6 : at, end, 0.9, "born_after");
    break;
  }
  return i;
}

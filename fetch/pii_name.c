/* SPDX-License-Identifier: Apache-2.0
 * Names of persons by what stands around them: titles (Dr. Ada Byron), form fields (Name: Ada Byron), introductions (my name
 * is Ada), greetings, signatures, 氏名 and 様. The hit is the name without its title. */
#include <string.h>
#include <utf8proc.h>
#include "pii_impl.h"

enum { TOKENS = 5 };

static int code_point(const struct look *s, size_t i, size_t *n) {
  utf8proc_int32_t c = -1;
  *n = 1;
  if (i >= s->n) return 0;
  if (s->t[i] < 0x80) return s->t[i];
  utf8proc_ssize_t k = utf8proc_iterate(s->t + i, (utf8proc_ssize_t)(s->n - i), &c);
  if (k < 1) return -1;
  *n = (size_t)k;
  return c;
}
static int is_capital(int c) { return c < 0x80 ? is_upper(c) : c > 0 && utf8proc_category(c) == UTF8PROC_CATEGORY_LU; }
static int is_letter(int c) {
  if (c < 0x80) return is_alpha(c);
  utf8proc_category_t k = utf8proc_category(c);
  return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LM) || k == UTF8PROC_CATEGORY_MN;
}

/* Capitalised words that are no names although they stand where one would. */
static int is_stop(const struct look *s, size_t i, size_t n) {
  static const char *const stop[] = {
    "sir", "sirs", "madam", "madame", "mr", "mrs", "ms", "dr", "prof", "all", "team", "customer", "customers", "colleague", "colleagues", "friend", "friends",
    "editor", "editors", "committee", "hiring", "reader", "readers", "valued", "members", "member", "president", "speaker", "chairman", "chairwoman", "chair",
    "secretary", "minister", "justice", "ambassador", "mayor", "senator", "judge", "general", "chancellor", "the", "a", "an", "this", "that", "these",
    "those", "and", "or", "of", "in", "on", "at", "to", "for", "with", "from", "by", "is", "was", "not", "no", "none", "unknown", "n", "date", "name", "address",
    "phone", "email", "age", "sex", "dob", "mrn", "id", "number", "code", "type", "file", "license", "licence", "copyright", "street", "city", "state", "country",
    "department", "hospital", "clinic", "university", "company", "inc", "ltd", "llc", "gmbh", "corporation", "court", "january", "february", "march", "april",
    "may", "june", "july", "august", "september", "october", "november", "december", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
    "i", "he", "she", "it", "we", "they", "you", "your", "our", "my", "his", "her", "their", "if", "when", "please", "information", "care", "safety", "service",
    "services", "history", "record", "records", "status", "male", "female", "signature", "title", "position", "as", "but", "who", "which", "dear", "santa", "lord", "god",
    "anonymous", "redacted", "foundation", "software", "group", "project", "jr", "diary", NULL };
  for (size_t k = 0; stop[k]; k++)
    if (strlen(stop[k]) == n && look_word(s, i, stop[k])) return 1;
  return 0;
}

/* A token of a name at i: Ada, O'Neil, Jean-Luc, J., MacLeod, ANNA. Returns its end or 0. */
static size_t name_token(const struct look *s, size_t i) {
  size_t n, end = i, letters = 0;
  int c = code_point(s, i, &n);
  if (!is_capital(c)) return 0;
  while (end - i < 48) {
    c = code_point(s, end, &n);
    if (is_letter(c)) letters++;
    else if ((c != '\'' && c != '-' && c != 0x2019) || !is_letter(code_point(s, end + n, &(size_t){ 0 }))) break;
    end += n;
  }
  if (is_digit(look_at(s, end)) || look_at(s, end) == '_' || look_at(s, end) == '@') return 0;
  if (letters == 1) return look_at(s, end) == '.' ? end + 1 : look_at(s, end) == ' ' ? end : 0; /* an initial */
  if (end - i >= 2 && s->t[end - 1] == 's' && s->t[end - 2] == '\'') end -= 2;
  return is_stop(s, i, end - i) ? 0 : end;
}

static size_t particle(const struct look *s, size_t i) {
  static const char *const words[] = { "van der ", "van den ", "von der ", "de la ", "van ", "von ", "de ", "del ", "della ", "da ", "di ", "dos ", "bin ", "al-", "el-", "ter ", "zu ", "le ", NULL };
  for (size_t k = 0; words[k]; k++)
    if (is_lower(look_at(s, i)) && look_word(s, i, words[k])) return i + strlen(words[k]);
  return 0;
}

/* Up to five tokens from i on. *n_out: tokens of more than one letter. Returns the end of the last one. */
static size_t name_at(const struct look *s, size_t i, size_t *n_out) {
  size_t end = 0, tokens = 0;
  *n_out = 0;
  while (tokens < TOKENS) {
    size_t p = particle(s, i), at = p ? p : i, t = name_token(s, at);
    if (!t) break;
    int initial = t - at <= 2 && (s->t[t - 1] == '.' || t - at == 1);
    *n_out += (size_t)!initial;
    tokens++;
    if (!initial || tokens > 1) end = t;
    i = t;
    if (look_at(s, i) == ',' && look_at(s, i + 1) == ' ' && tokens == 1 && name_token(s, i + 2) > i + 3) i++; /* Byron, Ada: only fields ask */
    if (look_at(s, i) != ' ') break;
    i++;
    if (look_at(s, i) == ' ' && is_upper(look_at(s, i + 1))) i++;
  }
  if (end > 0 && s->t[end - 1] == '.' && *n_out > 0) { /* an initial at the end of a sentence */
    size_t k = end - 1;
    if (k >= 2 && s->t[k - 2] != ' ') end = k;
  }
  return *n_out ? end : 0;
}

static size_t blanks(const struct look *s, size_t i, size_t max) {
  size_t from = i;
  while (i - from < max && (look_at(s, i) == ' ' || look_at(s, i) == '\t')) i++;
  return i;
}

static void title(struct look *s, size_t from, size_t i) {
  size_t n;
  if (!is_capital(code_point(s, from, &n))) return; /* "mr" in lower case is no title */
  size_t at = look_at(s, i) == '.' ? i + 1 : i, b = blanks(s, at, 2);
  if (b == at && look_at(s, i) != '.') return;
  size_t end = name_at(s, b, &n), last = end;
  /* "Mr. Smith, however" : only one comma form is a field's; cut at the comma */
  for (size_t k = b; k < end; k++)
    if (s->t[k] == ',') {
      last = k;
      break;
    }
  if (last > b) look_add(s, PII_name, b, last, 0.9, "title");
}

static size_t colon(const struct look *s, size_t i) {
  size_t at = blanks(s, i, 4);
  if (look_at(s, at) == '\'' || look_at(s, at) == '"') at++;
  if (look_at(s, at) == '(' && look_at(s, at + 1) == 's' && look_at(s, at + 2) == ')') at += 3;
  if (look_at(s, at) != ':' && look_at(s, at) != '=' && look_at(s, at) != '|') return 0;
  at = blanks(s, at + 1, 8);
  if (look_at(s, at) == '\'' || look_at(s, at) == '"') at++;
  return at;
}

static size_t skip_title(const struct look *s, size_t i) {
  static const char *const titles[] = { "mr", "mrs", "ms", "miss", "dr", "prof", "herr", "frau", NULL };
  for (size_t k = 0; titles[k]; k++) {
    size_t n = strlen(titles[k]);
    if (look_word(s, i, titles[k]) && !is_alpha(look_at(s, i + n))) return blanks(s, look_at(s, i + n) == '.' ? i + n + 1 : i + n, 2);
  }
  return i;
}

/* Name: Ada Byron. One word is enough where the field is surely a person's ("Last name: Byron"). */
static void field(struct look *s, const char *word, size_t i) {
  size_t n, at = colon(s, i), end;
  if (!at) return;
  at = skip_title(s, at);
  end = name_at(s, at, &n);
  int sure = strcmp(word, "surname") == 0 || strstr(word, " name") != NULL || strstr(word, "name ") != NULL || strcmp(word, "vorname") == 0 || strcmp(word, "nachname") == 0;
  if (!end || (n < 2 && !sure)) return;
  int next = look_at(s, end);
  if (next == '(' || next == '/' || next == '\\') return; /* code and paths */
  look_add(s, PII_name, at, end, sure ? 0.9 : 0.7, "field");
}

static void introduced(struct look *s, size_t i, const char *word) {
  size_t n, at = blanks(s, i, 2);
  if (look_at(s, at) == ':' || look_at(s, at) == ',') at = blanks(s, at + 1, 2);
  if (at == i) return;
  at = skip_title(s, at);
  size_t end = name_at(s, at, &n);
  int strong = strcmp(word, "my name is") == 0 || strcmp(word, "a patient named") == 0 || strncmp(word, "je ", 3) == 0 || strncmp(word, "me ", 3) == 0 || strncmp(word, "ich", 3) == 0;
  if (!end || (n < 2 && !strong)) return;
  look_add(s, PII_name, at, end, strong ? 0.9 : 0.65, "introduced");
}

/* Patient: Ada Byron; Patient Ada Byron was seen. */
static void patient(struct look *s, size_t i) {
  static const char *const verbs[] = { "was ", "is ", "has ", "had ", "presented", "presents", "reports", "reported", "complain", "denies", "denied", "underwent", "returned",
                                       "states", "stated", "arrived", "came", "came", "attended", "received", NULL };
  size_t n, at = colon(s, i), end;
  if (at) {
    at = skip_title(s, at);
    if ((end = name_at(s, at, &n)) && n >= 2) look_add(s, PII_name, at, end, 0.85, "patient");
    return;
  }
  at = blanks(s, i, 2);
  if (at == i) return;
  at = skip_title(s, at);
  end = name_at(s, at, &n);
  if (!end || n < 2) return;
  size_t v = blanks(s, end, 2);
  int believed = look_at(s, end) == ',' || look_at(s, v) == '(';
  for (size_t k = 0; verbs[k] && !believed; k++) believed = v > end && look_word(s, v, verbs[k]);
  if (believed) look_add(s, PII_name, at, end, 0.75, "patient");
}

/* Dear Ada, */
static void dear(struct look *s, size_t from, size_t i) {
  size_t n, at = blanks(s, i, 2);
  if (at == i || !is_upper(s->t[from])) return;
  at = skip_title(s, at);
  size_t end = name_at(s, at, &n);
  if (!end) return;
  for (size_t k = at; k < end; k++)
    if (s->t[k] == ',') end = k;
  int next = look_at(s, end);
  if (next == ',' || next == ':' || next == '!' || next == '\n' || next == '.') look_add(s, PII_name, at, end, 0.8, "greeting");
}

/* Kind regards,\nAda Byron\n */
static void signature(struct look *s, size_t i) {
  size_t n, at = blanks(s, i, 2), lines = 0;
  if (look_at(s, at) == ',' || look_at(s, at) == '.' || look_at(s, at) == '!') at++;
  else if (look_at(s, at) != '\n') return;
  for (size_t from = at; at - from < 12 && look_at(s, at) != 0 && strchr(" \t\r\n-", look_at(s, at)); at++) lines += s->t[at] == '\n';
  if (!lines) return;
  at = skip_title(s, at);
  size_t end = name_at(s, at, &n);
  if (!end) return;
  int next = look_at(s, end);
  if (n <= 4 && (end == s->n || next == '\n' || next == '\r' || next == ',' || next == ' ' || next == '.')) look_add(s, PII_name, at, end, 0.8, "signature");
}

/* ---- Chinese and Japanese ---- */
static int is_han(int c) { return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || c == 0x3005; }
static int is_kana(int c) { return c >= 0x3041 && c <= 0x30FC && c != 0x30FB; }

/* 氏名：山田 太郎, 氏名は山田太郎です, 氏名：ヤマダ タロウ */
static void cjk_after(struct look *s, size_t i) {
  static const char *const marks[] = { "：", ":", "は", "　", " ", NULL };
  size_t n, at = i, end, chars = 0;
  int colon_seen = 0;
  for (int round = 0; round < 3; round++)
    for (size_t k = 0; marks[k]; k++)
      if (look_word(s, at, marks[k])) at += strlen(marks[k]), colon_seen |= k < 3;
  if (!colon_seen) return;
  int first = code_point(s, at, &n), kana = is_kana(first) && first >= 0x30A1;
  for (end = at; chars < 10;) {
    int c = code_point(s, end, &n);
    int joint = (c == ' ' || c == 0x3000) && chars > 0;
    if (joint) {
      size_t m;
      int after = code_point(s, end + n, &m);
      if (!(kana ? is_kana(after) && after >= 0x30A1 : is_han(after))) break;
    } else if (!(kana ? c >= 0x30A1 && is_kana(c) : is_han(c))) break;
    chars += !joint;
    end += n;
  }
  static const char *const no[] = { "必須", "必要", "任意", "不明", "記載", "記入", "匿名", "以下", "上記", "下記", "次", "非公開", "未定", "変更", "省略", "不詳", "公開", "仮名", NULL };
  for (size_t k = 0; no[k]; k++)
    if (look_word(s, at, no[k])) return;
  if (chars >= 2 && chars <= (kana ? 10u : 6u)) {
    look_add(s, PII_name, at, end, 0.8, "field_cjk");
    return;
  }
  size_t latin = name_at(s, at, &n);
  if (latin && n >= 2) look_add(s, PII_name, at, latin, 0.8, "field_cjk");
}

/* 山田太郎様: the Han run before 様, without words that 様 follows as well. */
static void cjk_before(struct look *s, size_t i) {
  static const char *const no[] = { "皆", "客", "奥", "王", "神", "仏", "同", "多", "仕", "有", "模", "各位", "社", "店", "者", "方", "殿", NULL };
  size_t from = i, chars = 0;
  while (from >= 3 && chars < 7) {
    size_t n;
    if (!is_han(code_point(s, from - 3, &n)) || n != 3) break;
    from -= 3;
    chars++;
  }
  if (chars < 2 || chars > 5) return;
  for (size_t k = 0; no[k]; k++) {
    size_t n = strlen(no[k]);
    if (i - from >= n && !memcmp(s->t + i - n, no[k], n)) return;
  }
  look_add(s, PII_name, from, i, 0.6, "sama");
}

size_t pii_name(struct look *s, const struct pii_word *w, size_t from, size_t behind) {
  switch (w->action) {
    case WORD_TITLE: title(s, from, behind); break;
    case WORD_FIELD: field(s, w->text, behind); break;
    case WORD_INTRO: introduced(s, behind, w->text); break;
    case WORD_PATIENT: patient(s, behind); break;
    case WORD_DEAR: dear(s, from, behind); break;
    case WORD_SIGN: signature(s, behind); break;
    case WORD_NAME_CJK: cjk_after(s, behind); break;
    case WORD_NAME_BEFORE: cjk_before(s, from); break;
    default: break;
  }
  return behind;
}

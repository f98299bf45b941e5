/* SPDX-License-Identifier: Apache-2.0
 * Inside of the scanner for personal data, shared by the pii_*.c files only. The driver (pii.c) walks the text once and calls
 * a recogniser where a trigger stands; each looks at a bounded stretch and adds a hit or not. */
#ifndef FETCH_PII_IMPL_H
#define FETCH_PII_IMPL_H
#include <stdint.h>
#include "pii.h"

/* What a word of pii_words.def does. CONTEXT words leave a mark that makes a number behind them believable. */
enum word_action {
  WORD_CONTEXT, WORD_MRN, WORD_DOB, WORD_BORN, WORD_BORN_AFTER, WORD_TITLE, WORD_FIELD, WORD_INTRO, WORD_DEAR, WORD_SIGN, WORD_PATIENT,
  WORD_NAME_CJK, WORD_NAME_BEFORE, WORD_SECRET, WORD_BEARER
};
enum word_mark {
  MARK_NONE, MARK_PHONE, MARK_CALL, MARK_CARD, MARK_ID, MARK_VERSION, MARK_ORDER,
  MARK_SSN, MARK_MY_NUMBER, MARK_NHS, MARK_STEUER, MARK_NIR, MARK_BSN, MARK_CPF, MARK_SIN, MARK_TFN, MARK_AADHAAR, MARK_RRN,
  MARK_PESEL, MARK_PERSONNUMMER, MARK_COUNT
};
struct pii_word { const char *text; enum word_action action; enum word_mark mark; };
extern const struct pii_word pii_words[]; /* ends with NULL */

struct pii {
  unsigned kinds; /* bit k = kind k is wanted */
  double min_score;
  uint8_t pair[65536 / 8];     /* does a word or key prefix start with these two bytes (ASCII lower-cased)? */
  uint16_t first_word[65536];  /* 1 + index into by_pair, 0 = none */
  uint16_t *by_pair, n_words;  /* word numbers grouped by pair, longest first */
};
struct look { /* one scan */
  const struct pii *p;
  const unsigned char *t;
  size_t n;
  struct arena *a;
  struct pii_hit *hit;
  size_t n_hit, cap;
  size_t mark[MARK_COUNT]; /* 1 + where the word ended, 0 = not seen */
  size_t url_done;         /* addresses before this byte were looked through */
  enum status st;
  struct err *e;
};

static inline int look_at(const struct look *s, size_t i) { return i < s->n ? s->t[i] : 0; } /* (size_t)-1 is out of range, too */
static inline int is_digit(int c) { return c >= '0' && c <= '9'; }
static inline int is_upper(int c) { return c >= 'A' && c <= 'Z'; }
static inline int is_lower(int c) { return c >= 'a' && c <= 'z'; }
static inline int is_alpha(int c) { return is_upper(c) || is_lower(c); }
static inline int is_alnum(int c) { return is_alpha(c) || is_digit(c); }
static inline int to_lower(int c) { return is_upper(c) ? c + 32 : c; }
static inline int look_wants(const struct look *s, enum pii_kind k) { return (int)(s->p->kinds >> k & 1); }
/* Does a mark stand at most `within` bytes before `at`? */
static inline int look_marked(const struct look *s, enum word_mark m, size_t at, size_t within) {
  return s->mark[m] != 0 && s->mark[m] - 1 <= at && at - (s->mark[m] - 1) <= within;
}
/* Case-insensitive (ASCII) comparison with a lower-case word; does not look at what follows. */
int look_word(const struct look *s, size_t i, const char *lower);
void look_add(struct look *s, enum pii_kind k, size_t from, size_t to, double score, const char *what);

/* Recognisers: trigger at i; they return where the walk goes on (behind a hit), or i for "nothing". */
size_t pii_email(struct look *s, size_t at);          /* i at '@' */
size_t pii_ipv6(struct look *s, size_t colon);        /* i at the first ':' */
size_t pii_url(struct look *s, size_t colon);         /* i at "://" */
size_t pii_key(struct look *s, size_t i);             /* start of a word that may be a key's prefix */
size_t pii_secret(struct look *s, size_t i, int bearer); /* behind "password", "api key", "bearer" */
size_t pii_iban(struct look *s, size_t i);            /* start of a word of two capitals and two digits */
size_t pii_number(struct look *s, size_t i);          /* first digit of a run, or '(' before one */
size_t pii_id(struct look *s, size_t i);              /* national numbers: first character of a word */
size_t pii_mrn(struct look *s, size_t i);             /* behind the word */
size_t pii_dob(struct look *s, size_t i, int born);   /* behind the word */
size_t pii_dob_before(struct look *s, size_t i);      /* i at the word */
size_t pii_name(struct look *s, const struct pii_word *w, size_t from, size_t behind);
/* Payment card in the text at i: end or 0. Digits may be parted by single blanks or hyphens. */
size_t pii_card(const struct look *s, size_t i, double *score);
extern const char *const pii_key_prefixes[]; /* for the pair table; ends with NULL */
#endif

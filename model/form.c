/* SPDX-License-Identifier: Apache-2.0
 * Judging an answer by its form. Patterns are matched by PCRE2, which is not the automaton that bounds the tokens: each
 * proves the other. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include "form.h"
#include "file.h"
#include "form_options.h"
#include "json.h"
#include "schema.h"

#define MATCH_LIMIT 1000000

const char *form_name(enum form_kind k) {
  static const char *const names[] = {NULL, "choices", "regex", "schema"};
  return names[k];
}

static enum status check_choices(struct span choices, struct span answer, struct err *e) {
  struct json *list;
  enum status st = json_parse(choices, "choices", &list, e);
  if (st != STATUS_OK) {
    return st;
  }
  st = json_size(list) == 0 ? err_set(e, STATUS_USAGE, "'choices': found no string, expected an array of at least one") : STATUS_DATA;
  for (size_t i = 0; st == STATUS_DATA && i < json_size(list); i++) {
    struct span c = json_str(json_at(list, i));
    if (c.p && c.n == answer.n && memcmp(c.p, answer.p ? answer.p : "", c.n) == 0) {
      st = STATUS_OK;
    }
  }
  if (st == STATUS_DATA) {
    err_set(e, st, "the answer '%.*s' is none of the %zu choices", answer.n > 80 ? 80 : (int)answer.n, answer.p ? answer.p : "", json_size(list));
  }
  json_free(list);
  return st;
}

static enum status check_regex(struct span pattern, struct span answer, struct err *e) {
  int number, r;
  PCRE2_SIZE at;
  PCRE2_UCHAR why[160];
  enum status st = STATUS_OK;
  pcre2_match_data *data = NULL;
  pcre2_match_context *limits = NULL;
  pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n, PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY,
                                   &number, &at, NULL);
  if (!code) {
    pcre2_get_error_message(number, why, sizeof why);
    return err_set(e, STATUS_USAGE, "regular expression '%.*s': %s at byte %zu", (int)pattern.n, pattern.p, (const char *)why, (size_t)at);
  }
  data = pcre2_match_data_create(1, NULL);
  limits = pcre2_match_context_create(NULL);
  if (!data || !limits) {
    st = err_nomem(e, 4096);
    goto out;
  }
  pcre2_set_match_limit(limits, MATCH_LIMIT);
  pcre2_set_heap_limit(limits, 65536); /* KiB */
  r = pcre2_match(code, (PCRE2_SPTR)(answer.p ? answer.p : ""), answer.n, 0, 0, data, limits);
  if (r == PCRE2_ERROR_NOMATCH) {
    st = err_set(e, STATUS_DATA, "the answer '%.*s' does not match '%.*s'", answer.n > 80 ? 80 : (int)answer.n, answer.p ? answer.p : "", (int)pattern.n, pattern.p);
  } else if (r < 0) {
    pcre2_get_error_message(r, why, sizeof why);
    st = err_set(e, STATUS_LIMIT, "regular expression '%.*s': %s", (int)pattern.n, pattern.p, (const char *)why);
  }
out:
  pcre2_match_data_free(data);
  pcre2_match_context_free(limits);
  pcre2_code_free(code);
  return st;
}

enum status form_check(const struct form *f, struct span answer, struct err *e) {
  struct schema *s = NULL;
  switch (f->kind) {
    case FORM_FREE: break;
    case FORM_CHOICES: return check_choices(f->text, answer, e);
    case FORM_REGEX: return check_regex(f->text, answer, e);
    case FORM_SCHEMA: {
      enum status st = schema_open(f->text, "schema", &s, e);
      if (st != STATUS_OK) {
        st = st == STATUS_DATA ? STATUS_USAGE : st;
        if (e) {
          e->code = st;
        }
        return st;
      }
      st = schema_check_text(s, answer, "answer", e);
      schema_close(s);
      return st;
    }
  }
  return STATUS_OK;
}

enum status form_put(const struct form *f, struct buf *out, struct err *e) {
  enum status st = STATUS_OK;
  if (f->kind == FORM_FREE) {
    return STATUS_OK;
  }
  TRY(buf_printf(out, e, ",\"form\":{\"%s\":", form_name(f->kind)));
  TRY(f->kind == FORM_REGEX ? json_put_string(out, f->text, e) : buf_put(out, f->text.p, f->text.n, e));
  TRY(buf_putc(out, '}', e));
out:
  return st;
}

static enum status one_of_text(const struct opt_list *l, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  for (size_t i = 0; i < l->n; i++) {
    TRY(buf_putc(b, i ? ',' : '[', e));
    TRY(json_put_cstr(b, l->item[i], e));
  }
  TRY(buf_putc(b, ']', e));
out:
  return st;
}

enum status form_from_options(const struct form_options *o, struct arena *a, struct form *f, struct err *e) {
  enum status st = STATUS_OK;
  struct buf b = {0};
  struct schema *s = NULL;
  *f = (struct form){FORM_FREE, {NULL, 0}};
  int n = (o->one_of.n > 0) + (o->regex != NULL) + (o->schema != NULL);
  if (n == 0) {
    return STATUS_OK;
  }
  if (n > 1) {
    return err_set(e, STATUS_USAGE, "'--one-of', '--regex' and '--schema' each state the form of the answer: give one of them");
  }
  if (o->schema) {
    TRY(file_read(o->schema, (size_t)4 << 20, &b, e));
    TRY(schema_open((struct span){b.p, b.n}, o->schema, &s, e));
    buf_clear(&b);
    TRY(buf_put(&b, schema_text(s).p, schema_text(s).n, e)); /* compact: white space in the file is no part of the question */
  } else if (o->regex) {
    TRY(buf_puts(&b, o->regex, e));
  } else {
    TRY(one_of_text(&o->one_of, &b, e));
  }
  const char *copy = arena_strndup(a, b.p ? b.p : "", b.n);
  if (!copy) {
    st = err_nomem(e, b.n);
    goto out;
  }
  *f = (struct form){o->schema ? FORM_SCHEMA : o->regex ? FORM_REGEX : FORM_CHOICES, {copy, b.n}};
out:
  schema_close(s);
  buf_free(&b);
  return st;
}

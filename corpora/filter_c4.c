/* SPDX-License-Identifier: Apache-2.0
 * Filter "c4": the rules of C4 (Raffel et al. 2020, 2.2) by datatrove's definitions, reasons and thresholds. Lines that are no
 * sentences are taken out of the field `text`, and the rest is written; rows without `text` (conversations) are left alone. A
 * sentence ends with . ? or !, closing signs behind it, before a blank or the line's end. */
#include "curate.h"
#include <utf8proc.h>
#include "filter_text.h"

static int enabled(const struct curate_options *o) { return o->c4; }

/* Length of [1], [], [edit], [citation needed] at the start of s; 0 = none. */
static size_t citation(struct span s) {
  static const char *const fixed[] = { "[edit]", "[citation needed]" };
  if (s.n == 0 || s.p[0] != '[') return 0;
  for (size_t i = 0; i < 2; i++)
    if (s.n >= strlen(fixed[i]) && memcmp(s.p, fixed[i], strlen(fixed[i])) == 0) return strlen(fixed[i]);
  size_t i = 1, k = 0;
  while (i < s.n && utf8proc_category(text_char(s.p + i, s.n - i, &k)) == UTF8PROC_CATEGORY_ND) i += k;
  return i < s.n && s.p[i] == ']' ? i + 1 : 0;
}

static struct span without_citations(struct span line, char *room) {
  size_t n = 0;
  for (size_t i = 0, k; i < line.n;) {
    k = citation((struct span){ line.p + i, line.n - i });
    if (k) i += k;
    else room[n++] = line.p[i++];
  }
  return (struct span){ room, n };
}

static size_t sentences(struct span s) {
  size_t n = 0, k;
  int open = 0; /* something stands since the last end */
  for (size_t i = 0; i < s.n;) {
    if (s.p[i] == '.' || s.p[i] == '?' || s.p[i] == '!') {
      size_t end = i;
      while (end < s.n && strchr(".?!", s.p[end]) && s.p[end]) end++;
      for (;;) {
        int32_t c = end < s.n ? text_char(s.p + end, s.n - end, &k) : 0;
        if (!c || !(c == '"' || c == ')' || c == '\'' || c == ']' || c == 0x201D || c == 0x2019 || c == 0xBB)) break;
        end += k;
      }
      if (end == s.n || text_is_space(text_char(s.p + end, s.n - end, &k))) n += (size_t)open, open = 0;
      else open = 1;
      i = end;
      continue;
    }
    open |= !text_is_space(text_char(s.p + i, s.n - i, &k));
    i += k;
  }
  return n + (size_t)open;
}

static int too_long_word(struct span line, int64_t most) {
  struct span w;
  for (size_t at = 0; most > 0 && text_word(line, &at, &w);)
    if ((int64_t)w.n > most && (int64_t)text_chars(w) > most) return 1;
  return 0;
}

static int about_policy(struct span line) {
  static const char *const phrases[] = { "terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies" };
  for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
    if (text_find_lower(line, phrases[i]) < line.n) return 1;
  return 0;
}

static size_t words_in(struct span line) {
  struct span w;
  size_t n = 0;
  for (size_t at = 0; text_word(line, &at, &w);) n++;
  return n;
}

enum fate { KEEP, LEAVE_OUT, DROP };
/* What becomes of a line; line is what is kept of it. */
static enum fate judge(const struct curate_options *o, struct span *line, char *room, const char **reason) {
  struct span s = text_strip(*line);
  size_t words = words_in(s);
  if (too_long_word(s, o->max_word_length)) return LEAVE_OUT;
  if (o->remove_citations) s = without_citations(s, room);
  *line = s;
  int32_t last = text_last(s);
  if (o->terminal_punct && ((last != '.' && last != '?' && last != '!' && last != '"' && last != '\'') || text_ends(s, "..."))) return LEAVE_OUT;
  if ((int64_t)words < o->min_words_per_line) return LEAVE_OUT;
  if (o->lorem_ipsum && text_find_lower(s, "lorem ipsum") < s.n) return *reason = "lorem_ipsum", DROP;
  if (o->javascript && text_find_lower(s, "javascript") < s.n) return LEAVE_OUT;
  if (o->curly_bracket && s.n && memchr(s.p, '{', s.n)) return *reason = "curly_bracket", DROP;
  return o->policy && about_policy(s) ? LEAVE_OUT : KEEP;
}

static enum status put_back(struct row *r, struct span text, struct err *e) {
  enum status st;
  struct buf value = { 0 }, line = { 0 };
  TRY(json_put_string(&value, text, e));
  TRY(record_set(&r->rec, "text", (struct span){ value.p, value.n }, &line, e));
  TRY(curate_edit(r, &line, e));
out:
  buf_free(&value);
  buf_free(&line);
  return st;
}

static enum status scan(const void *state, const struct curate_options *o, struct row *r, struct err *e) {
  (void)state;
  enum status st;
  struct span text, line;
  struct buf out = { 0 };
  const char *reason = NULL;
  size_t n = 0, left_out = 0, cut = 0;
  TRY(record_string(&r->rec, "text", r->a, &text, e));
  if (!text.p) return STATUS_OK;
  char *room = arena_alloc(r->a, text.n + 1);
  if (!room) return err_nomem(e, text.n);
  for (size_t at = 0; text_splitline(text, &at, &line);) {
    enum fate f = judge(o, &line, room, &reason);
    if (f == DROP) {
      st = curate_drop(r, reason, 1, line, (struct span){ "", 0 }, e);
      goto out;
    }
    left_out += f == LEAVE_OUT;
    if (f == LEAVE_OUT) continue;
    n += sentences(line);
    if (cut++) TRY(buf_putc(&out, '\n', e));
    TRY(buf_put(&out, line.p, line.n, e));
  }
  if ((int64_t)n < o->min_num_sentences) {
    st = curate_drop(r, "too_few_sentences", (double)n, (struct span){ "", 0 }, (struct span){ "", 0 }, e);
    goto out;
  }
  struct span now = text_strip((struct span){ out.p ? out.p : "", out.n });
  curate_note(r, "c4_lines", left_out);
  if (now.n != text.n || memcmp(now.p, text.p, now.n) != 0) TRY(put_back(r, now, e));
out:
  buf_free(&out);
  return st;
}

const struct filter filter_c4 = { "c4", "lines that are no sentences out of texts, by C4's rules", 1, enabled, NULL, scan, NULL };

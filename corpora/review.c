/* SPDX-License-Identifier: Apache-2.0
 * `retort review`: a sample of rows for people, and their verdicts back. Out: one HTML page (or CSV) with so many rows of each
 * stratum, the same rows whatever their order. Back: the CSV that the page saves (id,decision,text,reviewer,date): approve keeps a
 * row, edit replaces its last answer, reject drops it; each such row says who decided when. */
#include <stdlib.h>
#include <string.h>
#include "data_page.h"
#include "file.h"
#include "hash.h"
#include "json.h"
#include "log.h"
#include "record.h"
#include "review_csv.h"
#include "stage.h"

struct review_options {
  const char *output, *by, *apply, *reviewer, *rejects;
  int64_t sample;
};
struct pick { uint64_t rank; char *id, *prompt, *answer; };
struct stratum { char *name; struct pick *pick; size_t n; };
struct review {
  struct ctx *c;
  const struct review_options *o;
  struct stratum *stratum;
  size_t n, cap;
  struct verdicts verdicts;
  FILE *rejects;
  uint64_t approved, edited, rejected;
};

/* ---- out ---- */
/* Everything before the last assistant's message, and that message; rows without messages: their text. */
static enum status two_parts(const struct record *r, struct arena *a, struct span *prompt, struct span *answer, struct err *e) {
  enum status st;
  struct json *j = NULL;
  struct span messages;
  struct buf b = { 0 };
  *prompt = (struct span){ "", 0 };
  TRY(record_messages(r, a, &messages, e));
  if (!messages.p) {
    st = record_text(r, a, answer, e);
    goto out;
  }
  *answer = (struct span){ "", 0 };
  TRY(json_parse(messages, "messages", &j, e));
  size_t n = json_size(j), last = n;
  while (last > 0 && strcmp(json_cstr(json_get(json_at(j, last - 1), "role"), ""), "assistant") != 0) last--;
  for (size_t i = 0; i < n; i++) {
    struct span content = json_str(json_get(json_at(j, i), "content"));
    if (i + 1 == last) {
      char *copy = arena_strndup(a, content.p ? content.p : "", content.n);
      if (!copy) st = err_nomem(e, content.n);
      *answer = (struct span){ copy, content.n };
      continue;
    }
    TRY(buf_printf(&b, e, "%s[%s] %.*s", b.n ? "\n\n" : "", json_cstr(json_get(json_at(j, i), "role"), "?"), (int)content.n, content.p ? content.p : ""));
  }
  char *copy = arena_strndup(a, b.p ? b.p : "", b.n);
  if (!copy) st = err_nomem(e, b.n);
  *prompt = (struct span){ copy, b.n };
out:
  json_free(j);
  buf_free(&b);
  return st;
}

static void pick_free(struct pick *p) {
  mem_free(p->id);
  mem_free(p->prompt);
  mem_free(p->answer);
}

static enum status find_stratum(struct review *v, struct span name, struct stratum **out, struct err *e) {
  for (size_t i = 0; i < v->n; i++)
    if (span_is(name, v->stratum[i].name)) {
      *out = &v->stratum[i];
      return STATUS_OK;
    }
  if (v->n == COUNTS_MOST) return err_set(e, STATUS_DATA, "'--by %s': more than %d different values", v->o->by, COUNTS_MOST);
  if (v->n == v->cap) {
    size_t cap = v->cap ? 2 * v->cap : 16;
    struct stratum *p = mem_realloc(v->stratum, cap * sizeof *p);
    if (!p) return err_nomem(e, cap * sizeof *p);
    v->stratum = p;
    v->cap = cap;
  }
  struct stratum s = { mem_strndup(name.p ? name.p : "", name.n), mem_calloc((size_t)v->o->sample + 1, sizeof *s.pick), 0 };
  if (!s.name || !s.pick) {
    mem_free(s.name);
    mem_free(s.pick);
    return err_nomem(e, 0);
  }
  v->stratum[v->n] = s;
  *out = &v->stratum[v->n++];
  return STATUS_OK;
}

static enum status consider(struct review *v, const struct record *r, struct arena *a, struct err *e) {
  enum status st;
  struct span name = { NULL, 0 }, id, prompt, answer;
  struct stratum *s = NULL;
  if (v->o->by) TRY(record_path(r, v->o->by, a, &name, e));
  if (span_type(name) == 's') TRY(span_string(name, a, &name, e));
  TRY(find_stratum(v, name, &s, e));
  TRY(record_id(r, a, &id, e));
  uint64_t rank = xxh3(id.p, id.n);
  size_t at = s->n;
  while (at > 0 && s->pick[at - 1].rank > rank) at--;
  if (at == (size_t)v->o->sample) goto out;
  TRY(two_parts(r, a, &prompt, &answer, e));
  struct pick p = { rank, mem_strndup(id.p, id.n), mem_strndup(prompt.p, prompt.n), mem_strndup(answer.p, answer.n) };
  if (!p.id || !p.prompt || !p.answer) {
    pick_free(&p);
    return err_nomem(e, answer.n);
  }
  memmove(s->pick + at + 1, s->pick + at, (s->n - at) * sizeof p);
  s->pick[at] = p;
  if (++s->n > (size_t)v->o->sample) pick_free(&s->pick[--s->n]);
out:
  return st;
}

static const char SCRIPT[] =
  "<script>function save(){var q=function(s){return '\"'+s.replace(/\"/g,'\"\"')+'\"'},o='id,decision,text,reviewer,date\\n',w=document.getElementById('who').value,"
  "d=new Date().toISOString().slice(0,10);document.querySelectorAll('.row').forEach(function(r){var c=r.querySelector('input:checked');if(!c)return;"
  "var t=r.querySelector('textarea').value;o+=[r.dataset.id,c.value,c.value=='edit'?t:'',w,d].map(q).join(',')+'\\n'});"
  "var a=document.createElement('a');a.href=URL.createObjectURL(new Blob([o],{type:'text/csv'}));a.download='verdicts.csv';a.click()}</script>";

static enum status put_html(struct review *v, struct buf *b, struct err *e) {
  enum status st;
  unsigned long long number = 0;
  TRY(buf_puts(b, "<!doctype html><meta charset=\"utf-8\"><title>Review</title><style>body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
               ".row{border-top:2px solid #ccc;padding:1em 0}pre{white-space:pre-wrap;background:#f7f7f7;padding:.7em}textarea{width:100%;height:9em}</style>\n"
               "<h1>Review</h1><p>Approve, edit or reject each row, then save: <code>retort review --apply verdicts.csv</code> takes the file back.</p>"
               "<p>Your name <input id=\"who\"> <button onclick=\"save()\">Save verdicts.csv</button></p>\n", e));
  for (size_t i = 0; i < v->n; i++) {
    struct stratum *s = &v->stratum[i];
    TRY(buf_puts(b, "<h2>", e));
    TRY(page_escape(b, (struct span){ s->name, strlen(s->name) }, e));
    TRY(buf_puts(b, "</h2>\n", e));
    for (size_t k = 0; k < s->n; k++, number++) {
      TRY(buf_puts(b, "<div class=\"row\" data-id=\"", e));
      TRY(page_escape(b, (struct span){ s->pick[k].id, strlen(s->pick[k].id) }, e));
      TRY(buf_puts(b, "\"><pre>", e));
      TRY(page_escape(b, (struct span){ s->pick[k].prompt, strlen(s->pick[k].prompt) }, e));
      TRY(buf_puts(b, "</pre><textarea>", e));
      TRY(page_escape(b, (struct span){ s->pick[k].answer, strlen(s->pick[k].answer) }, e));
      TRY(buf_puts(b, "</textarea><p>", e));
      static const char *const choice[] = { "approve", "edit", "reject" };
      for (int c = 0; c < 3; c++) TRY(buf_printf(b, e, "<label><input type=\"radio\" name=\"r%llu\" value=\"%s\"> %s</label> ", number, choice[c], choice[c]));
      TRY(buf_puts(b, "</p></div>\n", e));
    }
  }
  TRY(buf_puts(b, SCRIPT, e));
  TRY(buf_puts(b, "</html>\n", e));
out:
  return st;
}

static enum status put_csv(struct review *v, struct buf *b, struct err *e) {
  enum status st;
  TRY(buf_puts(b, "id,decision,text,reviewer,date,stratum,prompt,answer\n", e));
  for (size_t i = 0; i < v->n; i++)
    for (size_t k = 0; k < v->stratum[i].n; k++) {
      const struct pick *p = &v->stratum[i].pick[k];
      const char *cell[] = { p->id, "", "", "", "", v->stratum[i].name, p->prompt, p->answer };
      for (size_t c = 0; c < 8; c++) TRY(csv_put(b, cell[c], c == 7, e));
    }
out:
  return st;
}

static enum status write_sample(struct review *v, struct err *e) {
  enum status st;
  struct buf b = { 0 };
  struct file_atomic f = { 0 };
  size_t n = strlen(v->o->output), rows = 0;
  TRY(n > 4 && strcmp(v->o->output + n - 4, ".csv") == 0 ? put_csv(v, &b, e) : put_html(v, &b, e));
  TRY(file_atomic_open(&f, v->o->output, e));
  if (fwrite(b.p, 1, b.n, f.fp) != b.n) TRY(err_sys(e, STATUS_IO, "'%s': cannot write", v->o->output));
  TRY(file_atomic_commit(&f, e));
  for (size_t i = 0; i < v->n; i++) rows += v->stratum[i].n;
  log_info("'%s': %zu rows of %zu strata", v->o->output, rows, v->n);
out:
  file_atomic_abort(&f);
  buf_free(&b);
  return st;
}

/* ---- back ---- */
/* messages with the last assistant's content replaced; for rows without messages, text. */
static enum status edited_value(const struct record *r, const char *text, struct arena *a, struct field_edit *edit, struct err *e) {
  enum status st;
  struct span messages, m, content = { NULL, 0 };
  struct buf b = { 0 };
  struct record one;
  size_t at = 0, last = 0, n = 0;
  TRY(record_messages(r, a, &messages, e));
  if (!messages.p) {
    TRY(json_put_cstr(&b, text, e));
    edit->key = "text";
  } else {
    edit->key = "messages";
    while (record_next_element(messages, &at, &m)) {
      n++;
      TRY(record_split(m, a, &one, e));
      if (span_is(record_get(&one, "role"), "\"assistant\"")) last = n;
    }
    if (last == 0) return err_set(e, STATUS_DATA, "an edit of a row without an assistant's message");
    at = 0, n = 0;
    TRY(buf_putc(&b, '[', e));
    while (record_next_element(messages, &at, &m)) {
      if (n++) TRY(buf_putc(&b, ',', e));
      if (n != last) {
        TRY(buf_put(&b, m.p, m.n, e));
        continue;
      }
      struct buf c = { 0 };
      TRY(record_split(m, a, &one, e));
      st = json_put_cstr(&c, text, e);
      content = (struct span){ c.p, c.n };
      if (st == STATUS_OK) st = record_set(&one, "content", content, &b, e);
      buf_free(&c);
      if (st != STATUS_OK) goto out;
    }
    TRY(buf_putc(&b, ']', e));
  }
  char *copy = arena_strndup(a, b.p, b.n);
  if (!copy) st = err_nomem(e, b.n);
  edit->value = (struct span){ copy, b.n };
out:
  buf_free(&b);
  return st;
}

static enum status judge_row(struct review *v, const struct record *r, struct arena *a, struct err *e) {
  enum status st;
  struct span id;
  struct buf who = { 0 }, line = { 0 };
  TRY(record_id(r, a, &id, e));
  struct verdict *d = verdict_find(&v->verdicts, id);
  if (!d) {
    ledger_kept(ctx_ledger(v->c));
    st = ctx_write(v->c, r->line, e);
    goto out;
  }
  d->used = 1;
  struct field_edit edit[2] = { { "review", { NULL, 0 } }, { NULL, { NULL, 0 } } };
  TRY(buf_printf(&who, e, "{\"decision\":\"%s\",\"reviewer\":", verdict_name(d->decision)));
  TRY(json_put_cstr(&who, d->reviewer[0] ? d->reviewer : v->o->reviewer ? v->o->reviewer : "", e));
  TRY(buf_puts(&who, ",\"date\":", e));
  TRY(json_put_cstr(&who, d->date, e));
  TRY(buf_putc(&who, '}', e));
  edit[0].value = (struct span){ who.p, who.n };
  size_t n = 1;
  if (d->decision == VERDICT_EDIT) TRY(edited_value(r, d->text, a, &edit[n++], e));
  TRY(record_edit(r, edit, n, &line, e));
  v->approved += d->decision == VERDICT_APPROVE, v->edited += d->decision == VERDICT_EDIT, v->rejected += d->decision == VERDICT_REJECT;
  if (d->decision == VERDICT_REJECT) {
    ledger_dropped(ctx_ledger(v->c), "review");
    if (v->rejects && (fwrite(line.p, 1, line.n, v->rejects) != line.n || fputc('\n', v->rejects) == EOF))
      st = err_sys(e, STATUS_IO, "'%s': cannot write", v->o->rejects);
    goto out;
  }
  ledger_kept(ctx_ledger(v->c));
  TRY(ctx_write(v->c, (struct span){ line.p, line.n }, e));
out:
  buf_free(&who);
  buf_free(&line);
  return st;
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  enum status st = STATUS_OK;
  struct review v = { .c = c, .o = options };
  struct arena *a = NULL;
  struct record r;
  struct file_atomic rejects = { 0 };
  int got = 1;
  if (args->n || !v.o->output == !v.o->apply)
    return err_set(e, STATUS_USAGE, "review reads rows from stdin: give -o PAGE.html (or .csv) to ask people, or --apply VERDICTS.csv to take their verdicts");
  if ((a = arena_new(0)) == NULL) return err_nomem(e, 0);
  if (v.o->apply) TRY(verdicts_read(v.o->apply, &v.verdicts, e));
  if (v.o->rejects) {
    TRY(file_atomic_open(&rejects, v.o->rejects, e));
    v.rejects = rejects.fp;
  }
  while (got) {
    arena_reset(a);
    TRY(ctx_next_in(c, a, &r, &got, e));
    if (!got) break;
    if (v.o->apply) {
      TRY(judge_row(&v, &r, a, e));
    } else {
      TRY(consider(&v, &r, a, e));
      ledger_kept(ctx_ledger(c));
    }
  }
  if (v.o->apply) {
    size_t unused = verdicts_unused(&v.verdicts);
    log_info("%llu approved, %llu edited, %llu rejected", (unsigned long long)v.approved, (unsigned long long)v.edited, (unsigned long long)v.rejected);
    if (unused) log_warn("%zu verdicts of '%s' are of rows that did not come", unused, v.o->apply);
    if (v.o->rejects) TRY(file_atomic_commit(&rejects, e));
  } else {
    TRY(write_sample(&v, e));
  }
out:
  file_atomic_abort(&rejects);
  for (size_t i = 0; i < v.n; i++) {
    for (size_t k = 0; k < v.stratum[i].n; k++) pick_free(&v.stratum[i].pick[k]);
    mem_free(v.stratum[i].pick);
    mem_free(v.stratum[i].name);
  }
  mem_free(v.stratum);
  verdicts_free(&v.verdicts);
  arena_free(a);
  return st;
}

static const struct opt_row rows[] = {
  OPT_ROW(review_options, output, "output", 'o', OPT_STR, NULL, NULL, "FILE", "page for people: .html, or .csv for a spreadsheet"),
  OPT_ROW(review_options, sample, "sample", 'n', OPT_INT, "20", "1..10000", "N", "rows of each stratum"),
  OPT_ROW(review_options, by, "by", 0, OPT_STR, NULL, NULL, "FIELD", "strata: rows with the same value of FIELD, such as task.recipe"),
  OPT_ROW(review_options, apply, "apply", 0, OPT_STR, NULL, NULL, "FILE", "verdicts that came back (CSV): rows go to stdout, approved, edited or left out"),
  OPT_ROW(review_options, reviewer, "reviewer", 0, OPT_STR, NULL, NULL, "NAME", "who decided, where the CSV does not say"),
  OPT_ROW(review_options, rejects, "rejects", 0, OPT_STR, NULL, NULL, "FILE", "rejected rows, for the card"),
  OPT_END
};

const struct stage stage_review = {
  "review", "", "rows for people to look at, and their verdicts back",
  "Writes a sample of rows as one page with a verdict a row, the same number of rows from each stratum. The page saves a CSV; --apply\n"
  "takes it back: each row then has `review` {decision, reviewer, date}. `retort card --judge` tells how judge and people agree.\n\n"
  "  retort review --by task.recipe --sample 20 -o page.html < kept.jsonl\n"
  "  retort review --apply verdicts.csv --rejects refused.jsonl < kept.jsonl > reviewed.jsonl",
  STAGE_ROWS_IN | STAGE_ROWS_OUT | STAGE_BOOK, rows, sizeof(struct review_options), run
};

/* SPDX-License-Identifier: Apache-2.0
 * Help pages, man pages and shell completion, all from the stage table and its option rows. */
#include "opt_internal.h"
#include "stage_internal.h"

const char *stage_nearest(const char *name) {
  const char *names[64];
  size_t n = 0;
  for (const struct stage *const *s = stage_table; *s && n < 64; s++) names[n++] = (*s)->name;
  return opt_nearest(name, names, n);
}

static enum status print_buf(struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  if (b->n && fwrite(b->p, 1, b->n, stdout) != b->n) st = err_sys(e, STATUS_IO, "output cannot be written");
  buf_free(b);
  return st;
}

static enum status usage_line(const struct stage *s, struct buf *b, struct err *e) {
  const char *before = s->flags & STAGE_ROWS_IN ? "... | " : "", *after = s->flags & STAGE_ROWS_OUT ? " | ..." : "";
  struct buf line = { 0 };
  enum status st;
  TRY(buf_printf(&line, e, "%sretort %s [options]%s%s%s", before, s->name, s->args && s->args[0] ? " " : "", s->args ? s->args : "", after));
  TRY(buf_puts(b, "usage: ", e));
  TRY(opt_wrap(b, line.p, strlen("usage: "), e));
  TRY(buf_printf(b, e, "\n%s.\n", s->summary));
out:
  buf_free(&line);
  return st;
}

/* Paragraphs are wrapped anew; lines that begin with a blank (examples) stay as they are. */
static enum status put_details(const char *text, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  struct buf paragraph = { 0 };
  while (*text) {
    size_t n = strcspn(text, "\n");
    int verbatim = n == 0 || *text == ' ', ends = text[n] == '\0' || text[n + 1] == '\n' || text[n + 1] == ' ' || text[n + 1] == '\0';
    if (verbatim) {
      TRY(buf_printf(b, e, "%.*s\n", (int)n, text));
    } else {
      if (paragraph.n) TRY(buf_putc(&paragraph, ' ', e));
      TRY(buf_put(&paragraph, text, n, e));
      if (ends) {
        TRY(opt_wrap(b, paragraph.p, 0, e));
        buf_clear(&paragraph);
      }
    }
    text += n + (text[n] == '\n');
  }
out:
  buf_free(&paragraph);
  return st;
}

enum status stage_help(const struct stage *s, struct err *e) {
  struct buf b = { 0 };
  enum status st = STATUS_OK;
  TRY(usage_line(s, &b, e));
  if (s->details) {
    TRY(buf_putc(&b, '\n', e));
    TRY(put_details(s->details, &b, e));
  }
  if (s->options && s->options[0].name) {
    TRY(buf_puts(&b, "\noptions:\n", e));
    TRY(opt_help(s->options, &b, e));
  }
  TRY(buf_puts(&b, "\noptions of every stage:\n", e));
  TRY(opt_help(common_rows, &b, e));
  return print_buf(&b, e);
out:
  buf_free(&b);
  return st;
}

static enum status man_page(const struct stage *s, struct err *e) {
  struct buf b = { 0 };
  enum status st = STATUS_OK;
  TRY(buf_printf(&b, e, ".TH RETORT-%s 1 \"\" \"retort %s\" \"retort\"\n.SH NAME\nretort-%s \\- %s\n.SH SYNOPSIS\n.B retort %s\n[options] %s\n", s->name,
                 RETORT_VERSION, s->name, s->summary, s->name, s->args ? s->args : ""));
  if (s->details) TRY(buf_printf(&b, e, ".SH DESCRIPTION\n.nf\n%s\n.fi\n", s->details));
  TRY(buf_puts(&b, ".SH OPTIONS\n", e));
  TRY(opt_man(s->options, &b, e));
  TRY(opt_man(common_rows, &b, e));
  TRY(buf_puts(&b, ".SH EXIT STATUS\n", e));
#define STATUS(name, number, text) TRY(buf_printf(&b, e, ".TP\n.B %d\n%s\n", number, text));
#include "status.def"
#undef STATUS
  TRY(buf_puts(&b, ".TP\n.B 130, 141\nstopped by Ctrl-C; the reader of the output went away\n", e));
  return print_buf(&b, e);
out:
  buf_free(&b);
  return st;
}

static enum status list(const char *head, unsigned instrument, struct buf *b, struct err *e) {
  enum status st = STATUS_OK;
  TRY(buf_puts(b, head, e));
  for (const struct stage *const *s = stage_table; *s; s++) {
    if (((*s)->flags & STAGE_INSTRUMENT) == instrument) TRY(buf_printf(b, e, "  %-10s %s\n", (*s)->name, (*s)->summary));
  }
out:
  return st;
}

static enum status front_page(struct err *e) {
  struct buf b = { 0 };
  enum status st = STATUS_OK;
  TRY(buf_puts(&b, "retort turns documents and a teacher model into a small domain student.\n\n"
                   "usage: retort STAGE [options] [arguments]     stages are joined by pipes:\n\n"
                   "  retort fetch docs/ | retort augment --recipe qa --teacher T |\n"
                   "    retort label --teacher T | retort curate --near 0.8 |\n"
                   "    retort shard --tokenizer T --targets topk:64 --teacher T -o shards/\n\n", e));
  TRY(list("stages:\n", 0, &b, e));
  TRY(buf_puts(&b, "\n  retort STAGE -h            options and examples of a stage\n"
                   "  retort help instruments    tools for researchers and tests\n"
                   "  retort help exit           exit numbers\n"
                   "  retort help man STAGE      man page (roff)\n"
                   "  retort help completion     bash completion\n", e));
  return print_buf(&b, e);
out:
  buf_free(&b);
  return st;
}

static enum status instruments(struct err *e) {
  struct buf b = { 0 };
  enum status st = STATUS_OK;
  TRY(list("instruments (for researchers and tests):\n", STAGE_INSTRUMENT, &b, e));
  for (const struct stage *const *s = stage_table; *s; s++) {
    if ((*s)->flags & STAGE_INSTRUMENT) {
      TRY(buf_putc(&b, '\n', e));
      TRY(usage_line(*s, &b, e));
      if ((*s)->details) TRY(put_details((*s)->details, &b, e));
    }
  }
  TRY(buf_puts(&b, "\nalso: 'retort train --dump-grads FILE.safetensors' writes the gradients of the first step;\n"
                   "'retort shard' accepts rows with `ids` and `mask` as they are.\n", e));
  return print_buf(&b, e);
out:
  buf_free(&b);
  return st;
}

static enum status exit_page(struct err *e) {
  struct buf b = { 0 };
  enum status st = STATUS_OK;
#define STATUS(name, number, text) TRY(buf_printf(&b, e, "%4d  %s\n", number, text));
#include "status.def"
#undef STATUS
  TRY(buf_puts(&b, " 130  stopped by Ctrl-C (143: by SIGTERM); the same command again goes on\n"
                   " 141  the reader of the output went away\n", e));
  return print_buf(&b, e);
out:
  buf_free(&b);
  return st;
}

static enum status completion(struct err *e) {
  struct buf b = { 0 };
  enum status st = STATUS_OK;
  TRY(buf_puts(&b, "_retort() {\n  local cur=${COMP_WORDS[COMP_CWORD]} words\n  case ${COMP_WORDS[1]} in\n", e));
  for (const struct stage *const *s = stage_table; *s; s++) {
    TRY(buf_printf(&b, e, "    %s) words='", (*s)->name));
    for (const struct opt_row *r = (*s)->options; r && r->name; r++) TRY(buf_printf(&b, e, "--%s ", r->name));
    for (const struct opt_row *r = common_rows; r->name; r++) TRY(buf_printf(&b, e, "--%s ", r->name));
    TRY(buf_puts(&b, "' ;;\n", e));
  }
  TRY(buf_puts(&b, "    *) words='help version ", e));
  for (const struct stage *const *s = stage_table; *s; s++) TRY(buf_printf(&b, e, "%s ", (*s)->name));
  TRY(buf_puts(&b, "' ;;\n  esac\n  [[ $COMP_CWORD -gt 1 && $cur != -* ]] && return\n"
                   "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\ncomplete -o default -F _retort retort\n", e));
  return print_buf(&b, e);
out:
  buf_free(&b);
  return st;
}

int stage_help_main(const char *name, int argc, char **argv) {
  struct err e = { STATUS_OK, "" };
  enum status st;
  const char *topic = argc > 1 ? argv[1] : "";
  const struct stage *s = stage_find(strcmp(topic, "man") == 0 && argc > 2 ? argv[2] : topic);
  if (strcmp(name, "version") == 0) {
    printf("retort %s (%s)\n", RETORT_VERSION, RETORT_BUILD);
    st = STATUS_OK;
  } else if (strcmp(topic, "man") == 0 && s) st = man_page(s, &e);
  else if (s) st = stage_help(s, &e);
  else if (strcmp(topic, "instruments") == 0) st = instruments(&e);
  else if (strcmp(topic, "exit") == 0) st = exit_page(&e);
  else if (strcmp(topic, "completion") == 0) st = completion(&e);
  else if (topic[0] == '\0' || topic[0] == '-') st = front_page(&e);
  else st = err_set(&e, STATUS_USAGE, "'%s' is no help topic; see 'retort help'", topic);
  if (st == STATUS_OK && fflush(stdout) != 0) st = err_sys(&e, STATUS_IO, "output cannot be written");
  if (st != STATUS_OK) fprintf(stderr, "retort help: %s\n", e.msg);
  return (int)st;
}

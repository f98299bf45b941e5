/* SPDX-License-Identifier: Apache-2.0
 * `retort generate MODEL`: answers of a model to rows or to one prompt. Rows are decoded in batches as they come and leave in
 * their order; an answer depends on its prompt, the settings and the seed only. */
#include "decode.h"
#include "form_options.h"
#include "form_set.h"
#include "hash.h"
#include "json.h"
#include "log.h"
#include "pool.h"
#include "record.h"
#include "sampling_options.h"
#include "stage.h"
#include "template.h"
#include "tokenizer.h"

extern const struct stage stage_generate;

struct generate_options {
  struct sampling_options sampling;
  struct form_options form;
  const char *prompt, *system, *chat_template, *into;
  int64_t batch;
  int text, raw;
  struct device_options dev;
};
static const struct opt_row rows[] = {
  OPT_ROW(generate_options, prompt, "prompt", 'p', OPT_STR, NULL, NULL, "TEXT", "answer this instead of rows from stdin"),
  OPT_ROW(generate_options, system, "system", 0, OPT_STR, NULL, NULL, "TEXT", "system message for prompts that bring none"),
  OPT_ROW(generate_options, raw, "raw", 0, OPT_FLAG, NULL, NULL, NULL, "go on with the prompt as plain text, without chat template"),
  OPT_ROW(generate_options, into, "into", 0, OPT_STR, NULL, NULL, "FIELD", "put the answer into this string field and leave the rest of the row; an answer already there is not shown to the model"),
  OPT_ROW(generate_options, text, "text", 0, OPT_FLAG, NULL, NULL, NULL, "print answers as plain text instead of rows"),
  SAMPLING_OPTION_ROWS(generate_options, sampling, "0", "512"),
  FORM_OPTION_ROWS(generate_options, form),
  OPT_ROW(generate_options, chat_template, "chat-template", 0, OPT_STR, NULL, NULL, "NAME", "chat template when it is not recognised"),
  OPT_ROW(generate_options, batch, "batch", 0, OPT_INT, "16", "1..64", "N", "rows worked on at once (never changes an answer)"),
  DEVICE_OPTION_ROWS(generate_options, dev),
  OPT_END
};

enum { WINDOW_BATCHES = 8 }; /* rows that may wait for a slow one in front of them, in batches */
struct job_row {
  struct arena *a;
  struct record r;
  struct buf messages;   /* what was asked, as a JSON array; empty for raw text */
  struct tokens tok;
  struct buf line;       /* the finished output */
  int done;
  const char *failed;
  uint64_t tokens;
};
struct generator {
  struct ctx *ctx;
  const struct generate_options *o;
  struct model *m;
  struct tokenizer *t;
  const struct chat_template *chat;
  int32_t stop_ids[16];
  size_t n_stop;
  struct job_row *ring;  /* rows first .. next - 1, slot = number % window */
  uint64_t first, next, window, made;
  int ended, prompted;
  struct progress *progress;
  struct arena *a;       /* of the form */
  struct form form;
  struct form_set *forms;
  struct constraint *constraint;
};

/* ---- asking ---- */
static enum status put_message(struct buf *b, const char *role, struct span content, struct err *e) {
  enum status st = STATUS_OK;
  TRY(buf_printf(b, e, "{\"role\":\"%s\",\"content\":", role));
  TRY(json_put_string(b, content, e));
  TRY(buf_putc(b, '}', e));
out:
  return st;
}

static enum status ask_text(struct generator *g, struct job_row *j, struct span text, struct err *e) {
  enum status st = STATUS_OK;
  TRY(buf_putc(&j->messages, '[', e));
  if (g->o->system) {
    TRY(put_message(&j->messages, "system", (struct span){g->o->system, strlen(g->o->system)}, e));
    TRY(buf_putc(&j->messages, ',', e));
  }
  TRY(put_message(&j->messages, "user", text, e));
  TRY(buf_putc(&j->messages, ']', e));
out:
  return st;
}

static enum status raw_tokens(struct generator *g, struct job_row *j, struct span text, struct err *e) {
  struct tokens t;
  enum status st = tokenizer_encode(g->t, text, 1, j->a, &t, e);
  int bos = st == STATUS_OK && tokenizer_add_bos(g->t) && tokenizer_bos(g->t) >= 0;
  if (st != STATUS_OK) {
    return st;
  }
  j->tok.id = arena_alloc(j->a, (t.n + 1) * sizeof *t.id);
  if (!j->tok.id) {
    return err_nomem(e, t.n * sizeof *t.id);
  }
  j->tok.id[0] = tokenizer_bos(g->t);
  memcpy(j->tok.id + bos, t.id, t.n * sizeof *t.id);
  j->tok.n = t.n + (size_t)bos;
  return STATUS_OK;
}

static enum status chat_tokens(struct generator *g, struct job_row *j, struct err *e) {
  struct json *doc = NULL;
  unsigned char *mask;
  enum status st = STATUS_OK;
  if (!g->chat) {
    TRY(template_find(g->o->chat_template, g->t, &g->chat, e));
    g->n_stop += template_stop_ids(g->chat, g->t, g->stop_ids + g->n_stop);
  }
  TRY(json_parse((struct span){j->messages.p, j->messages.n}, "messages", &doc, e));
  st = template_tokens(g->chat, g->t, doc, NULL, 1, j->a, &j->tok, &mask, e);
out:
  json_free(doc);
  return st;
}

/* The messages without an assistant's answer at their end. */
static enum status put_question(struct buf *b, struct span messages, struct err *e) {
  struct json *doc = NULL;
  enum status st = STATUS_OK;
  TRY(json_parse(messages, "messages", &doc, e));
  size_t n = json_size(doc);
  const char *last = n ? json_cstr(json_get(json_at(doc, n - 1), "role"), "") : "";
  if (strcmp(last, "assistant") != 0) {
    TRY(buf_put(b, messages.p, messages.n, e));
    goto out;
  }
  TRY(buf_putc(b, '[', e));
  for (size_t i = 0; i + 1 < n; i++) {
    TRY(i ? buf_putc(b, ',', e) : STATUS_OK);
    TRY(json_put(b, json_at(doc, i), e));
  }
  TRY(buf_putc(b, ']', e));
out:
  json_free(doc);
  return st;
}

/* messages (or a layout that has them) and prompt: a chat; text: plain text to go on with. */
static enum status row_prompt(struct generator *g, struct job_row *j, struct err *e) {
  enum status st = STATUS_OK;
  struct span prompt = record_get(&j->r, "prompt"), text = {NULL, 0}, messages = {NULL, 0};
  int is_prompt = span_type(prompt) == 's' && span_type(record_get(&j->r, "messages")) != '[';
  if (is_prompt) {
    TRY(span_string(prompt, j->a, &text, e));
  } else if (span_type(prompt) == '[' && span_type(record_get(&j->r, "messages")) != '[') {
    messages = prompt;
  } else {
    TRY(record_messages(&j->r, j->a, &messages, e));
  }
  if (messages.p) {
    TRY(g->o->into ? put_question(&j->messages, messages, e) : buf_put(&j->messages, messages.p, messages.n, e));
    return chat_tokens(g, j, e);
  }
  if (is_prompt && !g->o->raw) {
    TRY(ask_text(g, j, text, e));
    return chat_tokens(g, j, e);
  }
  if (!is_prompt) {
    TRY(record_string(&j->r, "text", j->a, &text, e));
  }
  if (!text.p || !text.n) {
    return err_set(e, STATUS_DATA, "the row has no 'messages', 'prompt' or 'text'");
  }
  return raw_tokens(g, j, text, e);
out:
  return st;
}

static enum status take_row(struct generator *g, struct job_row *j, int *got, struct err *e) {
  enum status st = STATUS_OK;
  if (!g->o->prompt) {
    /* whoever waits for input must not hold the machine: the stage upstream may need it to make that input */
    lease_give();
    st = ctx_next_in(g->ctx, j->a, &j->r, got, e);
    enum status again = lease_take(st == STATUS_OK ? e : NULL);
    st = st == STATUS_OK ? again : st;
    return st != STATUS_OK || !*got ? st : row_prompt(g, j, e);
  }
  *got = !g->prompted;
  g->prompted = 1;
  if (*got) {
    struct span text = {g->o->prompt, strlen(g->o->prompt)};
    if (g->o->raw) {
      return raw_tokens(g, j, text, e);
    }
    TRY(ask_text(g, j, text, e));
    st = chat_tokens(g, j, e);
  }
out:
  return st;
}

/* ---- answering ---- */
static void free_row(struct job_row *j) {
  arena_free(j->a);
  buf_free(&j->messages);
  buf_free(&j->line);
  memset(j, 0, sizeof *j);
}

static enum status write_done(struct generator *g, struct err *e) {
  enum status st = STATUS_OK;
  while (g->first < g->next && g->ring[g->first % g->window].done) {
    struct job_row *j = &g->ring[g->first % g->window];
    struct ledger *l = ctx_ledger(g->ctx);
    if (j->failed) {
      if (!g->o->prompt) {
        ledger_failed(l, j->failed);
      }
    } else if (g->o->text) {
      TRY(ctx_print(g->ctx, e, "%.*s\n", (int)j->line.n, j->line.p ? j->line.p : ""));
      if (!g->o->prompt) {
        ledger_kept(l);
      }
    } else {
      TRY(ctx_write(g->ctx, (struct span){j->line.p, j->line.n}, e));
      if (!g->o->prompt) {
        ledger_kept(l);
      }
    }
    free_row(j);
    progress_set(g->progress, ++g->first, NULL);
  }
out:
  return st;
}

/* Takes rows until one can be answered; a row that cannot is counted as failed and keeps its place in the order. */
static enum status next(void *ctx, struct decode_job *job, int *got, struct err *e) {
  struct generator *g = ctx;
  struct job_row *j = NULL;
  *got = 0;
  while (!j && !g->ended) {
    if (g->next - g->first == g->window) {
      *got = DECODE_LATER; /* a slow row holds back all behind it */
      return STATUS_OK;
    }
    j = &g->ring[g->next % g->window];
    j->a = arena_new(0);
    if (!j->a) {
      return err_nomem(e, 4096);
    }
    enum status st = take_row(g, j, got, e);
    if (st == STATUS_DATA && *got && !g->o->prompt) {
      log_warn("row %llu: %s", (unsigned long long)g->next + 1, e->msg);
      j->failed = "no usable prompt";
      j->done = 1;
      g->next++;
      j = NULL;
      st = write_done(g, e);
    } else if (st == STATUS_OK && !*got) {
      g->ended = 1;
    }
    if (st != STATUS_OK) {
      return st;
    }
  }
  if (g->ended) {
    *got = 0;
    if (j) {
      free_row(j);
    }
    return STATUS_OK;
  }
  *got = 1;
  g->next++;
  memset(job, 0, sizeof *job);
  job->prompt = j->tok.id;
  job->n_prompt = j->tok.n;
  /* each prompt has its own stream, the same whatever rows stand around it */
  job->sampling = sampling_of(&g->o->sampling, xxh3_seed(j->tok.id, j->tok.n * sizeof *j->tok.id, (uint64_t)g->o->sampling.seed));
  job->stop_ids = g->stop_ids;
  job->n_stop_ids = g->n_stop;
  job->user = j;
  job->constraint = g->constraint;
  return STATUS_OK;
}

static enum status put_answer(struct generator *g, struct job_row *j, struct span text, struct err *e) {
  enum status st = STATUS_OK;
  struct buf m = {0};
  if (g->o->text) {
    return buf_put(&j->line, text.p, text.n, e);
  }
  const char *field = g->o->into ? g->o->into : j->messages.n ? "messages" : "completion";
  if (j->messages.n && !g->o->into) {
    size_t n = j->messages.n - 1; /* the array without its bracket; trailing blanks were cut with the raw value */
    int empty = 1;
    for (size_t i = 1; i < n; i++) {
      empty = empty && strchr(" \t\r\n", j->messages.p[i]) != NULL;
    }
    TRY(buf_put(&m, j->messages.p, n, e));
    TRY(empty ? STATUS_OK : buf_putc(&m, ',', e));
    TRY(put_message(&m, "assistant", text, e));
    TRY(buf_putc(&m, ']', e));
  } else {
    TRY(json_put_string(&m, text, e));
  }
  if (j->r.line.p) {
    TRY(record_set(&j->r, field, (struct span){m.p, m.n}, &j->line, e));
  } else {
    TRY(buf_printf(&j->line, e, "{\"%s\":", field));
    TRY(buf_put(&j->line, m.p, m.n, e));
    TRY(buf_putc(&j->line, '}', e));
  }
out:
  buf_free(&m);
  return st;
}

static enum status done(void *ctx, const struct decode_job *job, const struct decode_result *r, struct err *e) {
  struct generator *g = ctx;
  struct job_row *j = job->user;
  enum status st = STATUS_OK;
  if (r->finish == FINISH_CONTEXT && r->n == 0) {
    j->failed = "prompt longer than the context";
    log_warn("a prompt of %zu tokens does not fit the context of %d", job->n_prompt, model_config(g->m)->max_ctx);
  } else {
    struct err why = {0};
    if (form_check(&g->form, r->text, &why) != STATUS_OK) {
      j->failed = r->finish == FINISH_LENGTH || r->finish == FINISH_CONTEXT ? "answer cut before its form was complete" : "answer of the wrong form";
      log_warn("%s: %s", j->failed, why.msg);
    }
    TRY(put_answer(g, j, r->text, e));
  }
  j->done = 1;
  j->tokens = r->n;
  g->made += r->n;
  TRY(write_done(g, e));
out:
  return st;
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  struct generator g = {.ctx = c, .o = options};
  struct decoder *d = NULL;
  struct device *dev = NULL;
  enum status st = STATUS_OK;
  int leased = 0;
  if (args->n != 1) {
    return err_set(e, STATUS_USAGE, "generate takes one MODEL, found %zu arguments", args->n);
  }
  g.a = arena_new(0);
  if (!g.a) {
    return err_nomem(e, 4096);
  }
  TRY(form_from_options(&g.o->form, g.a, &g.form, e));
  if (g.form.kind != FORM_FREE && g.o->sampling.stop.n) {
    st = err_set(e, STATUS_USAGE, "'--stop' would cut an answer whose form is stated: leave it out");
    goto out;
  }
  TRY(lease_take(e));
  leased = 1;
  TRY(device_start(&g.o->dev, &dev, e));
  TRY(model_open(args->item[0], 0, &g.m, e));
  TRY(tokenizer_from_weights(model_weights(g.m), &g.t, e));
  const struct model_config *mc = model_config(g.m);
  if (mc->eos >= 0) {
    g.stop_ids[g.n_stop++] = mc->eos;
  }
  for (int32_t i = 0; i < mc->n_eos_extra && g.n_stop < 8; i++) {
    g.stop_ids[g.n_stop++] = mc->eos_extra[i];
  }
  g.window = (uint64_t)g.o->batch * WINDOW_BATCHES;
  g.ring = mem_calloc(g.window, sizeof *g.ring);
  if (!g.ring) {
    st = err_nomem(e, g.window * sizeof *g.ring);
    goto out;
  }
  TRY(decoder_new(g.m, g.t, (int)g.o->batch, &d, e));
  TRY(form_set_new(g.t, &g.forms, e));
  TRY(form_set_get(g.forms, &g.form, &g.constraint, e));
  g.progress = progress_new("rows", "rows", 0);
  st = decoder_run(d, next, done, &g, e);
  if (st == STATUS_OK) {
    uint64_t prompt_tok, reused_tok, made_tok;
    decoder_counts(d, &prompt_tok, &reused_tok, &made_tok);
    log_info("%llu tokens, %.0f a second", (unsigned long long)g.made, decoder_tokens_per_second(d));
    log_debug("%llu prompt tokens and %llu shared with earlier prompts, %.0f a second with the former", (unsigned long long)prompt_tok,
              (unsigned long long)reused_tok,
              decoder_tokens_per_second(d) * (double)(prompt_tok + made_tok) / (double)(made_tok ? made_tok : 1));
  }
out:
  if (leased) {
    lease_give();
  }
  progress_free(g.progress);
  for (uint64_t i = 0; g.ring && i < g.window; i++) {
    free_row(&g.ring[i]);
  }
  mem_free(g.ring);
  decoder_free(d);
  form_set_free(g.forms);
  arena_free(g.a);
  tokenizer_close(g.t);
  model_close(g.m);
  device_close(dev);
  return st;
}

const struct stage stage_generate = {
  "generate", "MODEL", "answers of a model to rows or to one prompt",
  "Reads rows with messages or prompt (a chat: the answer is appended to messages) or text (gone on with: field completion).\n"
  "The default is greedy. With a temperature each row has its own stream of the seed, so an answer does not depend on the rows\n"
  "around it, on --batch or on --threads.\n"
  "\n"
  "  retort generate student.gguf --text --prompt 'What does the MIT licence ask for?'\n"
  "  retort generate student.gguf --schema answer.json < questions.jsonl   # JSON of that schema, always\n"
  "  retort generate run/ --temperature 0.7 --top-p 0.9 < questions.jsonl > answers.jsonl",
  STAGE_ROWS_IN | STAGE_ROWS_OUT | STAGE_COMPUTE, rows, sizeof(struct generate_options), run
};

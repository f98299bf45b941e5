/* SPDX-License-Identifier: Apache-2.0
 * `retort shard`: rows to a folder of token shards. Rows become documents on worker threads; packing, the teacher's targets
 * and writing follow in order of the rows. The folder appears under its name only after the last row, upstream's closing
 * line and the manifest: whatever stops before leaves nothing. */
#include "device.h"
#include "file.h"
#include "hash.h"
#include "log.h"
#include "pool.h"
#include "shard_pack.h"
#include "shard_recorded.h"
#include "shard_row.h"
#include "shard_targets.h"
#include "stage.h"
#include "workers.h"

#define WINDOW_BYTES ((size_t)64 << 20)
#define MAX_TALLY 256

struct shard_options {
  const char *output, *tokenizer, *teacher, *teacher_terms, *targets, *chat_template, *split, *too_long, *loss_on;
  int64_t context, level;
  uint64_t frame_bytes, file_bytes;
  int pack, weights, about;
  struct device_options dev;
};
#define ROW(field, name, letter, type, dflt, range, arg, help) OPT_ROW(shard_options, field, name, letter, type, dflt, range, arg, help)
static const struct opt_row rows[] = {
  ROW(output, "output", 'o', OPT_STR, NULL, NULL, "DIR", "folder to write, complete or absent"),
  ROW(tokenizer, "tokenizer", 0, OPT_STR, NULL, NULL, "T", "GGUF file, tokenizer.json or model folder [the teacher]"),
  ROW(targets, "targets", 0, OPT_STR, "none", NULL, "KIND", "what the teacher adds at each token in the loss: none, or topk:K (topk:K:E keeps an error of E nats), sample:N draws, hidden, joined with commas"),
  ROW(teacher, "teacher", 't', OPT_STR, NULL, NULL, "T", "local model that makes the targets, or replay:BOOK: the log-probabilities that came with the rows' answers (label --logprobs; topk only)"),
  ROW(teacher_terms, "teacher-terms", 0, OPT_STR, NULL, NULL, "ID", "licence or terms of the teacher, such as apache-2.0"),
  ROW(context, "context", 0, OPT_INT, "1024", "8..1048576", "N", "tokens of a sample"),
  ROW(chat_template, "chat-template", 0, OPT_STR, NULL, NULL, "NAME", "chat template when the tokenizer's own is not recognised"),
  ROW(split, "split", 0, OPT_STR, NULL, NULL, "NAME", "keep only rows whose field split is NAME"),
  ROW(loss_on, "loss-on", 0, OPT_ENUM, "assistant", "assistant|all", NULL, "which tokens of messages are learnt and get targets: the assistant's, or all (questions and passages too)"),
  ROW(too_long, "too-long", 0, OPT_ENUM, "cut", "cut|drop|split", "WHAT", "rows longer than the context: keep the first tokens, drop, or go on in further documents"),
  ROW(pack, "pack", 0, OPT_FLAG, "1", NULL, NULL, "several documents to a sample (on; --no-pack)"),
  ROW(weights, "weights", 0, OPT_FLAG, NULL, NULL, NULL, "store the field weight of each row for the loss"),
  ROW(about, "about", 0, OPT_FLAG, "1", NULL, NULL, "keep what a row says beside its text: source, teacher, scores, ... for `retort why` (on; --no-about)"),
  ROW(frame_bytes, "frame-bytes", 0, OPT_BYTES, "0", "0..1G", "BYTES", "block of samples that is compressed together; 0 = 4M, with targets 256K"),
  ROW(file_bytes, "file-bytes", 0, OPT_BYTES, "256M", "1K..", "BYTES", "a new data file begins above this"),
  ROW(level, "level", 0, OPT_INT, "3", "1..19", "N", "zstd level"),
  DEVICE_OPTION_ROWS(shard_options, dev),
  OPT_END
};

struct tally { /* distinct values and how often */
  char *text[MAX_TALLY];
  uint64_t count[MAX_TALLY], others;
  size_t n;
};
struct item {
  struct document d;
  struct item *next;
  unsigned long long number; /* of the row, for messages */
  char *bad;                 /* why the row cannot be used (its arena), or NULL */
};
struct sharding {
  struct ctx *c;
  const struct shard_options *o;
  struct row_rules rules;
  struct target_kind kind;
  struct tokenizer *tokenizer;
  struct targets *targets;
  struct recorded *recorded; /* instead of targets */
  struct device *dev;
  struct shard_writer *writer;
  struct pack *pack;
  struct item *spare;
  struct progress *bar;
  struct tally teachers, licences;
  struct buf id;
  uint64_t rows, cut, split, cut_tokens, known;
};

static enum status count_text(struct tally *t, struct span s, struct err *e) {
  size_t i = 0;
  if (!s.p) return STATUS_OK;
  while (i < t->n && !span_is(s, t->text[i])) i++;
  if (i == MAX_TALLY) {
    t->others++;
    return STATUS_OK;
  }
  if (i == t->n) {
    if ((t->text[i] = mem_strndup(s.p, s.n)) == NULL) return err_nomem(e, s.n);
    t->n++;
  }
  t->count[i]++;
  return STATUS_OK;
}

static void tally_free(struct tally *t) {
  for (size_t i = 0; i < t->n; i++) mem_free(t->text[i]);
}

/* ---- pipeline ---- */
static int row_ready(void *ctx) { return ctx_ready(((struct sharding *)ctx)->c); }

static enum status read_row(void *ctx, struct work_item *it, int *got, struct err *e) {
  struct sharding *q = ctx;
  struct item *x = q->spare;
  if (x) q->spare = x->next;
  else if ((x = mem_calloc(1, sizeof *x)) == NULL || (x->d.a = arena_new(0)) == NULL) {
    mem_free(x);
    return err_nomem(e, sizeof *x);
  }
  struct arena *a = x->d.a;
  arena_reset(a);
  memset(&x->d, 0, sizeof x->d);
  x->d.a = a;
  enum status st = ctx_next_in(q->c, a, &x->d.rec, got, e);
  if (st != STATUS_OK || !*got) {
    x->next = q->spare;
    q->spare = x;
    return st;
  }
  x->number = ctx_row(q->c);
  x->bad = NULL;
  it->user = x;
  it->bytes = 8 * x->d.rec.line.n + 4096;
  return STATUS_OK;
}

static enum status work_row(void *ctx, struct work_item *it, int worker, struct err *e) {
  struct sharding *q = ctx;
  struct item *x = it->user;
  (void)worker;
  enum status st = document_from_row(&q->rules, &x->d, e);
  if (st == STATUS_OK && q->recorded && !x->d.reason) st = recorded_join(q->recorded, &x->d, e);
  if (st == STATUS_DATA) { /* one failed row, not the end */
    x->bad = arena_strndup(x->d.a, e->msg, strlen(e->msg));
    return x->bad ? STATUS_OK : err_nomem(e, strlen(e->msg));
  }
  return st == STATUS_OK ? st : err_prefix(e, "'stdin' row %llu (id '%.*s')", x->number, (int)(x->d.id.n > 200 ? 200 : x->d.id.n), x->d.id.p ? x->d.id.p : "?");
}

static void drop_item(void *ctx, struct work_item *it) {
  struct sharding *q = ctx;
  struct item *x = it->user;
  x->next = q->spare;
  q->spare = x;
}

static enum status sample_done(void *ctx, struct sample *s, struct err *e) {
  struct sharding *q = ctx;
  enum status st = STATUS_OK;
  int known = 0;
  if (stop_requested()) return err_set(e, STATUS_STOPPED, "'%s': stopped before all rows were in", q->o->output);
  if (q->targets) TRY(shard_write_known(q->writer, s, &known, e));
  if (!known) {
    st = q->targets ? targets_fill(q->targets, s, e) : STATUS_OK;
    if (st == STATUS_DATA) (void)err_prefix(e, "'%s': sample %lld", q->o->output, (long long)shard_writer_info(q->writer)->n_samples);
    TRY(st);
    TRY(shard_write(q->writer, s, e));
  }
  q->known += known;
  char note[64];
  const struct shard_info *i = shard_writer_info(q->writer);
  snprintf(note, sizeof note, "%lld samples", (long long)i->n_samples);
  progress_set(q->bar, (uint64_t)i->n_tokens, note);
out:
  return st;
}

static size_t count_targets(const unsigned char *mask, size_t n) {
  size_t c = 0;
  for (size_t i = 0; i < n; i++) c += mask[i] != 0;
  return c;
}

/* Pieces of at most `context` tokens that have something in the loss. Returns the number of pieces. */
static enum status add_pieces(struct sharding *q, struct document *d, const char *id, size_t *pieces, struct err *e) {
  size_t context = (size_t)q->o->context;
  const struct row_targets *t = &d->targets;
  size_t before = 0; /* tokens in the loss in front of the piece */
  int whole = strcmp(q->o->too_long, "split") == 0;
  *pieces = 0;
  for (size_t at = 0; at < d->n; at += context) {
    size_t n = d->n - at < context ? d->n - at : context;
    unsigned char first = d->mask[at] != 0;
    size_t in_loss = count_targets(d->mask + at, n), k = (size_t)t->k, from = before + first; /* nothing predicts the first token of a piece */
    before += in_loss;
    if (at > 0 && !whole) {
      q->cut_tokens += d->n - at;
      break;
    }
    if (in_loss == first) {
      q->cut_tokens += n;
      continue;
    }
    d->mask[at] = 0;
    struct piece x = { .ids = d->ids + at, .mask = d->mask + at, .n = n, .row_id = id, .about = d->about, .weight = d->weight, .k = t->k };
    if (k > 0) x.n_target = in_loss - first, x.top_id = t->top_id + from * k, x.top_logprob = t->top_logprob + from * k, x.rest = t->rest + from;
    enum status st = pack_add(q->pack, &x, e);
    d->mask[at] = first;
    if (st != STATUS_OK) return st;
    ++*pieces;
  }
  return STATUS_OK;
}

static enum status take_document(struct sharding *q, struct document *d, struct err *e) {
  struct ledger *l = ctx_ledger(q->c);
  enum status st = STATUS_OK;
  size_t pieces = 1;
  int too_long = d->n > (size_t)q->o->context;
  if (!d->reason && too_long && strcmp(q->o->too_long, "drop") == 0) d->reason = "too_long";
  if (d->reason) {
    ledger_dropped(l, d->reason);
    return st;
  }
  buf_clear(&q->id);
  TRY(buf_put(&q->id, d->id.p, d->id.n, e));
  TRY(add_pieces(q, d, q->id.p, &pieces, e));
  if (pieces == 0) {
    ledger_dropped(l, "too_long_nothing_left");
    goto out;
  }
  q->cut += too_long && strcmp(q->o->too_long, "cut") == 0;
  q->split += too_long && strcmp(q->o->too_long, "split") == 0;
  ledger_kept(l);
  TRY(count_text(&q->licences, d->licence, e));
  if (d->teacher.p || d->terms.p) {
    struct buf b = { 0 };
    st = buf_printf(&b, e, "%.*s\t%.*s", (int)d->teacher.n, d->teacher.p ? d->teacher.p : "", (int)d->terms.n, d->terms.p ? d->terms.p : "");
    if (st == STATUS_OK) st = count_text(&q->teachers, (struct span){ b.p, b.n }, e);
    buf_free(&b);
  }
out:
  return st;
}

static enum status take_row(void *ctx, struct work_item *it, struct err *e) {
  struct sharding *q = ctx;
  q->rows++;
  struct item *x = it->user;
  enum status st = STATUS_OK;
  if (x->bad) {
    struct err why = { STATUS_DATA, "" };
    (void)err_set(&why, STATUS_DATA, "%s", x->bad);
    ctx_fail_row(q->c, x->number, "bad row", &why);
  } else {
    st = take_document(q, &x->d, e);
  }
  drop_item(ctx, it);
  return st;
}

/* ---- manifest ---- */
static enum status own_options(const struct sharding *q, const struct opt_row *table, struct buf *b, struct err *e) {
  struct shard_options o = *q->o;
  o.output = NULL; /* the same folder under another name is the same */
  o.tokenizer = o.teacher = NULL; /* their hashes stand for them */
  return opt_canonical(table, &o, b, e);
}

static enum status put_tally(struct buf *b, const char *key, const struct tally *t, struct err *e) {
  enum status st;
  TRY(buf_printf(b, e, ",\n\"%s\":[", key));
  for (size_t i = 0; i < t->n; i++) {
    const char *tab = strchr(t->text[i], '\t');
    TRY(buf_puts(b, i ? ",{\"name\":" : "{\"name\":", e));
    TRY(json_put_string(b, (struct span){ t->text[i], tab ? (size_t)(tab - t->text[i]) : strlen(t->text[i]) }, e));
    if (tab) {
      TRY(buf_puts(b, ",\"terms\":", e));
      TRY(json_put_cstr(b, tab + 1, e));
    }
    TRY(buf_printf(b, e, ",\"rows\":%llu}", (unsigned long long)t->count[i]));
  }
  TRY(buf_printf(b, e, "],\n\"%s_not_listed\":%llu", key, (unsigned long long)t->others));
out:
  return st;
}

static enum status extra_members(struct sharding *q, struct buf *b, struct err *e) {
  enum status st;
  const struct shard_info *i = shard_writer_info(q->writer);
  const struct ledger *ledger = ctx_ledger(q->c);
  double fill = i->n_samples ? (double)i->n_tokens / ((double)i->n_samples * (double)i->context) : 0;
  TRY(buf_printf(b, e, "\"packing\":{\"fill\":%.4f,\"rows_cut\":%llu,\"rows_split\":%llu,\"tokens_left_out\":%llu},\n\"options\":", fill,
                 (unsigned long long)q->cut, (unsigned long long)q->split, (unsigned long long)q->cut_tokens));
  TRY(own_options(q, rows, b, e));
  TRY(buf_puts(b, ",\n\"ledger\":", e));
  TRY(ledger_json(ctx_ledger(q->c), b, e));
  TRY(put_tally(b, "row_teachers", &q->teachers, e));
  TRY(put_tally(b, "licences", &q->licences, e));
  log_info("%lld samples of at most %d tokens, %lld tokens, %lld in the loss, %lld documents, fill %.1f %%", (long long)i->n_samples, i->context,
           (long long)i->n_tokens, (long long)i->n_targets, (long long)i->n_docs, 100 * fill);
  if (i->n_docs == 0 && ledger_count_in(ledger) > 0) log_warn("none of %llu rows came into the shards: see the reasons below, and --split", (unsigned long long)ledger_count_in(ledger));
  else if (i->n_targets == 0) log_warn("no token is in the loss: rows need an assistant's answer, a `text`, or `ids` with a `mask`");
  if (q->recorded) {
    uint64_t with, without;
    recorded_counts(q->recorded, &with, &without);
    log_info("%llu tokens of answers have the teacher's log-probabilities, %llu have none and left the loss", (unsigned long long)with, (unsigned long long)without);
  }
  if (q->cut || q->split)
    log_info("%llu rows longer than the context were %s, %llu tokens left out", (unsigned long long)(q->cut + q->split), q->cut ? "cut" : "split",
             (unsigned long long)q->cut_tokens);
out:
  return st;
}

/* ---- an output that is there already ---- */
/* Reads the rows for their digest only; the same rows and options: the verdicts of the manifest are repeated. */
static enum status compare_existing(struct sharding *q, const struct shard_info *now, struct err *e) {
  enum status st;
  struct shard_reader *r = NULL;
  struct buf mine = { 0 }, options = { 0 };
  struct json *old = NULL, *new = NULL;
  struct record rec;
  int got = 1;
  TRY(shard_open(q->o->output, &r, e));
  while (got) TRY(ctx_next(q->c, &rec, &got, e));
  TRY(own_options(q, rows, &options, e));
  TRY(ledger_json(ctx_ledger(q->c), &mine, e));
  TRY(json_parse((struct span){ mine.p, mine.n }, "ledger", &new, e));
  struct span was = shard_manifest_member(r, "ledger"), opt = shard_manifest_member(r, "options");
  if (was.p) TRY(json_parse(was, "ledger", &old, e));
  const struct shard_info *i = shard_info(r);
  if (!span_is(opt, options.p) || strcmp(json_cstr(json_get(old, "in_digest"), "-"), json_cstr(json_get(new, "in_digest"), "+")) != 0 ||
      strcmp(i->tokenizer_hash, now->tokenizer_hash) != 0 || strcmp(i->teacher_identity, now->teacher_identity) != 0) {
    st = err_set(e, STATUS_USAGE, "'%s': exists and was made from other rows, options, tokenizer or teacher; use --force to replace it", q->o->output);
    goto out;
  }
  void *it = NULL;
  struct span key;
  const struct json *v;
  while (json_next(json_get(old, "dropped"), &it, &key, &v)) {
    char *reason = arena_strndup(ctx_arena(q->c), key.p, key.n);
    for (int64_t k = 0; reason && k < json_int(v, 0); k++) ledger_dropped(ctx_ledger(q->c), reason);
  }
  for (int64_t k = json_int(json_get(old, "kept"), 0); k > 0; k--) ledger_kept(ctx_ledger(q->c));
  log_info("'%s' is complete and was made from the same rows and options: left alone", q->o->output);
out:
  shard_close(r);
  json_free(old);
  json_free(new);
  buf_free(&mine);
  buf_free(&options);
  return st;
}

/* ---- stage ---- */
static enum status prepare(struct sharding *q, struct shard_info *info, struct err *e) {
  enum status st;
  const struct shard_options *o = q->o;
  unsigned char sha[32];
  const char *tokenizer = o->tokenizer ? o->tokenizer : o->teacher && !recorded_is(o->teacher) ? o->teacher : NULL;
  if (!o->output) return err_set(e, STATUS_USAGE, "shard writes a folder: give -o DIR");
  if (!tokenizer) return err_set(e, STATUS_USAGE, "give --tokenizer T: a GGUF file, a tokenizer.json or a model folder");
  TRY(target_parse(o->targets, &q->kind, e));
  if (target_any(&q->kind) && !o->teacher) return err_set(e, STATUS_USAGE, "'--targets %s' needs --teacher T", o->targets);
  TRY(tokenizer_open(tokenizer, &q->tokenizer, e));
  tokenizer_hash(q->tokenizer, sha);
  hash_hex(sha, 32, info->tokenizer_hash);
  q->rules = (struct row_rules){ .tokenizer = q->tokenizer, .vocab = tokenizer_vocab(q->tokenizer), .all_tokens = strcmp(o->loss_on, "all") == 0,
                                .weights = o->weights, .about = o->about, .split = o->split };
  if (o->chat_template || tokenizer_template(q->tokenizer)) TRY(template_find(o->chat_template, q->tokenizer, &q->rules.chat, e));
  if (q->rules.chat) snprintf(info->template_name, sizeof info->template_name, "%s", template_name(q->rules.chat));
  info->vocab = q->rules.vocab;
  info->teacher = info->teacher_identity = info->terms = "";
  if (target_any(&q->kind) && recorded_is(o->teacher)) {
    if (q->kind.hidden || q->kind.draws)
      return err_set(e, STATUS_USAGE, "'--targets %s': a book holds log-probabilities only: topk:K, or a local teacher", o->targets);
    if (q->rules.all_tokens) return err_set(e, STATUS_USAGE, "'--loss-on all': a book holds log-probabilities of answers only; a local teacher gives those of all tokens");
    TRY(recorded_open(o->teacher, q->kind.top_k, q->tokenizer, o->teacher_terms, ctx_common(q->c)->accept_terms, &q->recorded, e));
    info->teacher = recorded_name(q->recorded);
    info->teacher_identity = recorded_identity(q->recorded);
    info->terms = recorded_terms(q->recorded);
  } else if (target_any(&q->kind)) {
    TRY(device_start(&o->dev, &q->dev, e));
    TRY(targets_open(o->teacher, &q->kind, q->tokenizer, (int32_t)o->context, o->teacher_terms, ctx_common(q->c)->accept_terms, &q->targets, e));
    info->teacher = targets_name(q->targets);
    info->teacher_identity = targets_identity(q->targets);
    info->terms = targets_terms(q->targets);
    info->vocab = targets_vocab(q->targets);
  }
out:
  return st;
}

static enum status make(struct sharding *q, const struct shard_info *info, struct err *e) {
  enum status st;
  const struct shard_options *o = q->o;
  struct buf extra = { 0 }, key = { 0 };
  TRY(own_options(q, rows, &key, e));
  TRY(buf_printf(&key, e, "\n%s\n%s\n%s\n", info->tokenizer_hash, info->template_name, info->teacher_identity));
  struct shard_writer_options w = { .folder = o->output, .context = (int32_t)o->context, .vocab = info->vocab, .top_k = q->kind.top_k,
    .draws = q->kind.draws, .top_error = q->kind.top_error,
    .hidden = q->targets ? targets_hidden(q->targets) : 0, .info = *info, .frame_bytes = o->frame_bytes, .file_bytes = o->file_bytes,
    .level = (int)o->level, .replace = ctx_common(q->c)->force,
    .resume_key = q->targets ? key.p : NULL };
  const struct workers_ops ops = { read_row, work_row, take_row, drop_item, row_ready };
  TRY(shard_writer_new(&w, &q->writer, e));
  TRY(pack_new((int32_t)o->context, !o->pack, sample_done, q, &q->pack, e));
  q->bar = progress_new("shard", "tokens", 0);
  TRY(workers_run(&ops, q, 0, WINDOW_BYTES, e));
  TRY(ctx_judge_failed(q->c, e)); /* before anything stands under its final name */
  TRY(pack_finish(q->pack, e));
  TRY(extra_members(q, &extra, e));
  TRY(shard_writer_commit(q->writer, (struct span){ extra.p, extra.n }, e));
  if (q->known) log_info("%llu samples were taken from the interrupted run", (unsigned long long)q->known);
out:
  buf_free(&extra);
  buf_free(&key);
  return st;
}

static enum status run(struct ctx *c, const void *options, const struct opt_list *args, struct err *e) {
  struct sharding q = { .c = c, .o = options };
  struct shard_info info = { 0 };
  enum status st;
  if (args->n) return err_set(e, STATUS_USAGE, "'%s': shard takes no arguments; rows come from stdin", args->item[0]);
  TRY(prepare(&q, &info, e));
  if (folder_exists(q.o->output) && !ctx_common(c)->force) TRY(compare_existing(&q, &info, e));
  else TRY(make(&q, &info, e));
out:
  progress_free(q.bar);
  pack_free(q.pack);
  shard_writer_free(q.writer);
  targets_close(q.targets);
  recorded_close(q.recorded);
  device_close(q.dev);
  tokenizer_close(q.tokenizer);
  while (q.spare) {
    struct item *x = q.spare;
    q.spare = x->next;
    arena_free(x->d.a);
    mem_free(x);
  }
  tally_free(&q.teachers);
  tally_free(&q.licences);
  buf_free(&q.id);
  return st;
}

const struct stage stage_shard = {
  "shard", "", "make token shards, with a teacher's targets",
  "Reads examples or documents and writes a folder of token shards: chat template, tokens, loss mask on the assistant's tokens,\n"
  "several documents packed to a sample, and targets of a local teacher at the masked positions.\n\n"
  "  retort shard --tokenizer T.gguf --targets topk:64 --teacher T.gguf -o shards/ < kept.jsonl\n"
  "  retort shard --tokenizer T.gguf --targets topk:20 --teacher replay:my.book -o shards/ < labelled-with-logprobs.jsonl\n"
  "  retort shard --tokenizer T.gguf --split test -o shards-test/ < kept.jsonl",
  STAGE_ROWS_IN | STAGE_COMPUTE | STAGE_BOOK, rows, sizeof(struct shard_options), run
};

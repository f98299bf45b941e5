/* SPDX-License-Identifier: Apache-2.0
 * Sample by sample: documents that go are cut out with their targets; a sample that loses all of them goes too. */
#include "forget_shards.h"
#include <string.h>
#include "json.h"
#include "stop.h"

struct cutting {
  const struct forget_rows *f;
  struct shard_reader *r;
  struct shard_writer *w;
  struct arena *a;
  uint64_t gone;
};

/* s without the documents whose `out` is set, packed together in its own arrays. */
static void cut(struct sample *s, const unsigned char *out, int32_t hidden) {
  int32_t tok = 0, doc = 0, target = 0, t = 0;
  size_t k = (size_t)s->k, n = (size_t)s->n_draw, h = (size_t)hidden;
  for (int32_t d = 0; d < s->n_doc; d++) {
    int32_t from = s->doc_start[d], to = s->doc_start[d + 1], first = tok;
    for (; t < s->n_target && s->target_pos[t] < to; t++) {
      if (out[d]) continue;
      size_t a = (size_t)target++, b = (size_t)t;
      s->target_pos[a] = s->target_pos[t] - from + first;
      if (k) memmove(s->top_id + a * k, s->top_id + b * k, k * 4), memmove(s->top_logprob + a * k, s->top_logprob + b * k, k * 4), s->rest[a] = s->rest[b];
      if (n) memmove(s->draw_id + a * n, s->draw_id + b * n, n * 4), memmove(s->draw_count + a * n, s->draw_count + b * n, n * 4);
      if (h) memmove(s->hidden + a * h, s->hidden + b * h, h * 4);
    }
    if (out[d]) continue;
    memmove(s->ids + tok, s->ids + from, (size_t)(to - from) * sizeof *s->ids);
    memmove(s->mask + tok, s->mask + from, (size_t)(to - from));
    s->doc_start[doc] = tok;
    s->row_id[doc] = s->row_id[d];
    s->about[doc] = s->about[d];
    if (s->weight) s->weight[doc] = s->weight[d];
    tok += to - from;
    doc++;
  }
  s->doc_start[doc] = tok;
  s->n_tok = tok, s->n_doc = doc, s->n_target = target;
}

static enum status one_sample(struct cutting *c, int64_t i, struct err *e) {
  enum status st;
  struct sample s;
  TRY(shard_read_raw(c->r, i, c->a, &s, e));
  unsigned char *out = arena_calloc(c->a, (size_t)s.n_doc, 1);
  s.about = arena_calloc(c->a, (size_t)s.n_doc, sizeof *s.about);
  int any = 0;
  if (!out || !s.about) return err_nomem(e, (size_t)s.n_doc * 9);
  for (int32_t d = 0; d < s.n_doc; d++) {
    struct span about;
    TRY(shard_about(c->r, i, d, c->a, &about, e));
    s.about[d] = about.p;
    out[d] = (unsigned char)c->f->is(c->f->ctx, s.row_id[d]);
    any |= out[d];
    if (!out[d]) continue;
    c->gone++;
    TRY(c->f->gone(c->f->ctx, s.row_id[d], about, e));
  }
  if (any) cut(&s, out, shard_info(c->r)->hidden);
  if (c->w && s.n_doc > 0) TRY(shard_write(c->w, &s, e));
out:
  return st;
}

static enum status all_samples(struct cutting *c, struct err *e) {
  enum status st = STATUS_OK;
  for (int64_t i = 0; i < shard_info(c->r)->n_samples; i++) {
    arena_reset(c->a);
    if (stop_requested()) return err_set(e, STATUS_STOPPED, "stopped at sample %lld: the folder is as it was", (long long)i);
    TRY(one_sample(c, i, e));
  }
out:
  return st;
}

/* What `shard` wrote beside the format's own members stays; `forgotten` gets an entry. */
static enum status carry_members(struct shard_reader *r, uint64_t gone, const char *sha, struct buf *b, struct err *e) {
  static const char *const keep[] = { "packing", "options", "ledger", "row_teachers", "row_teachers_not_listed", "licences", "licences_not_listed" };
  enum status st = STATUS_OK;
  for (size_t i = 0; i < sizeof keep / sizeof *keep; i++) {
    struct span v = shard_manifest_member(r, keep[i]);
    if (v.p) TRY(buf_printf(b, e, "\"%s\":%.*s,\n", keep[i], (int)v.n, v.p));
  }
  struct span old = shard_manifest_member(r, "forgotten");
  TRY(buf_puts(b, "\"forgotten\":[", e));
  if (span_type(old) == '[' && old.n > 2) TRY(buf_printf(b, e, "%.*s,", (int)old.n - 2, old.p + 1));
  TRY(buf_printf(b, e, "{\"documents\":%llu,\"replaces\":\"%s\"}]", (unsigned long long)gone, sha));
out:
  return st;
}

enum status forget_in_shards(const char *folder, const struct forget_rows *f, int dry, char sha[65], uint64_t *documents, struct err *e) {
  enum status st;
  struct cutting c = { .f = f, .a = arena_new(0) };
  struct buf extra = { 0 };
  if (!c.a) return err_nomem(e, 0);
  *documents = 0;
  TRY(shard_open(folder, &c.r, e));
  const struct shard_info *i = shard_info(c.r);
  struct span hash = shard_manifest_member(c.r, "manifest_sha256");
  snprintf(sha, 65, "%.*s", hash.n >= 66 ? 64 : 0, hash.n >= 66 ? hash.p + 1 : "");
  TRY(all_samples(&c, e)); /* first without a writer: most folders hold nothing of it */
  *documents = c.gone;
  if (dry || c.gone == 0) goto out;
  struct shard_writer_options o = { .folder = folder, .context = i->context, .vocab = i->vocab, .top_k = i->top_k, .hidden = i->hidden,
    .draws = i->draws, .top_error = i->logprob_error, .info = *i, .unchecked = 1, .replace = 1 };
  struct forget_rows quiet = *f;
  TRY(shard_scale(c.r, &o, e));
  TRY(shard_writer_new(&o, &c.w, e));
  c.f = &quiet;
  c.gone = 0;
  TRY(all_samples(&c, e));
  TRY(carry_members(c.r, c.gone, sha, &extra, e));
  TRY(shard_writer_commit(c.w, (struct span){ extra.p, extra.n }, e));
out:
  shard_writer_free(c.w);
  shard_close(c.r);
  buf_free(&extra);
  arena_free(c.a);
  return st;
}

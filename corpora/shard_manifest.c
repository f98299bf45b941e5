/* SPDX-License-Identifier: Apache-2.0
 * The manifest as text: one member a line, the last one the SHA-256 of all bytes before its comma. */
#include "shard_manifest.h"
#include <inttypes.h>
#include "hash.h"
#include "json.h"
#include "shard_block.h"

#define FORMAT "retort-shards"
#define FORMAT_VERSION 2 /* 1: without draws; its top k cannot be read any more */
static const char CLOSE_HEAD[] = ",\n\"manifest_sha256\":\"";
static const char CLOSE_TAIL[] = "\"\n}\n";
#define CLOSE_BYTES (sizeof CLOSE_HEAD - 1 + 64 + sizeof CLOSE_TAIL - 1)

static enum status put_str(struct buf *b, const char *key, const char *value, const char *end, struct err *e) {
  enum status st;
  TRY(buf_printf(b, e, "\"%s\":", key));
  TRY(json_put_cstr(b, value ? value : "", e));
  TRY(buf_puts(b, end, e));
out:
  return st;
}

enum status manifest_write(const struct manifest *m, struct span extra, struct buf *out, struct err *e) {
  enum status st;
  const struct shard_info *i = &m->info;
  char kind[40];
  snprintf(kind, sizeof kind, "%s%s%s", i->top_k ? "+topk" : "", i->draws ? "+sample" : "", i->hidden ? "+hidden" : "");
  size_t at = out->n;
  TRY(buf_printf(out, e, "{\n\"format\":\"" FORMAT "\",\n\"version\":%d,\n", FORMAT_VERSION));
  TRY(buf_printf(out, e, "\"context\":%d,\n\"vocab\":%d,\n", i->context, i->vocab));
  TRY(buf_printf(out, e, "\"targets\":{\"kind\":\"%s\",\"k\":%d,\"hidden\":%d,\"draws\":%d,\"logprob_error\":", kind[0] ? kind + 1 : "none",
                 i->top_k, i->hidden, i->draws));
  TRY(json_put_num(out, i->logprob_error, e));
  TRY(buf_printf(out, e, "},\n\"counts\":{\"samples\":%" PRId64 ",\"tokens\":%" PRId64 ",\"targets\":%" PRId64 ",\"docs\":%" PRId64 "},\n",
                 i->n_samples, i->n_tokens, i->n_targets, i->n_docs));
  TRY(put_str(out, "tokenizer", i->tokenizer_hash, ",\n", e));
  TRY(put_str(out, "template", i->template_name, ",\n\"teacher\":{", e));
  TRY(put_str(out, "name", i->teacher, ",", e));
  TRY(put_str(out, "identity", i->teacher_identity, ",", e));
  TRY(put_str(out, "terms", i->terms, "},\n\"files\":[", e));
  for (size_t f = 0; f < m->n_files; f++) {
    const struct rtz_summary *s = &m->file[f].sum;
    char hex[65], root[65];
    hash_hex(s->sha256, 32, hex);
    hash_hex(s->merkle, 32, root);
    TRY(buf_printf(out, e, "%s\n  {\"name\":\"%s\",\"bytes\":%" PRIu64 ",\"samples\":%" PRIu64 ",\"frames\":%" PRIu64 ",\"sha256\":\"%s\",\"merkle\":\"%s\",\"tail_xxh3\":\"%016" PRIx64 "\"}",
                   f ? "," : "", m->file[f].name, s->bytes, s->samples, s->frames, hex, root, s->tail_xxh3));
  }
  TRY(buf_puts(out, m->n_files ? "\n]" : "]", e));
  if (extra.n) {
    TRY(buf_puts(out, ",\n", e));
    TRY(buf_put(out, extra.p, extra.n, e));
  }
  unsigned char sha[32];
  char hex[65];
  sha256_of(out->p + at, out->n - at, sha);
  hash_hex(sha, 32, hex);
  TRY(buf_printf(out, e, "%s%s%s", CLOSE_HEAD, hex, CLOSE_TAIL));
out:
  return st;
}

/* ---- reading ---- */
static enum status check_close(struct span t, int verify, struct err *e) {
  unsigned char sha[32];
  char hex[65];
  if (t.n < CLOSE_BYTES || memcmp(t.p + t.n - CLOSE_BYTES, CLOSE_HEAD, sizeof CLOSE_HEAD - 1) != 0 ||
      memcmp(t.p + t.n - (sizeof CLOSE_TAIL - 1), CLOSE_TAIL, sizeof CLOSE_TAIL - 1) != 0)
    return err_set(e, STATUS_DATA, "does not end with manifest_sha256: cut off, edited, or not a manifest of a shard folder");
  sha256_of(t.p, t.n - CLOSE_BYTES, sha);
  hash_hex(sha, 32, hex);
  if (verify && memcmp(hex, t.p + t.n - (sizeof CLOSE_TAIL - 1) - 64, 64) != 0)
    return err_set(e, STATUS_CHECKSUM, "does not match its manifest_sha256: it was changed after it was written");
  return STATUS_OK;
}

static int hex_bytes(struct span s, unsigned char *out, size_t n) {
  if (s.n != 2 * n) return 0;
  for (size_t i = 0; i < n; i++) {
    unsigned v = 0;
    for (int h = 0; h < 2; h++) {
      char c = s.p[2 * i + (size_t)h];
      int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
      if (d < 0) return 0;
      v = v << 4 | (unsigned)d;
    }
    out[i] = (unsigned char)v;
  }
  return 1;
}

static enum status get_int(const struct json *j, const char *path, int64_t low, int64_t high, int64_t *out, struct err *e) {
  const struct json *v = json_path(j, path);
  if (json_type(v) != JSON_INT) return err_set(e, STATUS_DATA, "'%s' is missing or not an integer", path);
  *out = json_int(v, 0);
  if (*out < low || *out > high)
    return err_set(e, STATUS_DATA, "'%s' is %" PRId64 ", expected %" PRId64 " to %" PRId64, path, *out, low, high);
  return STATUS_OK;
}

static enum status get_str(const struct json *j, const char *path, struct arena *a, const char **out, struct err *e) {
  const char *s = json_cstr(json_path(j, path), NULL);
  if (!s) return err_set(e, STATUS_DATA, "'%s' is missing or not a string", path);
  *out = arena_strndup(a, s, strlen(s));
  return *out ? STATUS_OK : err_nomem(e, strlen(s));
}

static enum status parse_file(const struct json *j, int64_t version, size_t i, struct arena *a, struct manifest_file *f, struct err *e) {
  enum status st;
  int64_t v = 0;
  char want[32];
  TRY(get_str(j, "name", a, &f->name, e));
  snprintf(want, sizeof want, "data-%05zu.rtz", i);
  if (strcmp(f->name, want) != 0) return err_set(e, STATUS_DATA, "'files.%zu.name' is '%s', expected '%s'", i, f->name, want);
  TRY(get_int(j, "bytes", 1, INT64_MAX, &v, e));
  f->sum.bytes = (uint64_t)v;
  TRY(get_int(j, "samples", 0, INT64_MAX / 2, &v, e));
  f->sum.samples = (uint64_t)v;
  TRY(get_int(j, "frames", 0, UINT32_MAX, &v, e));
  f->sum.frames = (uint64_t)v;
  unsigned char tail[8];
  if (!hex_bytes(json_str(json_get(j, "sha256")), f->sum.sha256, 32) || !hex_bytes(json_str(json_get(j, "tail_xxh3")), tail, 8))
    return err_set(e, STATUS_DATA, "'files.%zu' lacks sha256 or tail_xxh3 in lower-case hex", i);
  if (version > 1 && !hex_bytes(json_str(json_get(j, "merkle")), f->sum.merkle, 32))
    return err_set(e, STATUS_DATA, "'files.%zu' lacks merkle in lower-case hex", i);
  f->sum.tail_xxh3 = 0;
  for (int b = 0; b < 8; b++) f->sum.tail_xxh3 = f->sum.tail_xxh3 << 8 | tail[b];
out:
  return st;
}

static enum status parse_info(const struct json *j, int64_t version, struct arena *a, struct shard_info *i, struct err *e) {
  enum status st;
  int64_t v = 0;
  const char *s;
  const struct { const char *path; int64_t low, high; int32_t *to; } small[] = { { "context", 1, INT32_MAX, &i->context },
    { "vocab", 1, INT32_MAX, &i->vocab }, { "targets.k", 0, 65535, &i->top_k }, { "targets.hidden", 0, 1 << 20, &i->hidden } };
  const struct { const char *path; int64_t *to; } big[] = { { "counts.samples", &i->n_samples }, { "counts.tokens", &i->n_tokens },
    { "counts.targets", &i->n_targets }, { "counts.docs", &i->n_docs } };
  for (size_t k = 0; k < sizeof small / sizeof *small; k++) {
    TRY(get_int(j, small[k].path, small[k].low, small[k].high, &v, e));
    *small[k].to = (int32_t)v;
  }
  for (size_t k = 0; k < sizeof big / sizeof *big; k++) TRY(get_int(j, big[k].path, 0, INT64_MAX / 2, big[k].to, e));
  if (version > 1) TRY(get_int(j, "targets.draws", 0, INT32_MAX, &v, e));
  i->draws = version > 1 ? (int32_t)v : 0;
  i->logprob_error = json_num(json_path(j, "targets.logprob_error"), 0);
  unsigned char sha[32];
  TRY(get_str(j, "tokenizer", a, &s, e));
  if (*s && !hex_bytes((struct span){ s, strlen(s) }, sha, 32)) return err_set(e, STATUS_DATA, "'tokenizer' is not a SHA-256 in lower-case hex");
  snprintf(i->tokenizer_hash, sizeof i->tokenizer_hash, "%s", s);
  TRY(get_str(j, "template", a, &s, e));
  if (strlen(s) >= sizeof i->template_name) return err_set(e, STATUS_DATA, "'template' is longer than %zu bytes", sizeof i->template_name - 1);
  snprintf(i->template_name, sizeof i->template_name, "%s", s);
  TRY(get_str(j, "teacher.name", a, &i->teacher, e));
  TRY(get_str(j, "teacher.identity", a, &i->teacher_identity, e));
  TRY(get_str(j, "teacher.terms", a, &i->terms, e));
out:
  return st;
}

enum status manifest_parse(struct span text, int verify, struct arena *a, struct manifest *m, struct err *e) {
  enum status st;
  struct json *root = NULL;
  int64_t version = 0;
  uint64_t samples = 0;
  *m = (struct manifest){ 0 };
  TRY(check_close(text, verify, e));
  TRY(record_split((struct span){ text.p, text.n - 1 }, a, &m->members, e));
  TRY(json_parse(text, "manifest", &root, e));
  const char *format = json_cstr(json_get(root, "format"), "");
  if (strcmp(format, FORMAT) != 0) {
    st = err_set(e, STATUS_DATA, "'format' is '%.40s', expected '" FORMAT "'", format);
    goto out;
  }
  TRY(get_int(root, "version", 1, FORMAT_VERSION, &version, e));
  TRY(parse_info(root, version, a, &m->info, e));
  if (version == 1 && m->info.top_k) {
    st = err_set(e, STATUS_DATA, "shards of version 1 with top-k targets, which this retort does not read: make them again with `retort shard`");
    goto out;
  }
  const struct json *files = json_get(root, "files");
  m->n_files = json_size(files);
  if (json_type(files) != JSON_ARRAY || m->n_files > 99999) {
    st = err_set(e, STATUS_DATA, "'files' is missing or not an array of at most 99999");
    goto out;
  }
  m->file = arena_calloc(a, m->n_files ? m->n_files : 1, sizeof *m->file);
  if (!m->file) {
    st = err_nomem(e, m->n_files * sizeof *m->file);
    goto out;
  }
  for (size_t i = 0; i < m->n_files; i++) {
    TRY(parse_file(json_at(files, i), version, i, a, &m->file[i], e));
    samples += m->file[i].sum.samples;
  }
  if (samples != (uint64_t)m->info.n_samples)
    st = err_set(e, STATUS_DATA, "files hold %" PRIu64 " samples, 'counts.samples' is %" PRId64, samples, m->info.n_samples);
out:
  json_free(root);
  return st;
}

/* SPDX-License-Identifier: Apache-2.0
 * Shard folders: the writer that packs blocks into data files and closes the folder with its manifest, and the reader with
 * random access by index and a small cache of blocks. Public side: shard.h. */
#include "shard.h"
#include "file.h"
#include "hash.h"
#include "pool.h"
#include "rng.h"
#include "shard_bits.h"
#include "shard_block.h"
#include "shard_file.h"
#include "shard_manifest.h"
#include "shard_resume.h"
#include <unistd.h>

#define FRAME_BYTES ((uint64_t)4 << 20)          /* of tokens alone: repeated text is found over the whole of it */
#define FRAME_BYTES_TARGETS ((uint64_t)256 << 10) /* targets do not repeat, and a killed run loses what is not written */
#define QUEUE 16                                  /* blocks compressed at the same time, at most */
#define FILE_BYTES ((uint64_t)256 << 20)
#define CACHE_BYTES ((uint64_t)64 << 20)
#define CACHE_SLOTS 256
#define AHEAD 16 /* blocks unpacked at the same time, at most */
#define STEP_FIRST 0.02 /* of top-k log-probabilities, nats: 1.3e-4 nat of divergence at k = 50 (tests/bench/targets.sh) */
#define STEP_MOST 0.1

/* ---- writer ---- */
struct shard_writer {
  struct shard_writer_options o;
  struct arena *a;
  char *tmp;
  struct block_writer block;
  struct queued {
    struct buf raw;
    struct rtz_packed packed;
    uint64_t first;
    uint32_t n;
    enum status st;
    struct err why;
  } queue[QUEUE];
  int n_queued, queue_full;
  struct rtz_writer *file;
  struct manifest_file *done;
  size_t n_done, cap_done;
  struct shard_info info;
  struct shard_resume *resume;
  int committed, lock_fd;
};

static const char *keep(struct arena *a, const char *s) { return s ? arena_strndup(a, s, strlen(s)) : ""; }

enum status shard_writer_new(const struct shard_writer_options *o, struct shard_writer **out, struct err *e) {
  enum status st = STATUS_OK;
  *out = NULL;
  if (o->context < 1 || o->vocab < 1 || o->top_k < 0 || o->top_k > 65535 || o->top_k > o->vocab || o->hidden < 0 || o->draws < 0)
    return err_set(e, STATUS_USAGE, "shards of context %d, vocabulary %d, top %d, hidden %d, %d draws: out of range", o->context, o->vocab, o->top_k,
                   o->hidden, o->draws);
  if (!o->replace && folder_exists(o->folder))
    return err_set(e, STATUS_USAGE, "'%s': exists already; remove it or use --force", o->folder);
  struct shard_writer *w = mem_calloc(1, sizeof *w);
  if (!w) return err_nomem(e, sizeof *w);
  w->o = *o;
  w->lock_fd = -1;
  int targets = o->top_k > 0 || o->hidden > 0 || o->draws > 0;
  w->o.frame_bytes = o->frame_bytes ? o->frame_bytes : targets ? FRAME_BYTES_TARGETS : FRAME_BYTES;
  w->queue_full = targets ? 1 : pool_threads() < QUEUE ? pool_threads() : QUEUE;
  w->o.file_bytes = o->file_bytes ? o->file_bytes : FILE_BYTES;
  w->o.level = o->level ? o->level : 3;
  w->block.shape = (struct block_shape){ o->context, o->vocab, o->top_k, o->hidden, o->draws };
  w->block.unchecked = o->unchecked;
  w->block.step_first = o->top_error > 0 ? o->top_error : STEP_FIRST;
  w->block.step_most = o->top_error > 0 ? o->top_error : STEP_MOST;
  w->info = o->info;
  w->info.n_samples = w->info.n_tokens = w->info.n_targets = w->info.n_docs = 0;
  w->info.context = o->context, w->info.vocab = o->vocab, w->info.top_k = o->top_k, w->info.hidden = o->hidden, w->info.draws = o->draws;
  w->info.logprob_error = o->top_k ? w->block.step_most : 0;
  if ((w->a = arena_new(0)) == NULL) {
    st = err_nomem(e, 0);
    goto out;
  }
  size_t n = strlen(o->folder);
  while (n > 1 && o->folder[n - 1] == '/') n--; /* shards/ is shards */
  w->o.folder = arena_strndup(w->a, o->folder, n);
  w->info.teacher = keep(w->a, o->info.teacher);
  w->info.teacher_identity = keep(w->a, o->info.teacher_identity);
  w->info.terms = keep(w->a, o->info.terms);
  w->o.resume_key = o->resume_key ? keep(w->a, o->resume_key) : NULL;
  if ((o->resume_key && !w->o.resume_key) || !w->o.folder || !w->info.teacher || !w->info.teacher_identity || !w->info.terms) {
    st = err_nomem(e, 0);
    goto out;
  }
  if (o->resume_key) TRY(resume_begin(w->o.folder, o->resume_key, &w->block.shape, &w->tmp, &w->lock_fd, &w->resume, e));
  else TRY(folder_atomic_begin(w->o.folder, &w->tmp, e));
out:
  if (st != STATUS_OK) shard_writer_free(w), w = NULL;
  *out = w;
  return st;
}

static enum status finish_file(struct shard_writer *w, struct err *e) {
  if (!w->file) return STATUS_OK;
  if (w->n_done == w->cap_done) {
    size_t cap = w->cap_done ? 2 * w->cap_done : 16;
    struct manifest_file *p = mem_realloc(w->done, cap * sizeof *p);
    if (!p) return err_nomem(e, cap * sizeof *p);
    w->done = p;
    w->cap_done = cap;
  }
  struct manifest_file *f = &w->done[w->n_done];
  enum status st = rtz_finish(w->file, &f->sum, e);
  if (st != STATUS_OK) return st;
  f->name = arena_printf(w->a, "data-%05zu.rtz", w->n_done);
  if (!f->name) return err_nomem(e, 16);
  w->n_done++;
  rtz_writer_free(w->file);
  w->file = NULL;
  return STATUS_OK;
}

static void pack_one(void *ctx, int i, int worker) {
  struct shard_writer *w = ctx;
  struct queued *q = &w->queue[i];
  (void)worker;
  q->st = rtz_pack(&q->packed, w->o.level, q->raw.p, q->raw.n, q->first, q->n, &q->why);
}

/* Compresses what is queued on all threads and writes it in order. */
static enum status flush_queue(struct shard_writer *w, struct err *e) {
  enum status st = STATUS_OK;
  pool_run(w->n_queued, pack_one, w);
  for (int i = 0; i < w->n_queued; i++) {
    if (w->queue[i].st != STATUS_OK) {
      if (e) *e = w->queue[i].why;
      return err_prefix(e, "'%s'", w->o.folder);
    }
    if (!w->file) {
      char *path = arena_printf(w->a, "%s/data-%05zu.rtz", w->tmp, w->n_done);
      if (!path) return err_nomem(e, strlen(w->tmp) + 16);
      TRY(rtz_writer_new(path, &w->file, e));
    }
    TRY(rtz_put(w->file, &w->queue[i].packed, e));
    if (rtz_bytes(w->file) >= w->o.file_bytes) TRY(finish_file(w, e));
  }
  w->n_queued = 0;
out:
  return st;
}

static enum status flush_block(struct shard_writer *w, struct err *e) {
  enum status st = STATUS_OK;
  if (w->block.n_samples == 0) return st;
  struct queued *q = &w->queue[w->n_queued];
  q->first = w->block.first_sample;
  q->n = w->block.n_samples;
  buf_clear(&q->raw);
  TRY(block_finish(&w->block, &q->raw, e));
  if (++w->n_queued == w->queue_full) TRY(flush_queue(w, e));
out:
  return st;
}

static enum status count_sample(struct shard_writer *w, const struct sample *s, uint32_t targets, struct err *e) {
  w->info.n_samples++;
  w->info.n_tokens += s->n_tok;
  w->info.n_docs += s->n_doc;
  w->info.n_targets += (int64_t)(w->block.n_target - targets);
  return block_bytes(&w->block) >= w->o.frame_bytes ? flush_block(w, e) : STATUS_OK;
}

enum status shard_write(struct shard_writer *w, const struct sample *s, struct err *e) {
  uint32_t targets = w->block.n_target;
  enum status st = block_add(&w->block, s, e);
  return st == STATUS_OK ? count_sample(w, s, targets, e) : st;
}

enum status shard_write_known(struct shard_writer *w, const struct sample *s, int *known, struct err *e) {
  const struct block *from = NULL;
  uint32_t number, targets = w->block.n_target;
  enum status st = STATUS_OK;
  *known = 0;
  if (!w->resume) return st;
  TRY(resume_next(w->resume, s, &from, &number, e));
  if (!from) goto out;
  TRY(block_add_from(&w->block, s, from, number, e));
  TRY(count_sample(w, s, targets, e));
  *known = 1;
out:
  return st;
}

enum status shard_writer_commit(struct shard_writer *w, struct span extra, struct err *e) {
  enum status st;
  struct buf text = { 0 };
  struct file_atomic f = { 0 };
  TRY(flush_block(w, e));
  TRY(flush_queue(w, e));
  TRY(finish_file(w, e));
  struct manifest m = { .info = w->info, .file = w->done, .n_files = w->n_done };
  TRY(manifest_write(&m, extra, &text, e));
  /* What was written must read back: a member given in `extra` could spoil the text. */
  struct manifest back;
  st = manifest_parse((struct span){ text.p, text.n }, 1, w->a, &back, e);
  if (st != STATUS_OK) {
    err_prefix(e, "'%s': own manifest", w->o.folder);
    goto out;
  }
  char *path = path_join(w->a, w->tmp, "manifest.json");
  if (!path) {
    st = err_nomem(e, 0);
    goto out;
  }
  TRY(file_atomic_open(&f, path, e));
  if (fwrite(text.p, 1, text.n, f.fp) != text.n) {
    st = err_sys(e, STATUS_IO, "'%s': cannot write", path);
    goto out;
  }
  TRY(file_atomic_commit(&f, e));
  if (w->o.resume_key) TRY(resume_tidy(w->tmp, e));
  TRY(folder_atomic_commit(w->o.folder, w->tmp, w->o.replace, e));
  w->committed = 1;
out:
  file_atomic_abort(&f);
  buf_free(&text);
  return st;
}

const struct shard_info *shard_writer_info(const struct shard_writer *w) { return &w->info; }

void shard_writer_free(struct shard_writer *w) {
  if (!w) return;
  rtz_writer_free(w->file);
  resume_free(w->resume);
  if (w->lock_fd >= 0) close(w->lock_fd);
  if (w->tmp && !w->committed && !w->o.resume_key) {
    enum status st = folder_remove(w->tmp, NULL); /* what stays behind is only a .part folder */
    (void)st;
  }
  mem_free(w->tmp);
  mem_free(w->done);
  block_writer_free(&w->block);
  for (int i = 0; i < QUEUE; i++) {
    buf_free(&w->queue[i].raw);
    rtz_packed_free(&w->queue[i].packed);
  }
  arena_free(w->a);
  mem_free(w);
}

/* ---- reader ---- */
struct cached {
  int64_t frame; /* global number of the frame + 1; 0 = free */
  uint64_t used;
  struct buf raw;
  struct block block;
  const struct open_file *from; /* while it is loaded */
  const struct rtz_frame *at;
  enum status st;
  struct err why;
};
struct open_file {
  struct file_map map;
  struct rtz_frame *frame;
  uint64_t n_frames, first_frame, first_sample;
  const char *path;
};
struct shard_reader {
  struct arena *a;
  struct manifest m;
  struct buf text;
  struct block_shape shape;
  struct open_file *file;
  const char *folder;
  struct cached cache[CACHE_SLOTS];
  uint64_t clock, cache_bytes;
  int64_t last; /* frame that was missing last: the next one missing means that somebody reads on */
  struct buf spare[AHEAD]; /* memory of blocks that left: fresh pages cost as much as unpacking into them */
  struct cached *loading[AHEAD];
  int n_loading;
};

static enum status open_data(struct shard_reader *r, size_t i, uint64_t *frame0, uint64_t *sample0, struct err *e) {
  struct open_file *f = &r->file[i];
  const struct manifest_file *m = &r->m.file[i];
  enum status st;
  f->path = path_join(r->a, r->folder, m->name);
  if (!f->path) return err_nomem(e, 0);
  TRY(file_map_open(f->path, &f->map, e));
  if (f->map.bytes != m->sum.bytes)
    return err_set(e, STATUS_CHECKSUM, "'%s': %llu bytes, the manifest says %llu", f->path, (unsigned long long)f->map.bytes,
                   (unsigned long long)m->sum.bytes);
  st = rtz_index(f->map.p, f->map.bytes, &m->sum.tail_xxh3, 1, &f->frame, &f->n_frames, e);
  if (st != STATUS_OK) return err_prefix(e, "'%s'", f->path);
  uint64_t n = 0;
  for (uint64_t k = 0; k < f->n_frames; k++) n += f->frame[k].n_samples;
  if (n != m->sum.samples || f->n_frames != m->sum.frames || (f->n_frames && f->frame[0].first_sample != *sample0))
    return err_set(e, STATUS_DATA, "'%s': %llu samples in %llu frames, the manifest says %llu in %llu", f->path, (unsigned long long)n,
                   (unsigned long long)f->n_frames, (unsigned long long)m->sum.samples, (unsigned long long)m->sum.frames);
  f->first_frame = *frame0;
  f->first_sample = *sample0;
  *frame0 += f->n_frames;
  *sample0 += n;
out:
  return st;
}

enum status shard_open(const char *folder, struct shard_reader **out, struct err *e) {
  enum status st = STATUS_OK;
  uint64_t frame0 = 0, sample0 = 0;
  *out = NULL;
  struct shard_reader *r = mem_calloc(1, sizeof *r);
  if (!r) return err_nomem(e, sizeof *r);
  r->last = -1;
  if ((r->a = arena_new(0)) == NULL || (r->folder = keep(r->a, folder)) == NULL) {
    st = err_nomem(e, 0);
    goto out;
  }
  char *path = path_join(r->a, folder, "manifest.json");
  if (!path) {
    st = err_nomem(e, 0);
    goto out;
  }
  if (!file_exists(path)) {
    st = folder_exists(folder) ? err_set(e, STATUS_DATA, "'%s': no manifest.json in it: not a finished shard folder", folder)
                               : err_set(e, STATUS_IO, "'%s': no such shard folder", folder);
    goto out;
  }
  TRY(file_read(path, MANIFEST_MAX_BYTES, &r->text, e));
  st = manifest_parse((struct span){ r->text.p, r->text.n }, 1, r->a, &r->m, e);
  if (st != STATUS_OK) {
    err_prefix(e, "'%s'", path);
    goto out;
  }
  const struct shard_info *i = &r->m.info;
  r->shape = (struct block_shape){ i->context, i->vocab, i->top_k, i->hidden, i->draws };
  r->file = arena_calloc(r->a, r->m.n_files ? r->m.n_files : 1, sizeof *r->file);
  if (!r->file) {
    st = err_nomem(e, r->m.n_files * sizeof *r->file);
    goto out;
  }
  for (size_t f = 0; f < r->m.n_files; f++) TRY(open_data(r, f, &frame0, &sample0, e));
out:
  if (st != STATUS_OK) shard_close(r), r = NULL;
  *out = r;
  return st;
}

void shard_close(struct shard_reader *r) {
  if (!r) return;
  for (size_t f = 0; r->file && f < r->m.n_files; f++) {
    file_map_close(&r->file[f].map);
    mem_free(r->file[f].frame);
  }
  for (int c = 0; c < CACHE_SLOTS; c++) {
    block_free(&r->cache[c].block);
    buf_free(&r->cache[c].raw);
  }
  for (int i = 0; i < AHEAD; i++) buf_free(&r->spare[i]);
  buf_free(&r->text);
  arena_free(r->a);
  mem_free(r);
}

const struct shard_info *shard_info(const struct shard_reader *r) { return &r->m.info; }

struct span shard_manifest_member(const struct shard_reader *r, const char *key) { return record_get(&r->m.members, key); }

static void evict(struct shard_reader *r, struct cached *c) {
  r->cache_bytes -= c->at ? c->at->raw_bytes : 0;
  block_free(&c->block);
  for (int i = 0; i < AHEAD && c->raw.p; i++)
    if (!r->spare[i].p) {
      r->spare[i] = c->raw;
      c->raw = (struct buf){ 0 };
    }
  buf_free(&c->raw);
  *c = (struct cached){ 0 };
}

static struct cached *find_cached(struct shard_reader *r, int64_t number) {
  for (int c = 0; c < CACHE_SLOTS; c++)
    if (r->cache[c].frame == number + 1) return &r->cache[c];
  return NULL;
}

/* A free slot for `bytes` more; least recently used blocks leave above CACHE_BYTES. */
static struct cached *free_slot(struct shard_reader *r, uint64_t bytes) {
  for (;;) {
    struct cached *slot = NULL, *old = NULL;
    for (int c = 0; c < CACHE_SLOTS; c++) {
      struct cached *k = &r->cache[c];
      if (!k->frame) slot = k;
      else if (!old || k->used < old->used) old = k;
    }
    if (slot && (r->cache_bytes + bytes <= CACHE_BYTES || !old)) return slot;
    evict(r, old);
  }
}

/* Which frame holds sample i; its global number. */
static int64_t locate(const struct shard_reader *r, int64_t i, const struct open_file **file, const struct rtz_frame **frame) {
  size_t f = 0, top = r->m.n_files;
  while (top - f > 1) { /* last file whose first sample is at most i */
    size_t mid = (f + top) / 2;
    if (r->file[mid].first_sample <= (uint64_t)i) f = mid;
    else top = mid;
  }
  const struct open_file *o = &r->file[f];
  uint64_t k = 0, end = o->n_frames;
  while (end - k > 1) {
    uint64_t mid = (k + end) / 2;
    if (o->frame[mid].first_sample <= (uint64_t)i) k = mid;
    else end = mid;
  }
  *file = o;
  *frame = &o->frame[k];
  return (int64_t)(o->first_frame + k);
}

static enum status load(struct shard_reader *r, struct cached *c, struct err *e) {
  enum status st;
  TRY(rtz_read(c->from->map.p, c->at, 1, &c->raw, e));
  TRY(block_parse((const unsigned char *)c->raw.p, c->raw.n, &r->shape, 1, &c->block, e));
  if (c->block.n_samples != c->at->n_samples || c->block.first_sample != c->at->first_sample)
    st = err_set(e, STATUS_DATA, "block holds samples %llu+%u, its index says %llu+%u", (unsigned long long)c->block.first_sample,
                 c->block.n_samples, (unsigned long long)c->at->first_sample, c->at->n_samples);
out:
  return st;
}

static void load_one(void *ctx, int i, int worker) {
  struct shard_reader *r = ctx;
  struct cached *c = r->loading[i];
  (void)worker;
  c->st = load(r, c, &c->why);
}

/* A slot for the frame; it is unpacked by load_all. */
static void want(struct shard_reader *r, const struct open_file *f, const struct rtz_frame *frame, int64_t number) {
  struct cached *c = free_slot(r, frame->raw_bytes);
  c->frame = number + 1;
  c->used = ++r->clock;
  c->from = f;
  c->at = frame;
  for (int i = 0; i < AHEAD && !c->raw.p; i++) {
    c->raw = r->spare[i];
    r->spare[i] = (struct buf){ 0 };
  }
  r->cache_bytes += frame->raw_bytes;
  r->loading[r->n_loading++] = c;
}

/* On all threads. What cannot be unpacked leaves the cache again; it is an error only for the frame that was asked for. */
static enum status load_all(struct shard_reader *r, int64_t asked, struct err *e) {
  enum status st = STATUS_OK;
  pool_run(r->n_loading, load_one, r);
  for (int i = 0; i < r->n_loading; i++) {
    struct cached *c = r->loading[i];
    if (c->st == STATUS_OK) continue;
    if (c->frame == asked + 1) {
      st = c->st;
      if (e) *e = c->why;
    }
    evict(r, c);
  }
  r->n_loading = 0;
  return st;
}

/* The block of a frame, from the cache or read and checked; somebody who reads on gets the next ones unpacked beside it. */
static enum status get_block(struct shard_reader *r, const struct open_file *f, const struct rtz_frame *frame, int64_t number,
                             struct block **out, struct err *e) {
  struct cached *c = find_cached(r, number);
  if (!c) {
    uint64_t bytes = frame->raw_bytes;
    int most = pool_threads() < AHEAD ? pool_threads() : AHEAD, on = number == r->last + 1;
    for (int k = 0; on && k < CACHE_SLOTS; k++) /* somebody who reads on does not come back */
      if (r->cache[k].frame && r->cache[k].frame <= number) evict(r, &r->cache[k]);
    want(r, f, frame, number);
    for (uint64_t k = (uint64_t)number - f->first_frame + 1; on && k < f->n_frames && r->n_loading < most; k++) {
      bytes += f->frame[k].raw_bytes;
      if (bytes > CACHE_BYTES / 2 || find_cached(r, (int64_t)(f->first_frame + k))) break;
      want(r, f, &f->frame[k], (int64_t)(f->first_frame + k));
    }
    r->last = r->loading[r->n_loading - 1]->frame - 1;
    enum status st = load_all(r, number, e);
    if (st != STATUS_OK) return st;
    c = find_cached(r, number);
  }
  c->used = ++r->clock;
  *out = &c->block;
  return STATUS_OK;
}

enum status shard_ahead(struct shard_reader *r, const int64_t *i, int64_t n, struct err *e) {
  uint64_t bytes = 0;
  int most = pool_threads() < AHEAD ? pool_threads() : AHEAD;
  for (int64_t k = 0; most > 1 && k < n && r->n_loading < most && bytes < CACHE_BYTES / 2; k++) {
    const struct open_file *f;
    const struct rtz_frame *frame;
    if (i[k] < 0 || i[k] >= r->m.info.n_samples) continue;
    int64_t number = locate(r, i[k], &f, &frame);
    if (find_cached(r, number)) continue;
    bytes += frame->raw_bytes;
    want(r, f, frame, number);
  }
  return r->n_loading ? load_all(r, -2, e) : STATUS_OK;
}

static enum status read_sample(struct shard_reader *r, int64_t i, int raw, struct arena *a, struct sample *s, struct err *e) {
  if (i < 0 || i >= r->m.info.n_samples)
    return err_set(e, STATUS_DATA, "'%s': sample %lld of %lld", r->folder, (long long)i, (long long)r->m.info.n_samples);
  const struct open_file *o;
  const struct rtz_frame *frame;
  struct block *b = NULL;
  int64_t number = locate(r, i, &o, &frame);
  enum status st = get_block(r, o, frame, number, &b, e);
  if (st == STATUS_OK) {
    b->raw = raw;
    st = block_sample(b, (uint32_t)((uint64_t)i - b->first_sample), 1, a, s, e);
  }
  return st == STATUS_OK ? st : err_prefix(e, "'%s': sample %lld", o->path, (long long)i);
}

enum status shard_read(struct shard_reader *r, int64_t i, struct arena *a, struct sample *s, struct err *e) { return read_sample(r, i, 0, a, s, e); }

enum status shard_read_raw(struct shard_reader *r, int64_t i, struct arena *a, struct sample *s, struct err *e) { return read_sample(r, i, 1, a, s, e); }

enum status shard_scale(struct shard_reader *r, struct shard_writer_options *o, struct err *e) {
  struct block *b = NULL;
  double step[2];
  if (r->m.info.top_k == 0 || r->m.info.n_samples == 0) return STATUS_OK;
  enum status st = get_block(r, &r->file[0], &r->file[0].frame[0], 0, &b, e);
  if (st != STATUS_OK) return err_prefix(e, "'%s'", r->file[0].path);
  memcpy(step, b->col[COL_SCALE], sizeof step);
  o->top_error = step[0] == step[1] ? step[0] : 0;
  if (o->top_error == 0 && (step[0] != STEP_FIRST || step[1] != STEP_MOST))
    return err_set(e, STATUS_DATA, "'%s': log-probabilities on a scale of %g to %g nat, which this retort does not write", r->folder, step[0], step[1]);
  return STATUS_OK;
}

static enum status find_in_block(const struct block *b, const struct open_file *f, uint64_t frame, const char *row_id,
                                 enum status (*fn)(void *ctx, const struct shard_place *p, struct err *e), void *ctx, struct err *e) {
  enum status st = STATUS_OK;
  for (uint32_t i = 0; i < b->n_samples; i++) {
    uint64_t tok = b->tok0[i];
    for (uint64_t d = b->doc0[i]; d < b->doc0[i + 1]; d++) {
      uint32_t len = block_doc_tokens(b, d);
      if (span_is(block_row_id(b, i, d), row_id)) {
        struct shard_place p = { (int64_t)(b->first_sample + i), (int32_t)(d - b->doc0[i]), (int32_t)len,
          (int32_t)bits_count(b->col[COL_MASK], tok + 1, tok + len), frame, f->path };
        TRY(fn(ctx, &p, e));
      }
      tok += len;
    }
  }
out:
  return st;
}

enum status shard_find_row(struct shard_reader *r, const char *row_id, enum status (*f)(void *ctx, const struct shard_place *p, struct err *e),
                           void *ctx, struct err *e) {
  enum status st = STATUS_OK;
  for (size_t i = 0; i < r->m.n_files; i++)
    for (uint64_t k = 0; k < r->file[i].n_frames; k++) {
      const struct open_file *o = &r->file[i];
      struct block *b = NULL;
      st = get_block(r, o, &o->frame[k], (int64_t)(o->first_frame + k), &b, e);
      if (st == STATUS_OK) st = find_in_block(b, o, k, row_id, f, ctx, e);
      if (st != STATUS_OK) return err_prefix(e, "'%s'", o->path);
    }
  return st;
}

enum status shard_about(struct shard_reader *r, int64_t sample, int32_t doc, struct arena *a, struct span *about, struct err *e) {
  const struct open_file *o;
  const struct rtz_frame *frame;
  struct block *b = NULL;
  *about = (struct span){ NULL, 0 };
  if (sample < 0 || sample >= r->m.info.n_samples) return err_set(e, STATUS_DATA, "'%s': sample %lld of %lld", r->folder, (long long)sample, (long long)r->m.info.n_samples);
  int64_t number = locate(r, sample, &o, &frame);
  enum status st = get_block(r, o, frame, number, &b, e);
  if (st != STATUS_OK) return err_prefix(e, "'%s'", o->path);
  uint64_t at = (uint64_t)sample - b->first_sample, d = b->doc0[at] + (uint64_t)doc;
  if (doc < 0 || d >= b->doc0[at + 1]) return err_set(e, STATUS_DATA, "'%s': sample %lld has no document %d", o->path, (long long)sample, doc);
  struct span s = block_about(b, d);
  if (!s.p) return STATUS_OK;
  char *copy = arena_strndup(a, s.p, s.n);
  if (!copy) return err_nomem(e, s.n);
  *about = (struct span){ copy, s.n };
  return STATUS_OK;
}

void shard_order(const struct shard_reader *r, uint64_t seed, uint64_t epoch, int64_t *order) {
  struct rng g = { seed, 0x5348415244ull + epoch, 0 }; /* a stream of its own, one an epoch */
  rng_permutation(&g, (uint64_t)r->m.info.n_samples, (uint64_t *)order);
}

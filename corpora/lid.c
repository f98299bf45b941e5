/* SPDX-License-Identifier: Apache-2.0
 * Loading (args, dictionary, two matrices) and predicting. */
#include "lid.h"
#include <math.h>
#include <string.h>
#include "file.h"

enum { MAGIC = 793712314, LOSS_HS = 1, LOSS_SOFTMAX = 3, MODEL_SUPERVISED = 3, KSUB = 256, MAX_DIM = 4096, MAX_DEPTH = 200 };
static const char prefix[] = "__label__";

struct pq { /* product quantiser */
  int32_t dim, parts, part, last; /* last: size of the last part */
  const unsigned char *centroid;  /* floats, unaligned */
};
struct matrix {
  int64_t rows, cols;
  const unsigned char *data; /* floats, unaligned; NULL when quantised */
  const unsigned char *code, *norm_code;
  struct pq q, norm;
};
struct node { int32_t left, right; };
struct lid {
  struct file_map map;
  int mapped;
  struct arena *a;
  const char *name;
  const unsigned char *p;
  uint64_t n, at;
  int32_t dim, minn, maxn, loss, bucket;
  int32_t n_words, n_labels;
  struct span *word, *label; /* without the prefix */
  int32_t *slot;             /* words by hash, -1 = free */
  uint32_t slots;
  int64_t n_prune;           /* -1: all buckets are there */
  int32_t *prune_key, *prune_value; /* open table, key -1 = free */
  uint32_t prune_slots;
  struct matrix in, out;
  struct node *tree;         /* (2 labels - 1) of the hierarchical softmax */
};

/* ---- reading ---- */
static enum status take(struct lid *l, uint64_t n, const unsigned char **p, struct err *e) {
  *p = NULL;
  if (n > l->n - l->at) return err_set(e, STATUS_DATA, "'%s' byte %llu: the file ends within %llu bytes that belong there; fetch it again", l->name, (unsigned long long)l->at, (unsigned long long)n);
  *p = l->p + l->at;
  l->at += n;
  return STATUS_OK;
}
static uint32_t u32(const unsigned char *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }
static int64_t i64(const unsigned char *p) { return (int64_t)(u32(p) | (uint64_t)u32(p + 4) << 32); }
static float f32(const unsigned char *p) {
  uint32_t u = u32(p);
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}
static enum status take32(struct lid *l, int32_t *v, struct err *e) {
  const unsigned char *p;
  enum status st = take(l, 4, &p, e);
  if (st == STATUS_OK) *v = (int32_t)u32(p);
  return st;
}
static enum status take64(struct lid *l, int64_t *v, struct err *e) {
  const unsigned char *p;
  enum status st = take(l, 8, &p, e);
  if (st == STATUS_OK) *v = i64(p);
  return st;
}
static enum status wrong(const struct lid *l, const char *what, long long found, struct err *e) {
  return err_set(e, STATUS_DATA, "'%s' byte %llu: %s is %lld; expected a supervised fastText model", l->name, (unsigned long long)l->at, what, found);
}

static uint32_t hash(const char *p, size_t n) { /* FNV-1a with signed bytes, as fastText has it */
  uint32_t h = 2166136261u;
  for (size_t i = 0; i < n; i++) h = (h ^ (uint32_t)(int32_t)(int8_t)p[i]) * 16777619u;
  return h;
}

static int32_t word_id(const struct lid *l, const char *p, size_t n) {
  for (uint32_t i = hash(p, n) & (l->slots - 1); l->slot[i] >= 0; i = (i + 1) & (l->slots - 1)) {
    const struct span *w = &l->word[l->slot[i]];
    if (w->n == n && memcmp(w->p, p, n) == 0) return l->slot[i];
  }
  return -1;
}

static enum status read_args(struct lid *l, struct err *e) {
  enum status st;
  int32_t v[12], version, magic;
  const unsigned char *p;
  TRY(take32(l, &magic, e));
  TRY(take32(l, &version, e));
  if (magic != MAGIC) return err_set(e, STATUS_DATA, "'%s': no fastText model (magic number %d, expected %d)", l->name, magic, MAGIC);
  if (version != 11 && version != 12) return wrong(l, "the version", version, e);
  for (int i = 0; i < 12; i++) TRY(take32(l, &v[i], e));
  TRY(take(l, 8, &p, e)); /* t */
  l->dim = v[0];
  l->loss = v[6];
  l->bucket = v[8];
  l->minn = v[9];
  l->maxn = version == 11 ? 0 : v[10];
  if (l->dim < 1 || l->dim > MAX_DIM) return wrong(l, "the dimension", l->dim, e);
  if (v[5] != 1) return wrong(l, "the number of word n-grams (only 1 is read)", v[5], e);
  if (v[7] != MODEL_SUPERVISED) return wrong(l, "the kind of model", v[7], e);
  if (l->loss < LOSS_HS || l->loss > 4) return wrong(l, "the loss", l->loss, e);
  if (l->maxn > 0 && (l->minn < 0 || l->maxn > 64 || l->bucket < 1)) return wrong(l, "the length of subwords", l->maxn, e);
out:
  return st;
}

static enum status build_tree(struct lid *l, const int64_t *count, struct err *e);

static enum status read_dictionary(struct lid *l, struct err *e) {
  enum status st;
  int32_t size;
  int64_t tokens, *count = NULL;
  TRY(take32(l, &size, e));
  TRY(take32(l, &l->n_words, e));
  TRY(take32(l, &l->n_labels, e));
  TRY(take64(l, &tokens, e));
  TRY(take64(l, &l->n_prune, e));
  if (size < 1 || (uint64_t)size > l->n / 10 || l->n_words < 0 || l->n_labels < 1 || (int64_t)l->n_words + l->n_labels != size) return wrong(l, "the number of words", size, e);
  l->word = arena_calloc(l->a, (size_t)l->n_words + 1, sizeof *l->word);
  l->label = arena_calloc(l->a, (size_t)l->n_labels, sizeof *l->label);
  count = mem_calloc((size_t)l->n_labels, sizeof *count);
  for (l->slots = 64; l->slots < 2 * (uint32_t)l->n_words + 2;) l->slots *= 2;
  l->slot = arena_alloc(l->a, l->slots * sizeof *l->slot);
  if (!l->word || !l->label || !count || !l->slot) {
    st = err_nomem(e, l->slots * sizeof *l->slot);
    goto out;
  }
  memset(l->slot, 0xFF, l->slots * sizeof *l->slot);
  int32_t words = 0, labels = 0;
  for (int32_t i = 0; i < size; i++) {
    const unsigned char *p, *end = memchr(l->p + l->at, 0, l->n - l->at);
    uint64_t n = end ? (uint64_t)(end - (l->p + l->at)) : l->n - l->at;
    TRY(take(l, n + 1, &p, e));
    struct span w = { (const char *)p, n };
    TRY(take(l, 9, &p, e)); /* count, type */
    if (p[8] > 1 || (p[8] ? labels == l->n_labels : words == l->n_words)) {
      st = wrong(l, "the type of an entry", p[8], e);
      goto out;
    }
    if (p[8]) {
      size_t skip = w.n > 9 && memcmp(w.p, prefix, 9) == 0 ? 9 : 0;
      count[labels] = i64(p);
      l->label[labels++] = (struct span){ w.p + skip, w.n - skip };
    } else {
      uint32_t k = hash(w.p, w.n) & (l->slots - 1);
      while (l->slot[k] >= 0) k = (k + 1) & (l->slots - 1);
      l->slot[k] = words;
      l->word[words++] = w;
    }
  }
  if (l->n_prune > 0) {
    if ((uint64_t)l->n_prune > (l->n - l->at) / 8) {
      st = wrong(l, "the number of kept buckets", l->n_prune, e);
      goto out;
    }
    for (l->prune_slots = 64; l->prune_slots < 2 * (uint64_t)l->n_prune + 2;) l->prune_slots *= 2;
    l->prune_key = arena_alloc(l->a, l->prune_slots * sizeof *l->prune_key);
    l->prune_value = arena_alloc(l->a, l->prune_slots * sizeof *l->prune_value);
    if (!l->prune_key || !l->prune_value) {
      st = err_nomem(e, l->prune_slots * 8);
      goto out;
    }
    memset(l->prune_key, 0xFF, l->prune_slots * sizeof *l->prune_key);
    for (int64_t i = 0; i < l->n_prune; i++) {
      int32_t key, value;
      TRY(take32(l, &key, e));
      TRY(take32(l, &value, e));
      if (key < 0 || value < 0) {
        st = wrong(l, "a kept bucket", key, e);
        goto out;
      }
      uint32_t k = (uint32_t)key * 0x9E3779B1u & (l->prune_slots - 1);
      while (l->prune_key[k] >= 0 && l->prune_key[k] != key) k = (k + 1) & (l->prune_slots - 1);
      l->prune_key[k] = key;
      l->prune_value[k] = value;
    }
  }
  if (l->loss == LOSS_HS) st = build_tree(l, count, e);
out:
  mem_free(count);
  return st;
}

static enum status read_pq(struct lid *l, struct pq *q, int64_t dim, struct err *e) {
  enum status st;
  TRY(take32(l, &q->dim, e));
  TRY(take32(l, &q->parts, e));
  TRY(take32(l, &q->part, e));
  TRY(take32(l, &q->last, e));
  if (q->dim != dim || q->part < 1 || q->part > q->dim || q->parts < 1 || q->last < 1 || q->last > q->part || (int64_t)(q->parts - 1) * q->part + q->last != q->dim)
    return wrong(l, "the quantiser's dimension", q->dim, e);
  TRY(take(l, (uint64_t)q->dim * KSUB * 4, &q->centroid, e));
out:
  return st;
}

static enum status read_matrix(struct lid *l, struct matrix *m, int quantised, int64_t rows_at_least, struct err *e) {
  enum status st;
  const unsigned char *p;
  int qnorm = 0;
  if (quantised) {
    TRY(take(l, 1, &p, e));
    qnorm = *p;
  }
  TRY(take64(l, &m->rows, e));
  TRY(take64(l, &m->cols, e));
  if (m->cols != l->dim || m->rows < rows_at_least || m->rows > INT32_MAX) return wrong(l, "a matrix's number of rows", m->rows, e);
  if (!quantised) return take(l, (uint64_t)m->rows * (uint64_t)m->cols * 4, &m->data, e);
  int32_t codes;
  TRY(take32(l, &codes, e));
  TRY(take(l, (uint64_t)(uint32_t)codes, &m->code, e));
  TRY(read_pq(l, &m->q, m->cols, e));
  if ((int64_t)codes != m->rows * m->q.parts) return wrong(l, "the number of codes", codes, e);
  if (!qnorm) return st;
  TRY(take(l, (uint64_t)m->rows, &m->norm_code, e));
  TRY(read_pq(l, &m->norm, 1, e));
out:
  return st;
}

/* Huffman tree over the labels' counts, node for node as fastText builds it. Labels come by falling count. */
static enum status build_tree(struct lid *l, const int64_t *count, struct err *e) {
  int32_t n = l->n_labels, leaf = n - 1, node = n;
  int64_t *sum = mem_alloc((2 * (size_t)n) * sizeof *sum);
  int32_t *depth = arena_calloc(l->a, 2 * (size_t)n, sizeof *depth);
  l->tree = arena_alloc(l->a, 2 * (size_t)n * sizeof *l->tree);
  if (!sum || !depth || !l->tree) {
    mem_free(sum);
    return err_nomem(e, 2 * (size_t)n * sizeof *sum);
  }
  for (int32_t i = 0; i < 2 * n - 1; i++) sum[i] = i < n ? count[i] : (int64_t)1e15, l->tree[i] = (struct node){ -1, -1 };
  for (int32_t i = n; i < 2 * n - 1; i++) {
    int32_t two[2];
    for (int j = 0; j < 2; j++) two[j] = leaf >= 0 && sum[leaf] < sum[node] ? leaf-- : node++;
    if (two[0] < i && two[1] < i) depth[i] = 1 + (depth[two[0]] > depth[two[1]] ? depth[two[0]] : depth[two[1]]);
    if (two[0] >= i || two[1] >= i || depth[i] > MAX_DEPTH) { /* counts that no training makes */
      mem_free(sum);
      return wrong(l, "a label's count", (long long)count[0], e);
    }
    l->tree[i] = (struct node){ two[0], two[1] };
    int64_t both;
    sum[i] = __builtin_add_overflow(sum[two[0]], sum[two[1]], &both) ? INT64_MAX : both;
  }
  mem_free(sum);
  return STATUS_OK;
}

static enum status load(struct lid *l, struct err *e) {
  enum status st;
  const unsigned char *p;
  TRY(read_args(l, e));
  TRY(read_dictionary(l, e));
  TRY(take(l, 1, &p, e));
  int quantised = *p;
  int64_t buckets = l->maxn <= 0 ? 0 : l->n_prune > 0 ? l->n_prune : l->n_prune == 0 ? 0 : l->bucket;
  if (!quantised && l->n_prune >= 0) return wrong(l, "a pruned dictionary without quantisation:", l->n_prune, e);
  TRY(read_matrix(l, &l->in, quantised, l->n_words + buckets, e));
  for (uint32_t k = 0; k < l->prune_slots; k++)
    if (l->prune_key[k] >= 0 && l->prune_value[k] >= l->in.rows - l->n_words) return wrong(l, "a kept bucket's row", l->prune_value[k], e);
  TRY(take(l, 1, &p, e));
  TRY(read_matrix(l, &l->out, quantised && *p, l->n_labels - (l->loss == LOSS_HS), e));
out:
  return st;
}

enum status lid_from_memory(const char *name, struct span file, struct lid **out, struct err *e) {
  struct lid *l = *out;
  if (!l && !(l = *out = mem_calloc(1, sizeof *l))) return err_nomem(e, sizeof *l);
  if (!(l->a = arena_new(0)) || !(l->name = arena_strndup(l->a, name, strlen(name)))) return err_nomem(e, 0);
  l->p = (const unsigned char *)file.p;
  l->n = file.n;
  return load(l, e);
}

enum status lid_open(const char *path, struct lid **out, struct err *e) {
  struct lid *l = *out = mem_calloc(1, sizeof *l);
  if (!l) return err_nomem(e, sizeof *l);
  enum status st = file_map_open(path, &l->map, e);
  if (st != STATUS_OK) return st;
  l->mapped = 1;
  return lid_from_memory(path, (struct span){ (const char *)l->map.p, l->map.bytes }, out, e);
}

void lid_close(struct lid *l) {
  if (!l) return;
  if (l->mapped) file_map_close(&l->map);
  arena_free(l->a);
  mem_free(l);
}

/* ---- predicting ---- */
static void add_row(const struct matrix *m, int64_t row, float *x) {
  if (m->data) {
    for (int64_t k = 0; k < m->cols; k++) x[k] += f32(m->data + 4 * (row * m->cols + k));
    return;
  }
  float norm = m->norm_code ? f32(m->norm.centroid + 4 * m->norm_code[row]) : 1;
  const struct pq *q = &m->q;
  for (int32_t part = 0, d = q->part; part < q->parts; part++) {
    const unsigned char *c;
    unsigned code = m->code[row * q->parts + part];
    if (part == q->parts - 1) d = q->last, c = q->centroid + 4 * ((int64_t)part * KSUB * q->part + (int64_t)code * q->last);
    else c = q->centroid + 4 * (((int64_t)part * KSUB + code) * q->part);
    for (int32_t k = 0; k < d; k++) x[part * q->part + k] += norm * f32(c + 4 * k);
  }
}

static float dot_row(const struct matrix *m, int64_t row, const float *h, float *room) {
  float sum = 0;
  memset(room, 0, (size_t)m->cols * sizeof *room);
  add_row(m, row, room);
  for (int64_t k = 0; k < m->cols; k++) sum += room[k] * h[k];
  return sum;
}

struct line { /* sum of the rows of what the text holds */
  const struct lid *l;
  float *x;
  uint64_t rows;
};

static void add_subword(struct line *s, const char *p, size_t n) {
  const struct lid *l = s->l;
  int64_t id = hash(p, n) % (uint32_t)l->bucket;
  if (l->n_prune == 0) return;
  if (l->n_prune > 0) {
    uint32_t k = (uint32_t)id * 0x9E3779B1u & (l->prune_slots - 1);
    while (l->prune_key[k] >= 0 && l->prune_key[k] != id) k = (k + 1) & (l->prune_slots - 1);
    if (l->prune_key[k] < 0) return;
    id = l->prune_value[k];
  }
  add_row(&l->in, l->n_words + id, s->x);
  s->rows++;
}

static int follows(char c) { return ((unsigned char)c & 0xC0) == 0x80; }

/* All runs of minn to maxn characters of <word>. w has room for one byte in front of it and one behind. */
static void add_subwords(struct line *s, char *w, size_t n) {
  const struct lid *l = s->l;
  char before = w[-1], behind = w[n];
  char *p = w - 1;
  size_t size = n + 2;
  w[-1] = '<';
  w[n] = '>';
  for (size_t i = 0; i < size; i++) {
    if (follows(p[i])) continue;
    int32_t k = 1;
    for (size_t j = i; j < size && k <= l->maxn; k++) {
      j++;
      while (j < size && follows(p[j])) j++;
      if (k >= l->minn && !(k == 1 && (i == 0 || j == size))) add_subword(s, p + i, j - i);
    }
  }
  w[-1] = before;
  w[n] = behind;
}

static void add_token(struct line *s, char *w, size_t n) {
  int32_t id = word_id(s->l, w, n);
  if (id < 0 && n >= 9 && memcmp(w, prefix, 9) == 0) return; /* a label typed in a text is no word */
  if (id >= 0) {
    add_row(&s->l->in, id, s->x);
    s->rows++;
  }
  if (s->l->maxn > 0) add_subwords(s, w, n);
}

static int blank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\v' || c == '\f' || c == 0; }

/* log, away from minus infinity, as fastText has it. */
static double log_of(double x) { return log(x + 1e-5); }

static void best_leaf(const struct lid *l, int32_t node, float score, const float *h, float *room, int32_t *best, float *most) {
  if (*best >= 0 && score < *most) return;
  if (l->tree[node].left < 0) {
    if (*best < 0 || score > *most) *best = node, *most = score;
    return;
  }
  float f = dot_row(&l->out, node - l->n_labels, h, room);
  f = (float)(1.0 / (1.0 + exp(-(double)f)));
  best_leaf(l, l->tree[node].left, score + (float)log_of(1.0 - (double)f), h, room, best, most);
  best_leaf(l, l->tree[node].right, score + (float)log_of(f), h, room, best, most);
}

/* fastText's sigmoid has 512 steps from -8 to 8. */
static float sigmoid_of_table(float z) {
  if (z < -8 || z > 8) return z > 0;
  float x = (float)((int64_t)((z + 8) * 512 / 8 / 2) * 16) / 512 - 8;
  return (float)(1.0 / (1.0 + exp(-(double)x)));
}

static void best_flat(const struct lid *l, const float *h, float *room, int32_t *best, float *p) {
  float most = -HUGE_VALF, sum = 0;
  for (int32_t i = 0; i < l->n_labels; i++) {
    float z = dot_row(&l->out, i, h, room);
    if (z > most) most = z, *best = i;
  }
  for (int32_t i = 0; l->loss == LOSS_SOFTMAX && i < l->n_labels; i++) sum += expf(dot_row(&l->out, i, h, room) - most);
  *p = (l->loss == LOSS_SOFTMAX ? 1 / sum : sigmoid_of_table(most)) + 1e-5f; /* predict gives exp(log_of(p)) */
}

enum status lid_predict(const struct lid *l, struct span text, struct span *label, double *p, struct err *e) {
  float *x = mem_calloc(2 * (size_t)l->dim, sizeof *x);
  char *copy = mem_alloc(text.n + 2), *t, end[] = " </s> ";
  *label = (struct span){ "", 0 };
  *p = 0;
  if (!x || !copy) {
    mem_free(x);
    mem_free(copy);
    return err_nomem(e, text.n + 2 * (size_t)l->dim * sizeof *x);
  }
  t = copy + 1;
  memcpy(t, text.p ? text.p : "", text.n);
  struct line s = { l, x, 0 };
  for (size_t i = 0; i < text.n;) {
    while (i < text.n && blank(t[i])) i++;
    size_t start = i;
    while (i < text.n && !blank(t[i])) i++;
    if (i > start && !(i - start == 4 && memcmp(t + start, "</s>", 4) == 0)) add_token(&s, t + start, i - start);
  }
  int32_t eos = word_id(l, end + 1, 4), best = -1;
  if (eos >= 0) {
    add_row(&l->in, eos, x);
    s.rows++;
  }
  if (s.rows) {
    float q = 0;
    for (int32_t k = 0; k < l->dim; k++) x[k] *= 1.0f / (float)s.rows;
    if (l->loss == LOSS_HS) {
      best_leaf(l, 2 * l->n_labels - 2, 0, x, x + l->dim, &best, &q);
      q = expf(q);
    } else {
      best_flat(l, x, x + l->dim, &best, &q);
    }
    if (best >= 0) *label = l->label[best], *p = q;
  }
  mem_free(x);
  mem_free(copy);
  return STATUS_OK;
}

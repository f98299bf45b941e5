/* SPDX-License-Identifier: Apache-2.0
 * Matrix products: a small register kernel (one per instruction set) under a loop that packs one panel of columns at a time.
 * Every value is the sum over blocks of the reduction, each block one running sum from zero in ascending order; the block
 * length depends on k alone. So a row never depends on the other rows, and any cut into tasks gives the same bits.
 * Why not dnnl_sgemm on tiles: docs/decisions.md, "Own matrix product". */
#include <string.h>

#include "cpu.h"
#include "pool.h"

enum { NR_MOST = 32, MR_MOST = 12, DEPTH = 576, TASK_ROWS = 384, PACKED_ROWS = 144, TASK_COLUMNS = 768 };

/* Length of one block of the reduction: equal parts of at most DEPTH, in steps of 16. */
static int64_t block_depth(int64_t k) {
  int64_t parts = (k + DEPTH - 1) / DEPTH;
  return parts > 1 ? ((k + parts - 1) / parts + 15) / 16 * 16 : k;
}

static void pack_edge(int64_t k, int64_t cols, const float *b, int64_t ldb, int bt, float *dst, int64_t nr) {
  for (int64_t l = 0; l < k; l++) {
    for (int64_t j = 0; j < nr; j++) {
      dst[l * nr + j] = j >= cols ? 0.0f : bt ? b[j * ldb + l] : b[l * ldb + j];
    }
  }
}

/* Copies `width` values from each of k rows; inlined for the few widths there are, so that it becomes vector moves. */
static inline __attribute__((always_inline)) void copy_rows(int64_t k, const float *src, int64_t ld, float *dst, int64_t width) {
  for (int64_t l = 0; l < k; l++) {
    memcpy(dst + l * width, src + l * ld, (size_t)width * sizeof *dst);
  }
}

static void pack_rows(int64_t k, const float *src, int64_t ld, float *dst, int64_t width) {
  switch (width) {
  case 4: copy_rows(k, src, ld, dst, 4); break;
  case 6: copy_rows(k, src, ld, dst, 6); break;
  case 8: copy_rows(k, src, ld, dst, 8); break;
  case 12: copy_rows(k, src, ld, dst, 12); break;
  case 16: copy_rows(k, src, ld, dst, 16); break;
  case 32: copy_rows(k, src, ld, dst, 32); break;
  default: copy_rows(k, src, ld, dst, width); break;
  }
}

static void pack_panel(int64_t k, int64_t cols, const float *b, int64_t ldb, int bt, float *dst) {
  int64_t nr = cpu_isa.nr;
  if (cols < nr) {
    pack_edge(k, cols, b, ldb, bt, dst, nr);
  } else if (bt) {
    cpu_isa.pack_transposed(k, b, ldb, dst);
  } else {
    pack_rows(k, b, ldb, dst, nr);
  }
}

/* A strip of rows for the kernel: as it lies when a is row-major and the strip whole, else copied to [l * rows + r]. */
struct strip {
  const float *a;
  int64_t rs, cs, rows;
};

static void strip_kernel(const struct strip *s, int64_t k, const float *b, int64_t ldb, float *c, int64_t ldc, int64_t rows,
                         int64_t cols, int add) {
  float tile[MR_MOST * NR_MOST];
  int64_t nr = cpu_isa.nr;
  int few = s->rows == cpu_isa.few;
  if (rows == s->rows && cols == nr) {
    (few ? cpu_isa.micro_few : cpu_isa.micro)(k, s->a, s->rs, s->cs, b, ldb, c, ldc, add);
    return;
  }
  (few ? cpu_isa.micro_few : cpu_isa.micro)(k, s->a, s->rs, s->cs, b, ldb, tile, nr, 0);
  for (int64_t i = 0; i < rows; i++) {
    for (int64_t j = 0; j < cols; j++) {
      c[i * ldc + j] = add ? c[i * ldc + j] + tile[i * nr + j] : tile[i * nr + j];
    }
  }
}

/* Rows of a beyond m are zero in the copy: their products are thrown away. */
static void pack_strip(int64_t k, const float *a, int64_t rs, int64_t cs, int64_t rows, int64_t height, float *dst) {
  for (int64_t l = 0; l < k; l++) {
    for (int64_t r = 0; r < height; r++) {
      dst[l * height + r] = r < rows ? a[r * rs + l * cs] : 0.0f;
    }
  }
}

/* Asks for part i of n of the panel that comes after this one: its lines lie far apart and nobody else fetches ahead. */
static void fetch_ahead(int64_t k, int64_t cols, const float *b, int64_t ldb, int bt, int64_t i, int64_t n) {
  int64_t rows = bt ? cols : k, bytes = (bt ? k : cols) * (int64_t)sizeof *b;
  for (int64_t r = rows * i / n; r < rows * (i + 1) / n; r++) {
    for (int64_t at = 0; at < bytes; at += 64) {
      __builtin_prefetch((const char *)(b + r * ldb) + at, 0, 2);
    }
  }
}

static _Thread_local float panel[(DEPTH + 16) * NR_MOST] __attribute__((aligned(64)));
static _Thread_local float strips[(DEPTH + 16) * (PACKED_ROWS + MR_MOST)] __attribute__((aligned(64)));

/* m <= TASK_ROWS (PACKED_ROWS when a's rows are not contiguous), k <= one block */
static void block(int64_t m, int64_t n, int64_t k, const float *a, int64_t rs, int64_t cs, const float *b, int64_t ldb, int bt, float *c,
                  int64_t ldc, int add) {
  struct strip strip[TASK_ROWS / 2 + 2];
  int64_t n_strips = 0, nr = cpu_isa.nr;
  float *to = strips;
  for (int64_t r = 0; r < m; r += strip[n_strips++].rows) {
    struct strip *s = strip + n_strips;
    int64_t rows = m - r;
    s->rows = rows > 2 * cpu_isa.few ? cpu_isa.mr : cpu_isa.few;
    if (rows >= s->rows && cs == 1) {
      s->a = a + r * rs, s->rs = rs, s->cs = 1;
      continue;
    }
    if (rows >= s->rows && rs == 1) {
      pack_rows(k, a + r, cs, to, s->rows);
    } else {
      pack_strip(k, a + r * rs, rs, cs, cpu_min(rows, s->rows), s->rows, to);
    }
    s->a = to, s->rs = 1, s->cs = s->rows;
    to += k * s->rows;
  }
  for (int64_t j = 0; j < n; j += nr) {
    int64_t cols = cpu_min(nr, n - j), at = 0, ld = nr;
    const float *from = panel;
    if (!bt && cols == nr && n_strips <= 2) {
      from = b + j, ld = ldb; /* read too few times to be worth a copy */
    } else {
      pack_panel(k, cols, bt ? b + j * ldb : b + j, ldb, bt, panel);
    }
    for (int64_t i = 0; i < n_strips; at += strip[i++].rows) {
      if (n_strips > 2 && j + nr < n) {
        fetch_ahead(k, cpu_min(nr, n - j - nr), bt ? b + (j + nr) * ldb : b + j + nr, ldb, bt, i, n_strips);
      }
      strip_kernel(strip + i, k, from, ld, c + at * ldc + j, ldc, cpu_min(strip[i].rows, m - at), cols, add);
    }
  }
}

void cpu_gemm_block(int64_t m, int64_t n, int64_t k, const float *a, int64_t rs, int64_t cs, const float *b, int64_t ldb, int bt,
                    float *c, int64_t ldc, int add) {
  int64_t depth = block_depth(k), step = cs == 1 ? TASK_ROWS : PACKED_ROWS;
  for (int64_t r = 0; r < m; r += step) {
    for (int64_t l = 0; l < k; l += depth) {
      block(cpu_min(step, m - r), n, cpu_min(depth, k - l), a + r * rs + l * cs, rs, cs, bt ? b + l : b + l * ldb, ldb, bt,
            c + r * ldc, ldc, add || l > 0);
    }
  }
}

struct product {
  int64_t m, n, k, rs, cs, ldb, ldc, row_step, col_step, col_tasks;
  const float *a, *b;
  float *c;
  int bt, add;
};

static void tile(void *ctx, int i, int worker) {
  const struct product *p = ctx;
  int64_t r = i / p->col_tasks * p->row_step, j = i % p->col_tasks * p->col_step;
  (void)worker;
  cpu_gemm_block(cpu_min(p->row_step, p->m - r), cpu_min(p->col_step, p->n - j), p->k, p->a + r * p->rs, p->rs, p->cs,
                 p->bt ? p->b + j * p->ldb : p->b + j, p->ldb, p->bt, p->c + r * p->ldc + j, p->ldc, p->add);
}

/* Parts of at most `most` with nearly equal sizes, each a multiple of unit. */
static int64_t even_step(int64_t n, int64_t most, int64_t unit) {
  int64_t parts = (n + most - 1) / most;
  return ((n + parts - 1) / parts + unit - 1) / unit * unit;
}

static void product_run(struct product *p) {
  int64_t threads = pool_threads(), tasks;
  if (p->m <= 0 || p->n <= 0) {
    return;
  }
  p->row_step = even_step(p->m, p->cs == 1 ? TASK_ROWS : PACKED_ROWS, cpu_isa.mr);
  p->col_step = even_step(p->n, TASK_COLUMNS, cpu_isa.nr);
  for (;;) { /* the cut may follow the threads: it does not change any value */
    p->col_tasks = (p->n + p->col_step - 1) / p->col_step;
    tasks = (p->m + p->row_step - 1) / p->row_step * p->col_tasks;
    if (threads == 1 || tasks >= 6 * threads || p->col_step <= 2 * cpu_isa.nr) {
      break;
    }
    p->col_step = even_step(p->col_step, (p->col_step + 1) / 2, cpu_isa.nr);
  }
  pool_run((int)tasks, tile, p);
}

void cpu_gemm_nt(KDEV, int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const float *w, int64_t ldw, float *y, int64_t ldy,
                 int accumulate) {
  struct product p = {.m = m, .n = n, .k = k, .a = x, .rs = ldx, .cs = 1, .b = w, .ldb = ldw, .bt = 1, .c = y, .ldc = ldy};
  p.add = accumulate;
  product_run(&p);
}

void cpu_gemm_nn(KDEV, int64_t m, int64_t n, int64_t k, const float *dy, int64_t lddy, const float *w, int64_t ldw, float *dx,
                 int64_t lddx, int accumulate) {
  struct product p = {.m = m, .n = k, .k = n, .a = dy, .rs = lddy, .cs = 1, .b = w, .ldb = ldw, .c = dx, .ldc = lddx};
  p.add = accumulate;
  product_run(&p);
}

void cpu_gemm_tn(KDEV, int64_t m, int64_t n, int64_t k, const float *dy, int64_t lddy, const float *x, int64_t ldx, float *dw,
                 int64_t lddw, int accumulate) {
  struct product p = {.m = n, .n = k, .k = m, .a = dy, .rs = 1, .cs = lddy, .b = x, .ldb = ldx, .c = dw, .ldc = lddw};
  p.add = accumulate;
  product_run(&p);
}

/* ---- generic register kernel: 4 rows by 8 columns; vectors of four, which every compiler here maps to what there is ---- */

typedef float four __attribute__((vector_size(16)));

static inline four load4(const float *p) {
  four v;
  memcpy(&v, p, sizeof v);
  return v;
}

static inline void store4(float *p, four v, int add) {
  v = add ? load4(p) + v : v;
  memcpy(p, &v, sizeof v);
}

static void micro(int64_t k, const float *a, int64_t rs, int64_t cs, const float *b, int64_t ldb, float *c, int64_t ldc, int add) {
  four r0 = {0}, r1 = {0}, r2 = {0}, r3 = {0}, s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
  for (int64_t l = 0; l < k; l++, a += cs, b += ldb) {
    four b0 = load4(b), b1 = load4(b + 4);
    r0 += a[0] * b0, s0 += a[0] * b1;
    r1 += a[rs] * b0, s1 += a[rs] * b1;
    r2 += a[2 * rs] * b0, s2 += a[2 * rs] * b1;
    r3 += a[3 * rs] * b0, s3 += a[3 * rs] * b1;
  }
  store4(c, r0, add), store4(c + 4, s0, add);
  store4(c + ldc, r1, add), store4(c + ldc + 4, s1, add);
  store4(c + 2 * ldc, r2, add), store4(c + 2 * ldc + 4, s2, add);
  store4(c + 3 * ldc, r3, add), store4(c + 3 * ldc + 4, s3, add);
}

static void pack_transposed(int64_t k, const float *src, int64_t ld, float *dst) {
  for (int64_t l = 0; l < k; l++) {
    for (int j = 0; j < 8; j++) {
      dst[l * 8 + j] = src[j * ld + l];
    }
  }
}

void cpu_gemm_use_generic(struct cpu_isa *isa) {
  isa->mr = isa->few = 4;
  isa->nr = 8;
  isa->micro = isa->micro_few = micro;
  isa->pack_transposed = pack_transposed;
}

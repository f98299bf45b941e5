/* SPDX-License-Identifier: Apache-2.0
 * Targets that `shard` stores against transformers' top-64 log-probabilities of SmolLM2 (float32), after a round trip through
 * a shard folder: eight prompts packed to samples, quantised to steps of 4e-4 nat, read back. Needs $RETORT_CACHE. */
#include <unistd.h>
#include "golden/model_case.h"
#include "file.h"
#include "shard.h"
#include "shard_pack.h"
#include "shard_targets.h"

enum { PROMPTS = 8, TOP = 64, CONTEXT = 96 };
struct made { struct targets *t; struct shard_writer *w; };

static enum status full(void *ctx, struct sample *s, struct err *e) {
  struct made *m = ctx;
  enum status st = targets_fill(m->t, s, e);
  return st == STATUS_OK ? shard_write(m->w, s, e) : st;
}

static float at_f32(const void *p, int64_t i) {
  float v;
  memcpy(&v, (const char *)p + 4 * i, 4);
  return v;
}

static int32_t at_i32(const void *p, int64_t i) {
  int32_t v;
  memcpy(&v, (const char *)p + 4 * i, 4);
  return v;
}

static void test_stored_targets(void **state) {
  (void)state;
  const char *cache = getenv("RETORT_CACHE");
  char path[1024], dir[64];
  if (!cache || !*cache) {
    print_message("needs RETORT_CACHE\n");
    skip();
  }
  snprintf(path, sizeof path, "%s/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", cache);
  snprintf(dir, sizeof dir, "shard_targets.%ld", (long)getpid());
  MUST(pool_setup(2, E));
  struct weights *ref = NULL;
  struct tokenizer *tok = NULL;
  struct pack *pack = NULL;
  struct shard_reader *r = NULL;
  struct made m = {NULL, NULL};
  struct target_kind kind;
  struct arena *a = arena_new(0);
  MUST(weights_open(TEST_SOURCE "/tests/golden/data/smollm2/top64.safetensors", &ref, E));
  const void *start = case_tensor(ref, "cu_seqlens", DT_I32, PROMPTS + 1);
  int32_t n = at_i32(start, PROMPTS), longest = 0;
  const void *top = case_tensor(ref, "top_ids", DT_I32, (int64_t)n * TOP), *want = case_tensor(ref, "top_logprob", DT_F32, (int64_t)n * TOP);
  const void *input = case_tensor(ref, "input_ids", DT_I32, n);
  for (int q = 0; q < PROMPTS; q++) {
    int32_t len = at_i32(start, q + 1) - at_i32(start, q);
    longest = len > longest ? len : longest;
  }
  MUST(target_parse("topk:64:0.0004", &kind, E));
  MUST(tokenizer_open(path, &tok, E));
  int32_t context = longest > CONTEXT ? longest : CONTEXT;
  MUST(targets_open(path, &kind, tok, context, NULL, NULL, &m.t, E));
  struct shard_writer_options o = {.folder = dir, .context = context, .vocab = targets_vocab(m.t), .top_k = TOP, .top_error = kind.top_error};
  o.info.teacher = targets_name(m.t), o.info.teacher_identity = targets_identity(m.t), o.info.terms = targets_terms(m.t);
  MUST(shard_writer_new(&o, &m.w, E));
  MUST(pack_new(context, 0, full, &m, &pack, E));
  for (int q = 0; q < PROMPTS; q++) {
    int32_t from = at_i32(start, q), len = at_i32(start, q + 1) - from;
    int32_t *ids = arena_alloc(a, (size_t)len * 4);
    unsigned char *mask = arena_alloc(a, (size_t)len);
    memcpy(ids, (const char *)input + 4 * from, (size_t)len * 4);
    memset(mask, 1, (size_t)len);
    mask[0] = 0;
    struct piece x = { .ids = ids, .mask = mask, .n = (size_t)len, .row_id = arena_printf(a, "%d", q), .weight = 1 };
    MUST(pack_add(pack, &x, E));
  }
  MUST(pack_finish(pack, E));
  MUST(shard_writer_commit(m.w, (struct span){NULL, 0}, E));
  MUST(shard_open(dir, &r, E));
  double worst = 0, mass_worst = 0;
  int64_t rows = 0, missing = 0;
  int packed = 0;
  for (int64_t i = 0; i < shard_info(r)->n_samples; i++) {
    struct sample s;
    MUST(shard_read(r, i, a, &s, E));
    packed |= s.n_doc > 1;
    for (int32_t t = 0, d = 0; t < s.n_target; t++, rows++) {
      double mass = exp((double)s.rest[t]);
      while (s.target_pos[t] >= s.doc_start[d + 1]) d++;
      int64_t at = (at_i32(start, s.row_id[d][0] - '0') + s.target_pos[t] - s.doc_start[d]) * (int64_t)TOP;
      for (int j = 0; j < TOP; j++) {
        int found = 0;
        mass += exp((double)s.top_logprob[t * TOP + j]);
        for (int k = 0; k < TOP && !found; k++) {
          if (s.top_id[t * TOP + k] != at_i32(top, at + j)) continue;
          double diff = fabs((double)s.top_logprob[t * TOP + k] - (double)at_f32(want, at + j));
          worst = diff > worst || isnan(diff) ? diff : worst;
          found = 1;
        }
        missing += !found;
      }
      mass_worst = fabs(mass - 1) > mass_worst ? fabs(mass - 1) : mass_worst;
    }
  }
  assert_int_equal(rows, n - PROMPTS);
  assert_true(packed); /* packing must not change a target */
  print_message("observed: %.2g of log-probability, %.2g of mass, %lld of %lld ids beyond the cut\n", worst, mass_worst, (long long)missing, (long long)(rows * TOP));
  case_bound("shard", "stored log-probabilities", worst, 9e-4); /* 5e-4 of the model, steps of 4e-4 */
  case_bound("shard", "mass of top 64 and rest", mass_worst, 3e-4);
  assert_true(missing <= rows * TOP / 1000 + 8);
  shard_close(r);
  shard_writer_free(m.w);
  pack_free(pack);
  targets_close(m.t);
  tokenizer_close(tok);
  weights_close(ref);
  arena_free(a);
  MUST(folder_remove(dir, E));
  pool_close();
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_stored_targets)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

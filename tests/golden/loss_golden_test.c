/* SPDX-License-Identifier: Apache-2.0
 * Every loss of the table against the float64 goldens of tests/golden/data/loss: value, each position and every element of
 * the gradient. A row without a golden fails. Golden names are ROWNAME with parameters in them ("topk8_ghost.T2"). */
#include "golden_file.h"
#include <ctype.h>
#include <math.h>
#include "json.h"
#include "kernel.h"
#include "loss.h"

#define DATA TEST_SOURCE "/tests/golden/data/loss/"
static struct golden_file inputs, grads;

/* "x.topk8_ghost.T2" -> "topk_ghost" */
static void base_name(struct span key, char out[64]) {
  size_t o = 0, i = key.n > 2 && key.p[0] == 'x' && key.p[1] == '.' ? 2 : 0;
  for (; i < key.n && o < 63; i++) {
    if (key.p[i] == '.' && i + 1 < key.n && key.p[i + 1] == 'T') {
      break;
    }
    if (!isdigit((unsigned char)key.p[i]) && key.p[i] != '.') {
      out[o++] = key.p[i];
    }
  }
  out[o] = '\0';
}

static double *need(const struct golden_file *g, size_t want, const char *fmt, ...) {
  char name[200];
  size_t n = 0;
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(name, sizeof name, fmt, ap);
  va_end(ap);
  double *v = golden_get(g, name, &n);
  if (v == NULL || (want != 0 && n != want)) {
    fail_msg("golden %s: %zu values, expected %zu", name, n, want);
  }
  return v;
}

static void one_golden(const struct loss *row, const char *key, const struct json *info) {
  int extreme = strncmp(key, "x.", 2) == 0;
  size_t rows = extreme ? 6 : 16, v = extreme ? 33 : 97;
  const char *pre = extreme ? "x." : "";
  double *z = need(&inputs, rows * v, "%sstudent", pre), *y = need(&inputs, rows * v, "%steacher", pre);
  double *label = need(&inputs, rows, "%slabels", pre), *mask = extreme ? NULL : need(&inputs, rows, "mask");
  double *grad = need(&grads, rows * v, "%s.grad.student", key), *pos = need(&grads, rows, "%s.pos", key);
  struct loss_params p = { .temperature = json_num(json_get(info, "T"), 1), .beta = json_num(json_get(info, "beta"), 0),
                           .skew = json_num(json_get(info, "lam"), 0), .alpha = json_num(json_get(info, "t"), json_num(json_get(info, "mu"), 0)) };
  int32_t k = (int32_t)json_int(json_get(info, "k"), 0);
  double *top_id = NULL, *top_p = NULL, kept = 0, value = 0, n = 0, worst = 0;
  if (row->needs & LOSS_DRAWS) {
    k = (int32_t)json_int(json_get(info, "n"), 0);
    top_id = need(&inputs, rows * (size_t)k, "%s.ids", key);
    top_p = need(&inputs, rows * (size_t)k, "%s.weights", key);
  } else
  if (k > 0) {
    top_id = need(&inputs, rows * (size_t)k, "topk%d.T%d.ids", (int)k, (int)p.temperature);
    top_p = need(&inputs, rows * (size_t)k, "topk%d.T%d.p", (int)k, (int)p.temperature);
  }
  for (size_t i = 0; i < rows; i++) {
    n += mask == NULL || mask[i] > 0;
  }
  for (size_t i = 0; i < rows; i++) {
    float zf[97], yf[97], dz[97], lp[64];
    int32_t id[64];
    for (size_t j = 0; j < v; j++) {
      zf[j] = (float)z[i * v + j];
      yf[j] = (float)y[i * v + j];
    }
    kept = 0;
    for (int32_t j = 0; j < k; j++) {
      id[j] = (int32_t)top_id[i * (size_t)k + (size_t)j];
      lp[j] = (float)log(top_p[i * (size_t)k + (size_t)j]);
      kept += top_p[i * (size_t)k + (size_t)j];
    }
    struct loss_position x = { .vocab = (int64_t)v, .z = zf, .y = yf, .label = (int32_t)label[i] % (int32_t)v, .k = k, .top_id = id,
                               .top_logprob = lp, .rest = (float)log1p(-kept), .grad_scale = (float)(1 / n), .dz = dz };
    if (mask != NULL && mask[i] == 0) {
      for (size_t j = 0; j < v; j++) {
        assert_true(grad[i * v + j] == 0); /* the driver never shows a masked row to the loss */
      }
      continue;
    }
    double got = row->position(loss_loops_find(kernels_cpu()->isa), &p, &x);
    value += got / n;
    if (fabs(got - pos[i]) > 2e-6 * fmax(1, fabs(pos[i]))) { /* observed 2e-7 */
      fail_msg("%s position %zu: %.9g, golden %.9g", key, i, got, pos[i]);
    }
    for (size_t j = 0; j < v; j++) {
      worst = fmax(worst, fabs((double)dz[j] - grad[i * v + j]));
    }
  }
  double want = json_num(json_get(info, "value"), NAN);
  print_message("%-18s value off %.1e, gradient off %.1e\n", key, value - want, worst);
  assert_true(fabs(value - want) < 2e-6 * fmax(1, fabs(want))); /* observed 1e-7 */
  assert_true(worst < (extreme ? 3e-5 : 1e-7));                 /* observed 8e-9; extreme rows 1e-8 */
  double *all[] = { z, y, label, mask, grad, pos, top_id, top_p };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    mem_free(all[i]);
  }
}

static void every_row_has_its_golden(void **state) {
  (void)state;
  struct json *values = NULL;
  struct err e;
  assert_int_equal(json_parse_file(DATA "values.json", 1 << 20, &values, &e), STATUS_OK);
  for (int l = 0; loss_table[l] != NULL; l++) {
    void *it = NULL;
    struct span key;
    const struct json *info;
    int found = 0;
    while (json_next(values, &it, &key, &info)) {
      char base[64], name[64];
      base_name(key, base);
      snprintf(name, sizeof name, "%.*s", (int)key.n, key.p);
      if (strcmp(base, loss_table[l]->name) == 0 || (strcmp(base, "topk_ghost") == 0 && strcmp(loss_table[l]->name, "topk") == 0) ||
          (strcmp(base, "rskd") == 0 && strcmp(loss_table[l]->name, "sample") == 0)) {
        one_golden(loss_table[l], name, info);
        found++;
      }
    }
    if (found == 0) {
      fail_msg("loss %s has no golden in %svalues.json", loss_table[l]->name, DATA);
    }
  }
  json_free(values);
}

int main(void) {
  golden_open(&inputs, DATA "inputs.safetensors");
  golden_open(&grads, DATA "grads.safetensors");
  const struct CMUnitTest tests[] = { cmocka_unit_test(every_row_has_its_golden) };
  int bad = cmocka_run_group_tests(tests, NULL, NULL);
  golden_close(&inputs);
  golden_close(&grads);
  return bad;
}

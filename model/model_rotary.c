/* SPDX-License-Identifier: Apache-2.0
 * Rotary frequencies (plain, linear, Llama-3 scaling), float64 so that long positions keep their phase; the table of cosines and
 * sines of a run is kernels->rotary_table.
 * Llama-3 scaling: Hugging Face's _compute_llama3_parameters (wavelengths beyond original_ctx / low are divided by factor,
 * those below original_ctx / high stay, between them a linear blend). */
#include <math.h>
#include "model_private.h"

static double llama3_scaled(const struct model_config *c, double f) {
  double wavelength = 2.0 * 3.14159265358979323846 / f;
  double low = (double)c->rope_original_ctx / (double)c->rope_low, high = (double)c->rope_original_ctx / (double)c->rope_high;
  if (wavelength < high) {
    return f;
  }
  if (wavelength > low) {
    return f / (double)c->rope_factor;
  }
  double smooth = ((double)c->rope_original_ctx / wavelength - (double)c->rope_low) / ((double)c->rope_high - (double)c->rope_low);
  return (1.0 - smooth) * f / (double)c->rope_factor + smooth * f;
}

enum status rotary_frequencies(const struct model_config *c, struct arena *a, double **inv_freq, struct err *e) {
  int32_t half = c->head_dim / 2;
  if (half < 1 || c->head_dim % 2) {
    return err_set(e, STATUS_DATA, "head_dim %d is not a positive even number, rotary embedding needs one", c->head_dim);
  }
  double *f = arena_alloc(a, (size_t)half * sizeof *f);
  if (!f) {
    return err_nomem(e, (size_t)half * sizeof *f);
  }
  for (int32_t i = 0; i < half; i++) {
    f[i] = pow((double)c->rope_theta, -2.0 * i / c->head_dim);
    if (c->rope_kind == ROPE_LINEAR) {
      f[i] /= (double)c->rope_factor;
    } else if (c->rope_kind == ROPE_LLAMA3) {
      f[i] = llama3_scaled(c, f[i]);
    }
  }
  *inv_freq = f;
  return STATUS_OK;
}

/* SPDX-License-Identifier: Apache-2.0
 * The training step. */
#include "trainer.h"
#include <math.h>
#include <string.h>
#include "log.h"
#include "stop.h"

const char *step_part_name(enum step_part p) {
  static const char *const name[] = { "teacher", "forward", "loss", "backward", "update" };
  return name[p];
}

/* Time since *from goes to a part, and the next part begins. */
static void lap(struct step_result *r, enum step_part p, double *from) {
  double now = clock_seconds();
  r->seconds[p] += now - *from;
  *from = now;
}

enum status trainer_open(struct trainer *t, struct model *student, struct target *target, const struct trainer_options *o, struct err *e) {
  enum status st = STATUS_OK;
  const struct model_config *c = model_config(student);
  memset(t, 0, sizeof *t);
  t->o = *o;
  t->student = student;
  t->target = target;
  t->ranks = (struct ranks){ 0, 1, 0 };
  t->max_tok = o->micro_tokens > o->context ? o->micro_tokens : o->context;
  (void)model_param_block(student, &t->n_floats);
  t->arena = arena_new(0);
  if (t->arena == NULL) {
    st = err_nomem(e, 0);
    goto out;
  }
  void *grads, *dhidden;
  TRY(device_block(model_device(student), (size_t)t->n_floats * sizeof *t->grads, "gradients", &grads, e));
  t->grads = grads;
  TRY(device_block(model_device(student), (size_t)(t->max_tok * c->hidden) * sizeof *t->dhidden, "gradients of hidden states", &dhidden, e));
  t->dhidden = dhidden;
  TRY(run_new(student, t->max_tok, RUN_BACKWARD | (o->recompute ? RUN_RECOMPUTE : 0), &t->run, e));
  TRY(loss_driver_new(model_device(student), c->vocab, c->hidden, target->width, &t->driver, e));
  TRY(optim_open(&t->optim, student, e));
out:
  if (st != STATUS_OK) {
    trainer_close(t);
  }
  return st;
}

void trainer_close(struct trainer *t) {
  optim_close(&t->optim);
  loss_driver_free(t->driver);
  run_free(t->run);
  device_block_free(model_device(t->student), t->grads, (size_t)t->n_floats * sizeof *t->grads);
  device_block_free(model_device(t->student), t->dhidden, (size_t)(t->max_tok * model_config(t->student)->hidden) * sizeof *t->dhidden);
  arena_free(t->arena);
  memset(t, 0, sizeof *t);
}

uint64_t trainer_bytes(const struct trainer *t) {
  return run_bytes(t->run) + loss_driver_bytes(t->driver) + 3 * (uint64_t)t->n_floats * sizeof(float) +
         (t->target->run != NULL ? run_bytes(t->target->run) : 0);
}

double model_forward_flops(const struct model *m, const struct micro *b, int with_body) {
  const struct model_config *c = model_config(m);
  double body = 0, heads = 0;
  for (size_t i = 0; i < model_param_count_list(m); i++) {
    const struct param *p = model_param_at(m, i);
    body += p->cols > 0 ? (double)p->rows * (double)p->cols : 0;
  }
  double head = (double)c->vocab * c->hidden;
  body -= c->tied ? head : 2 * head; /* the embedding is a look-up */
  for (int32_t l = 0; l < c->n_layer; l++) {
    heads += (double)c->n_head[l] * c->head_dim;
  }
  double out = 2 * head * (double)b->n;
  return with_body ? out + 2 * body * b->packed.seqs.n_tok + 4 * heads * (double)b->pairs : out;
}

static double step_flops(const struct trainer *t, const struct micro *b) {
  double f = 3 * model_forward_flops(t->student, b, 1);
  if (t->target->mode == TARGET_ONLINE) {
    f += model_forward_flops(t->target->model, b, 1);
  } else if (t->target->mode == TARGET_HIDDEN) {
    f += 2.0 * (double)t->target->width * model_config(t->student)->vocab * (double)b->n;
  }
  return f;
}

static enum status micro_gradients(struct trainer *t, const struct sample *s, int64_t n, double grad_scale, struct step_result *r, struct err *e) {
  enum status st = STATUS_OK;
  const struct model_config *c = model_config(t->student);
  const struct kernels *k = model_kernels(t->student);
  struct kdev *dev = model_device(t->student)->d;
  struct micro b;
  struct loss_sums sums;
  arena_reset(t->arena);
  TRY(micro_build(s, n, t->target->mode == TARGET_HIDDEN ? (int32_t)t->target->width : 0, t->target->mode == TARGET_SAMPLE, t->arena, &b, e));
  r->tokens += b.packed.seqs.n_tok;
  if (b.n == 0) {
    goto out; /* nothing of it is in the loss */
  }
  r->flops += step_flops(t, &b);
  struct loss_work w = { .loss = t->o.loss, .params = t->o.params, .want = t->o.want_kl ? LOSS_WANT_KL : 0, .vocab = c->vocab, .n = b.n,
                         .row = b.row, .label = b.label, .weight = b.weight, .head = model_head(t->student), .width = c->hidden,
                         .grad_scale = grad_scale, .dhidden = t->dhidden, .dhead = t->grads + model_head_offset(t->student) };
  double at = clock_seconds();
  TRY(target_fill(t->target, &b, &w, e));
  lap(r, PART_TEACHER, &at);
  TRY(run_forward(t->run, &b.packed, &w.hidden, e));
  lap(r, PART_FORWARD, &at);
  k->zero(dev, t->dhidden, (size_t)(b.packed.seqs.n_tok * (int64_t)c->hidden) * sizeof *t->dhidden);
  TRY(loss_driver_run(t->driver, &w, &sums, NULL, e));
  loss_sums_add(&r->sums, &sums);
  lap(r, PART_LOSS, &at);
  TRY(run_backward(t->run, t->dhidden, t->grads, e));
  lap(r, PART_BACKWARD, &at);
out:
  return st;
}

/* Sums of a step over all ranks; all stop when one was asked to. */
static enum status share_step(struct trainer *t, struct step_result *r, int *stopped, struct err *e) {
  enum status st = STATUS_OK;
  const struct device *dev = model_device(t->student);
  struct loss_sums *s = &r->sums;
  if (t->ranks.n == 1) {
    return STATUS_OK;
  }
  double sum[] = { s->loss, s->ce, s->kl, s->agree, s->weight, (double)s->n, (double)r->tokens, r->flops, *stopped };
  double at = clock_seconds();
  TRY(ranks_sum(&t->ranks, dev, sum, sizeof sum / sizeof *sum, e));
  *s = (struct loss_sums){ sum[0], sum[1], sum[2], sum[3], sum[4], (int64_t)sum[5] };
  r->tokens = (int64_t)sum[6];
  r->flops = sum[7];
  *stopped = sum[8] > 0;
  if (!*stopped) {
    dev->k->reduce_ranks(dev->d, t->n_floats, DT_F32, t->grads);
  }
  lap(r, PART_UPDATE, &at);
out:
  return st;
}

enum status trainer_gradients(struct trainer *t, const struct sample *s, int64_t n, struct step_result *r, struct err *e) {
  enum status st = STATUS_OK;
  double weights = 0;
  memset(r, 0, sizeof *r);
  model_kernels(t->student)->zero(model_device(t->student)->d, t->grads, (size_t)t->n_floats * sizeof *t->grads);
  for (int64_t i = 0; i < n; i++) {
    int32_t doc = 0;
    for (int32_t j = 0; j < s[i].n_target; j++) {
      while (s[i].target_pos[j] >= s[i].doc_start[doc + 1]) {
        doc++;
      }
      weights += s[i].weight != NULL ? (double)s[i].weight[doc] : 1;
    }
  }
  double scale = weights > 0 ? 1 / weights : 0;
  int64_t turn = 0;
  int stopped = 0;
  for (int64_t i = 0; i < n && !stopped;) {
    int64_t tok, fit = samples_fitting(s + i, n - i, t->o.micro_tokens, &tok);
    stopped = stop_requested();
    if (!stopped && turn++ % t->ranks.n == t->ranks.rank) {
      TRY(micro_gradients(t, s + i, fit, scale, r, e));
    }
    i += fit;
  }
  TRY(share_step(t, r, &stopped, e));
  if (stopped) {
    return err_set(e, STATUS_STOPPED, "stopped in step %lld", (long long)t->step + 1);
  }
  double at = clock_seconds();
  r->norm = optim_norm(t->student, t->grads, t->n_floats);
  TRY(device_check(model_device(t->student), e));
  lap(r, PART_UPDATE, &at);
  r->finite = isfinite(r->norm) && isfinite(r->sums.loss);
out:
  return st;
}

enum status trainer_step(struct trainer *t, const struct sample *s, int64_t n, double lr, struct step_result *r, struct err *e) {
  enum status st = STATUS_OK;
  TRY(trainer_gradients(t, s, n, r, e));
  double at = clock_seconds();
  r->updated = r->finite && r->sums.weight > 0;
  t->bad_in_a_row = r->finite ? 0 : t->bad_in_a_row + 1;
  if (r->updated) {
    optim_update(&t->optim, t->student, t->grads, r->norm, lr, &t->o.optim);
  }
  lap(r, PART_UPDATE, &at);
  t->step++;
  t->tokens += r->tokens;
out:
  return st;
}

const char *trainer_bad_tensor(const struct trainer *t) {
  struct err none;
  const float *grads;
  if (model_block_fetch(t->student, t->grads, &grads, &none) != STATUS_OK) {
    return NULL;
  }
  const char *bad = NULL;
  for (size_t i = 0; bad == NULL && i < model_param_count_list(t->student); i++) {
    const struct param *p = model_param_at(t->student, i);
    int64_t n = p->rows * (p->cols > 0 ? p->cols : 1);
    for (int64_t j = 0; j < n; j++) {
      if (!isfinite(grads[p->offset + j])) {
        bad = p->name;
        break;
      }
    }
  }
  model_block_drop(t->student, grads);
  return bad;
}

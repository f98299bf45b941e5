/* SPDX-License-Identifier: Apache-2.0
 * Ranks (ranks.h). */
#include "ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "opt.h"

enum { WAIT_S = 120, JOB = 64 };

/* What a launcher calls rank, number of ranks, rank on this machine, and the job. */
static const struct launcher {
  const char *rank, *n, *local, *job;
} launchers[] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "PMIX_NAMESPACE"},
    {"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "PMI_FD"},
    {"SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_JOB_ID"},
};

static const struct launcher *launched(void) {
  for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
    if (getenv(launchers[i].rank) != NULL && getenv(launchers[i].n) != NULL) {
      return &launchers[i];
    }
  }
  return NULL;
}

static enum status number(const char *name, int missing, int *out, struct err *e) {
  const char *text = getenv(name);
  int64_t v = missing;
  if (text != NULL && (opt_parse_int(text, &v, e) != STATUS_OK || v < 0 || v > 1000000)) {
    return err_set(e, STATUS_USAGE, "%s is '%s', expected a number as mpirun or srun sets it", name, text);
  }
  *out = (int)v;
  return STATUS_OK;
}

enum status ranks_find(struct ranks *r, struct err *e) {
  const struct launcher *l = launched();
  enum status st = STATUS_OK;
  *r = (struct ranks){0, 1, 0};
  if (l == NULL) {
    return STATUS_OK;
  }
  TRY(number(l->rank, 0, &r->rank, e));
  TRY(number(l->n, 1, &r->n, e));
  TRY(number(l->local, r->rank, &r->local, e));
  if (r->n < 1 || r->rank >= r->n) {
    st = err_set(e, STATUS_USAGE, "%s is %d of %s %d; start the ranks with mpirun or srun", l->rank, r->rank, l->n, r->n);
  }
out:
  return st;
}

/* The file holds the job's name and NCCL's id, so that one left by a killed job is not taken for this one's. */
struct meeting {
  char job[JOB];
  unsigned char id[KERNEL_RANKS_ID];
};

static void job_name(char job[JOB]) {
  const struct launcher *l = launched();
  const char *own = getenv("RETORT_JOB"), *name = own != NULL ? own : l != NULL ? getenv(l->job) : NULL;
  memset(job, 0, JOB);
  snprintf(job, JOB, "%s", name != NULL ? name : "");
}

static enum status write_meeting(const char *path, const struct meeting *m, struct err *e) {
  enum status st = STATUS_OK;
  struct file_atomic f = {0};
  TRY(file_atomic_open(&f, path, e));
  TRY(file_write_all(fileno(f.fp), m, sizeof *m, e));
  TRY(file_atomic_commit(&f, e));
out:
  file_atomic_abort(&f);
  return st;
}

static enum status read_meeting(const char *path, struct meeting *m, struct err *e) {
  char job[JOB];
  job_name(job);
  for (int i = 0; i < WAIT_S * 20; i++) {
    struct buf b = {0};
    struct err none;
    int there = file_exists(path) && file_read(path, sizeof *m, &b, &none) == STATUS_OK && b.n == sizeof *m;
    if (there) {
      memcpy(m, b.p, sizeof *m);
    }
    buf_free(&b);
    if (there && memcmp(m->job, job, JOB) == 0) {
      return STATUS_OK;
    }
    nanosleep(&(struct timespec){0, 50000000}, NULL);
  }
  return err_set(e, STATUS_DEVICE, "'%s' of job '%s' did not come within %d s: rank 0 did not start, or the ranks share no disk there", path, job, WAIT_S);
}

enum status ranks_join(const struct ranks *r, const struct device *dev, const char *meet, struct err *e) {
  enum status st = STATUS_OK;
  struct meeting m;
  char why[600];
  if (r->n == 1) {
    return STATUS_OK;
  }
  if (dev->plugin == NULL) {
    return err_set(e, STATUS_USAGE, "%d ranks train on devices (--device cuda), found --device cpu; on the CPU one process uses all cores", r->n);
  }
  if (r->rank == 0) {
    job_name(m.job);
    if (!dev->plugin->ranks_id(m.id, why, sizeof why)) {
      return err_set(e, STATUS_DEVICE, "%s", why);
    }
    TRY(write_meeting(meet, &m, e));
  } else {
    TRY(read_meeting(meet, &m, e));
  }
  if (!dev->plugin->ranks_join(dev->d, m.id, r->rank, r->n, why, sizeof why)) {
    st = err_set(e, STATUS_DEVICE, "%s", why);
  }
  if (r->rank == 0) {
    (void)unlink(meet);
  }
out:
  return st;
}

enum status ranks_sum(const struct ranks *r, const struct device *dev, double *x, int n, struct err *e) {
  void *there;
  size_t bytes = (size_t)n * sizeof *x;
  if (r->n == 1) {
    return STATUS_OK;
  }
  enum status st = device_block(dev, bytes, "sums over ranks", &there, e);
  if (st != STATUS_OK) {
    return st;
  }
  dev->k->upload(dev->d, there, x, bytes);
  dev->k->reduce_ranks(dev->d, n, DT_F64, there);
  dev->k->download(dev->d, x, there, bytes);
  st = device_check(dev, e);
  device_block_free(dev, there, bytes);
  return st;
}

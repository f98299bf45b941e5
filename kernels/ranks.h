/* SPDX-License-Identifier: Apache-2.0
 * Data-parallel ranks as mpirun (Open MPI, MPICH) and srun start them: one process a device. retort is linked with no MPI: who it is
 * it reads from the launcher's variables, and the ranks find each other through a small file on a disk they share. */
#ifndef KERNELS_RANKS_H
#define KERNELS_RANKS_H
#include "device.h"

struct ranks { int rank, n, local; /* local: number on this machine */ };
/* {0, 1, 0} when no launcher started this process. STATUS_USAGE when its variables make no sense. */
MUST_USE enum status ranks_find(struct ranks *r, struct err *e);
/* Joins the ranks of one job on their devices through the file `meet`, which rank 0 writes and removes again. Waits up to two
 * minutes for it. Nothing happens when n is 1. */
MUST_USE enum status ranks_join(const struct ranks *r, const struct device *dev, const char *meet, struct err *e);
/* x(n) of the host becomes the sum over all ranks (through the device). Nothing happens when n of r is 1. */
MUST_USE enum status ranks_sum(const struct ranks *r, const struct device *dev, double *x, int n, struct err *e);
#endif

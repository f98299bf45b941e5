/* SPDX-License-Identifier: Apache-2.0
 * Data-parallel ranks, one process a device: NCCL's sum over all ranks, in place, in the lane's stream. NCCL gives every rank the
 * same bits and, for one number of ranks on one machine, the same bits each time. The CPU has no twin. */
#include <stdio.h>
#include <string.h>

#include "cuda_dev.h"

#if defined(CUDASIM) || defined(RETORT_NCCL)
#include <nccl.h>

int cuda_ranks_id(unsigned char *id, char *why, size_t n) {
  ncclUniqueId made;
  ncclResult_t code = ncclGetUniqueId(&made);
  if (code != ncclSuccess) {
    snprintf(why, n, "ncclGetUniqueId: %s", ncclGetErrorString(code));
    return 0;
  }
  memcpy(id, made.internal, KERNEL_RANKS_ID);
  return 1;
}

int cuda_ranks_join(struct kdev *d, const unsigned char *id, int rank, int ranks, char *why, size_t n) {
  ncclUniqueId shared;
  ncclComm_t comm = NULL;
  memcpy(shared.internal, id, KERNEL_RANKS_ID);
  ncclResult_t code = ncclCommInitRank(&comm, ranks, shared, rank);
  if (code != ncclSuccess) {
    snprintf(why, n, "ncclCommInitRank of rank %d of %d: %s; look at it with NCCL_DEBUG=INFO", rank, ranks, ncclGetErrorString(code));
    return 0;
  }
  d->comm = comm;
  return 1;
}

void cuda_ranks_leave(struct kdev *d) {
  if (d->comm != NULL) {
    (void)ncclCommDestroy(static_cast<ncclComm_t>(d->comm));
    d->comm = NULL;
  }
}

void cuda_reduce_ranks(struct kdev *d, int64_t n, enum dtype type, void *x) {
  cuda_bf16_changed(d, x, static_cast<size_t>(n) * (type == DT_F64 ? sizeof(double) : sizeof(float)));
  ncclDataType_t as = type == DT_F64 ? ncclFloat64 : ncclFloat32;
  if (d->failed || d->comm == NULL) {
    return; /* alone: the sum is what is there */
  }
  ncclResult_t code = ncclAllReduce(x, x, static_cast<size_t>(n), as, ncclSum, static_cast<ncclComm_t>(d->comm), d->stream[d->lane]);
  if (code != ncclSuccess) {
    char text[300];
    snprintf(text, sizeof text, "ncclAllReduce of %lld values: %s; look at it with NCCL_DEBUG=INFO", static_cast<long long>(n), ncclGetErrorString(code));
    cuda_note_text(d, text, __FILE__, __LINE__);
  }
}

#else

static const char *const missing = "this plugin was built without NCCL; build it where nccl.h and libnccl are, or train on one device";

int cuda_ranks_id(unsigned char *id, char *why, size_t n) {
  (void)id;
  snprintf(why, n, "%s", missing);
  return 0;
}

int cuda_ranks_join(struct kdev *d, const unsigned char *id, int rank, int ranks, char *why, size_t n) {
  (void)d, (void)id, (void)rank, (void)ranks;
  snprintf(why, n, "%s", missing);
  return 0;
}

void cuda_ranks_leave(struct kdev *d) { (void)d; }

void cuda_reduce_ranks(struct kdev *d, int64_t n, enum dtype type, void *x) { (void)d, (void)n, (void)type, (void)x; }
#endif

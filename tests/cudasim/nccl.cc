// SPDX-License-Identifier: Apache-2.0
// NCCL between processes of this machine. The unique id names a shared memory segment: a barrier, what each rank is doing, and
// a buffer for each rank. Reductions run in order of rank on every rank, so all get the same bits. Ranks that do different
// things, or wait for one that never comes (RETORT_CUDASIM_NCCL_S seconds, default 120), are a fault.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "cuda_bf16.h"
#include "cuda_fp16.h"
#include "nccl.h"
#include "sim.h"

using namespace cudasim;

namespace {

enum { MAX_RANKS = 16, CHUNK = 1 << 20 };
enum call { ALL_REDUCE, BROADCAST, REDUCE_SCATTER, ALL_GATHER };
const char *const call_name[] = {"ncclAllReduce", "ncclBroadcast", "ncclReduceScatter", "ncclAllGather"};
struct doing { int call, type, op, root; size_t count; };
struct segment {
  int ranks, arrived;
  unsigned turn; // of the barrier
  struct doing doing[MAX_RANKS];
  unsigned char data[MAX_RANKS][CHUNK];
};

} // namespace

struct ncclComm {
  struct segment *s;
  int rank, ranks;
  cudaEvent_t last; // operations of one communicator run in the order of the calls, whatever their streams
};

namespace {

thread_local char last_text[256] = "";

struct collective {
  struct ncclComm *comm;
  const void *send;
  void *recv;
  struct doing d;
};

size_t size_of(int type) {
  switch (type) {
    case ncclInt8: case ncclUint8: return 1;
    case ncclFloat16: case ncclBfloat16: return 2;
    case ncclInt64: case ncclUint64: case ncclFloat64: return 8;
    default: return 4;
  }
}

void meet(struct ncclComm *c, const char *where) {
  struct segment *s = c->s;
  const char *limit = getenv("RETORT_CUDASIM_NCCL_S");
  time_t end = time(NULL) + (limit ? atol(limit) : 120);
  unsigned turn = __atomic_load_n(&s->turn, __ATOMIC_ACQUIRE);
  if (__atomic_add_fetch(&s->arrived, 1, __ATOMIC_ACQ_REL) == c->ranks) {
    __atomic_store_n(&s->arrived, 0, __ATOMIC_RELEASE);
    __atomic_add_fetch(&s->turn, 1, __ATOMIC_RELEASE);
    return;
  }
  for (int i = 0; __atomic_load_n(&s->turn, __ATOMIC_ACQUIRE) == turn; i++) {
    if (i > 1000) {
      usleep(50);
    }
    if (i % 1000 == 999 && time(NULL) > end) {
      fault_at(FAULT_USAGE, NULL, "rank %d of %d waits in %s, %d of %d ranks came", c->rank, c->ranks, where, s->arrived, c->ranks);
    }
  }
}

template <typename T> void reduce_as(const struct ncclComm *c, int op, size_t from, size_t n, void *out) {
  T *o = (T *)out;
  for (size_t i = 0; i < n; i++) {
    T v = ((const T *)c->s->data[0])[from + i];
    for (int r = 1; r < c->ranks; r++) {
      T x = ((const T *)c->s->data[r])[from + i];
      v = op == ncclMax ? (x > v ? x : v) : op == ncclMin ? (x < v ? x : v) : op == ncclProd ? (T)(v * x) : (T)(v + x);
    }
    o[i] = op == ncclAvg ? (T)(v / (T)c->ranks) : v;
  }
}

float widen(int type, unsigned short u) { return type == ncclBfloat16 ? __bfloat162float(__ushort_as_bfloat16(u)) : __half2float(__ushort_as_half(u)); }

void reduce_16(const struct ncclComm *c, int type, int op, size_t from, size_t n, void *out) {
  for (size_t i = 0; i < n; i++) {
    float v = widen(type, ((const unsigned short *)c->s->data[0])[from + i]);
    for (int r = 1; r < c->ranks; r++) {
      float x = widen(type, ((const unsigned short *)c->s->data[r])[from + i]);
      v = op == ncclMax ? fmaxf(v, x) : op == ncclMin ? fminf(v, x) : op == ncclProd ? v * x : v + x;
    }
    v = op == ncclAvg ? v / (float)c->ranks : v;
    ((unsigned short *)out)[i] = type == ncclBfloat16 ? __bfloat16_as_ushort(__float2bfloat16_rn(v)) : __half_as_ushort(__float2half_rn(v));
  }
}

// n values from `from` on of the chunk in all ranks' buffers
void reduce(const struct ncclComm *c, const struct doing *d, size_t from, size_t n, void *out) {
  switch (d->type) {
    case ncclInt8: reduce_as<int8_t>(c, d->op, from, n, out); break;
    case ncclUint8: reduce_as<uint8_t>(c, d->op, from, n, out); break;
    case ncclInt32: reduce_as<int32_t>(c, d->op, from, n, out); break;
    case ncclUint32: reduce_as<uint32_t>(c, d->op, from, n, out); break;
    case ncclInt64: reduce_as<int64_t>(c, d->op, from, n, out); break;
    case ncclUint64: reduce_as<uint64_t>(c, d->op, from, n, out); break;
    case ncclFloat32: reduce_as<float>(c, d->op, from, n, out); break;
    case ncclFloat64: reduce_as<double>(c, d->op, from, n, out); break;
    default: reduce_16(c, d->type, d->op, from, n, out); break;
  }
}

void run(void *data) {
  struct collective *k = (struct collective *)data;
  struct ncclComm *c = k->comm;
  struct segment *s = c->s;
  const struct doing *d = &k->d;
  size_t size = size_of(d->type), ranks = (size_t)c->ranks, rank = (size_t)c->rank;
  size_t in = d->call == REDUCE_SCATTER ? d->count * ranks : d->count, out = d->call == ALL_GATHER ? d->count * ranks : d->count;
  if (d->call != BROADCAST || d->root == c->rank) {
    op_access(k->send, in * size, in * size, 1, OP_READ, "what is sent");
  }
  op_access(k->recv, out * size, out * size, 1, OP_WRITE, "what is received");
  s->doing[rank] = *d;
  meet(c, call_name[d->call]);
  for (int r = 0; r < c->ranks; r++) {
    const struct doing *o = &s->doing[r];
    if (o->call != d->call || o->type != d->type || o->op != d->op || o->root != d->root || o->count != d->count) {
      fault_at(FAULT_USAGE, NULL, "rank %d calls %s of %zu values of type %d, rank %d calls %s of %zu values of type %d", c->rank, call_name[d->call], d->count,
               d->type, r, call_name[o->call], o->count, o->type);
    }
  }
  size_t each = CHUNK / size;
  for (size_t at = 0; at < in; at += each) {
    size_t n = in - at < each ? in - at : each;
    if (d->call != BROADCAST || d->root == c->rank) {
      memcpy(s->data[rank], (const char *)k->send + at * size, n * size);
    }
    meet(c, call_name[d->call]);
    if (d->call == ALL_REDUCE) {
      reduce(c, d, 0, n, (char *)k->recv + at * size);
    } else if (d->call == BROADCAST) {
      memmove((char *)k->recv + at * size, s->data[d->root], n * size);
    } else if (d->call == ALL_GATHER) {
      for (size_t r = 0; r < ranks; r++) {
        memcpy((char *)k->recv + (r * d->count + at) * size, s->data[r], n * size);
      }
    } else { // the part of this chunk that is this rank's
      size_t lo = rank * d->count, hi = lo + d->count, from = at > lo ? at : lo, to = at + n < hi ? at + n : hi;
      if (from < to) {
        reduce(c, d, from - at, to - from, (char *)k->recv + (from - lo) * size);
      }
    }
    meet(c, call_name[d->call]);
  }
}

ncclResult_t submit(ncclComm_t comm, cudaStream_t stream, const void *send, void *recv, struct doing d) {
  api_lock lock;
  if (!comm || d.type < 0 || d.type > ncclBfloat16 || d.root < 0 || d.root >= comm->ranks || d.op > ncclAvg) {
    snprintf(last_text, sizeof last_text, "%s: bad communicator, type, operation or root", call_name[d.call]);
    return ncclInvalidArgument;
  }
  if (may_fail()) {
    cudaGetLastError();
    return ncclUnhandledCudaError;
  }
  struct collective k = {comm, send, recv, d};
  struct work w = {call_name[d.call], NULL, 0, false, run, &k, sizeof k, NULL, 0};
  cudaStreamWaitEvent(stream, comm->last);
  if (enqueue(stream, &w)) {
    return ncclUnhandledCudaError;
  }
  cudaEventRecord(comm->last, stream);
  return ncclSuccess;
}

} // namespace

extern "C" {
ncclResult_t ncclGetVersion(int *version) {
  *version = NCCL_MAJOR * 10000 + NCCL_MINOR * 100;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
  static int calls;
  memset(id, 0, sizeof *id);
  snprintf(id->internal, sizeof id->internal, "/retort-cudasim-%d-%d-%lld", (int)getpid(), calls++, (long long)time(NULL));
  int fd = shm_open(id->internal, O_CREAT | O_EXCL | O_RDWR, 0600);
  if (fd < 0 || ftruncate(fd, sizeof(struct segment)) != 0) {
    snprintf(last_text, sizeof last_text, "shared memory '%s': %s", id->internal, strerror(errno));
    return ncclSystemError;
  }
  close(fd);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank) {
  api_lock lock;
  *comm = NULL;
  if (may_fail()) {
    cudaGetLastError();
    return ncclUnhandledCudaError;
  }
  if (ranks < 1 || ranks > MAX_RANKS || rank < 0 || rank >= ranks) {
    return ncclInvalidArgument;
  }
  int fd = shm_open(id.internal, O_RDWR, 0600);
  void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(struct segment), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) {
    snprintf(last_text, sizeof last_text, "shared memory '%s': %s", id.internal, strerror(errno));
    return ncclSystemError;
  }
  close(fd);
  struct ncclComm *c = new ncclComm();
  c->s = (struct segment *)p;
  c->rank = rank;
  c->ranks = ranks;
  meet(c, "ncclCommInitRank");
  if (rank == 0) {
    shm_unlink(id.internal);
  }
  cudaEventCreateWithFlags(&c->last, cudaEventDisableTiming);
  *comm = c;
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  api_lock lock;
  if (!comm) {
    return ncclInvalidArgument;
  }
  drain_all();
  cudaEventDestroy(comm->last);
  munmap(comm->s, sizeof(struct segment));
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) { return ncclCommDestroy(comm); }

ncclResult_t ncclCommCount(ncclComm_t comm, int *count) {
  *count = comm->ranks;
  return ncclSuccess;
}

ncclResult_t ncclCommUserRank(ncclComm_t comm, int *rank) {
  *rank = comm->rank;
  return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t, ncclResult_t *error) {
  *error = ncclSuccess;
  return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result) {
  static const char *const text[] = {"no error", "unhandled cuda error", "unhandled system error", "internal error", "invalid argument", "invalid usage",
                                     "remote process exited or there was a network error", "NCCL operation in progress"};
  return (unsigned)result < sizeof text / sizeof *text ? text[result] : "unknown result code";
}

const char *ncclGetLastError(ncclComm_t) { return last_text; }

ncclResult_t ncclAllReduce(const void *send, void *recv, size_t count, enum ncclDataType_t type, enum ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return submit(comm, stream, send, recv, {ALL_REDUCE, type, op, 0, count});
}

ncclResult_t ncclBroadcast(const void *send, void *recv, size_t count, enum ncclDataType_t type, int root, ncclComm_t comm, cudaStream_t stream) {
  return submit(comm, stream, send, recv, {BROADCAST, type, 0, root, count});
}

ncclResult_t ncclReduceScatter(const void *send, void *recv, size_t recv_count, enum ncclDataType_t type, enum ncclRedOp_t op, ncclComm_t comm,
                               cudaStream_t stream) {
  return submit(comm, stream, send, recv, {REDUCE_SCATTER, type, op, 0, recv_count});
}

ncclResult_t ncclAllGather(const void *send, void *recv, size_t send_count, enum ncclDataType_t type, ncclComm_t comm, cudaStream_t stream) {
  return submit(comm, stream, send, recv, {ALL_GATHER, type, 0, 0, send_count});
}

ncclResult_t ncclGroupStart(void) { return ncclSuccess; }
ncclResult_t ncclGroupEnd(void) { return ncclSuccess; }
}

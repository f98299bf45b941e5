// SPDX-License-Identifier: Apache-2.0
// Streams and events. Work is queued and runs later, on the thread of the host that waits for it: at once, as late as
// possible, or at random times (settings.order); streams that are not ordered are interleaved at random. Vector clocks say
// which operation is ordered before which, so that a missing event is found even when the order happened to be right.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <deque>
#include <string>

#include "sim.h"

using namespace cudasim;

struct CUevent_st {
  unsigned flags;
  bool recorded, dead;
  int pending;                  // recordings that have not run
  uint64_t vc[MAX_STREAMS];     // of the last recording
  double ms;
};
struct CUstream_st {
  uint32_t index;
};

namespace cudasim {

struct node {
  struct op op;
  op_function f;
  void *data;
  const void *reads;
  size_t reads_bytes;
};
struct stream {
  bool live, blocking;
  int device;
  uint64_t seq, done;           // queued, run
  uint64_t vc[MAX_STREAMS];     // of the last operation queued, and of events waited for
  std::deque<struct node *> queue;
  struct CUstream_st handle;
};
static struct stream streams[MAX_STREAMS]; // the first settings.devices are the devices' legacy streams
static uint64_t host_vc[MAX_STREAMS];      // what the host waited for
enum { OP_LIMIT = 1 << 20 };
struct past { uint32_t stream, line; uint64_t seq; const char *what, *file; };
static struct past *ops; // by number
static uint32_t next_op = 1;
static size_t queued;
const struct op *running;
static thread_local int device_now;
static thread_local cudaError_t error_now;
static struct random order_rng;

static void setup() {
  if (!ops) {
    ops = (struct past *)calloc(OP_LIMIT, sizeof *ops);
    order_rng = random_seeded(settings_get().seed, 7);
    for (int d = 0; d < settings_get().devices; d++) {
      streams[d].live = streams[d].blocking = true;
      streams[d].device = d;
      streams[d].handle.index = (uint32_t)d;
    }
  }
}

int current_device() { return device_now; }
void last_error(cudaError_t e) { error_now = e; }

cudaError_t may_fail() {
  static long calls;
  cudaError_t e = settings_get().devices == 0 ? cudaErrorNoDevice : ++calls == settings_get().fail_at ? cudaErrorUnknown : cudaSuccess;
  if (e) {
    error_now = e;
  }
  return e;
}

static void join(uint64_t *to, const uint64_t *from) {
  for (int i = 0; i < MAX_STREAMS; i++) {
    to[i] = from[i] > to[i] ? from[i] : to[i];
  }
}

static struct stream *stream_of(cudaStream_t handle) {
  setup();
  if (handle == NULL || handle == cudaStreamLegacy) {
    return &streams[device_now];
  }
  struct stream *s = &streams[handle->index];
  if (handle != &s->handle || !s->live) {
    fault_at(FAULT_USAGE, NULL, "a stream that was destroyed is used");
  }
  return s;
}

static bool ready(const struct stream *s) {
  if (s->queue.empty()) {
    return false;
  }
  const struct op *o = &s->queue.front()->op;
  for (uint32_t i = 0; i < MAX_STREAMS; i++) {
    if (i != o->stream && streams[i].done < o->vc[i]) {
      return false;
    }
  }
  return true;
}

static void run_front(struct stream *s) {
  struct node *n = s->queue.front();
  s->queue.pop_front();
  queued--;
  running = &n->op;
  if (n->f && !n->op.host) {
    device_open();
    n->f(n->data);
    device_close();
  } else if (n->f) {
    n->f(n->data);
  }
  running = NULL;
  s->done = n->op.seq;
  free(n->data);
  delete n;
}

// Runs one operation of any stream that is ready.
static bool run_some() {
  struct stream *able[MAX_STREAMS];
  uint32_t n = 0;
  for (int i = 0; i < MAX_STREAMS; i++) {
    if (ready(&streams[i])) {
      able[n++] = &streams[i];
    }
  }
  if (n) {
    run_front(able[random_below(&order_rng, n)]);
  }
  return n > 0;
}

static void run_up_to(const uint64_t *vc) {
  if (running) {
    fault_at(FAULT_USAGE, NULL, "a function of the host queued on a stream waits for the device");
  }
  for (int i = 0; i < MAX_STREAMS; i++) {
    while (streams[i].done < vc[i]) {
      if (!run_some()) {
        fault_at(FAULT_USAGE, NULL, "streams wait for each other for ever");
      }
    }
  }
}

static void run_until(const uint64_t *vc) {
  run_up_to(vc);
  join(host_vc, vc);
}

void drain_all() {
  setup();
  for (int i = 0; i < MAX_STREAMS; i++) {
    run_until(streams[i].vc);
  }
}

cudaError_t drain_stream(cudaStream_t handle) {
  run_until(stream_of(handle)->vc);
  return cudaSuccess;
}

cudaError_t enqueue(cudaStream_t handle, const struct work *w) {
  struct stream *s = stream_of(handle);
  struct node *n = new struct node();
  if (running) {
    fault_at(FAULT_USAGE, NULL, "a function of the host queued on a stream calls the runtime (%s)", w->what);
  }
  if (next_op == OP_LIMIT) {
    drain_all();
    memory_clear_stamps();
    next_op = 1;
  }
  n->f = w->f;
  n->data = malloc(w->bytes ? w->bytes : 1);
  if (w->bytes) {
    memcpy(n->data, w->data, w->bytes);
  }
  n->reads = w->reads;
  n->reads_bytes = w->reads_bytes;
  struct op *o = &n->op;
  o->id = next_op++;
  o->stream = (uint32_t)(s - streams);
  o->device = (uint32_t)s->device;
  o->what = w->what;
  o->file = w->file;
  o->line = w->line;
  o->host = w->host;
  join(s->vc, host_vc);
  bool legacy = (int)o->stream < settings_get().devices;
  for (int i = 0; legacy && i < MAX_STREAMS; i++) { // the legacy stream waits for the blocking ones of its device, and they for it
    if (streams[i].live && streams[i].blocking && streams[i].device == s->device) {
      join(s->vc, streams[i].vc);
    }
  }
  if (!legacy && s->blocking) {
    join(s->vc, streams[s->device].vc);
  }
  o->seq = s->vc[o->stream] = ++s->seq;
  memcpy(o->vc, s->vc, sizeof o->vc);
  ops[o->id] = {o->stream, (uint32_t)w->line, o->seq, w->what, w->file};
  s->queue.push_back(n);
  queued++;
  if (settings_get().order == 0) {
    run_up_to(s->vc); // run, but the host has not waited: the clocks stay those of real streams
  } else if (settings_get().order == 2 || queued > 4096) {
    for (uint32_t k = random_below(&order_rng, 4); (k > 1 || queued > 4096) && run_some(); k--) {
    }
  }
  return cudaSuccess;
}

bool op_before(uint32_t id, const struct op *now) { return id == 0 || now->vc[ops[id].stream] >= ops[id].seq; }

std::string op_describe(uint32_t id) {
  char text[512];
  const char *slash = ops[id].file ? strrchr(ops[id].file, '/') : NULL;
  snprintf(text, sizeof text, "%s (%s:%u)", ops[id].what, slash ? slash + 1 : ops[id].file ? ops[id].file : "?", ops[id].line);
  return text;
}

bool pending_on(const void *p, size_t bytes) {
  for (int i = 0; i < MAX_STREAMS; i++) {
    for (const struct node *n : streams[i].queue) {
      if ((uintptr_t)n->reads < (uintptr_t)p + bytes && (uintptr_t)p < (uintptr_t)n->reads + n->reads_bytes) {
        return true;
      }
    }
  }
  return false;
}

static double now_ms() {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void run_record(void *data) {
  struct CUevent_st *e = *(struct CUevent_st **)data;
  e->ms = now_ms();
  if (--e->pending == 0 && e->dead) {
    delete e;
  }
}

struct host_call { cudaHostFn_t f; void *data; };
static void run_host(void *data) {
  struct host_call *h = (struct host_call *)data;
  h->f(h->data);
}

} // namespace cudasim

static cudaError_t reply(cudaError_t e) {
  if (e) {
    last_error(e);
  }
  return e;
}

extern "C" {
cudaError_t cudaGetLastError(void) {
  cudaError_t e = error_now;
  error_now = cudaSuccess;
  return e;
}

cudaError_t cudaPeekAtLastError(void) { return error_now; }

cudaError_t cudaSetDevice(int device) {
  api_lock lock;
  if (cudaError_t e = may_fail()) {
    return e;
  }
  if (device < 0 || device >= settings_get().devices) {
    return reply(cudaErrorInvalidDevice);
  }
  device_now = device;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device) {
  *device = device_now;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void) {
  api_lock lock;
  if (cudaError_t e = may_fail()) {
    return e;
  }
  drain_all();
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int) {
  api_lock lock;
  if (cudaError_t e = may_fail()) {
    return e;
  }
  setup();
  for (int i = settings_get().devices; i < MAX_STREAMS; i++) {
    struct stream *s = &streams[i];
    if (!s->live) {
      s->live = true;
      s->blocking = !(flags & cudaStreamNonBlocking);
      s->device = device_now;
      s->handle.index = (uint32_t)i;
      *stream = &s->handle;
      return cudaSuccess;
    }
  }
  fault_at(FAULT_USAGE, NULL, "more than %d streams", MAX_STREAMS);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) { return cudaStreamCreateWithPriority(stream, flags, 0); }
cudaError_t cudaStreamCreate(cudaStream_t *stream) { return cudaStreamCreateWithPriority(stream, 0, 0); }

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  api_lock lock;
  if (!stream || stream == cudaStreamLegacy) {
    return reply(cudaErrorInvalidResourceHandle);
  }
  struct stream *s = stream_of(stream);
  run_until(s->vc);
  s->live = false;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  api_lock lock;
  if (cudaError_t e = may_fail()) {
    return e;
  }
  return drain_stream(stream);
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  api_lock lock;
  struct stream *s = stream_of(stream);
  run_some();
  if (s->done < s->seq) {
    return reply(cudaErrorNotReady);
  }
  join(host_vc, s->vc);
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
  api_lock lock;
  if (cudaError_t e = may_fail()) {
    return e;
  }
  *event = new CUevent_st();
  (*event)->flags = flags;
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event) { return cudaEventCreateWithFlags(event, 0); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  api_lock lock;
  if (!event) {
    return reply(cudaErrorInvalidResourceHandle);
  }
  event->dead = true;
  if (event->pending == 0) {
    delete event;
  }
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  api_lock lock;
  if (cudaError_t e = may_fail()) {
    return e;
  }
  setup();
  run_until(event->vc);
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  api_lock lock;
  setup();
  run_some();
  for (int i = 0; i < MAX_STREAMS; i++) {
    if (streams[i].done < event->vc[i]) {
      return reply(cudaErrorNotReady);
    }
  }
  join(host_vc, event->vc);
  return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end) {
  api_lock lock;
  if (!start->recorded || !end->recorded || ((start->flags | end->flags) & cudaEventDisableTiming)) {
    return reply(cudaErrorInvalidResourceHandle);
  }
  if (start->pending || end->pending) {
    return reply(cudaErrorNotReady);
  }
  *ms = (float)(end->ms - start->ms);
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t f, void *data) {
  api_lock lock;
  if (cudaError_t e = may_fail()) {
    return e;
  }
  struct host_call h = {f, data};
  struct work w = {"cudaLaunchHostFunc", NULL, 0, true, run_host, &h, sizeof h, NULL, 0};
  return enqueue(stream, &w);
}
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  api_lock lock;
  if (cudaError_t e = may_fail()) {
    return e;
  }
  struct stream *s = stream_of(stream);
  struct work w = {"cudaEventRecord", NULL, 0, true, run_record, &event, sizeof event, NULL, 0};
  event->recorded = true;
  event->pending++;
  cudaError_t e = enqueue(stream, &w);
  memcpy(event->vc, s->vc, sizeof event->vc);
  return e;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  api_lock lock;
  if (cudaError_t e = may_fail()) {
    return e;
  }
  join(stream_of(stream)->vc, event->vc);
  return cudaSuccess;
}

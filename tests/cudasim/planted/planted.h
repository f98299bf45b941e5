/* SPDX-License-Identifier: Apache-2.0
 * Planted bugs: kernels with one mistake each, and twins without it. A case is PLANTED(name, "fault") { ... if (BUG) ... }: the
 * driver (planted.cc) runs it in a process of its own under several seeds and orders, with BUG once true, once false. The
 * fault is the shim's word for it, or "wrong values" where the case itself has to notice (EXPECT). */
#ifndef CUDASIM_PLANTED_H
#define CUDASIM_PLANTED_H
#include <stdio.h>
#include <stdlib.h>

#include "launch.h"

struct planted {
  const char *name, *fault;
  void (*run)(bool bug);
  struct planted *next;
};
extern struct planted *planted_list;
struct planted_row {
  explicit planted_row(struct planted *p) { p->next = planted_list, planted_list = p; }
};
#define PLANTED(name, fault)                                                     \
  template <bool BUG> static void planted_##name();                              \
  static void run_##name(bool bug) {                                             \
    bug ? planted_##name<true>() : planted_##name<false>();                      \
    TRY(cudaDeviceSynchronize());                                                \
  }                                                                              \
  static struct planted case_##name = {#name, fault, run_##name, NULL};          \
  static struct planted_row row_##name(&case_##name);                            \
  template <bool BUG> static void planted_##name()

enum { EXIT_WRONG = 3, EXIT_ERROR = 4 };
#define TRY(call)                                                                              \
  do {                                                                                         \
    cudaError_t error_ = (call);                                                               \
    if (error_ != cudaSuccess) {                                                               \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorName(error_)); \
      exit(EXIT_ERROR);                                                                        \
    }                                                                                          \
  } while (0)
#define EXPECT(what)                                                       \
  do {                                                                     \
    if (!(what)) {                                                         \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);   \
      exit(EXIT_WRONG);                                                    \
    }                                                                      \
  } while (0)

/* n elements on the device, each set to its index. */
template <typename T> static inline T *device_ramp(int n) {
  T *host = static_cast<T *>(malloc(static_cast<size_t>(n) * sizeof *host)), *d;
  for (int i = 0; i < n; i++) {
    host[i] = static_cast<T>(i);
  }
  TRY(cudaMalloc(&d, static_cast<size_t>(n) * sizeof *d));
  TRY(cudaMemcpy(d, host, static_cast<size_t>(n) * sizeof *d, cudaMemcpyHostToDevice));
  free(host);
  return d;
}
template <typename T> static inline T device_at(const T *d, int i) {
  T v;
  TRY(cudaMemcpy(&v, d + i, sizeof v, cudaMemcpyDeviceToHost));
  return v;
}
#endif

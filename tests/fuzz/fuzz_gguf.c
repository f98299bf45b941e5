/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a GGUF file: refused with a message, or every accessor and every tensor can be used. */
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>
#include "fuzz_weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char path[64];
  int fd = memfd_create("fuzz", MFD_CLOEXEC);
  if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  use_weights(path);
  close(fd);
  return 0;
}

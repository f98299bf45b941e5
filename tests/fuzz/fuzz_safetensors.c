/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a safetensors file: refused with a message, or every tensor can be read. */
#include <stdint.h>
#include <unistd.h>
#include "fuzz_weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char path[64];
  snprintf(path, sizeof path, "fuzz-%ld.safetensors", (long)getpid());
  FILE *f = fopen(path, "wb");
  if (f == NULL || fwrite(data, 1, size, f) != size || fclose(f) != 0) abort();
  use_weights(path);
  (void)unlink(path);
  return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 * Shared by the tests of whole models on a device: opens the one that RETORT_CUDA's plugin gives (the execution shim, or a real
 * one under label gpu) and puts it in use. */
#ifndef TESTS_DEVICE_TEST_H
#define TESTS_DEVICE_TEST_H
#include "golden_file.h"
#include "device.h"

static struct device *the_device;

static inline void ok(enum status st, const struct err *e) {
  if (st != STATUS_OK) {
    fail_msg("%s: %s", status_name(st), e->msg);
  }
}

static inline int device_main(const struct CMUnitTest *tests, size_t n) {
  struct err e;
  const char *plugin = getenv("RETORT_CUDA");
  if (plugin == NULL || plugin[0] == '\0') {
    printf("skipped: RETORT_CUDA names no plugin\n");
    return 77;
  }
  if (device_open("cuda", "f32", &the_device, &e) != STATUS_OK) {
    printf("%s\n", e.msg);
    return 1;
  }
  printf("%s\n", the_device->said);
  int failed = _cmocka_run_group_tests("device", tests, n, NULL, NULL);
  device_use(NULL);
  device_close(the_device);
  return failed;
}
#endif

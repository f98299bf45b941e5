/* SPDX-License-Identifier: Apache-2.0
 * Where models live: the CPU, or a device behind a plugin (decision 15) opened by path beside the binary. A model takes the device
 * that is in use when it is opened; teacher and student may so be on two. Not thread safe: stages call it before they compute. */
#ifndef KERNELS_DEVICE_H
#define KERNELS_DEVICE_H
#include "err.h"
#include "kernel.h"

struct device {
  const struct kernels *k;
  struct kdev *d;              /* NULL for the CPU */
  const struct kernel_plugin *plugin; /* NULL for the CPU */
  struct kernels table;        /* the plugin's with this device's isa */
  struct kdev_about about;
  enum kdev_precision precision;
  size_t work_bytes;           /* scratch of each lane of a device */
  char contract[64];           /* "cuda-1-sm90", goes into identities as kernel_contract() does */
  char said[600];              /* which one it is and why: for the log */
};
/* spec: "cpu", "cuda" (under mpirun or srun the one of the rank's number on its machine), "cuda:N" or "auto" (a device when there is one, else the CPU; `said` tells why). STATUS_DEVICE when the one asked
 * for is not there: never another one instead. precision: "f32", "tf32" or "bf16". The device stays open until device_close. */
MUST_USE enum status device_open(const char *spec, const char *precision, struct device **out, struct err *e);
void device_close(struct device *dev); /* after everything on it was freed; accepts NULL and the CPU */
/* For models opened from now on; NULL = the CPU, as in the beginning. */
void device_use(const struct device *dev);
const struct device *device_in_use(void); /* never NULL */

/* Zeroed memory of the device; the message of a failure names what it was for and what is left. */
MUST_USE enum status device_block(const struct device *dev, size_t bytes, const char *what, void **p, struct err *e);
void device_block_free(const struct device *dev, void *p, size_t bytes); /* accepts NULL */
/* Waits; STATUS_DEVICE with file, line and call when one failed since the device was opened. */
MUST_USE enum status device_check(const struct device *dev, struct err *e);

/* Rows of an option table, for stages with a struct device_options `f`; device_start opens what they name and puts it in use, saying
 * in the log which one (before the first model is opened). */
struct device_options { const char *device, *precision; };
#define DEVICE_OPTION_ROWS(stru, f)                                                                                            \
  OPT_ROW(stru, f.device, "device", 0, OPT_STR, "cpu", NULL, "NAME", "cpu, cuda, cuda:N, or auto: a device when there is one"), \
  OPT_ROW(stru, f.precision, "precision", 0, OPT_ENUM, "f32", "f32|tf32|bf16", NULL, "of matrix products on a device")
MUST_USE enum status device_start(const struct device_options *o, struct device **out, struct err *e);
#endif

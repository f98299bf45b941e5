/* SPDX-License-Identifier: Apache-2.0
 * Devices and their plugins (device.h). */
#include "device.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"
#include "ranks.h"

#define PLUGIN "retort-cuda.so"

typedef const struct kernel_plugin *(*plugin_entry)(void);

static struct device cpu_device;
static const struct device *in_use;

static const struct device *the_cpu(void) {
  cpu_device.k = kernels_cpu();
  return &cpu_device;
}

void device_use(const struct device *dev) { in_use = dev; }

const struct device *device_in_use(void) { return in_use != NULL ? in_use : the_cpu(); }

const char *kernel_contract(void) {
  static _Thread_local char text[64];
  if (device_in_use()->d != NULL) {
    return device_in_use()->contract;
  }
  snprintf(text, sizeof text, "%s-%d-%s", kernels_cpu()->name, KERNEL_CONTRACT, kernels_cpu()->isa);
  return text;
}

/* RETORT_CUDA, else the file beside the binary. */
static enum status plugin_path(char *path, size_t n, struct err *e) {
  const char *own = getenv("RETORT_CUDA");
  if (own != NULL && own[0] != '\0') {
    snprintf(path, n, "%s", own);
    return STATUS_OK;
  }
  ssize_t len = readlink("/proc/self/exe", path, n - sizeof PLUGIN - 1);
  if (len < 0) {
    return err_sys(e, STATUS_DEVICE, "where this program lies is not known, so its plugin '" PLUGIN "' is not either; name it in RETORT_CUDA");
  }
  path[len] = '\0';
  char *slash = strrchr(path, '/');
  snprintf(slash != NULL ? slash + 1 : path, sizeof PLUGIN, PLUGIN);
  return STATUS_OK;
}

/* Stays loaded to the end of the process: CUDA's libraries do not like to be unloaded. */
static enum status plugin_load(const struct kernel_plugin **out, struct err *e) {
  char path[4096];
  enum status st = plugin_path(path, sizeof path, e);
  if (st != STATUS_OK) {
    return st;
  }
  if (access(path, R_OK) != 0) {
    return err_sys(e, STATUS_DEVICE, "the plugin '%s' cannot be read (build retort where nvcc 12.8 or later is, or name one in RETORT_CUDA)", path);
  }
  void *so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (so == NULL) {
    return err_set(e, STATUS_DEVICE, "the plugin '%s' cannot be loaded: %s; put the named library where the loader finds it", path, dlerror());
  }
  union { void *p; plugin_entry f; } entry = {dlsym(so, "retort_plugin")};
  const struct kernel_plugin *p = entry.p != NULL ? entry.f() : NULL;
  if (p == NULL || p->abi != KERNEL_ABI || strcmp(p->build, RETORT_KERNEL_BUILD) != 0) {
    return err_set(e, STATUS_DEVICE, "the plugin '%s' is of another build (ABI %u, headers %s), this program needs ABI %d, headers %s; build both together",
                   path, p != NULL ? p->abi : 0, p != NULL && p->abi == KERNEL_ABI ? p->build : "unknown", KERNEL_ABI, RETORT_KERNEL_BUILD);
  }
  *out = p;
  return STATUS_OK;
}

/* "cuda" and "auto" take the first device; "cuda:N" the Nth. */
static enum status spec_index(const char *spec, int *index, struct err *e) {
  char *end = NULL;
  *index = 0;
  if (strcmp(spec, "cuda") == 0 || strcmp(spec, "auto") == 0) {
    return STATUS_OK;
  }
  unsigned long n = strncmp(spec, "cuda:", 5) == 0 && spec[5] >= '0' && spec[5] <= '9' ? strtoul(spec + 5, &end, 10) : 1000000;
  if (n > 9999 || end == NULL || *end != '\0') {
    return err_set(e, STATUS_USAGE, "device '%s' is not known, expected cpu, cuda, cuda:N or auto", spec);
  }
  *index = (int)n;
  return STATUS_OK;
}

static enum status open_cuda(const char *spec, struct device *dev, struct err *e) {
  char why[800] = "";
  int index = 0;
  enum status st = STATUS_OK;
  struct kdev_options o = {.precision = dev->precision};
  TRY(spec_index(spec, &index, e));
  TRY(plugin_load(&dev->plugin, e));
  const char *work = getenv("RETORT_CUDA_WORK"); /* tests: a scratch so small that attention needs several blocks */
  dev->work_bytes = o.work_bytes = work != NULL ? (size_t)strtoul(work, NULL, 10) : (size_t)256 << 20;
  struct ranks ranks;
  static const char *const suffix[] = {[KDEV_F32] = "", [KDEV_TF32] = "-tf32", [KDEV_BF16] = "-bf16"};
  TRY(ranks_find(&ranks, e));
  int n = dev->plugin->count(why, sizeof why);
  if (ranks.n > 1 && n > 0 && strchr(spec, ':') == NULL) {
    index = ranks.local % n;
  }
  if (index >= n) {
    st = n == 0 ? err_set(e, STATUS_DEVICE, "device '%s': %s", spec, why)
                : err_set(e, STATUS_DEVICE, "device '%s' is not there, this machine has %d (cuda:0 to cuda:%d)", spec, n, n - 1);
    goto out;
  }
  dev->d = dev->plugin->open(index, &o, why, sizeof why);
  if (dev->d == NULL) {
    st = err_set(e, STATUS_DEVICE, "device '%s' cannot be opened: %s", spec, why);
    goto out;
  }
  dev->plugin->describe(dev->d, &dev->about);
  dev->table = *dev->plugin->table;
  dev->table.isa = dev->about.isa;
  dev->k = &dev->table;
  snprintf(dev->contract, sizeof dev->contract, "%s-%d-%s%s", dev->k->name, KERNEL_CONTRACT, dev->k->isa, suffix[dev->precision]);
  snprintf(dev->said, sizeof dev->said, "device cuda:%d, %s, %.1f of %.1f GB free", index, dev->about.name, (double)dev->about.free_bytes / 1e9,
           (double)dev->about.memory_bytes / 1e9);
  st = device_check(dev, e);
out:
  return st;
}

enum status device_open(const char *spec, const char *precision, struct device **out, struct err *e) {
  struct device *dev = mem_calloc(1, sizeof *dev);
  enum status st = STATUS_OK;
  struct err why;
  *out = NULL;
  if (dev == NULL) {
    return err_nomem(e, sizeof *dev);
  }
  dev->precision = precision == NULL || strcmp(precision, "f32") == 0 ? KDEV_F32 : strcmp(precision, "tf32") == 0 ? KDEV_TF32 : KDEV_BF16;
  dev->k = kernels_cpu();
  if (strcmp(spec, "cpu") == 0) {
    snprintf(dev->said, sizeof dev->said, "device cpu");
  } else if (strcmp(spec, "auto") == 0) {
    if (open_cuda(spec, dev, &why) != STATUS_OK) {
      struct device plain = {.k = kernels_cpu(), .precision = dev->precision};
      snprintf(plain.said, sizeof plain.said, "device cpu, because %.560s", why.msg);
      *dev = plain;
    }
  } else {
    st = open_cuda(spec, dev, e);
  }
  if (st != STATUS_OK) {
    device_close(dev);
    return st;
  }
  *out = dev;
  return STATUS_OK;
}

enum status device_start(const struct device_options *o, struct device **out, struct err *e) {
  enum status st = device_open(o->device != NULL ? o->device : "cpu", o->precision, out, e);
  if (st == STATUS_OK) {
    device_use(*out);
    if (o->device != NULL && strcmp(o->device, "cpu") != 0) {
      log_info("%s", (*out)->said);
    }
  }
  return st;
}

void device_close(struct device *dev) {
  if (dev == NULL) {
    return;
  }
  if (in_use == dev) {
    in_use = NULL;
  }
  if (dev->d != NULL) {
    dev->plugin->close(dev->d);
  }
  mem_free(dev);
}

enum status device_block(const struct device *dev, size_t bytes, const char *what, void **p, struct err *e) {
  *p = dev->k->block_new(dev->d, bytes);
  if (*p != NULL) {
    return STATUS_OK;
  }
  enum status st = device_check(dev, e);
  if (st != STATUS_OK || !dev->k->on_device) {
    return st != STATUS_OK ? st : err_nomem(e, bytes);
  }
  struct kdev_about now = dev->about;
  dev->plugin->describe(dev->d, &now);
  return err_set(e, STATUS_DEVICE, "%s need %.2f GB on the device, %.2f of its %.2f GB are free; lower --micro-tokens, or use --recompute", what,
                 (double)bytes / 1e9, (double)now.free_bytes / 1e9, (double)now.memory_bytes / 1e9);
}

void device_block_free(const struct device *dev, void *p, size_t bytes) {
  if (p != NULL) {
    dev->k->block_free(dev->d, p, bytes);
  }
}

enum status device_check(const struct device *dev, struct err *e) {
  const char *why = dev->k->failed(dev->d);
  return why == NULL ? STATUS_OK : err_set(e, STATUS_DEVICE, "%s", why);
}

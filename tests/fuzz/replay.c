/* SPDX-License-Identifier: Apache-2.0
 * Driver of the fuzz targets without libFuzzer: replays every seed file of the given folders, then a fixed number of
 * seeded mutations (bit flips, cuts, insertions, splices) of each. A crash, a sanitizer report or a hang fails the test. */
#include <dirent.h>
#include <stdint.h>
#include <sys/stat.h>
#include "hash.h"
#include "rng.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned char *slurp(const char *path, size_t *n) {
  FILE *f = fopen(path, "rb");
  if (!f) return NULL;
  unsigned char *p = NULL;
  if (fseek(f, 0, SEEK_END) == 0) {
    long len = ftell(f);
    rewind(f);
    if (len >= 0 && (p = malloc((size_t)len + 1)) != NULL) *n = fread(p, 1, (size_t)len, f);
  }
  fclose(f);
  return p;
}

static size_t mutate(const unsigned char *src, size_t n, struct rng *r, unsigned char *dst, size_t cap) {
  if (n > cap - 64) n = cap - 64;
  memcpy(dst, src, n);
  uint64_t times = 1 + rng_below(r, 4);
  for (uint64_t t = 0; t < times && n > 0; t++) {
    size_t at = (size_t)rng_below(r, n);
    switch (rng_below(r, 6)) {
      case 0: dst[at] ^= (unsigned char)(1u << rng_below(r, 8)); break;
      case 1: dst[at] = (unsigned char)rng_below(r, 256); break;
      case 2: n = at; break;
      case 3: { size_t k = 1 + (size_t)rng_below(r, 8); if (n + k < cap) { memmove(dst + at + k, dst + at, n - at); memset(dst + at, (int)rng_below(r, 256), k); n += k; } break; }
      case 4: { size_t k = 1 + (size_t)rng_below(r, 16); if (at + k < n) { memmove(dst + at, dst + at + k, n - at - k); n -= k; } break; }
      default: { size_t k = 1 + (size_t)rng_below(r, 8), to = (size_t)rng_below(r, n); if (at + k < n && to + k < n) memmove(dst + to, dst + at, k); break; }
    }
  }
  return n;
}

int main(int argc, char **argv) {
  uint64_t seeds = 0, runs = 0;
  const char *many = getenv("FUZZ_MUTATIONS");
  uint64_t per_seed = many ? strtoull(many, NULL, 10) : 200;
  for (int a = 1; a < argc; a++) {
    DIR *d = opendir(argv[a]);
    if (!d) { fprintf(stderr, "'%s': cannot open the seed folder\n", argv[a]); return 1; }
    struct dirent *ent;
    while ((ent = readdir(d)) != NULL) {
      if (ent->d_name[0] == '.') continue;
      char path[4096];
      snprintf(path, sizeof path, "%s/%s", argv[a], ent->d_name);
      size_t n = 0;
      unsigned char *p = slurp(path, &n);
      if (!p) continue;
      LLVMFuzzerTestOneInput(p, n);
      seeds++, runs++;
      size_t cap = n + 4096;
      struct rng r = { 1, xxh3(ent->d_name, strlen(ent->d_name)), 0 };
      unsigned char *m = malloc(cap);
      for (uint64_t i = 0; m && i < per_seed; i++, runs++) {
        size_t k = mutate(p, n, &r, m, cap);
        unsigned char *exact = malloc(k ? k : 1); /* exact size, so that a read past the end is seen */
        memcpy(exact, m, k);
        LLVMFuzzerTestOneInput(exact, k);
        free(exact);
      }
      free(m);
      free(p);
    }
    closedir(d);
  }
  printf("%llu seeds, %llu runs\n", (unsigned long long)seeds, (unsigned long long)runs);
  return seeds ? 0 : 1;
}

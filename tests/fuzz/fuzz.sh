#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Long fuzzing with libFuzzer (not part of make check, which replays the seeds): make fuzz [SECONDS_EACH=60] [TARGET=name]
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${SECONDS_EACH:-60}
tools/setup.sh check
tools/build.sh build/asan clang -DRETORT_TESTS=ON -DRETORT_SANITIZE=ON
flags=$(sed -n 's/^ *"command": "[^ ]* \(.*\) -o .*core\/err.c".*/\1/p;' build/asan/compile_commands.json | head -1)
libs=$(pkg-config --libs libcurl jansson libzstd libpcre2-8 sqlite3 libcrypto libxxhash yaml-0.1 libarchive gumbo libutf8proc)
for source in tests/fuzz/fuzz_*.c; do
  name=$(basename "$source" .c)
  [ -z "${TARGET:-}" ] || [ "$TARGET" = "$name" ] || continue
  # shellcheck disable=SC2086
  clang $flags -fsanitize=fuzzer,address,undefined "$source" -o "build/asan/$name-libfuzzer" build/asan/libretortlib.a $libs -lpthread -lm -ldl
  mkdir -p "build/fuzz/$name"
  echo "fuzz: $name, $seconds s"
  "build/asan/$name-libfuzzer" -max_total_time="$seconds" -rss_limit_mb=4096 -timeout=20 "build/fuzz/$name" "tests/fuzz/seeds/$name"
done

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Bytes and divergence of stored targets beside DistillKit's format, on the same logits of SmolLM2 over licence texts.
# usage: targets.sh [TOKENS]   environment: RETORT_CACHE (make data), BUILD (build tree with the tests, default build/gcc-test)
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${BUILD:-$root/build/gcc-test} cache=${RETORT_CACHE:-$root/build/cache} tokens=${1:-8192}
model=$cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
cmake --build "$build" --target bench_targets retort >/dev/null
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
# every 97th licence, until there are enough tokens
find "$cache/scancode/licenses" -name '*.LICENSE' | LC_ALL=C sort | awk 'NR % 97 == 1' | while read -r f; do
  python3 -c 'import json, sys; print(json.dumps({"id": sys.argv[1], "text": open(sys.argv[1], errors="replace").read()}))' "$f"
done | "$build/retort" tokenize "$model" | python3 -c '
import json, struct, sys
ids = [i for line in sys.stdin for i in json.loads(line)["ids"]][:int(sys.argv[1])]
sys.stdout.buffer.write(struct.pack(f"<{len(ids)}i", *ids))' "$tokens" >"$work/ids"
"$build/tests/bench_targets" "$model" "$work/ids" 50

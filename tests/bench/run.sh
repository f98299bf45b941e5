#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# make bench: every measurement one after the other, peers beside where they can be installed (build/venv). Long (about half
# an hour); each script stands alone too. docs/performance.md says how to read them.
set -uo pipefail
cd "$(dirname "$0")/../.."
export RETORT_CACHE=${RETORT_CACHE:-$PWD/build/cache}
export RETORT=$PWD/build/gcc/retort
bad=0
for script in teacher.sh targets.sh augment_label.sh train.sh; do
  [ -f "tests/bench/$script" ] || continue
  printf '\n== %s\n' "$script"
  bash "tests/bench/$script" || bad=1
done
exit $bad

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every test: lint; gcc build with all tests; clang build under AddressSanitizer and UBSan with the tests that fit there.
# Ends with "N passed, N failed, N skipped". Stops at the first part that fails to build; a failing test lets the other parts run.
set -uo pipefail
cd "$(dirname "$0")/.."
export RETORT_CACHE=${RETORT_CACHE:-$PWD/build/cache}
passed=0 failed=0 skipped=0
part() { printf '\n== %s (%s)\n' "$1" "$(date +%H:%M:%S)"; }
die() { echo "check: $1"; echo "$passed passed, $((failed + 1)) failed"; exit 1; }

run_ctest() { # FOLDER NAME ctest-args...
  local folder=$1 name=$2 log="$1/ctest-$2.log"
  shift 2
  (cd "$folder" && ctest --output-on-failure -j "${CTEST_JOBS:-2}" --timeout 900 "$@") | tee "$log"
  local total bad idle
  bad=$(sed -n 's/.*tests passed, \([0-9]*\) tests failed out of \([0-9]*\).*/\1/p' "$log" | tail -1)
  total=$(sed -n 's/.*tests passed, \([0-9]*\) tests failed out of \([0-9]*\).*/\2/p' "$log" | tail -1)
  [ -n "$total" ] || die "$name ran no test"
  idle=$(grep -cE '^[[:space:]]+[0-9]+ - .*\(Skipped\)' "$log") # each with its reason above; ctest counts them as passed
  passed=$((passed + total - bad - idle)) failed=$((failed + bad)) skipped=$((skipped + idle))
}

part "data"
tools/data.sh teacher documents tokenizers languages || die "test data is missing"
part "lint"
if tests/lint.sh; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
part "gcc build"
tools/build.sh build/gcc-test gcc -DRETORT_TESTS=ON -DRETORT_TEST_DATA="$RETORT_CACHE" || die "gcc build"
part "unit, golden, fuzz seeds, pipe, net, fault"
run_ctest build/gcc-test all
part "clang build with sanitizers"
tools/build.sh build/asan clang -DRETORT_TESTS=ON -DRETORT_SANITIZE=ON -DRETORT_TEST_DATA="$RETORT_CACHE" || die "sanitizer build"
part "sanitizers"
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
run_ctest build/asan sanitizers -L 'unit|golden|fuzz|pipe|cudasim' -LE slow
part "CUDA sources"
tests/cuda/compile.sh build/cuda
case $? in
  0) passed=$((passed + 1)) ;;
  77) if [ "${CI:-}" = true ]; then echo "check: on CI a missing nvcc is a failure"; failed=$((failed + 1)); else skipped=$((skipped + 1)); fi ;;
  *) failed=$((failed + 1)) ;;
esac
part "done"
echo "$passed passed, $failed failed$([ "$skipped" = 0 ] || echo ", $skipped skipped")"
[ "$failed" = 0 ]

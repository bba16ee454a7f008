# Everything is installed into .venv; nothing but Python 3.11 (or newer) and make is needed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
SOURCES := actors hub tests

.DEFAULT_GOAL := help

.PHONY: help
help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.installed: requirements/dev.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: setup
setup: .venv/.installed ## install into .venv, pinned by version and hash

.PHONY: run
run: setup ## start the hub on its embedded Valkey in development mode, and print how to try it
	@$(BIN)/hub serve --dev

.PHONY: demo
demo: setup ## show a desktop and a phone talking through the running hub
	@$(BIN)/hub demo

# What Python compiles it keeps, whatever the environment says: the tests start the hub more than a hundred times.
.PHONY: test
test: setup ## run the whole test suite
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: check
check: setup ## format, lint, types, layers
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/yamllint --strict deploy

.PHONY: format
format: setup ## rewrite the sources in the project's format
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

.PHONY: bench
bench: setup ## measure the hub (and the peers in PEERS=FOLDER, if given) in one run
	$(BIN)/python -m tests.bench $(if $(PEERS),--peers $(PEERS))

.PHONY: chaos
chaos: setup ## kill, pause and cut off nodes and Redis under traffic; MINUTES=10, SEED=N repeats a run
	$(BIN)/python -m tests.chaos $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

.PHONY: conformance
conformance: setup ## all 301 Autobahn cases of groups 1 to 10 against the hub's own transport
	$(BIN)/python -m tests.conformance

.PHONY: lock
lock: setup ## pin the newest allowed versions into requirements/*.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		pyproject.toml -o requirements/run.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		pyproject.toml --group dev -o requirements/dev.lock

.PHONY: clean
clean: ## remove what setup and the tests made (not data/)
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache reports

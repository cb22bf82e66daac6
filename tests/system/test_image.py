"""The image: built by a real engine, run as strangers run it, asked for a prediction."""

import http.client
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.runtime.conftest import export_forest
from tests.serving import Connection, wait_until

pytestmark = pytest.mark.system

ROOT = Path(__file__).parent.parent.parent
IMAGE = "tickline:test"
HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


def docker(*arguments: str) -> str:
    """Run a Docker command and return what it prints."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image() -> str:
    """The image of this checkout."""
    docker("build", "--network", "host", "--tag", IMAGE, str(ROOT))
    return IMAGE


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that any user may read."""
    folder = tmp_path_factory.mktemp("models")
    export_forest(folder / "model.onnx", "1.0.0")
    folder.chmod(0o755)
    (folder / "model.onnx").chmod(0o644)
    for parent in list(folder.parents)[:2]:
        parent.chmod(0o755)
    return folder


@contextmanager
def container(image: str, models: Path, *options: str) -> Iterator[tuple[str, int]]:
    """Run a container on a loopback port of its own; yield its name and the port."""
    mount = f"type=bind,source={models},target=/models,readonly"
    name = docker("run", "--detach", "--publish", "127.0.0.1::5000", "--mount", mount, *options, image)
    try:
        yield name, int(docker("port", name, "5000/tcp").rpartition(":")[2])
    finally:
        docker("rm", "--force", name)


def wait_until_healthy(name: str) -> None:
    """Wait for the image's own health check."""

    def healthy() -> bool:
        state, health = docker("inspect", "--format", "{{.State.Status}} {{.State.Health.Status}}", name).split()
        assert state == "running", docker("logs", name)
        return health == "healthy"

    wait_until(healthy, "the container is healthy")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_predicts_hardened_and_non_root(image: str, models: Path, workers: str) -> None:
    with container(image, models, *HARDENED, "--env", f"WORKERS={workers}") as (name, port):
        wait_until_healthy(name)
        connection = Connection(port)
        reply = connection.post("/predict", {"features": [0.5] * 22})
        assert reply.status == 200
        assert reply.json()["prediction_label"] in ("UP", "DOWN")
        batch = connection.post("/predict/batch", {"features": [[0.5] * 22] * 1000})
        assert batch.json()["count"] == 1000
        # Without a token /reload answers loopback only, and a published port is not the container's loopback.
        assert connection.post("/reload", b"").status == 403
        connection.close()
        assert docker("exec", name, "id", "-u") == "10001"
        docker("stop", "--time", "20", name)
        assert docker("inspect", "--format", "{{.State.ExitCode}}", name) == "0"


def test_the_health_check_tells_a_server_that_is_not_ready(image: str, models: Path) -> None:
    check = ("python", "/opt/tickline/bin/healthcheck.py")
    done = subprocess.run(
        ["docker", "run", "--rm", "--entrypoint", check[0], image, *check[1:]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "not ready" in done.stderr


def test_it_holds_nothing_that_trains(image: str) -> None:
    modules = ["sklearn", "pandas", "scipy", "onnx", "skl2onnx", "joblib", "numba", "llvmlite", "training", "export"]
    code = f"import importlib.util, json; print(json.dumps([m for m in {modules} if importlib.util.find_spec(m)]))"
    assert json.loads(docker("run", "--rm", "--entrypoint", "python", image, "-c", code)) == []


def test_its_kernels_were_built_ahead_of_time(image: str) -> None:
    code = "import features_fast, runtime.codec; print(features_fast.backend(), runtime.codec.BACKEND, sep=chr(10))"
    features, codec = docker("run", "--rm", "--entrypoint", "python", image, "-c", code).splitlines()
    assert features.startswith("ahead of time")
    assert codec.startswith("ahead of time")


def test_a_missing_model_is_one_clear_line(image: str) -> None:
    done = subprocess.run(["docker", "run", "--rm", image], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("tickline: /models/model.onnx: no model file")
    assert done.stderr.count("\n") == 1


def test_the_container_refuses_a_broken_row(image: str, models: Path) -> None:
    with container(image, models, *HARDENED) as (name, port):
        wait_until_healthy(name)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("POST", "/predict", b'{"features":[NaN]}', {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 422
        assert json.loads(response.read())["field"] == "features[0]"
        connection.close()


def test_the_dockerfile_has_no_lint() -> None:
    done = subprocess.run(
        [ROOT / ".venv-system" / "bin" / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

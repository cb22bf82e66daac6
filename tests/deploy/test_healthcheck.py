"""The image's health check: against servers as settings make them, and against none."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.conftest import export_forest
from tests.serving import free_port, running_server, self_signed

CHECK = Path(__file__).parent.parent.parent / "deploy" / "healthcheck.py"


def check(**settings: str) -> "subprocess.CompletedProcess[str]":
    """Run the check as the image does, in an environment of these settings alone."""
    command = [sys.executable, "-I", "-S", str(CHECK)]
    return subprocess.run(command, env=settings, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    export_forest(path, "1.0.0")
    return path


@pytest.mark.parametrize(("host", "secure"), [("127.0.0.1", False), ("0.0.0.0", True), ("::", False)])
def test_a_ready_server_is_healthy_over_tls_and_wherever_it_listens(
    host: str, secure: bool, model: Path, tmp_path: Path
) -> None:
    certificate, key = self_signed(tmp_path)
    tls = {"TLS_CERT_FILE": str(certificate), "TLS_KEY_FILE": str(key)} if secure else {}
    with running_server(model, HOST=host, **tls) as server:
        done = check(HOST=host, PORT=str(server.port), **tls)
        assert (done.returncode, done.stderr) == (0, "")
        if host == "0.0.0.0":
            assert check(PORT=str(server.port), **tls).returncode == 0


def test_no_server_is_one_line() -> None:
    for tls in ({}, {"TLS_CERT_FILE": "/x"}):
        done = check(PORT=str(free_port()), **tls)
        assert done.returncode == 1
        assert done.stderr.startswith("not ready: ")
        assert done.stderr.count("\n") == 1

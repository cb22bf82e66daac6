"""docs/inference-protocol.md stays true: its examples run against a real server."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.conftest import export_forest
from tests.serving import free_port, running_server

PAGE = Path(__file__).parent.parent.joinpath("docs", "inference-protocol.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses on the page, and those of a server that listens elsewhere."""
    path, port = tmp_path_factory.mktemp("page") / "model.onnx", free_port()
    export_forest(path, "1.0.0")
    with running_server(path, GRPC_PORT=str(port)) as running:
        yield {"localhost:5000": f"127.0.0.1:{running.port}", "localhost:5050": f"127.0.0.1:{port}"}


def redirected(text: str, ports: dict[str, str]) -> str:
    """Return an example for the server of the test."""
    for shown, real in ports.items():
        text = text.replace(shown, real)
    return text


def test_the_curl_example_is_answered(ports: dict[str, str]) -> None:
    (command,) = [text for language, text in BLOCKS if language == "bash" and text.startswith("curl")]
    arguments = [*shlex.split(redirected(command, ports)), "--fail-with-body"]
    reply = json.loads(subprocess.run(arguments, check=True, capture_output=True).stdout)
    assert reply["id"] == "42"
    assert [output["name"] for output in reply["outputs"]] == ["label", "probabilities"]


@pytest.mark.parametrize("example", PYTHON, ids=["http", "grpc"])
def test_the_python_examples_print_labels(ports: dict[str, str], example: str) -> None:
    command = [sys.executable, "-W", "error", "-c", redirected(example, ports)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "UP" in printed or "DOWN" in printed

"""The examples of docs/batches.md run, and its names are those of the server."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.batch_endpoint import BODY_TYPES, REPLY_TYPES
from tests.runtime.conftest import export_forest
from tests.serving import RunningServer, running_server

PAGE = (Path(__file__).parent.parent / "docs" / "batches.md").read_text()
BLOCKS = dict(re.findall(r"```(bash|python)\n(.*?)```", PAGE, re.DOTALL)[:2])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    path = tmp_path_factory.mktemp("page") / "model.onnx"
    export_forest(path, "1.0.0")
    with running_server(path) as running:
        yield running


def local(server: RunningServer, text: str) -> str:
    return text.replace("http://localhost:5000", f"http://127.0.0.1:{server.port}")


def test_the_curl_examples_show_both_ways_with_a_bad_row(server: RunningServer, tmp_path: Path) -> None:
    command = [
        "bash",
        "-euo",
        "pipefail",
        "-c",
        local(server, BLOCKS["bash"].replace("batch.json\n", "batch.json; echo\n")),
    ]
    answers = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.splitlines()
    in_place, whole = map(json.loads, answers)
    assert in_place["errors"] == 1
    assert in_place["predictions"][1]["error"]["field"] == whole["field"] == "features[1]"
    assert whole["status"] == 422


def test_the_python_example_prints_probabilities(server: RunningServer) -> None:
    command = [sys.executable, "-c", local(server, BLOCKS["python"])]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.split("\n")[0] == "(10000, 2) float32"


@pytest.mark.parametrize("kind", sorted({*BODY_TYPES, *REPLY_TYPES}))
def test_every_media_type_is_described(kind: str) -> None:
    assert f"`{kind}`" in PAGE

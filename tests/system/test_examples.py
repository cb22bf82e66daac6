"""The load of docs/examples, by wrk itself."""

import re
from pathlib import Path

import pytest

from tests.runtime.conftest import export_forest
from tests.serving import running_server
from tests.system.containers import run

pytestmark = pytest.mark.system


def test_wrk_is_answered_by_predictions_alone(tmp_path: Path) -> None:
    export_forest(tmp_path / "model.onnx", "1.0.0")
    with running_server(tmp_path) as server:
        options = ("--threads", "1", "--connections", "2", "--duration", "1s", "--script", "docs/examples/predict.lua")
        said = run("wrk", *options, f"http://127.0.0.1:{server.port}")
        predicted = server.request("GET", "/metrics").body.decode()
    found = re.search(r"^(\d+) predictions a second, p99 \d+\.\d{3} ms, 0 not answered by 200$", said, re.MULTILINE)
    assert found, said
    assert int(found[1]) > 0
    assert sum(map(float, re.findall(r"^predictions_total\{.*\} (\S+)$", predicted, re.MULTILINE))) > 0

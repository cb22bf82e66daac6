"""docs/reloads.md: its commands run, and its names are those of the server."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.recent_rows import MOST_BYTES, MOST_OF_A_CALL, SAMPLE_SECONDS
from runtime.settings import SETTINGS
from tests.runtime.conftest import export_forest
from tests.serving import RunningServer, running_server

PAGE = (Path(__file__).parent.parent / "docs" / "reloads.md").read_text()
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    path = tmp_path_factory.mktemp("page") / "model.onnx"
    export_forest(path, "1.0.0", seed=1)
    with running_server(path) as running:
        export_forest(path, "1.1.0")
        assert running.request("POST", "/reload", b"").status == 200  # so that there is a way back
        yield running


def names(value: Any) -> Any:
    """Return the names in a document, without its values."""
    return {name: names(item) for name, item in value.items()} if isinstance(value, dict) else None


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run_and_replies_have_the_form_that_is_shown(command: str, server: RunningServer) -> None:
    local = command.replace("http://localhost:5000", f"http://127.0.0.1:{server.port}").replace("curl", "curl -sf")
    reply = subprocess.run(["bash", "-c", local], check=True, capture_output=True).stdout
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert names(json.loads(reply)) == names(json.loads(example))


def test_metrics_are_those_that_are_named(server: RunningServer) -> None:
    assert server.request("POST", "/reload", b"").status == 200
    text = server.request("GET", "/metrics").body.decode()
    named = set(re.findall(r"`(model_reload_\w+)`", PAGE))
    assert named == set(re.findall(r"^(model_reload_\w+)", text, re.MULTILINE))
    assert {'sample="golden"', 'sample="recent"'} <= set(re.findall(r"`(sample=[^`]*)`", PAGE))


def test_a_rollback_is_described(server: RunningServer) -> None:
    (kept, *_) = server.request("GET", "/model/info").json()["kept_versions"]
    assert {"served", "rollback"} <= set(kept)
    for member in ("`kept_versions`", "`served`", "`rollback`", "`version`"):
        assert member in PAGE
    default = next(setting.default for setting in SETTINGS if setting.variable == "KEEP_VERSIONS")
    assert f"`KEEP_VERSIONS` model files that it served ({default})" in PAGE


def test_figures_of_the_sample_are_those_of_the_code() -> None:
    rows = next(int(setting.default) for setting in SETTINGS if setting.variable == "RECENT_ROWS")
    assert f"`RECENT_ROWS` rows ({rows})" in PAGE
    assert f"at most {MOST_BYTES // 2**20} MiB" in PAGE
    assert f"up to {MOST_OF_A_CALL} rows of a batch" in PAGE
    assert SAMPLE_SECONDS == 0.1
    assert "ten\ntimes a second" in PAGE or "ten times a second" in PAGE
    assert f"{int(rows * SAMPLE_SECONDS)} s at least" in PAGE

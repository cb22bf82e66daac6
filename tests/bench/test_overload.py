"""Overload: the page is that of the results beside it, and a short load on a real server is judged by its replies."""

import json
import subprocess
from pathlib import Path

import pytest

from bench import overload
from bench.overload import BATCH, PAGE, RESULTS, SINGLE, Mixture, find_capacity, load, render, verdicts
from bench.servers import Contender, MeasureError, Request, Server
from runtime.short_requests import MOST_BYTES
from tests.runtime.conftest import export_forest, random_rows
from tests.serving import running_server

LONG_ROWS = MOST_BYTES // (22 * 4) + 1


def test_the_page_is_that_of_the_results() -> None:
    assert PAGE.read_text() == render(json.loads(RESULTS.read_text()))


def test_what_is_promised_was_kept() -> None:
    assert all(held for _, _, held in verdicts(json.loads(RESULTS.read_text())))


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mixture]:
    folder = tmp_path_factory.mktemp("overload")
    export_forest(folder / "model.onnx", "1.0.0")
    with pytest.MonkeyPatch.context() as patch:
        # So small a forest answers a batch of fewer bytes at once, and refuses none.
        patch.setattr(overload, "BATCH_ROWS", LONG_ROWS)
        return folder, Mixture(folder, random_rows(3000, 22, seed=1), 0.3)


def as_measured(port: int, process: "subprocess.Popen[bytes]") -> Server:
    return Server(Contender("", (), Request("/")), port, process)


def test_batches_are_refused_and_every_reply_is_right(mixture: tuple[Path, Mixture]) -> None:
    folder, requests = mixture
    with running_server(folder, MAX_QUEUED_ROWS=str(LONG_ROWS * 3 // 2), MAX_BATCH_ROWS=str(LONG_ROWS)) as running:
        server = as_measured(running.port, running.process)  # type: ignore[arg-type]
        found = load(server, requests, 1500.0, 1.0, 3)
        assert found["faults"] == {}
        assert found["requests"] == 1500
        assert found[SINGLE]["refused"] == 0
        assert found[SINGLE]["accepted"] + found[BATCH]["accepted"] + found[BATCH]["refused"] == 1500
        assert found[BATCH]["accepted"] > 0
        with pytest.raises(MeasureError, match="a closed loop was refused"):
            find_capacity(server, requests, 1.0)


def test_a_wrong_reply_and_a_bare_refusal_are_faults(mixture: tuple[Path, Mixture], tmp_path: Path) -> None:
    _, requests = mixture
    export_forest(tmp_path / "model.onnx", "2.0.0", seed=5)
    with running_server(tmp_path, MAX_BATCH_ROWS="10") as running:
        found = load(as_measured(running.port, running.process), requests, 500.0, 0.2, 1)  # type: ignore[arg-type]
    assert found["faults"]["another probability"] > 0
    assert found["faults"]["status 413"] > 0

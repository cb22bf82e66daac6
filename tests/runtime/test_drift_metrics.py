"""Drift over the wire: a server that is sent other rows than those of its training says which feature moved."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from features_fast import FEATURE_NAMES
from runtime.artifact import ModelCard
from runtime.baseline import take_baseline
from runtime.board import Board
from runtime.drift import LEAST_ROWS, MOST_COLUMNS, MOST_ROWS, Drift
from runtime.drift_metrics import DriftCollector
from runtime.metrics import WORDS, drift_words
from tests.runtime.conftest import made_up
from tests.serving import RunningServer, running_server

MOVED = 5


def scrape(server: RunningServer) -> dict[str, float]:
    """Return the samples of drift."""
    lines = server.request("GET", "/metrics").body.decode().splitlines()
    samples = (line.rpartition(" ") for line in lines if "drift" in line and not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def send(server: RunningServer, path: str, documents: list[object]) -> None:
    """Send bodies over one connection each, so that every worker gets some."""
    for document in documents:
        assert server.request("POST", path, {"features": document}).status == 200


def chunks(rows: NDArray[np.float32]) -> list[object]:
    """Return batches of which every row is counted."""
    return [rows[start : start + MOST_ROWS].tolist() for start in range(0, len(rows), MOST_ROWS)]


@pytest.mark.parametrize("lane", ["fast", "asgi"])
def test_the_feature_that_moved_is_told(forest_path: Path, lane: str) -> None:
    rows, _ = made_up(0)  # what the forest was trained on
    with running_server(forest_path, WORKERS="2", LANE=lane) as server:
        assert scrape(server) == {"drift_rows": 0}
        send(server, "/predict", rows[:40].tolist())
        send(server, "/predict/batch", chunks(rows[40 : LEAST_ROWS - 1]))
        assert scrape(server) == {"drift_rows": LEAST_ROWS - 1}
        send(server, "/predict/batch", chunks(rows[LEAST_ROWS - 1 :]))
        before = scrape(server)
        assert before.keys() == {
            "drift_rows",
            "score_drift_psi",
            *(f'feature_drift_psi{{feature="{name}"}}' for name in FEATURE_NAMES),
        }
        assert max(before[name] for name in before if name != "drift_rows") < 0.1
        moved = rows.copy()
        moved[:, MOVED] += 3 * np.abs(moved[:, MOVED]).max()
        send(server, "/predict/batch", chunks(moved))
        after = scrape(server)
        name = f'feature_drift_psi{{feature="{FEATURE_NAMES[MOVED]}"}}'
        assert after[name] > 0.25
        assert max(value for key, value in after.items() if "feature" in key and key != name) < 0.1


@pytest.mark.parametrize("lane", ["fast", "asgi"])
def test_no_row_is_counted_that_is_not_answered(forest_path: Path, lane: str) -> None:
    rows: list[object] = made_up(0)[0][:5].tolist()
    rough = {"features": [*rows[:3], [1.0], *rows[3:]]}
    with running_server(forest_path, LANE=lane) as server:
        for path, headers in (
            ("/predict/batch", {"Accept": "application/x-npy"}),
            ("/predict/batch?on_error=fail", {}),
        ):
            assert server.request("POST", path, rough, **headers).status == 422
            assert scrape(server) == {"drift_rows": 0}
        assert server.request("POST", "/predict/batch", {"features": [[1.0]] * 9}).status == 422
        assert scrape(server) == {"drift_rows": 0}
        many = json.dumps({"features": rows * 2_000}).encode()  # some chunks of it are predicted before its end is read
        assert server.request("POST", "/predict/batch", many[:-1]).status == 400
        late = many[:-2] + b",[1.0]]}"
        assert server.request("POST", "/predict/batch?on_error=fail", late).status == 422
        assert scrape(server) == {"drift_rows": 0}
        assert server.request("POST", "/predict/batch", rough).json()["errors"] == 1
        assert scrape(server) == {"drift_rows": len(rows)}


def test_a_window_of_nothing_tells_none(forest_path: Path) -> None:
    row = made_up(1)[0][0].tolist()
    with running_server(forest_path, DRIFT_WINDOW_SECONDS="0") as server:
        send(server, "/predict", [row])
        assert scrape(server) == {}


def test_the_baseline_is_not_shown_with_the_model(forest_path: Path) -> None:
    with running_server(forest_path) as server:
        assert "baseline" not in json.dumps(server.request("GET", "/model/info").json())


def test_a_wide_model_is_watched_in_its_first_features_and_its_score(tmp_path: Path) -> None:
    width = MOST_COLUMNS + 70
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(2 * LEAST_ROWS, width)).astype(np.float32)
    scores = generator.dirichlet([1.0, 1.0], len(rows)).astype(np.float32)
    names = tuple(f"feature {i}" for i in range(width))
    baseline = take_baseline(rows, scores)
    card = ModelCard(name="m", version="1", feature_names=names, labels=("a", "b"), created="", baseline=baseline)
    board = Board(tmp_path, WORDS)
    drift = Drift(drift_words(board.claim()), baseline, 3600)
    scores[:, -1] = 0.9
    for start in range(0, len(rows), MOST_ROWS):
        drift.observe(rows[start : start + MOST_ROWS], scores[start : start + MOST_ROWS])
    found = {
        (sample.name, sample.labels.get("feature")): sample.value
        for family in DriftCollector(board, card, 3600).collect()
        for sample in family.samples
    }
    assert found.pop(("drift_rows", None)) == len(rows)
    assert found.pop(("score_drift_psi", None)) > 0.25
    assert [name for _, name in found] == list(names[: MOST_COLUMNS - 1])
    assert max(found.values()) < 0.1

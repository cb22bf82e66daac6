"""The benchmark of peers on real parts: one peer and nothing else, made, checked, loaded and written down."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import peer_benchmark

pytestmark = pytest.mark.system


def test_a_peer_is_measured(tmp_path: Path, sp500_model: Callable[[str], Path]) -> None:
    model = sp500_model("random_forest")
    (tmp_path / "random_forest").symlink_to(model)
    results = tmp_path / "peers.json"
    arguments = ["--only", "granian", "--rounds", "1", "--model", str(tmp_path), "--results", str(results)]
    assert peer_benchmark.main(arguments) == 0
    found = json.loads(results.read_text())
    entry = found["servers"]["granian"]
    for side in (entry["peer"], entry["ours"]):
        assert {"1", "32"} == set(side["loads"])
        assert all(
            load["rate"] > 0 and load["cpu"] > 0 and load["p99"] >= load["p50"] for load in side["loads"].values()
        )
        assert min(side["ready"], side["memory"]) > 0
        assert all(rate > 0 for rate in side["batches"].values())
    assert list(entry["ours"]["batches"]) == ["JSON", ".npy", "raw float32"]
    assert min(entry["size"], found["size"]) > 1

"""The soak of reloads in its short form, and that its page and picture are those of its results."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.models import random_rows
from bench.reload_plot import draw_memory
from bench.reloads import (
    PAGE,
    PICTURE,
    RESULTS,
    VERSIONS,
    Expected,
    Tally,
    find_faults,
    growth,
    render,
    soak,
)
from tests.runtime.conftest import export_forest


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULTS.read_text())
    return found


def test_page_and_picture_are_those_of_the_results(results: dict[str, Any]) -> None:
    assert PAGE.read_text() == render(results)
    assert PICTURE.read_text() == draw_memory(results["memory_mib"], results["sample_every"])


def test_the_results_are_those_of_a_whole_soak(results: dict[str, Any]) -> None:
    assert results["reloads"] == sum(results["ways"].values()) == 1000
    assert len(results["memory_mib"]) == results["workers"] >= 2
    assert all(len(samples) >= 100 for samples in results["memory_mib"].values())
    assert find_faults(results) == []


def test_thirty_reloads_of_two_workers_lose_and_mix_nothing() -> None:
    found = soak(reloads=30, workers=2)
    assert find_faults(found) == [], found["example"]
    assert sum(found["ways"].values()) == 30
    assert min(found["ways"][way] for way in ("file", "version", "rollback")) > 0
    for replies in (found["singles"], found["batches"]):
        assert set(replies) == set(VERSIONS)
    assert sorted(found["memory_mib"]) == ["0", "1"]


def test_a_reply_of_another_model_or_of_both_is_noticed(tmp_path: Path) -> None:
    files = [tmp_path / f"{version}.onnx" for version in VERSIONS]
    for seed, (file, version) in enumerate(zip(files, VERSIONS, strict=True)):
        export_forest(file, version, seed)
    expected = Expected(files, random_rows(10, seed=7))
    one, other = expected.answers.values()
    tally = Tally()
    expected.check(tally, VERSIONS[0], one, 0)
    expected.check(tally, VERSIONS[1], other[3:5], 3)
    assert (tally.wrong, tally.mixed, tally.rows) == (0, 0, 12)
    expected.check(tally, VERSIONS[0], np.concatenate([one[:6], other[6:]]), 0)
    assert (tally.wrong, tally.mixed) == (1, 1)
    assert tally.example.startswith(f"not what {VERSIONS[0]} computes: [[")
    expected.check(tally, VERSIONS[0], np.nextafter(one, np.float32(2)), 0)
    assert (tally.wrong, tally.mixed) == (2, 1)
    expected.check(tally, "3.0.0", one, 0)
    assert tally.wrong == 3


def test_growth_and_faults_are_told(results: dict[str, Any]) -> None:
    assert growth([50.0] * 10 + [60.0] * 10 + [70.0] * 80) == (60.0, 70.0)
    steady, growing = [60.0] * 200, [60.0 + number for number in range(200)]
    assert find_faults({**results, "memory_mib": {"0": steady}}) == []
    assert find_faults({**results, "memory_mib": {"0": growing}}) == ["worker 0 has grown from 90 to 250 MiB"]
    assert growth([50.0]) == (50.0, 50.0)
    assert find_faults({**results, "batches": {}}) == ["no reply to batches"]
    broken = {**results, "failed": 1, "mixed": 2, "wrong": 2, "refused": ["no"]}
    assert find_faults(broken) == ["1 failed", "2 wrong", "2 mixed", "1 reloads refused: no"]

"""The scaling curves: models that both engines run alike, and a page that says what the results say."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from bench import peer_table, scaling_page
from bench.report import results
from bench.scaling import BATCHES, CONNECTIONS, SECTIONS, TREES, WORKERS
from bench.scaling_models import WIDTHS, wide_graph, wide_rows
from runtime.compiled.engine import CompiledEngine
from runtime.compiled.lowering import read_program


@pytest.mark.parametrize(("kind", "width"), [("logistic", 5), ("logistic", 500), ("forest", 5)])
def test_wide_models_run_alike_in_both_engines(kind: str, width: int, tmp_path: Path) -> None:
    path = wide_graph(kind, width, tmp_path)
    rows = wide_rows(width, 100)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    expected = session.run(["probabilities"], {"features": rows})[0]
    found = CompiledEngine(read_program(path.read_bytes()), {}).predict(rows)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_every_section_is_measured_over_its_whole_range() -> None:
    found = results("scaling")
    assert list(found) == list(SECTIONS)
    points = {name: section["points"] for name, section in found.items()}
    assert [one["connections"] for one in points["connections"]] == list(CONNECTIONS)
    assert [one["rows"] for one in points["batches"]] == list(BATCHES)
    assert [one["workers"] for one in points["workers"]] == list(WORKERS)
    assert [one["trees"] for one in points["models"]] == [0, *(spec.trees for spec in TREES)]
    assert [one["features"] for one in points["features"]] == 2 * list(WIDTHS)


def test_the_page_counts_pods_and_costs_as_its_formulas_say() -> None:
    scaling, pod, peers = results("scaling"), results("pod"), results("peers")
    page = scaling_page.page(scaling, pod, peers, results("engines"))
    pods = math.ceil(1_000_000 / pod["target"])
    assert f"**{pods:,} pods, " in page.replace("\n", " ")
    cpu = peer_table.ours(peers)["loads"]["32"]["cpu"]
    cost = 1e9 * cpu / 0.65 / 3_600 * 0.04
    (line,) = [line for line in page.splitlines() if line.startswith("| Tickline, single predictions |")]
    assert line.endswith(f"| {1e6 * cpu / 0.65:,.1f} | {cost:,.2f} dollars |")


def test_peers_that_failed_cost_nothing() -> None:
    peers: Any = results("peers")
    peers["servers"]["robyn"] = {"name": "Robyn", "failed": "no wheel", "made": peers["servers"]["robyn"]["made"]}
    assert "Robyn" not in scaling_page.page(results("scaling"), results("pod"), peers, results("engines"))

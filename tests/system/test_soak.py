"""A short soak: every form of request on two workers that are killed and reloaded meanwhile, every reply checked."""

import os
import shutil
from pathlib import Path

import pytest

from bench.contenders import ours
from bench.servers import started
from bench.soak import WORKERS, faults_of, soak
from bench.soak_requests import BAD
from tests.runtime.conftest import export_forest, random_rows

pytestmark = pytest.mark.system


def test_nothing_is_lost_or_wrong_while_workers_die_and_models_change(tmp_path: Path) -> None:
    models = [tmp_path / "first.onnx", tmp_path / "second.onnx"]
    for seed, model in enumerate(models):
        export_forest(model, f"{seed + 1}.0.0", seed=seed)
    served = Path(shutil.copy(models[0], tmp_path / "model.onnx"))
    rows = random_rows(2000, 22, seed=3)
    with started(ours(served, workers=WORKERS), sorted(os.sched_getaffinity(0))) as server:
        found = soak(server, served, models, rows, seconds=7.0, share=0.5, reload_seconds=0.5, kill_seconds=2.5)
    assert not faults_of(found)
    assert found["killed"] >= 2
    assert found["reloads"] >= 3
    assert found["bad_inputs"] > 100
    assert set(found["answered"]) == {BAD, "single", "json", "columns", "npy", "raw", "arrow", "tensor"}

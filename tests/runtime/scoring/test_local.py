"""How the cores of a machine are shared."""

from pathlib import Path

import pytest

from runtime.scoring import local
from tests.runtime.conftest import export_forest
from tests.runtime.scoring.twin import predictor


def test_only_a_model_that_takes_its_time_is_worth_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_forest(tmp_path / "model.onnx", "1.0.0")
    model = predictor(tmp_path / "model.onnx")
    monkeypatch.setattr(local, "usable_cores", lambda: 4)
    for seconds, chains, threads in ((1e-9, 1, 1), (1e-3, 1, 4), (1e-3, 2, 2), (1e-3, 4, 1)):
        monkeypatch.setattr(model, "row_seconds", seconds)
        assert local.model_threads(chains, model) == threads

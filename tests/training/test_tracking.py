"""What a run holds, without a server; tests/system/test_mlflow.py has a real one."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tickline
from runtime.artifact import ModelCard, read_sealed
from runtime.model import load_model
from training import tracking
from training.tracking import flat_metrics, flat_params
from training.walk_forward import Plan, walk_forward

CARD = ModelCard(
    name="logistic",
    version="1",
    feature_names=("a",),
    labels=("DOWN", "UP"),
    created="2026-01-15T10:30:00Z",
    training={
        "seed": 7,
        "params": {"C": 0.5, "solver": "lbfgs"},
        "data": {"source": "sp500", "bars": 10, "tickers": ["SP500"], "sha256": "f" * 64},
        "metrics": {"test": {"accuracy": 0.5, "precision": None}},
        "baselines": {"test": {"persistence": {"accuracy": 0.4}}},
        "skill": {"test": {"baseline": "persistence", "accuracy_gain": 0.1}},
    },
)


def test_numbers_of_a_run_have_one_name_each() -> None:
    assert set(flat_metrics(CARD.training)) == {
        ("test/accuracy", 0.5, 0),
        ("test/persistence/accuracy", 0.4, 0),
        ("test/accuracy_gain", 0.1, 0),
    }
    assert list(flat_metrics({})) == []


def test_numbers_of_folds_have_steps(two_tickers: pd.DataFrame) -> None:
    evaluation = walk_forward(two_tickers, Plan(folds=3), model_type="logistic").summary()
    found = list(flat_metrics({"walk_forward": evaluation}))
    assert len({(name, step) for name, _, step in found}) == len(found)
    losses = [(step, value) for name, value, step in found if name == "walk_forward/fold/log_loss/model"]
    assert losses == [(number, fold["log_loss"]["model"]) for number, fold in enumerate(evaluation["folds"])]
    names = {name for name, _, _ in found}
    assert names >= {"walk_forward/log_loss_gain/low", "walk_forward/backtest/accounts/model/total_return"}


def test_parameters_of_a_run_say_what_it_was_made_with() -> None:
    expected = {"model_type": "logistic", "seed": "7", "data.source": "sp500", "data.bars": "10"}
    assert dict(flat_params(CARD)) == expected | {"C": "0.5", "solver": "lbfgs"}


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")  # MLflow's word on its own code
def test_a_saved_model_is_the_sealed_file_and_loads_with_mlflows_own_tools(
    sp500_model: Callable[[str], Path], tmp_path: Path
) -> None:
    content, _ = read_sealed(sp500_model("logistic") / "model.onnx")
    tracking._save_model(tmp_path / "saved", content, "run", "model")
    assert (tmp_path / "saved" / "model.onnx").read_bytes() == content

    import mlflow.pyfunc

    loaded = mlflow.pyfunc.load_model(str(tmp_path / "saved"))
    served = load_model(tmp_path / "saved" / "model.onnx", threads=1).predictor
    rows = served.example[None].repeat(3, axis=0)
    np.testing.assert_allclose(loaded.predict(rows)["probabilities"], served.predict(rows), atol=1e-6)
    signature = loaded.metadata.signature
    assert [(spec.name, spec.type, spec.shape) for spec in signature.inputs] == [
        ("features", np.dtype("float32"), (-1, 22))
    ]
    assert ("probabilities", (-1, 2)) in [(spec.name, spec.shape) for spec in signature.outputs]


def test_an_unreachable_server_costs_nothing_but_the_exit_status(
    sp500_model: Callable[[str], Path], closed_port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for source in sp500_model("logistic").iterdir():
        if source.is_file() and source.name != "model.onnx":
            (tmp_path / source.name).write_bytes(source.read_bytes())
    uri = f"http://127.0.0.1:{closed_port}"
    arguments = ["export", "--track", "--json", "--model-path", str(tmp_path), "--tracking-uri", uri]
    assert tickline.main(arguments) == 1
    printed, error = capsys.readouterr()
    assert json.loads(printed)["sha256"] == read_sealed(tmp_path / "model.onnx")[1]
    assert error.splitlines()[-1] == (
        f"tickline: MLflow at {uri}: no answer: [Errno 111] Connection refused; {tmp_path}/model.onnx is written, and "
        "not tracked: run this command again"
    )

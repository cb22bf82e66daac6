import argparse
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import tickline
from training.commands import add_train
from training.data import write_table
from training.predictor import StockPredictor
from training.walk_forward import Plan
from training.walk_forward_commands import plan_of, render_walk_forward
from training.walk_forward_words import account_table, fold_table, forecast_verdict, money_verdict


@pytest.fixture(autouse=True)
def somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bars: pd.DataFrame) -> None:
    """Run every command in a directory with bars and nothing else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODEL_PATH", raising=False)
    write_table(bars, "bars.csv")


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_train(parser)
    return parser.parse_args(arguments)


def test_the_options_are_a_plan() -> None:
    assert plan_of(parsed()) is None
    assert plan_of(parsed("--walk-forward")) == Plan()
    given = parsed("--walk-forward", "3", "--window", "250", "--embargo", "0", "--cost", "2.5", "--search", "9")
    assert plan_of(given) == Plan(folds=3, window=250, embargo=0, search=9, cost=2.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cost", "1"], "--window, --embargo, --cost: expected --walk-forward beside them"),
        (["--walk-forward", "--cost", "-1"], "cost: expected at least 0 basis points, got -1"),
        (["--walk-forward", "-2"], "folds: expected at least 1, got -2"),
        (["--walk-forward", "400"], "got 400 folds over"),
        (["--search", "-1"], "search: expected at least 1 trial, got -1"),
        (["--search", "3", "--set", "C=1"], "--set: expected no --search beside it"),
    ],
)
def test_impossible_wishes_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tickline.main(["train", "--data", "bars.csv", "--model", "logistic", *arguments]) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not Path("models").exists()


def test_train_walks_forward_first_and_reports_it(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "--data", "bars.csv", "--model", "logistic", "--walk-forward", "3", "--search", "4"]
    assert tickline.main(command) == 0
    printed, progress = capsys.readouterr()
    assert [line.split()[-1] for line in progress.splitlines()][2:5] == ["walk-forward", "features", "search"]
    for text in ("Walking forward shows", "basis points a trade", "buy and hold", "The signals earn"):
        assert text in printed
    metadata = json.loads(Path("models/metadata.json").read_text())
    assert [fold["model_type"] for fold in metadata["walk_forward"]["folds"]] == ["logistic"] * 3
    assert render_walk_forward(metadata["walk_forward"]) in printed
    trials = metadata["search"]["trials"]
    assert len(trials) == 4
    assert trials[0]["log_loss"] == min(trial["log_loss"] for trial in trials)
    assert StockPredictor.load("models").params == trials[0]["params"]
    report = Path("models/report")
    page, evaluation = (report / "index.html").read_text(), metadata["walk_forward"]
    for verdict in (forecast_verdict(evaluation), money_verdict(evaluation)):
        assert verdict in page
    for _, rows in (fold_table(evaluation), account_table(evaluation)):
        for row in rows:
            cells = re.escape(row[0]) + "".join(f"</t[dh]><td[^>]*>{re.escape(cell)}" for cell in row[1:])
            assert re.search(cells, page), row
    assert "value of each account" in page
    assert (report / "walk_forward.csv").exists()
    assert tickline.main(["train", "--data", "bars.csv", "--model", "logistic"]) == 0
    assert "Walking forward" not in (report / "index.html").read_text(), "another model's evidence"
    assert not (report / "walk_forward.csv").exists(), "another model's evidence"


def summary(**gains: tuple[float, float]) -> dict[str, Any]:
    """Return an evaluation whose two gains have some bounds."""
    interval = {
        name: {"estimate": sum(bounds) / 2, "low": bounds[0], "high": bounds[1]} for name, bounds in gains.items()
    }
    return {
        "baseline": "persistence",
        "rows": 10,
        "folds": [],
        "log_loss_gain": interval["loss"],
        "backtest": {"cost": 5.0, "accounts": {}, "yearly_gain": interval["money"], "break_even_cost": 7.25},
    }


@pytest.mark.parametrize(
    ("loss", "money", "skill", "worth"),
    [
        ((0.001, 0.003), (0.01, 0.03), "shows skill", "earn more than holding: +2.0 (+1.0 to +3.0)"),
        ((-0.001, 0.003), (-0.01, 0.03), "shows no skill", "earn neither surely more nor less than holding"),
        ((-0.003, -0.001), (-0.03, -0.01), "shows no skill", "earn less than holding: -2.0 (-3.0 to -1.0)"),
    ],
)
def test_the_verdict_is_that_of_the_intervals(
    loss: tuple[float, float], money: tuple[float, float], skill: str, worth: str
) -> None:
    text = render_walk_forward(summary(loss=loss, money=money))
    assert f"Walking forward {skill}" in text
    assert worth in text
    assert "even at 7.2 basis points a trade" in text

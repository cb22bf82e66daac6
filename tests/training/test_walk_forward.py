import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from training.dataset import labelled_part
from training.errors import DataError
from training.features import label_rows
from training.metrics import baseline_probabilities
from training.predictor import StockPredictor
from training.walk_forward import MODEL, Plan, WalkForward, walk_forward

PLAN = Plan(folds=3, embargo=2, cost=5)


@pytest.fixture(scope="module")
def found(two_tickers: pd.DataFrame) -> WalkForward:
    """Return the evaluation of a logistic model on two tickers."""
    return walk_forward(two_tickers, PLAN, model_type="logistic", seed=1)


def test_every_forecast_is_that_of_a_model_of_the_past(found: WalkForward, two_tickers: pd.DataFrame) -> None:
    rows = labelled_part(label_rows(two_tickers))
    for number, step in enumerate(found.steps):
        train, test = rows.take(step.fold.train), rows.take(step.fold.test)
        fitted = StockPredictor("logistic", seed=1).train(train.X, train.y)
        mine = found.fold == number
        np.testing.assert_array_equal(found.probabilities[MODEL][mine], fitted.predict_proba(test.X)[:, 1])
        for name, probability in baseline_probabilities(train.X, train.y, test.X).items():
            np.testing.assert_array_equal(found.probabilities[name][mine], probability)
        assert train.target_dates.max() < test.dates.min()


def test_the_future_changes_nothing(found: WalkForward, two_tickers: pd.DataFrame) -> None:
    day = found.rows.dates[found.fold == 1].max()
    later = two_tickers["Date"] > day
    changed = two_tickers.copy()
    columns = ["Open", "High", "Low", "Close"]
    noise = np.random.default_rng(0).uniform(0.5, 2, (int(later.sum()), 1))
    changed.loc[later, columns] = changed.loc[later, columns].to_numpy() * noise
    other = walk_forward(changed, PLAN, model_type="logistic", seed=1)
    known = found.rows.dates <= day
    assert 0 < known.sum() < len(known)
    for name, probability in found.probabilities.items():
        np.testing.assert_array_equal(other.probabilities[name][known], probability[known])
    assert (other.probabilities[MODEL][~known] != found.probabilities[MODEL][~known]).any()


def test_a_search_chooses_for_each_fold_from_its_past_alone(two_tickers: pd.DataFrame) -> None:
    plan = Plan(folds=2, embargo=2, search=3)
    told: list[None] = []
    types = ("logistic",)
    first = walk_forward(two_tickers, plan, seed=1, search_types=types, on_fit=lambda: told.append(None))
    assert len(told) == plan.fits == 8
    day = first.rows.dates[first.fold == 0].max()
    flipped = two_tickers[two_tickers["Date"] <= day]
    mirrored = (
        two_tickers[two_tickers["Date"] > day].iloc[::-1].assign(Date=lambda frame: frame["Date"].to_numpy()[::-1])
    )
    second = walk_forward(pd.concat([flipped, mirrored]), plan, seed=1, search_types=types)
    assert second.steps[0].params == first.steps[0].params


def test_the_figures_are_those_of_the_forecasts(found: WalkForward, two_tickers: pd.DataFrame) -> None:
    summary = json.loads(json.dumps(found.summary(), allow_nan=False))
    assert summary["rows"] == len(found.rows.y) == sum(fold["test_rows"] for fold in summary["folds"])
    right = (found.probabilities[MODEL] > 0.5) == (found.rows.y == 1)
    assert summary["forecasts"][MODEL]["accuracy"] == pytest.approx(right.mean())
    baseline = summary["baseline"]
    losses = {name: values["log_loss"] for name, values in summary["forecasts"].items()}
    assert losses[baseline] == min(losses["majority_class"], losses["persistence"])
    gained = summary["log_loss_gain"]
    assert gained["estimate"] == pytest.approx(losses[baseline] - losses[MODEL])
    assert gained["low"] < gained["estimate"] < gained["high"]
    closes = two_tickers.pivot(index="Date", columns="Ticker", values="Close")
    changes = closes.pct_change(fill_method=None).shift(-1)
    hold = changes[changes.index.isin(found.rows.dates)].mean(axis=1)
    total = np.prod(1 + hold.to_numpy() - np.where(np.arange(len(hold)) % (len(hold) - 1), 0, 5e-4)) - 1
    accounts = summary["backtest"]["accounts"]
    assert accounts["buy_and_hold"]["total_return"] == pytest.approx(total)
    assert accounts["buy_and_hold"]["exposure"] == pytest.approx(1)


def test_forecasts_are_written(found: WalkForward, tmp_path: Path) -> None:
    found.write(tmp_path / "walk_forward.csv")
    frame = pd.read_csv(tmp_path / "walk_forward.csv")
    np.testing.assert_allclose(frame["model"], found.probabilities[MODEL])
    assert frame.columns.tolist()[:5] == ["Date", "Ticker", "Fold", "Target", "Return"]
    assert frame["Target"].tolist() == (frame["Return"] > 0).astype(int).tolist()


def test_targets_of_one_class_are_refused(bars: pd.DataFrame) -> None:
    rising = bars.copy()
    for column in ("Open", "High", "Low", "Close"):
        rising[column] = np.arange(len(rising)) + {"Open": 100.0, "High": 101, "Low": 99, "Close": 100.5}[column]
    with pytest.raises(DataError, match="fold 1: expected training targets of both classes, got 1 alone"):
        walk_forward(rising, PLAN, model_type="logistic")

"""Whether a model is worth serving: fitted again and again on the past, judged on what came next."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from training.backtest import Account, break_even_cost, gain_a_year, trade
from training.dataset import Part, labelled_part
from training.defaults import EMBARGO, FOLDS, MODEL_TYPES, SEED, TRADE_COST
from training.errors import DataError
from training.features import label_rows
from training.folds import Fold, walk_forward_folds
from training.forecasts import LOSSES, gain
from training.metrics import baseline_probabilities
from training.predictor import StockPredictor
from training.resampling import Interval
from training.search import search

MODEL = "model"
BUY_AND_HOLD = "buy_and_hold"


@dataclass(frozen=True)
class Plan:
    """How to walk.

    Attributes
    ----------
    folds : int
        Number of test windows, see `training.folds.walk_forward_folds`.
    window : int or None
        Dates to train on; None for all of the past.
    embargo : int
        Dates left out before each test window.
    search : int
        Trials of a search within the training rows of each fold; 0 for none.
    cost : float
        Basis points a trade costs.
    """

    folds: int = FOLDS
    window: int | None = None
    embargo: int = EMBARGO
    search: int = 0
    cost: float = TRADE_COST

    def __post_init__(self) -> None:
        if not self.cost >= 0:
            raise DataError(f"cost: expected at least 0 basis points, got {self.cost:g}")

    @property
    def fits(self) -> int:
        """How many times something is fitted and judged, trials of a search included."""
        return self.folds * (1 + self.search)


@dataclass(frozen=True)
class Step:
    """One fold: what was fitted and where it was tested."""

    fold: Fold
    model_type: str
    params: dict[str, object]


@dataclass(frozen=True)
class WalkForward:
    """Forecasts that were made without knowing what they forecast.

    Attributes
    ----------
    plan : Plan
    steps : tuple of Step
    rows : Part
        The rows of all test windows.
    tickers : (n,) str
        Of each of them.
    fold : (n,) int64
        Its test window, from 0.
    returns : (n,) float64
        From its close to the next one.
    probabilities : dict of (n,) float64
        Of UP, by the model and by each baseline, which know the training rows of the fold alone.
    """

    plan: Plan
    steps: tuple[Step, ...]
    rows: Part
    tickers: NDArray[np.str_]
    fold: NDArray[np.int64]
    returns: NDArray[np.float64]
    probabilities: dict[str, NDArray[np.float64]]

    @property
    def baseline(self) -> str:
        """The baseline that loses least over all test windows; it could not have been chosen beforehand."""
        losses = {name: self._loss(name) for name in self.probabilities if name != MODEL}
        return min(losses, key=lambda name: losses[name])

    def _loss(self, name: str, rows: Any = slice(None), loss: str = "log_loss") -> float:
        """Return the mean loss of a forecast over some rows."""
        return float(LOSSES[loss](self.rows.y[rows], self.probabilities[name][rows]).mean())

    def gain(self, baseline: str, rows: Any = slice(None), loss: str = "log_loss") -> Interval:
        """Return by how much less the model loses than a baseline, over some rows."""
        ours, theirs = self.probabilities[MODEL][rows], self.probabilities[baseline][rows]
        return gain(self.rows.y[rows], self.rows.dates[rows], ours, theirs, loss=loss)

    def accounts(self) -> dict[str, Account]:
        """Return what the model, persistence, and holding all the time would have earned: long or out of the market."""
        positions = {name: (self.probabilities[name] > 0.5).astype(np.float64) for name in (MODEL, "persistence")}
        positions[BUY_AND_HOLD] = np.ones(len(self.returns))
        return {
            name: trade(self.rows.dates, self.tickers, position, self.returns, cost=self.plan.cost)
            for name, position in positions.items()
        }

    def summary(self) -> dict[str, Any]:
        """Return all figures, as JSON holds them."""
        baseline = self.baseline
        accounts = self.accounts()
        ours, hold = accounts[MODEL], accounts[BUY_AND_HOLD]
        break_even = break_even_cost(ours, hold)
        return {
            "folds": [self._summary_of(number, step) for number, step in enumerate(self.steps)],
            "window": self.plan.window,
            "embargo": self.plan.embargo,
            "search": self.plan.search,
            "rows": len(self.rows.y),
            "baseline": baseline,
            "forecasts": {
                name: {
                    "log_loss": self._loss(name),
                    "accuracy": 1 - self._loss(name, loss="error"),
                    "roc_auc": _area(self.rows.y, probability),
                }
                for name, probability in self.probabilities.items()
            },
            "log_loss_gain": _as_dict(self.gain(baseline)),
            "accuracy_gain": _as_dict(self.gain(baseline, loss="error")),
            "backtest": {
                "cost": self.plan.cost,
                "accounts": {name: account.summary() for name, account in accounts.items()},
                "yearly_gain": _as_dict(gain_a_year(ours, hold)),
                "break_even_cost": break_even if break_even is None or np.isfinite(break_even) else None,
            },
        }

    def _summary_of(self, number: int, step: Step) -> dict[str, Any]:
        """Return the figures of one fold."""
        rows = self.fold == number
        return {
            "train_rows": len(step.fold.train),
            "test_rows": int(rows.sum()),
            "first_date": str(self.rows.dates[rows].min())[:10],
            "last_date": str(self.rows.dates[rows].max())[:10],
            "model_type": step.model_type,
            "params": step.params,
            "log_loss": {name: self._loss(name, rows) for name in self.probabilities},
            "accuracy": {name: 1 - self._loss(name, rows, "error") for name in self.probabilities},
            "log_loss_gain": {name: _as_dict(self.gain(name, rows)) for name in self.probabilities if name != MODEL},
        }

    def write(self, path: Path) -> None:
        """Write every forecast as CSV: date, ticker, fold, target, return to the next close, probabilities of UP."""
        frame = pd.DataFrame(
            {
                "Date": self.rows.dates,
                "Ticker": self.tickers,
                "Fold": self.fold,
                "Target": self.rows.y,
                "Return": self.returns,
                **self.probabilities,
            }
        )
        frame.to_csv(path, index=False)


def walk_forward(
    bars: pd.DataFrame,
    plan: Plan,
    *,
    model_type: str = MODEL_TYPES[0],
    params: Mapping[str, object] | None = None,
    seed: int = SEED,
    search_types: tuple[str, ...] = MODEL_TYPES,
    on_fit: Callable[[], None] = lambda: None,
) -> WalkForward:
    """Fit a model for each fold on its training rows, and forecast its test rows.

    Parameters
    ----------
    bars : DataFrame
        See `training.workflow.train_model`.
    plan : Plan
        Folds, embargo, search and cost.
    model_type, params, seed
        See `StockPredictor`; where the plan has a search, each fold chooses for itself.
    search_types : tuple of str
        The model types that a search chooses from.
    on_fit : callable, optional
        Called after each of `plan.fits`.

    Raises
    ------
    DataError
        The bars are invalid or too few for the plan.
    ModelError
        The model cannot be built or fitted.
    """
    labelled = label_rows(bars)
    rows = labelled_part(labelled)
    folds = walk_forward_folds(rows.dates, rows.target_dates, plan.folds, window=plan.window, embargo=plan.embargo)
    made, parts = [], []
    for number, fold in enumerate(folds):
        chosen_type, chosen = model_type, dict(params or {})
        train, test = rows.take(fold.train), rows.take(fold.test)
        if len(np.unique(train.y)) != 2:
            raise DataError(f"fold {number + 1}: expected training targets of both classes, got {train.y[0]} alone")
        if plan.search:
            best = search(
                train, plan.search, seed=seed, model_types=search_types, embargo=plan.embargo, on_trial=on_fit
            )[0]
            chosen_type, chosen = best.model_type, best.params
        predictor = StockPredictor(chosen_type, chosen, seed=seed).train(train.X, train.y)
        parts.append({MODEL: predictor.predict_proba(test.X)[:, 1], **baseline_probabilities(train.X, train.y, test.X)})
        made.append(Step(fold, chosen_type, predictor.params))
        on_fit()
    tested = np.concatenate([fold.test for fold in folds])
    return WalkForward(
        plan=plan,
        steps=tuple(made),
        rows=rows.take(tested),
        tickers=labelled["Ticker"].to_numpy(dtype=np.str_)[tested],
        fold=np.repeat(np.arange(len(folds)), [len(fold.test) for fold in folds]),
        returns=labelled["Target_Return"].to_numpy(dtype=np.float64)[tested],
        probabilities={name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
    )


def _area(y: NDArray[np.int64], probability: NDArray[np.float64]) -> float | None:
    """Return the area under the ROC curve; None with a single class."""
    return float(roc_auc_score(y, probability)) if len(np.unique(y)) == 2 else None


def _as_dict(interval: Interval) -> dict[str, float]:
    """Return an interval as JSON holds it."""
    return {"estimate": interval.estimate, "low": interval.low, "high": interval.high}

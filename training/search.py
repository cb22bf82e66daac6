"""Search for model type and parameters on training rows alone: random, seeded, with a fixed budget."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from training.dataset import Part
from training.defaults import CLASSIFIER_PARAMS, MODEL_TYPES
from training.errors import ModelError
from training.folds import walk_forward_folds
from training.forecasts import LOSSES
from training.predictor import StockPredictor

SEARCH_FOLDS = 3
"""Times that a candidate is fitted and judged."""


@dataclass(frozen=True)
class Trial:
    """One candidate and what it lost.

    Attributes
    ----------
    model_type : str
    params : dict
        Its parameters, for `StockPredictor`.
    log_loss : float
        Mean over all test rows of the folds, in nats.
    """

    model_type: str
    params: dict[str, object]
    log_loss: float


def candidates(budget: int, seed: int, model_types: Sequence[str] = MODEL_TYPES) -> list[tuple[str, dict[str, object]]]:
    """Return as many candidates as the budget allows: each type in turn, first with its defaults, then at random.

    A larger budget with the same seed begins with the same candidates.
    """
    if budget < 1:
        raise ModelError(f"search: expected at least 1 trial, got {budget}")
    generator = np.random.default_rng(seed)
    found = []
    for number in range(budget):
        model_type = model_types[number % len(model_types)]
        drawn = {} if number < len(model_types) else _SPACES[model_type](generator)
        found.append((model_type, CLASSIFIER_PARAMS[model_type] | drawn))
    return found


def search(
    rows: Part,
    budget: int,
    *,
    seed: int,
    model_types: Sequence[str] = MODEL_TYPES,
    embargo: int = 0,
    on_trial: Callable[[], None] = lambda: None,
) -> list[Trial]:
    """Judge candidates on walk-forward folds within training rows.

    Parameters
    ----------
    rows : Part
        The training rows, and no others: what is chosen here is judged on other rows.
    budget : int
        Number of candidates; each is fitted `SEARCH_FOLDS` times.
    seed : int
        Same seed, same rows, same trials.
    model_types : sequence of str
        The types to choose from.
    embargo : int
        See `training.folds.walk_forward_folds`.
    on_trial : callable, optional
        Called after each trial.

    Returns
    -------
    list of Trial
        The best first; of equals the earlier, so the defaults come before what is drawn.
    """
    folds = walk_forward_folds(rows.dates, rows.target_dates, SEARCH_FOLDS, embargo=embargo)
    trials = []
    for model_type, params in candidates(budget, seed, model_types):
        losses = []
        for fold in folds:
            predictor = StockPredictor(model_type, params, seed=seed).train(rows.X[fold.train], rows.y[fold.train])
            losses.append(LOSSES["log_loss"](rows.y[fold.test], predictor.predict_proba(rows.X[fold.test])[:, 1]))
        trials.append(Trial(model_type, params, float(np.concatenate(losses).mean())))
        on_trial()
    return sorted(trials, key=lambda trial: trial.log_loss)


def _log_uniform(generator: np.random.Generator, low: float, high: float) -> float:
    """Return a number whose order of magnitude is uniform, with three digits, so that it can be typed again."""
    return float(f"{np.exp(generator.uniform(np.log(low), np.log(high))):.3g}")


def _logistic(generator: np.random.Generator) -> dict[str, object]:
    return {"C": _log_uniform(generator, 1e-5, 10)}


def _random_forest(generator: np.random.Generator) -> dict[str, object]:
    return {
        "n_estimators": int(generator.integers(50, 301)),
        "max_depth": int(generator.integers(2, 11)),
        "min_samples_leaf": round(_log_uniform(generator, 1, 200)),
        "max_features": ("sqrt", 0.5, 1.0)[generator.integers(3)],
    }


def _gradient_boosting(generator: np.random.Generator) -> dict[str, object]:
    return {
        "n_estimators": int(generator.integers(20, 201)),
        "learning_rate": _log_uniform(generator, 0.005, 0.2),
        "max_depth": int(generator.integers(1, 5)),
        "subsample": float(generator.choice([0.5, 0.75, 1.0])),
    }


_SPACES: dict[str, Callable[[np.random.Generator], dict[str, object]]] = {
    "random_forest": _random_forest,
    "gradient_boosting": _gradient_boosting,
    "logistic": _logistic,
}

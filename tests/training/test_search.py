from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from training.dataset import Dataset
from training.defaults import CLASSIFIER_PARAMS, MODEL_TYPES
from training.errors import ModelError
from training.folds import walk_forward_folds
from training.predictor import StockPredictor
from training.search import SEARCH_FOLDS, candidates, search


def test_candidates_take_turns_and_begin_with_the_defaults() -> None:
    drawn = candidates(9, seed=1)
    assert [model_type for model_type, _ in drawn] == list(MODEL_TYPES) * 3
    assert drawn[:3] == [(model_type, CLASSIFIER_PARAMS[model_type]) for model_type in MODEL_TYPES]
    assert candidates(5, seed=1) == drawn[:5]
    assert candidates(9, seed=2) != drawn
    assert Counter(model_type for model_type, _ in candidates(4, 1, ("logistic",))) == {"logistic": 4}


def test_every_candidate_is_one_that_can_be_built_and_stored() -> None:
    import json

    for model_type, params in candidates(60, seed=3):
        StockPredictor(model_type, params)
        assert json.loads(json.dumps(params)) == params


def test_no_budget_is_refused() -> None:
    with pytest.raises(ModelError, match="search: expected at least 1 trial, got 0"):
        candidates(0, seed=1)


def test_the_best_trial_is_the_one_that_loses_least_on_the_folds(dataset: Dataset) -> None:
    rows = dataset.train
    told: list[None] = []
    trials = search(rows, 4, seed=5, model_types=("logistic",), embargo=2, on_trial=lambda: told.append(None))
    assert len(trials) == len(told) == 4
    assert [trial.log_loss for trial in trials] == sorted(trial.log_loss for trial in trials)
    losses = []
    for fold in walk_forward_folds(rows.dates, rows.target_dates, SEARCH_FOLDS, embargo=2):
        fitted = StockPredictor("logistic", trials[0].params, seed=5).train(rows.X[fold.train], rows.y[fold.train])
        chances = fitted.predict_proba(rows.X[fold.test])
        losses += [-np.log(chances[row, y]) for row, y in enumerate(rows.y[fold.test])]
    assert trials[0].log_loss == pytest.approx(np.mean(losses))


def test_the_same_seed_finds_the_same_and_targets_matter(dataset: Dataset) -> None:
    found = [search(dataset.train, 3, seed=5, model_types=("logistic",)) for _ in range(2)]
    assert found[0] == found[1]
    other = search(replace(dataset.train, y=1 - dataset.train.y[::-1]), 3, seed=5, model_types=("logistic",))
    assert other != found[0]

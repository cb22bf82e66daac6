"""One training run: bars in, a model directory with its evidence out."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features_fast.atomic_file import check_folder
from features_fast.columns import BAR_COLUMNS
from training.dataset import PARTS, Dataset, Part, build_dataset
from training.defaults import EMBARGO, MODEL_TYPES, MODEL_VERSION, SEED
from training.errors import ModelError
from training.metrics import accuracy_gain, baseline_predictions, classification_metrics
from training.predictor import StockPredictor
from training.report_page import PAGE_FILE, write_page
from training.search import SEARCH_FOLDS, search
from training.staging import publish_directory
from training.walk_forward import WalkForward

DATASET_FILE = "datasets.npz"
REPORT_DIRECTORY = "report"
FORECASTS_FILE = "walk_forward.csv"


def train_model(
    bars: pd.DataFrame,
    model_path: str | Path,
    *,
    source: str,
    model_type: str = MODEL_TYPES[0],
    params: Mapping[str, object] | None = None,
    seed: int = SEED,
    version: str = MODEL_VERSION,
    trials: int = 0,
    search_types: Sequence[str] = MODEL_TYPES,
    evaluation: WalkForward | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
    on_trial: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Train a model on bars and write everything that is known of it.

    Parameters
    ----------
    bars : DataFrame
        Columns Date, Ticker, Open, High, Low, Close, Volume, each ticker in time order.
    model_path : str or Path
        The model directory. It receives ``model.joblib``, ``scaler.joblib``, ``metadata.json``, ``datasets.npz`` (the
        rows of the three parts) and ``report/``, all or none.
    source : str
        Where the bars come from, for the metadata.
    model_type, params, seed
        See `StockPredictor`.
    version : str
        Which model this is.
    trials : int
        Budget of a search on the training rows, which chooses type and parameters; 0 for none.
    search_types : sequence of str
        The model types that a search chooses from.
    evaluation : WalkForward, optional
        A walk-forward evaluation of the same bars, for metadata and report.
    on_stage : callable, optional
        Called with the name of each stage as it begins.
    on_trial : callable, optional
        Called after each trial of a search.

    Returns
    -------
    dict
        The metadata as stored.

    Raises
    ------
    DataError
        The bars are invalid or too few.
    ModelError
        The model cannot be built, fitted or written.
    """
    predictor = StockPredictor(model_type, params, seed=seed)
    on_stage("features")
    dataset = build_dataset(bars)
    facts: dict[str, Any] = {}
    if trials:
        on_stage("search")
        found = search(dataset.train, trials, seed=seed, model_types=search_types, embargo=EMBARGO, on_trial=on_trial)
        predictor = StockPredictor(found[0].model_type, found[0].params, seed=seed)
        facts["search"] = {"folds": SEARCH_FOLDS, "trials": [asdict(trial) for trial in found]}
    on_stage("fit")
    predictor.train(dataset.train.X, dataset.train.y)
    return publish_model(
        predictor,
        dataset,
        model_path,
        data=describe_bars(bars, source),
        version=version,
        facts=facts,
        evaluation=evaluation,
        on_stage=on_stage,
    )


def publish_model(
    predictor: StockPredictor,
    dataset: Dataset,
    model_path: str | Path,
    *,
    data: Mapping[str, object],
    version: str = MODEL_VERSION,
    facts: Mapping[str, object] | None = None,
    evaluation: WalkForward | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> dict[str, Any]:
    """Judge a trained model on rows that it was not fitted on, and write everything that is known of it.

    Parameters
    ----------
    predictor : StockPredictor
        Trained on the training rows of ``dataset``.
    dataset : Dataset
        Its rows, with validation and test.
    model_path, version, evaluation, on_stage
        See `train_model`.
    data : mapping
        Where the rows come from, see `describe_bars`.
    facts : mapping, optional
        What else to put into the metadata.

    Returns
    -------
    dict
        The metadata as stored.

    Raises
    ------
    ModelError
        The model is not trained, or cannot be written.
    """
    model_path = Path(model_path)
    on_stage("evaluation")
    known = dict(facts or {}) | {"data": dict(data), "split": _describe_split(dataset)} | _judge(predictor, dataset)
    if evaluation:
        known["walk_forward"] = evaluation.summary()
    on_stage("report")
    try:
        with publish_directory(model_path) as staging:
            (staging / REPORT_DIRECTORY).mkdir()
            write_page(staging / REPORT_DIRECTORY / PAGE_FILE, predictor, dataset, version, known, evaluation)
            if evaluation:
                evaluation.write(staging / REPORT_DIRECTORY / FORECASTS_FILE)
            dataset.save(staging / DATASET_FILE)
            predictor.write(staging, version=version, facts=known)
        if not evaluation:  # that of an earlier run says nothing of this model
            (model_path / REPORT_DIRECTORY / FORECASTS_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise _not_written(model_path, error) from error
    return predictor.metadata


def check_model_path(model_path: str | Path) -> None:
    """Refuse a directory that cannot be written to before the work of a training; raises ModelError."""
    try:
        check_folder(Path(model_path))
    except OSError as error:
        raise _not_written(model_path, error) from error


def _not_written(model_path: str | Path, error: OSError) -> ModelError:
    return ModelError(f"{model_path}: the model cannot be written: {error.strerror or error}")


def _judge(predictor: StockPredictor, dataset: Dataset) -> dict[str, Any]:
    """Return the metrics of a model and of both baselines, and its gain over the better baseline."""
    metrics, baselines, skill = {}, {}, {}
    for name in ("validation", "test"):
        part: Part = getattr(dataset, name)
        metrics[name] = predictor.evaluate(part.X, part.y)
        guesses = baseline_predictions(dataset.train.y, part.X)
        baselines[name] = {
            baseline: classification_metrics(part.y, guess, guess.astype(np.float64))
            for baseline, guess in guesses.items()
        }
        best = max(guesses, key=lambda baseline: float(np.mean(guesses[baseline] == part.y)))
        gain, error = accuracy_gain(part.y, predictor.predict(part.X), guesses[best])
        skill[name] = {"baseline": best, "accuracy_gain": gain, "standard_error": error}
    return {"metrics": metrics, "baselines": baselines, "skill": skill}


def describe_bars(bars: pd.DataFrame, source: str) -> dict[str, object]:
    """Return what identifies bars: source, tickers, dates and a digest of every value."""
    digest = hashlib.sha256("\0".join(bars["Ticker"].astype(str)).encode())
    digest.update(bars["Date"].to_numpy(dtype="datetime64[us]").tobytes())
    digest.update(bars[list(BAR_COLUMNS[2:])].to_numpy(dtype=np.float64, copy=True).tobytes())
    return {
        "source": source,
        "tickers": sorted(set(bars["Ticker"].astype(str))),
        "bars": len(bars),
        "first_date": _iso(bars["Date"].min()),
        "last_date": _iso(bars["Date"].max()),
        "sha256": digest.hexdigest(),
    }


def _describe_split(dataset: Dataset) -> dict[str, object]:
    """Return the size and the dates of each part."""
    parts: dict[str, Part] = {name: getattr(dataset, name) for name in PARTS}
    return {
        name: {"rows": len(part.y), "first_date": _iso(part.first_date), "last_date": _iso(part.last_date)}
        for name, part in parts.items()
    }


def _iso(date: pd.Timestamp) -> str:
    """Return a date as text, with the time of day only where it has one."""
    return date.date().isoformat() if date == date.normalize() else date.isoformat()

"""A scaler and a classifier, fitted together, stored together."""

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any, Self

import joblib
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from features_fast import FEATURE_NAMES, specification_hash
from training.defaults import CLASSIFIER_PARAMS, MODEL_TYPES, MODEL_VERSION, SEED
from training.errors import DataError, ModelError
from training.metrics import Metrics, classification_metrics
from training.staging import METADATA_FILE, holding_directory, publish_directory

MODEL_FILE = "model.joblib"
SCALER_FILE = "scaler.joblib"
LABELS: tuple[str, str] = ("DOWN", "UP")

_CLASSIFIERS: dict[str, type] = {
    "random_forest": RandomForestClassifier,
    "gradient_boosting": GradientBoostingClassifier,
    "logistic": LogisticRegression,
}
# The seed has its own argument, and the others say how to compute, not what.
_RESERVED = {"random_state", "n_jobs", "verbose", "warm_start"}
_LIBRARIES = ("scikit-learn", "numpy", "pandas", "joblib", "numba")


class StockPredictor:
    """Predict whether the next bar closes higher, from the 22 features of a bar.

    Features are standardized and classified as float32, because that is what serving computes with: near a split a
    float64 fit would label some rows differently.

    Parameters
    ----------
    model_type : {"random_forest", "gradient_boosting", "logistic"}
        The classifier of scikit-learn to use.
    params : mapping, optional
        Its parameters by name, over the defaults: 100 trees of depth 10, 100 trees of depth 3, 1,000 iterations.
    seed : int
        Same seed, same rows, same libraries: the same model, bit for bit.

    Attributes
    ----------
    scaler : StandardScaler
    classifier : RandomForestClassifier, GradientBoostingClassifier or LogisticRegression
    params : dict
        The parameters in use, defaults included.
    metadata : dict
        What was stored beside the model; empty before `save` or `load`.

    Raises
    ------
    ModelError
        No such model type, or the classifier has no such parameter.
    """

    def __init__(
        self, model_type: str = "random_forest", params: Mapping[str, object] | None = None, *, seed: int = SEED
    ) -> None:
        if model_type not in _CLASSIFIERS:
            raise ModelError(f"model type: expected {', '.join(MODEL_TYPES)}, got {model_type!r}")
        if not 0 <= seed < 2**32:
            raise ModelError(f"seed: expected 0 to {2**32 - 1}, got {seed}")
        self.model_type = model_type
        self.seed = seed
        self.params = CLASSIFIER_PARAMS[model_type] | dict(params or {})
        self.metadata: dict[str, Any] = {}
        self.scaler: Any = StandardScaler()
        self.classifier: Any = _CLASSIFIERS[model_type](random_state=seed)
        allowed = set(self.classifier.get_params()) - _RESERVED
        for name in self.params:
            if name not in allowed:
                raise ModelError(f"parameter of {model_type}: expected {', '.join(sorted(allowed))}, got {name!r}")
        self.classifier.set_params(**self.params)

    def train(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit the scaler and the classifier.

        Parameters
        ----------
        X : (n, 22) array_like
            Features, cast to float32.
        y : (n,) array_like
            1 (UP) or 0 (DOWN), both present.

        Raises
        ------
        DataError
            Wrong shapes, features that are not finite, or targets other than 0 and 1.
        ModelError
            The classifier refuses the value of a parameter.
        """
        rows = _features(X)
        targets = _targets(y, len(rows))
        if len(np.unique(targets)) != 2:
            raise DataError(f"y: expected both classes, got {len(targets)} of class {targets[0]} alone")
        scaled = self.scaler.fit_transform(rows)
        if self.model_type == "random_forest":
            # Each tree has its own seed, drawn before the threads start.
            self.classifier.set_params(n_jobs=joblib.cpu_count())
        try:
            self.classifier.fit(scaled, targets)
        except (ValueError, TypeError) as error:
            raise ModelError(f"{self.model_type} cannot be fitted: {_one_line(error)}") from error
        finally:
            if self.model_type == "random_forest":
                # Threads would add the votes up in the order in which they finish.
                self.classifier.set_params(n_jobs=None)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return the more probable class of each row, (n,) int64: 1 (UP) or 0 (DOWN).

        Raises
        ------
        DataError
            Wrong shape, or features that are not finite.
        ModelError
            The model is not trained.
        """
        return np.asarray(self.classifier.predict(self._scale(X)), dtype=np.int64)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the probabilities of DOWN and UP, (n, 2) float64; errors as in `predict`."""
        return np.asarray(self.classifier.predict_proba(self._scale(X)), dtype=np.float64)

    def evaluate(self, X: ArrayLike, y: ArrayLike) -> Metrics:
        """Return accuracy, precision, recall, F1 and ROC AUC, see `training.metrics.classification_metrics`.

        Raises
        ------
        DataError
            Wrong shapes, no rows, features that are not finite, or targets other than 0 and 1.
        ModelError
            The model is not trained.
        """
        scaled = self._scale(X)
        targets = _targets(y, len(scaled))
        predicted = np.asarray(self.classifier.predict(scaled), dtype=np.int64)
        return classification_metrics(targets, predicted, self.classifier.predict_proba(scaled)[:, 1])

    def save(
        self, directory: str | Path, *, version: str = MODEL_VERSION, facts: Mapping[str, object] | None = None
    ) -> None:
        """Write ``model.joblib``, ``scaler.joblib`` and ``metadata.json``, all or none.

        Parameters
        ----------
        directory : str or Path
            Made where it does not exist; other files in it stay.
        version : str
            Which model this is.
        facts : mapping, optional
            What else to put into the metadata.

        Raises
        ------
        ModelError
            The model is not trained, or the directory cannot be written.
        """
        try:
            with publish_directory(Path(directory)) as staging:
                self.write(staging, version=version, facts=facts)
        except OSError as error:
            raise ModelError(f"{directory}: the model cannot be written: {error.strerror or error}") from error

    def write(self, folder: Path, *, version: str, facts: Mapping[str, Any] | None = None) -> None:
        """Write the files that `save` publishes into an empty folder; raises ModelError, OSError."""
        self._require_fitted()
        self.metadata = {
            "name": self.model_type,
            "version": version,
            "params": self.params,
            "seed": self.seed,
            "feature_names": list(FEATURE_NAMES),
            "labels": list(LABELS),
            "feature_specification": specification_hash(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            **(facts or {}),
            "libraries": {"python": platform.python_version()} | {name: library_version(name) for name in _LIBRARIES},
        }
        try:
            text = json.dumps(self.metadata, indent=2, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ModelError(f"metadata: expected what JSON can hold: {error}") from error
        joblib.dump(self.classifier, folder / MODEL_FILE)
        joblib.dump(self.scaler, folder / SCALER_FILE)
        (folder / METADATA_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Open a stored model.

        The files are pickles, which can run any code when they are opened: load what you trust.

        Raises
        ------
        ModelError
            A file is missing or damaged, or the model was trained on other definitions of the features.
        """
        directory = Path(directory)
        with holding_directory(directory):
            return cls._load(directory)

    @classmethod
    def _load(cls, directory: Path) -> Self:
        try:
            metadata = json.loads((directory / METADATA_FILE).read_text(encoding="utf-8"))
            predictor = cls(metadata["name"], metadata["params"], seed=metadata["seed"])
            specification = metadata["feature_specification"]
        except OSError as error:
            raise ModelError(f"{directory / METADATA_FILE}: cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{directory / METADATA_FILE}: expected the metadata of a model: {error!r}") from error
        if specification != specification_hash():
            raise ModelError(
                f"{directory / METADATA_FILE}: expected feature_specification {specification_hash()}, got "
                f"{specification}; train the model again"
            )
        predictor.metadata = metadata
        predictor.classifier = _open(directory / MODEL_FILE, _CLASSIFIERS[predictor.model_type])
        predictor.scaler = _open(directory / SCALER_FILE, StandardScaler)
        return predictor

    def _scale(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return standardized float32 features."""
        self._require_fitted()
        return np.asarray(self.scaler.transform(_features(X)), dtype=np.float32)

    def _require_fitted(self) -> None:
        """Refuse a model that is not trained."""
        try:
            check_is_fitted(self.classifier)
        except ValueError as error:
            raise ModelError(f"{self.model_type}: expected a trained model; call train or load first") from error


def _features(X: ArrayLike) -> NDArray[np.float32]:
    """Return features as a (n, 22) float32 array of finite numbers."""
    if isinstance(X, pd.DataFrame) and tuple(X.columns) != FEATURE_NAMES:
        raise DataError(f"X: expected the columns {', '.join(FEATURE_NAMES)}, got {', '.join(map(str, X.columns))}")
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused below
            rows = np.ascontiguousarray(X, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise DataError(f"X: expected rows of {len(FEATURE_NAMES)} numbers: {error}") from error
    if rows.ndim != 2 or rows.shape[1] != len(FEATURE_NAMES) or not len(rows):
        raise DataError(f"X: expected shape (n, {len(FEATURE_NAMES)}) with n > 0, got {rows.shape}")
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        raise DataError(f"X, row {row}, {FEATURE_NAMES[column]}: expected a finite number, got {rows[row, column]}")
    return rows


def _targets(y: ArrayLike, rows: int) -> NDArray[np.int64]:
    """Return targets as a (n,) int64 array of 0 and 1."""
    targets = np.asarray(y)
    if targets.shape != (rows,):
        raise DataError(f"y: expected shape ({rows},), got {targets.shape}")
    if not np.isin(targets, (0, 1)).all():
        raise DataError(f"y: expected 0 (DOWN) and 1 (UP), got {sorted(set(targets.tolist()))[:5]}")
    return targets.astype(np.int64)


def _open(path: Path, expected: type) -> ClassifierMixin | StandardScaler:
    """Open one pickled estimator."""
    try:
        estimator = joblib.load(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise ModelError(f"{path}: expected a stored {expected.__name__}: {_one_line(error)}") from error
    if not isinstance(estimator, expected):
        raise ModelError(f"{path}: expected a {expected.__name__}, got {type(estimator).__name__}")
    return estimator


def _one_line(error: Exception) -> str:
    """Return the message of an error without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__

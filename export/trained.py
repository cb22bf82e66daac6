"""A trained model as `tickline train` leaves it: a directory of estimators, metadata and the rows they saw."""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from export.errors import ExportError
from features_fast.specification import specification_hash

_TRAIN = "make one with `tickline train`"
_CARD_FIELDS = ("name", "version", "feature_names", "labels", "feature_specification", "libraries")


@dataclass(frozen=True)
class TrainedModel:
    """What the export needs of a model directory.

    Attributes
    ----------
    pipeline : Pipeline
        Scaler and classifier.
    name, version : str
        What the model is called, and which one it is.
    feature_names, labels : list of str
        The columns and the classes, in order.
    feature_specification : str or None
        Hash of the definitions of the features.
    libraries : dict
        Versions of the libraries that trained it.
    training : dict
        Every other fact of the training run.
    rows : (n, features) float32 array
        All rows, oldest first.
    training_rows : (k, features) float32 array
        The rows that the model was fitted on.
    test_rows : (m, features) float32 array
        The rows of the test set, oldest first.
    """

    pipeline: Pipeline
    name: str
    version: str
    feature_names: list[str]
    labels: list[str]
    feature_specification: str | None
    libraries: dict[str, str]
    training: dict[str, Any]
    rows: NDArray[np.float32]
    test_rows: NDArray[np.float32]
    training_rows: NDArray[np.float32]


def read_trained_model(directory: Path) -> TrainedModel:
    """Read a model directory. Its estimators are pickles, which run code when they are opened: read what you trust.

    Raises
    ------
    ExportError
        A file is missing, damaged or does not fit the others, or the features are defined otherwise by now.
    """
    metadata = _read_metadata(directory / "metadata.json")
    scaler = _load(directory / "scaler.joblib", StandardScaler)
    classifier = _load(directory / "model.joblib")
    parts = _read_rows(directory / "datasets.npz", len(metadata["feature_names"]))
    return TrainedModel(
        pipeline=Pipeline([("scaler", scaler), ("classifier", classifier)]),
        name=metadata["name"],
        version=metadata["version"],
        feature_names=metadata["feature_names"],
        labels=metadata["labels"],
        feature_specification=metadata.get("feature_specification"),
        libraries=metadata.get("libraries", {}),
        training={key: value for key, value in metadata.items() if key not in _CARD_FIELDS},
        rows=np.concatenate(parts),
        test_rows=parts[-1],
        training_rows=parts[0],
    )


def _read_metadata(path: Path) -> dict[str, Any]:
    """Read the metadata and check the fields that the export relies on."""
    try:
        metadata = json.loads(path.read_bytes())
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error.strerror}; {_TRAIN}") from None
    except ValueError as error:
        raise ExportError(f"{path}: expected JSON: {error}; {_TRAIN}") from None
    if not isinstance(metadata, dict):
        raise ExportError(f"{path}: expected an object, got {type(metadata).__name__}; {_TRAIN}")
    for field, kind, what in (
        ("name", str, "text"),
        ("version", str, "text"),
        ("feature_names", list, "a list of text"),
        ("labels", list, "a list of text"),
    ):
        value = metadata.get(field)
        if not isinstance(value, kind) or not all(isinstance(part, str) for part in value):
            raise ExportError(f"{path}: expected {what} as `{field}`, got {value!r}; {_TRAIN}")
    specification = metadata.get("feature_specification")
    if specification not in (None, specification_hash()):
        raise ExportError(
            f"{path}: expected feature_specification {specification_hash()}, got {specification}: the features were "
            f"defined otherwise when this model was trained; {_TRAIN}"
        )
    return metadata


def _load(path: Path, expected: type | None = None) -> Any:
    """Open one pickled estimator."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", InconsistentVersionWarning)
            estimator = joblib.load(path)
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error.strerror or error}; {_TRAIN}") from None
    except InconsistentVersionWarning as error:
        raise ExportError(
            f"{path}: stored by scikit-learn {error.original_sklearn_version}, which is not the installed "
            f"{error.current_sklearn_version}: its answers may differ; {_TRAIN}"
        ) from None
    except Exception as error:  # a damaged pickle can raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ExportError(f"{path}: expected a stored estimator: {reason}; {_TRAIN}") from error
    if expected is not None and not isinstance(estimator, expected):
        raise ExportError(f"{path}: expected a {expected.__name__}, got {type(estimator).__name__}; {_TRAIN}")
    return estimator


def _read_rows(path: Path, features: int) -> list[NDArray[np.float32]]:
    """Read the rows of training, validation and test set."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            parts = [arrays[f"X_{part}"] for part in ("train", "validation", "test")]
    except OSError as error:
        raise ExportError(f"{path}: cannot be read: {error.strerror or error}; {_TRAIN}") from None
    except Exception as error:  # a damaged archive: zlib, zipfile and numpy each have their own
        raise ExportError(f"{path}: expected X_train, X_validation and X_test: {error}; {_TRAIN}") from error
    for rows in parts:
        if rows.ndim != 2 or rows.shape[1] != features:
            raise ExportError(
                f"{path}: expected rows of {features} features as in metadata.json, got shape {rows.shape}; {_TRAIN}"
            )
    return [rows.astype(np.float32, copy=False) for rows in parts]

"""The test rows of a model as they travel with it, so that any other model can be judged on the same ones."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dataset import Dataset
from training.errors import DataError
from training.metrics import baseline_probabilities

HOLDOUT_FILE = "holdout.npz"

_FIELDS = {"X": "float32", "y": "int64", "dates": "datetime64[us]"}
_BASELINE = "baseline_"


@dataclass(frozen=True)
class Holdout:
    """Rows that a model was not fitted on.

    Attributes
    ----------
    X : (n, features) float32
    y : (n,) int64
        What happened: 1 (UP) or 0 (DOWN).
    dates : (n,) datetime64[us]
        When.
    baselines : dict of (n,) float64
        Probabilities of UP by forecasts without a model, made from the training rows.
    """

    X: NDArray[np.float32]
    y: NDArray[np.int64]
    dates: NDArray[np.datetime64]
    baselines: dict[str, NDArray[np.float64]]

    def after(self, date: np.datetime64) -> "Holdout":
        """Return the rows of later dates."""
        later = self.dates > date
        baselines = {name: probability[later] for name, probability in self.baselines.items()}
        return Holdout(self.X[later], self.y[later], self.dates[later], baselines)

    def encode(self) -> bytes:
        """Return the rows as the content of an ``.npz`` file."""
        content = io.BytesIO()
        baselines = {_BASELINE + name: probability for name, probability in self.baselines.items()}
        np.savez(content, allow_pickle=False, X=self.X, y=self.y, dates=self.dates, **baselines)
        return content.getvalue()


def from_datasets(path: Path) -> Holdout:
    """Return the test rows of the ``datasets.npz`` that a training run wrote; raises DataError."""
    dataset = Dataset.load(path)
    train, test = dataset.train, dataset.test
    return Holdout(test.X, test.y, test.dates, baseline_probabilities(train.X, train.y, test.X))


def decode(content: bytes, source: str) -> Holdout:
    """Return the rows that `Holdout.encode` wrote; raises DataError, which names the source."""
    arrays = _read(content, source, tuple(_FIELDS))
    count = len(arrays["y"])
    for name, values in arrays.items():
        dtype = _FIELDS.get(name, "float64")
        if values.dtype != dtype or len(values) != count or values.ndim != 1 + (name == "X"):
            raise DataError(f"{source}, {name}: expected {count} rows of {dtype}, got {values.dtype} {values.shape}")
    baselines = {name.removeprefix(_BASELINE): arrays[name] for name in arrays if name.startswith(_BASELINE)}
    return Holdout(arrays["X"], arrays["y"], arrays["dates"], baselines)


def _read(content: bytes, source: str, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz`` file, in which some must be."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # a damaged archive: zlib, zipfile and numpy each have their own
        raise DataError(f"{source}: expected an .npz file of rows: {error}") from error
    missing = [name for name in names if name not in arrays]
    if missing:
        raise DataError(f"{source}: expected {', '.join(names)}, found no {', '.join(missing)}")
    return arrays

"""Two certified models on 22 features, and rows for them: the same in every process that works in one folder."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from features_fast import FEATURE_NAMES

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# scikit-learn and the exporter take seconds to import: only a process that makes a model needs them.

NAMES = LOGISTIC, FOREST = "logistic", "forest 100 x 10"
LABELS = ("DOWN", "UP")

_SCALES = np.geomspace(0.01, 1000, len(FEATURE_NAMES))


def random_rows(count: int, seed: int) -> NDArray[np.float32]:
    """Return rows of different scales, float32 (count, features)."""
    return (np.random.default_rng(seed).normal(size=(count, len(_SCALES))) * _SCALES).astype(np.float32)


def fitted(name: str) -> "Pipeline":
    """Return a scaler and a classifier, fitted on 6,000 rows."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    forest = name == FOREST
    classifier = RandomForestClassifier(100, max_depth=10, random_state=0) if forest else LogisticRegression()
    rows = random_rows(6000, seed=0)
    noise = np.random.default_rng(1).normal(size=len(rows))
    target = ((rows / _SCALES)[:, :6].sum(axis=1) + noise > 0).astype(int)
    return make_pipeline(StandardScaler(), classifier).fit(rows, target)


def model_file(name: str, folder: Path) -> Path:
    """Return the model file in a folder of its own below the folder, made where it is not there."""
    path = folder / name.partition(" ")[0] / "model.onnx"
    if not path.exists():
        certify(fitted(name), path, "benchmark", random_rows(6000, seed=0))
    return path


def certify(fitted: "Pipeline", path: Path, name: str, rows: NDArray[np.float32]) -> None:
    """Write a fitted model as a certified file, in a folder that is made.

    Parameters
    ----------
    fitted : Pipeline
        The model, of our features.
    path : Path
        The file.
    name : str
        Of the model.
    rows : ndarray
        Rows for the certificate, float32 (rows, features).
    """
    from export import export_classifier

    path.parent.mkdir(parents=True, exist_ok=True)
    export_classifier(
        *(fitted, path),
        rows=rows,
        test_rows=rows,
        name=name,
        version="1",
        feature_names=FEATURE_NAMES,
        labels=LABELS,
    )

"""The reference: a fitted scikit-learn classifier, asked for exactly the float32 rows that the graph gets."""

from typing import Any

import joblib
import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from export.errors import ExportError

_SUM_TOLERANCE = 1e-3  # how far the probabilities of a row may be from 1 together


class Reference:
    """A fitted classifier of scikit-learn, checked, with its probabilities as the truth.

    Parameters
    ----------
    model : classifier or Pipeline
        Fitted, with `predict_proba`, and one target of two classes or more.

    Attributes
    ----------
    model : classifier or Pipeline
        As given.
    kind : str
        Its class, with those of a pipeline's steps.
    features : int or None
        Number of columns it was fitted on; None where the estimator does not know.
    feature_names : tuple of str or None
        The columns' names where it was fitted on a DataFrame.
    labels : tuple of str
        The classes, in the order of the probabilities.
    name : str
        The library with its version.

    Raises
    ------
    ExportError
        For a regressor, a classifier without probabilities or with several outputs, or one that is not fitted.
    """

    name = f"scikit-learn {sklearn.__version__}"

    def __init__(self, model: Any) -> None:
        self.kind = describe(model)
        if not isinstance(model, BaseEstimator) or not is_classifier(model):
            raise ExportError(
                f"model: expected a scikit-learn classifier or a pipeline that ends in one, got {self.kind}"
            )
        try:
            check_is_fitted(model)
        except NotFittedError:
            raise ExportError(f"model: expected a fitted classifier, got {self.kind} before its `fit`") from None
        if not hasattr(model, "predict_proba"):
            raise ExportError(f"model: expected a classifier with `predict_proba`, {self.kind} has none")
        classes = model.classes_
        if isinstance(classes, list):
            raise ExportError(f"model: expected one target, {self.kind} was fitted on {len(classes)}")
        if len(classes) < 2:
            raise ExportError(f"model: expected two classes or more, {self.kind} was fitted on {len(classes)}")
        self.model = model
        self.features: int | None = getattr(model, "n_features_in_", None)
        self.labels = tuple(str(label) for label in classes)
        columns = getattr(model, "feature_names_in_", None)
        self.feature_names = None if columns is None else tuple(str(column) for column in columns)

    def probabilities(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the classifier's probabilities.

        Trees of a forest are added up one after the other, whatever its `n_jobs`, so that a sum's last bit does not
        depend on which thread finished first.

        Parameters
        ----------
        rows : (n, features) float32 array

        Returns
        -------
        (n, classes) float64 array

        Raises
        ------
        ExportError
            Where the pipeline is not wholly fitted, or its answers are no probabilities of exclusive classes.
        """
        columns = rows if self.feature_names is None else self._frame(rows)
        try:
            with joblib.parallel_config(backend="sequential"), np.errstate(all="ignore"):
                answers = np.asarray(self.model.predict_proba(columns), np.float64)
        except NotFittedError as error:
            raise ExportError(f"model: expected a fitted classifier, a step of {self.kind} is not: {error}") from None
        if answers.shape != (len(rows), len(self.labels)):
            raise ExportError(
                f"predict_proba of {self.kind}: expected shape {(len(rows), len(self.labels))}, got {answers.shape}"
            )
        sums = answers.sum(axis=1)
        wrong = np.flatnonzero(np.abs(sums - 1.0) > _SUM_TOLERANCE)
        if len(wrong):
            raise ExportError(
                f"predict_proba of {self.kind}: expected exclusive classes with probabilities that sum to 1, "
                f"got a sum of {sums[wrong[0]]:.6g} in row {wrong[0]}"
            )
        return answers

    def _frame(self, rows: NDArray[np.float32]) -> Any:
        """Return rows under the names that the model was fitted with; without them scikit-learn warns."""
        import pandas as pd

        return pd.DataFrame(rows, columns=list(self.model.feature_names_in_))


def describe(model: Any) -> str:
    """Return an estimator's class, with the classes of a pipeline's steps."""
    name = type(model).__name__
    steps = getattr(model, "steps", None)
    return f"{name}({', '.join(type(step).__name__ for _, step in steps)})" if steps else name


def margins(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far the most probable class leads the second, (n,) float64, for probabilities (n, classes)."""
    ordered = np.sort(probabilities, axis=1)
    lead: NDArray[np.float64] = ordered[:, -1] - ordered[:, -2]
    return lead

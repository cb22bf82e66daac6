"""Converters that put those of skl2onnx right, where these differ from scikit-learn."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skl2onnx.common._registration import get_converter
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

_MISSING = "nodes_missing_value_tracks_true"


def convert_histogram_boosting(scope: Any, operator: Any, container: Any) -> None:
    """Convert a `HistGradientBoostingClassifier` by skl2onnx's own converter, with two of its inputs put right.

    It rounds float64 thresholds to the nearest float32, so that a float32 value between the two takes the other
    branch; and it writes booleans into a list of integers, which Protocol Buffers 6 and later refuse.
    """
    add_node = container.add_node

    def add_node_with_integers(*arguments: Any, **attributes: Any) -> None:
        if _MISSING in attributes:
            attributes[_MISSING] = [int(flag) for flag in attributes[_MISSING]]
        add_node(*arguments, **attributes)

    model = operator.raw_operator
    operator.raw_operator = _with_float32_thresholds(model)
    container.add_node = add_node_with_integers
    try:
        get_converter(operator.type)(scope, operator, container)
    finally:
        operator.raw_operator = model
        container.add_node = add_node


def _with_float32_thresholds(model: HistGradientBoostingClassifier) -> HistGradientBoostingClassifier:
    """Return a copy whose thresholds are float32 and divide the float32 values as the model's own do."""
    result = copy.copy(model)
    result._predictors = []
    for iteration in model._predictors:
        trees = [copy.copy(tree) for tree in iteration]
        for tree in trees:
            tree.nodes = tree.nodes.copy()
            tree.nodes["num_threshold"] = _round_down(tree.nodes["num_threshold"])
        result._predictors.append(trees)
    return result


def _round_down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 values that are not above `values`."""
    nearest = values.astype(np.float32)
    return np.where(nearest > values, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def convert_linear_discriminant(scope: Any, operator: Any, container: Any) -> None:
    """Convert a `LinearDiscriminantAnalysis`; with two classes, skl2onnx doubles the argument of its sigmoid.

    The same coefficients in a logistic regression are the same model, and that is converted as it should be.
    """
    model = operator.raw_operator
    if len(model.classes_) == 2:
        operator.raw_operator = LogisticRegression()
        for attribute in ("coef_", "intercept_", "classes_"):
            setattr(operator.raw_operator, attribute, getattr(model, attribute))
    try:
        get_converter(operator.type)(scope, operator, container)
    finally:
        operator.raw_operator = model


CONVERTERS: dict[type, Callable[[Any, Any, Any], None]] = {
    HistGradientBoostingClassifier: convert_histogram_boosting,
    LinearDiscriminantAnalysis: convert_linear_discriminant,
}
"""Estimator -> converter, in the form of skl2onnx's `custom_conversion_functions`."""

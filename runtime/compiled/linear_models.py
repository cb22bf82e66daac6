"""The linear operators: `LinearClassifier`, `LinearRegressor` and `Gemm` with constants."""

import numpy as np
from numpy.typing import NDArray

from runtime.compiled.errors import Unsupported
from runtime.compiled.operation import Handler, Operation, Value
from runtime.compiled.post_transforms import post_transform, transformed
from runtime.compiled.program import Linear, Pair, PairKind


def classifier(operation: Operation) -> Value:
    """`LinearClassifier`: one score a class, or the second one's alone."""
    operation.expect(
        "classlabels_ints",
        "classlabels_strings",
        "coefficients",
        "intercepts",
        "multi_class",
        "post_transform",
        output=1,
    )
    strings = operation.attribute("classlabels_strings")
    labels = (len(strings.texts()) if strings is not None else 0) or len(operation.integers("classlabels_ints"))
    intercepts = operation.floats("intercepts")
    targets = len(intercepts)
    if not 1 <= targets <= labels:
        operation.fail(f"intercepts: expected one for each of {labels} classes, got {targets}")
    if labels != targets and (labels, targets) != (2, 1):
        raise Unsupported(f"{targets} scores for {labels} classes")
    if labels == 1:
        raise Unsupported("1 class, where 2 and more are supported")
    transform = post_transform(operation)
    scores = _linear(operation, intercepts)
    if targets == 1:
        if transform not in ("NONE", "LOGISTIC"):
            raise Unsupported(f"post_transform {transform} of one score")
        kind = PairKind.COMPLEMENT if transform == "NONE" else PairKind.OPPOSITE
        scores = operation.add(Pair(scores, kind))
    return transformed(operation, scores, transform)


def regressor(operation: Operation) -> Value:
    """`LinearRegressor`."""
    operation.expect("coefficients", "intercepts", "post_transform", "targets")
    transform = post_transform(operation)
    if transform != "NONE":
        raise Unsupported(f"post_transform {transform}")
    targets, intercepts = operation.integer("targets", 1), operation.floats("intercepts")
    if len(intercepts) not in (0, targets):
        operation.fail(f"intercepts: expected none or {targets}, got {len(intercepts)}")
    if targets < 1 or targets > len(operation.floats("coefficients")):
        operation.fail(f"targets: expected 1 to as many as coefficients, got {targets}")
    return _linear(operation, intercepts if len(intercepts) else np.zeros(targets, np.float32))


def product(operation: Operation) -> Value:
    """`Gemm`: a constant matrix, and perhaps a constant added."""
    operation.expect("alpha", "beta", "transA", "transB", inputs=(2, 3))
    columns = operation.single().columns
    matrix, added = operation.constant(1), operation.constant(2)
    factors = [
        float(attribute.floating())
        for name in ("alpha", "beta")
        if (attribute := operation.attribute(name)) is not None
    ]
    if operation.integer("transA", 0) or any(factor != 1 for factor in factors):
        raise Unsupported("transA, alpha or beta")
    if matrix is None or matrix.dtype != np.float32 or matrix.ndim != 2:
        operation.fail("expected a float32 matrix as input 1")
    coefficients = np.ascontiguousarray(matrix if operation.integer("transB", 0) else matrix.T)
    targets = len(coefficients)
    if coefficients.shape[1] != columns:
        operation.fail(f"expected a matrix for {columns} columns as input 1, got shape {matrix.shape}")
    intercepts = np.zeros(targets, np.float32)
    if added is not None:
        if added.dtype != np.float32:
            operation.fail(f"expected float32 as input 2, got {added.dtype}")
        if added.size not in (1, targets) or added.ndim > 2 or (added.ndim == 2 and len(added) != 1):
            raise Unsupported(f"a sum with shape {added.shape}")
        intercepts = operation.columns("input 2", added.ravel(), targets)
    return operation.add(Linear(operation.register(), coefficients, intercepts))


def _linear(operation: Operation, intercepts: NDArray[np.float32]) -> int:
    """Add the step of the scores."""
    columns, targets = operation.single().columns, len(intercepts)
    coefficients = operation.floats("coefficients")
    if len(coefficients) != targets * columns:
        operation.fail(f"coefficients: expected {targets} times {columns}, got {len(coefficients)}")
    return operation.add(Linear(operation.register(), coefficients.reshape(targets, columns), intercepts))


HANDLERS: dict[tuple[str, str], Handler] = {
    ("ai.onnx", "Gemm"): product,
    ("ai.onnx.ml", "LinearClassifier"): classifier,
    ("ai.onnx.ml", "LinearRegressor"): regressor,
}
"""Domain and operator -> what turns such a node into steps."""

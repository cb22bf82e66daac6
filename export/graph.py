"""The graph: what skl2onnx makes of a classifier, with everything pinned that a server relies on."""

from typing import Any

import onnx
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from export.converters import CONVERTERS
from export.errors import ExportError
from export.reference import describe
from export.ties import settle_ties
from runtime.artifact import ArtifactError
from runtime.engine import FEATURES, PROBABILITIES
from runtime.graph_rules import check_graph

LABEL = "label"
"""Name of the graph's output that holds the predicted class itself, int64 or string (rows,)."""

OPSETS = {"": 21, "ai.onnx.ml": 3}
"""Operator sets of every graph, and the only domains in it; onnxruntime 1.24 and later run all of both."""

IR_VERSION = 10
"""Version of the file format, the one that belongs to main opset 21."""

# By default skl2onnx multiplies by 1/scale, which moves rows over split thresholds. scikit-learn's StandardScaler
# rounds to float32 after subtracting and after dividing; its MaxAbsScaler divides in float64 and rounds once.
_SCALER_OPTIONS = {StandardScaler: {"div": "div"}, MaxAbsScaler: {"div": "div_cast"}}

_LONGEST_REASON = 300  # letters of what a converter says


def convert(model: Any, features: int, classes: int) -> onnx.ModelProto:
    """Convert a fitted classifier into one graph.

    Parameters
    ----------
    model : classifier or Pipeline
        Fitted, of scikit-learn.
    features : int
        Columns of an input row.
    classes : int
        Columns of the probabilities.

    Returns
    -------
    onnx.ModelProto
        One input `features`, float32 (rows, features); outputs `label` (rows,) and `probabilities`, float32
        (rows, classes), where `rows` is dynamic; no ZipMap; operators of `OPSETS` alone.

    Raises
    ------
    ExportError
        Where skl2onnx has no converter for an estimator, or the graph is not as above.
    """
    try:
        proto: onnx.ModelProto = convert_sklearn(
            model,
            name="tickline",
            initial_types=[(FEATURES, FloatTensorType([None, features]))],
            target_opset=OPSETS,
            options={id(model): {"zipmap": False}, **_SCALER_OPTIONS},
            custom_conversion_functions=CONVERTERS,
        )
    except Exception as error:  # converters raise whatever their own code runs into
        reason = (str(error).splitlines() or [type(error).__name__])[0][:_LONGEST_REASON]
        raise ExportError(f"{describe(model)}: skl2onnx cannot convert it: {reason}") from error
    settle_ties(proto.graph)
    _check(proto)
    _pin(proto, features, classes)
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"graph of {describe(model)}: {str(error).splitlines()[0]}") from error
    return proto


def _check(proto: onnx.ModelProto) -> None:
    """Refuse what a server could not run as plain tensors from one file."""
    graph = proto.graph
    for kind, nodes, expected in (
        ("inputs", graph.input, [FEATURES]),
        ("outputs", graph.output, [LABEL, PROBABILITIES]),
    ):
        found = [node.name for node in nodes]
        if found != expected:
            raise ExportError(f"graph {kind}: expected {', '.join(expected)}, got {', '.join(found)}")
    element = graph.output[1].type.tensor_type.elem_type
    if element != onnx.TensorProto.FLOAT:
        raise ExportError(f"graph output {PROBABILITIES}: expected float32, got element type {element}")
    if any(node.op_type == "ZipMap" for node in graph.node):
        raise ExportError("graph: expected probabilities as one tensor, got a ZipMap")
    try:
        check_graph(proto.SerializeToString())
    except ArtifactError as error:
        raise ExportError(str(error)) from None


def _pin(proto: onnx.ModelProto, features: int, classes: int) -> None:
    """Write versions, shapes and producer; skl2onnx names the lowest opset that would do, in no fixed order."""
    del proto.opset_import[:]
    proto.opset_import.extend(onnx.helper.make_opsetid(domain, version) for domain, version in OPSETS.items())
    proto.ir_version = IR_VERSION
    proto.producer_name, proto.producer_version, proto.domain = "tickline", "", ""
    for tensor, width in ((proto.graph.input[0], features), (proto.graph.output[1], classes)):
        pinned = onnx.helper.make_tensor_value_info(tensor.name, onnx.TensorProto.FLOAT, ["rows", width])
        tensor.CopyFrom(pinned)

"""Operators between and around the models: scalers, imputers, arithmetic, functions, the choice of columns."""

import numpy as np

from runtime.compiled.errors import Unsupported
from runtime.compiled.graph import DOUBLE, FLOAT, Array
from runtime.compiled.operation import Handler, Operation, Value
from runtime.compiled.program import (
    Apply,
    Arithmetic,
    Cast,
    Clip,
    Columns,
    Combine,
    Concatenate,
    Function,
    Impute,
    Linear,
    Norm,
    Normalize,
    Operator,
)

_NEUTRAL = {Operator.SUBTRACT: 0.0, Operator.MULTIPLY: 1.0, Operator.DIVIDE: 1.0}
"""Constants that change no number, not even the sign of a zero: what converters multiply by to give a new name."""


def scaler(operation: Operation) -> Value:
    """`Scaler`: subtract, then multiply; float32 after each."""
    operation.expect("offset", "scale")
    columns = operation.single().columns
    offset, scale = operation.floats("offset"), operation.floats("scale")
    if len(offset) != len(scale):
        operation.fail(f"expected as many numbers in offset and scale, got {len(offset)} and {len(scale)}")
    shifted = _with_constant(
        operation, operation.register(), Operator.SUBTRACT, operation.columns("offset", offset, columns), False
    )
    return _with_constant(operation, shifted, Operator.MULTIPLY, operation.columns("scale", scale, columns), False)


def imputer(operation: Operation) -> Value:
    """`Imputer` of floats."""
    operation.expect("imputed_value_floats", "replaced_value_float")
    columns, values = operation.single().columns, operation.floats("imputed_value_floats")
    replaced = operation.attribute("replaced_value_float")
    if replaced is None or not len(values):
        operation.fail("expected imputed_value_floats and replaced_value_float")
    if len(values) != columns:
        values = values[:1]
    return operation.add(
        Impute(operation.register(), float(replaced.floating()), operation.columns("values", values, columns))
    )


def normalizer(operation: Operation) -> Value:
    """`Normalizer` of rows."""
    operation.expect("norm")
    name = operation.text("norm", "MAX")
    if name not in Norm.__members__:
        operation.fail(f"norm: expected {', '.join(Norm.__members__)}, got {name}")
    operation.single()
    return operation.add(Normalize(operation.register(), Norm[name]))


def lp_normalization(operation: Operation) -> Value:
    """`LpNormalization` of rows by their L1 norm."""
    operation.expect("axis", "p")
    _expect_columns(operation, "axis", operation.integer("axis", -1))
    if operation.integer("p", 2) != 1:
        raise Unsupported("p is 2, where 1 is supported")
    operation.single()
    return operation.add(Normalize(operation.register(), Norm.L1))


def cast(operation: Operation) -> Value:
    """`Cast` between float32 and float64."""
    operation.expect("to", "saturate", "round_mode")
    to = operation.integer("to", 0)
    if to not in (FLOAT, DOUBLE):
        raise Unsupported(f"a cast to data type {to}, where {FLOAT} and {DOUBLE} are supported")
    if operation.block().double == (to == DOUBLE):
        return operation.register()
    return operation.add(Cast(operation.register(), to == DOUBLE))


def identity(operation: Operation) -> Value:
    """`Identity`: another name."""
    operation.expect()
    return operation.register()


def constant(operation: Operation) -> Value:
    """`Constant`."""
    operation.expect("value", "value_float", "value_floats", "value_int", "value_ints", inputs=(0, 0))
    if len(operation.node.attributes) != 1:
        operation.fail(f"expected one attribute, got {len(operation.node.attributes)}")
    (name, attribute), *_ = operation.node.attributes.items()
    if name == "value":
        return attribute.tensor()
    if name == "value_float":
        return np.array(attribute.floating())
    if name == "value_floats":
        return attribute.floats()
    return np.array(attribute.integer()) if name == "value_int" else attribute.integers()


def arithmetic(operator: Operator) -> Handler:
    """`Add`, `Sub`, `Mul`, `Div`: two registers, or a register and a constant."""

    def handle(operation: Operation) -> Value:
        operation.expect(inputs=(2, 2))
        return _operate(operation, operator, operation.value(0), operation.value(1))

    return handle


def total(operation: Operation) -> Value:
    """`Sum`: the first input, and one after the other added to it."""
    operation.expect(inputs=(1, 1 << 16))
    result = operation.register(0)
    for index in range(1, len(operation.node.inputs)):
        result = _operate(operation, Operator.ADD, result, operation.value(index))
    return result


def reciprocal(operation: Operation) -> Value:
    """`Reciprocal`."""
    operation.expect()
    block = operation.block()
    return operation.add(
        Arithmetic(operation.register(), Operator.DIVIDE, np.ones(block.columns, block.dtype), constant_first=True)
    )


def negative(operation: Operation) -> Value:
    """`Neg`: exact, as is the multiplication by -1."""
    operation.expect()
    block = operation.block()
    return operation.add(Arithmetic(operation.register(), Operator.MULTIPLY, np.full(block.columns, -1, block.dtype)))


def function(kind: Function) -> Handler:
    """`Sigmoid`, `Exp`."""

    def handle(operation: Operation) -> Value:
        operation.expect()
        operation.single()
        return operation.add(Apply(operation.register(), kind))

    return handle


def softmax(operation: Operation) -> Value:
    """`Softmax` of rows."""
    operation.expect("axis")
    _expect_columns(operation, "axis", operation.integer("axis", 1 if operation.version < 13 else -1))
    operation.single()
    return operation.add(Apply(operation.register(), Function.SOFTMAX))


def clip(operation: Operation) -> Value:
    """`Clip`, whose bounds are inputs since version 11."""
    largest = float(np.finfo(np.float32).max)
    bounds = [-largest, largest]  # which onnxruntime takes where none is given, so that infinities are clipped too
    if operation.version < 11:
        operation.expect("min", "max")
        for index, name in enumerate(("min", "max")):
            attribute = operation.attribute(name)
            bounds[index] = bounds[index] if attribute is None else float(attribute.floating())
    else:
        operation.expect(inputs=(1, 3))
        for index in (1, 2):
            array = operation.constant(index)
            if array is not None:
                bounds[index - 1] = float(_elements(operation, index, array, np.float32, 1)[0])
    operation.single()
    if not bounds[0] <= bounds[1]:
        raise Unsupported(f"bounds {bounds[0]} and {bounds[1]} out of order")
    return operation.add(Clip(operation.register(), *bounds))


def relu(operation: Operation) -> Value:
    """`Relu`."""
    operation.expect()
    operation.single()
    return operation.add(Clip(operation.register(), 0.0, np.inf))


def concat(operation: Operation) -> Value:
    """`Concat` of columns."""
    operation.expect("axis", inputs=(1, 1 << 16))
    if operation.attribute("axis") is None:
        operation.fail("expected axis")
    _expect_columns(operation, "axis", operation.integer("axis", 0))
    sources = tuple(operation.register(index) for index in range(len(operation.node.inputs)))
    return sources[0] if len(sources) == 1 else operation.add(Concatenate(sources))


def slice_columns(operation: Operation) -> Value:
    """`Slice` of columns by constant bounds."""
    operation.expect(inputs=(3, 5))
    if operation.version < 10:
        raise Unsupported("its bounds are attributes before version 10 of the operator set")
    start, stop = _integer(operation, 1), _integer(operation, 2)
    axis, step = _integer(operation, 3, 0), _integer(operation, 4, 1)
    _expect_columns(operation, "axes", axis)
    if step < 1:
        raise Unsupported(f"step {step}")
    indices = range(operation.block().columns)[start:stop:step]
    return operation.add(Columns(operation.register(), np.array(indices, np.int32)))


def gather_columns(operation: Operation) -> Value:
    """`Gather` of columns by constant indices; `ArrayFeatureExtractor` knows no other axis."""
    gather = operation.node.operator == "Gather"
    operation.expect(*(["axis"] if gather else []), inputs=(2, 2))
    array, columns = operation.constant(1), operation.block().columns
    if array is None or array.dtype.kind != "i":
        operation.fail("expected integers as input 1")
    if gather:
        _expect_columns(operation, "axis", operation.integer("axis", 0))
        if array.ndim != 1:
            raise Unsupported(f"indices of {array.ndim} dimensions, where 1 is supported")
    indices = array.ravel()
    if not len(indices) or indices.min() < -columns or indices.max() >= columns:
        operation.fail(f"expected indices of {columns} columns")
    indices = np.where(indices < 0, indices + columns, indices)
    return operation.add(Columns(operation.register(), indices.astype(np.int32)))


def matrix_product(operation: Operation) -> Value:
    """`MatMul` with a constant, (columns, targets)."""
    operation.expect(inputs=(2, 2))
    columns, array = operation.single().columns, operation.constant(1)
    if array is None or array.dtype != np.float32:
        operation.fail("expected float32 as input 1")
    if array.ndim != 2 or len(array) != columns:
        operation.fail(f"expected {columns} rows as input 1, got shape {array.shape}")
    coefficients = np.ascontiguousarray(array.T)
    return operation.add(Linear(operation.register(), coefficients, np.zeros(len(coefficients), np.float32)))


def _operate(operation: Operation, operator: Operator, left: Value | None, right: Value | None) -> int:
    """Add a step of arithmetic for two values."""
    if left is None or right is None:
        operation.fail("expected two inputs")
    if not isinstance(left, int):
        if not isinstance(right, int):
            raise Unsupported("both inputs are constants")
        return _with_constant(operation, right, operator, left, True)
    if not isinstance(right, int):
        return _with_constant(operation, left, operator, right, False)
    return operation.add(Combine(left, right, operator))


def _with_constant(operation: Operation, source: int, operator: Operator, array: Array, first: bool) -> int:
    """Add a step of arithmetic with a constant that has one number, or one a column."""
    block = operation.register_at(source)
    if array.dtype != block.dtype:
        operation.fail(f"expected {block.dtype} as constant, got {array.dtype}")
    if array.size not in (1, block.columns) or array.ndim > 2 or (array.ndim == 2 and len(array) != 1):
        raise Unsupported(f"a constant of shape {array.shape} with {block.columns} columns")
    neutral = not first and operator in _NEUTRAL and (array == _NEUTRAL[operator]).all() and not np.signbit(array).any()
    if neutral:
        return source
    constant = np.ascontiguousarray(np.broadcast_to(array.ravel(), block.columns))
    return operation.add(Arithmetic(source, operator, constant, first))


def _expect_columns(operation: Operation, name: str, axis: int) -> None:
    """Refuse an axis other than that of the columns."""
    if axis not in (1, -1):
        raise Unsupported(f"{name} {axis}, where the columns are 1 or -1")


def _elements(operation: Operation, index: int, array: Array, dtype: type[np.generic], count: int) -> Array:
    """Return the elements of a constant, of which there must be so many."""
    if array.dtype != dtype or array.size != count:
        operation.fail(f"expected {count} {np.dtype(dtype)} as input {index}, got {array.size} {array.dtype}")
    return array.ravel()


def _integer(operation: Operation, index: int, default: int | None = None) -> int:
    """Return an input that is a constant of one integer."""
    array = operation.constant(index)
    if array is None:
        if default is None:
            operation.fail(f"expected input {index}, got none")
        return default
    if array.dtype.kind != "i" or array.size != 1:
        raise Unsupported(f"input {index} is more than one integer")
    return int(array.ravel()[0])


HANDLERS: dict[tuple[str, str], Handler] = {
    ("ai.onnx", "Add"): arithmetic(Operator.ADD),
    ("ai.onnx", "Sub"): arithmetic(Operator.SUBTRACT),
    ("ai.onnx", "Mul"): arithmetic(Operator.MULTIPLY),
    ("ai.onnx", "Div"): arithmetic(Operator.DIVIDE),
    ("ai.onnx", "Sum"): total,
    ("ai.onnx", "Reciprocal"): reciprocal,
    ("ai.onnx", "Neg"): negative,
    ("ai.onnx", "Sigmoid"): function(Function.LOGISTIC),
    ("ai.onnx", "Exp"): function(Function.EXPONENTIAL),
    ("ai.onnx", "Softmax"): softmax,
    ("ai.onnx", "Clip"): clip,
    ("ai.onnx", "Relu"): relu,
    ("ai.onnx", "Cast"): cast,
    ("ai.onnx", "Identity"): identity,
    ("ai.onnx", "Constant"): constant,
    ("ai.onnx", "Concat"): concat,
    ("ai.onnx", "Slice"): slice_columns,
    ("ai.onnx", "Gather"): gather_columns,
    ("ai.onnx", "MatMul"): matrix_product,
    ("ai.onnx", "LpNormalization"): lp_normalization,
    ("ai.onnx.ml", "ArrayFeatureExtractor"): gather_columns,
    ("ai.onnx.ml", "Scaler"): scaler,
    ("ai.onnx.ml", "Imputer"): imputer,
    ("ai.onnx.ml", "Normalizer"): normalizer,
}
"""Domain and operator -> what turns such a node into steps."""

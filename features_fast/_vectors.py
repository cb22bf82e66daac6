"""What the kernels need below Python: addresses as pointers, and tiles of rows turned in registers."""

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

# numba's own annotations stop short of these.
_pointer: Any = types.CPointer
_tuple: Any = types.UniTuple
_signature: Any = signature
_lower: Any = lower_builtin
_infer: Any = infer_global
_register: Any = register_model


def pointer_to(scalar: Any) -> Any:
    """Return the function that makes a pointer to numbers of a type from an address."""

    def pointer(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return _pointer(scalar)(types.int64), generate

    return intrinsic(pointer)


def _address(typing_context: Any, pointer: Any) -> Any:
    """Return a pointer as an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ptrtoint(arguments[0], ir.IntType(64))

    return types.int64(pointer), generate


address: Any = intrinsic(_address)
doubles = pointer_to(types.float64)
singles = pointer_to(types.float32)
words = pointer_to(types.int64)


class _Lanes(types.Type):
    """Four float64 values that one instruction works on: those of four bars, or four averages of one bar."""


_new: Any = _Lanes
LANES = _new("Lanes")
_VECTOR = ir.VectorType(ir.DoubleType(), 4)


@_register(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        initialize: Any = super().__init__
        initialize(manager, kind, _VECTOR)


def _mix(builder: Any, x: Any, y: Any, *lanes: int) -> Any:
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes)))


def _vector(builder: Any, value: Any) -> Any:
    """Return a vector as it is and a number in every lane."""
    if value.type == _VECTOR:
        return value
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.IntType(32)(0))
    return _mix(builder, first, first, 0, 0, 0, 0)


def _operator(function: Any, instruction: str) -> None:
    """Let the kernels write an operator between lanes, or lanes and a number."""

    class Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            if len(args) == 2 and LANES in args and all(kind in (LANES, types.float64) for kind in args):
                return _signature(LANES, *args)
            return None

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return getattr(builder, instruction)(_vector(builder, args[0]), _vector(builder, args[1]))

    _infer(function)(Template)
    for left, right in ((_Lanes, _Lanes), (_Lanes, types.Float), (types.Float, _Lanes)):
        _lower(function, left, right)(lower)


for _function, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operator(_function, _instruction)


def _place(builder: Any, pointer: Any, index: Any, kind: Any) -> Any:
    return builder.bitcast(builder.gep(pointer, [index]), kind.as_pointer())


def _load(typing_context: Any, pointer: Any, index: Any) -> Any:
    """Return four neighbouring values."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_place(builder, arguments[0], arguments[1], _VECTOR), align=8)

    return LANES(pointer, types.int64), generate


def _store(typing_context: Any, pointer: Any, index: Any, lanes: Any) -> Any:
    """Store four neighbouring values."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _place(builder, arguments[0], arguments[1], _VECTOR), align=8)
        return context.get_dummy_value()

    return types.void(pointer, types.int64, LANES), generate


def _lanes(typing_context: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Return four values as lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.Constant(_VECTOR, ir.Undefined)
        for lane, value in enumerate(arguments):
            vector = builder.insert_element(vector, value, ir.IntType(32)(lane))
        return vector

    return LANES(*(types.float64,) * 4), generate


def _lane(typing_context: Any, lanes: Any, index: Any) -> Any:
    """Return one of four values."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.extract_element(arguments[0], arguments[1])

    return types.float64(LANES, types.int64), generate


def _root(typing_context: Any, lanes: Any) -> Any:
    """Return square roots."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.call(
            builder.module.declare_intrinsic("llvm.sqrt.v4f64", (), ir.FunctionType(_VECTOR, [_VECTOR])), arguments
        )

    return LANES(LANES), generate


def _unless_zero(typing_context: Any, test: Any, value: Any, otherwise: Any) -> Any:
    """Return ``value`` where ``test`` is not 0, elsewhere ``otherwise``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        test, value, otherwise = arguments
        zero = builder.fcmp_ordered("==", test, ir.Constant(_VECTOR, [0.0] * 4))
        return builder.select(zero, _vector(builder, otherwise), value)

    return LANES(LANES, LANES, types.float64), generate


def _turned(builder: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    low, low_2 = _mix(builder, a, b, 0, 4, 1, 5), _mix(builder, a, b, 2, 6, 3, 7)
    high, high_2 = _mix(builder, c, d, 0, 4, 1, 5), _mix(builder, c, d, 2, 6, 3, 7)
    return (
        _mix(builder, low, high, 0, 1, 4, 5),
        _mix(builder, low, high, 2, 3, 6, 7),
        _mix(builder, low_2, high_2, 0, 1, 4, 5),
        _mix(builder, low_2, high_2, 2, 3, 6, 7),
    )


def _turn(typing_context: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Return the columns of four rows, or the rows of four columns."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_tuple(builder, signature.return_type, _turned(builder, *arguments))

    return _tuple(LANES, 4)(*(LANES,) * 4), generate


def _store_tile(typing_context: Any, target: Any, start: Any, columns: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Store ``a, b, c, d`` as four neighbouring columns of four rows."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, start, columns, *values = arguments
        scalar = context.get_value_type(signature.args[0].dtype)
        stored = ir.VectorType(scalar, 4)
        if scalar != ir.DoubleType():
            values = [builder.fptrunc(value, stored) for value in values]
        for i, row in enumerate(_turned(builder, *values)):
            index = builder.add(start, builder.mul(columns, columns.type(i)))
            builder.store(row, _place(builder, target, index, stored), align=8 if scalar == ir.DoubleType() else 4)
        return context.get_dummy_value()

    return types.void(target, types.int64, types.int64, *(LANES,) * 4), generate


load: Any = intrinsic(_load)
store: Any = intrinsic(_store)
lanes: Any = intrinsic(_lanes)
lane: Any = intrinsic(_lane)
root: Any = intrinsic(_root)
unless_zero: Any = intrinsic(_unless_zero)
turn: Any = intrinsic(_turn)
store_tile: Any = intrinsic(_store_tile)

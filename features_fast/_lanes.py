"""Lanes: eight numbers that are worked on together, as few instructions as the processor allows."""

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

# numba's own annotations stop short of these.
_tuple: Any = types.UniTuple
_signature: Any = signature
_lower: Any = lower_builtin
_infer: Any = infer_global
_register: Any = register_model
_literal: Any = intrinsic

WIDTH = 8
"""Lanes: one register of AVX-512, two of AVX2, four of the baselines of x86-64 and aarch64."""


class _Lanes(types.Type):
    """Eight float64 values: those of eight bars, or the eight averages of one bar."""


_new: Any = _Lanes
LANES = _new("Lanes")
BITS, ALL = types.uint8, np.uint8(2**WIDTH - 1)
"""One bit a lane."""

PAIRS, EIGHT = _tuple(LANES, 2), _tuple(LANES, WIDTH)
VECTOR = ir.VectorType(ir.DoubleType(), WIDTH)
_ZEROS = ir.Constant(VECTOR, [0.0] * WIDTH)
_LANE = ir.IntType(32)


@_register(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        initialize: Any = super().__init__
        initialize(manager, kind, VECTOR)


def mix(builder: Any, x: Any, y: Any, *lanes: int) -> Any:
    """Return lanes of two vectors; those of the second are counted on from those of the first."""
    return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(_LANE, len(lanes)), list(lanes)))


def _vector(builder: Any, value: Any) -> Any:
    """Return a vector as it is and a number in every lane."""
    if value.type == VECTOR:
        return value
    first = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), value, _LANE(0))
    return mix(builder, first, first, *(0,) * WIDTH)


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


def _lanes(typing_context: Any, values: Any) -> Any:
    """Return eight numbers as lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.Constant(VECTOR, ir.Undefined)
        for lane in range(WIDTH):
            vector = builder.insert_element(vector, builder.extract_value(arguments[0], lane), _LANE(lane))
        return vector

    return LANES(_tuple(types.float64, WIDTH)), generate


def _lane(typing_context: Any, lanes: Any, index: Any) -> Any:
    """Return one of eight numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.extract_element(arguments[0], arguments[1])

    return types.float64(LANES, types.int64), generate


def _root(typing_context: Any, lanes: Any) -> Any:
    """Return square roots."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        function = ir.FunctionType(VECTOR, [VECTOR])
        return builder.call(builder.module.declare_intrinsic("llvm.sqrt.v8f64", (), function), arguments)

    return LANES(LANES), generate


def _unless_zero(typing_context: Any, test: Any, value: Any, otherwise: Any) -> Any:
    """Return ``value`` where ``test`` is not 0, elsewhere ``otherwise``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        test, value, otherwise = arguments
        zero = builder.fcmp_ordered("==", test, _ZEROS)
        return builder.select(zero, _vector(builder, otherwise), value)

    return LANES(LANES, LANES, types.float64), generate


def _where_below(typing_context: Any, number: Any, limits: Any, below: Any, otherwise: Any) -> Any:
    """Return ``below`` where a number is below a limit, elsewhere ``otherwise``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number, limits, below, otherwise = (_vector(builder, argument) for argument in arguments)
        return builder.select(builder.fcmp_ordered("<", number, limits), below, otherwise)

    return LANES(types.float64, LANES, below, otherwise), generate


def _rise(typing_context: Any, change: Any) -> Any:
    """Return values above 0, and 0 for the others."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", arguments[0], _ZEROS), arguments[0], _ZEROS)

    return LANES(LANES), generate


def _between(typing_context: Any, low: Any, values: Any, high: Any) -> Any:
    """Return which values lie between their limits, a bit each; NaN does not."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        low, values, high = (_vector(builder, argument) for argument in arguments)
        inside = builder.and_(builder.fcmp_ordered("<=", low, values), builder.fcmp_ordered("<=", values, high))
        return builder.bitcast(inside, ir.IntType(WIDTH))

    return types.uint8(low, values, high), generate


def _pairs(typing_context: Any, a: Any, b: Any) -> Any:
    """Return the even pairs ``a[0], b[0], a[2], b[2], ...`` and the odd ones."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        even = mix(builder, *arguments, *(lane for i in range(0, WIDTH, 2) for lane in (i, WIDTH + i)))
        odd = mix(builder, *arguments, *(lane for i in range(1, WIDTH, 2) for lane in (i, WIDTH + i)))
        return context.make_tuple(builder, signature.return_type, (even, odd))

    return PAIRS(LANES, LANES), generate


def _beside(typing_context: Any, number: Any, pairs: Any, pair: Any) -> Any:
    """Return a number in the first six lanes, and in the last two one of four pairs."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = WIDTH + 2 * pair.literal_value
        return mix(builder, _vector(builder, arguments[0]), arguments[1], *range(WIDTH - 2), first, first + 1)

    return LANES(types.float64, LANES, pair), generate


lanes: Any = intrinsic(_lanes)
lane: Any = intrinsic(_lane)
root: Any = intrinsic(_root)
unless_zero: Any = intrinsic(_unless_zero)
where_below: Any = intrinsic(_where_below)
rise: Any = intrinsic(_rise)
between: Any = intrinsic(_between)
pairs: Any = intrinsic(_pairs)
beside: Any = _literal(prefer_literal=True)(_beside)

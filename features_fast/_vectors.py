"""What the kernels need below Python: addresses as pointers, lanes and tiles of rows in memory."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from features_fast._lanes import EIGHT, LANES, VECTOR, WIDTH, mix

# numba's own annotations stop short of these.
_pointer: Any = types.CPointer
_literal: Any = intrinsic


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


def _onward(typing_context: Any, pointer: Any, index: Any) -> Any:
    """Return a pointer to a later value."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(arguments[0], [arguments[1]])

    return pointer(pointer, types.int64), generate


def _place(builder: Any, pointer: Any, index: Any, kind: Any) -> Any:
    return builder.bitcast(builder.gep(pointer, [index]), kind.as_pointer())


def _load(typing_context: Any, pointer: Any, index: Any) -> Any:
    """Return eight neighbouring values."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_place(builder, arguments[0], arguments[1], VECTOR), align=8)

    return LANES(pointer, types.int64), generate


def _store(typing_context: Any, pointer: Any, index: Any, lanes: Any) -> Any:
    """Store eight neighbouring values."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _place(builder, arguments[0], arguments[1], VECTOR), align=8)
        return context.get_dummy_value()

    return types.void(pointer, types.int64, LANES), generate


# Of two vectors of eight, every other pair of lanes; of two with two rows of eight singles each, where a row begins.
_EVEN = (0, 1, 4, 5, 8, 9, 12, 13)
_ODD = (2, 3, 6, 7, 10, 11, 14, 15)
_ROWS = (0, 8, 16, 24)


def _turned(builder: Any, values: Any) -> list[Any]:
    """Turn eight rows of float64 into eight columns, by moves within and of 128 bits."""
    turned: list[Any] = [None] * WIDTH
    for half in range(2):
        mask = [lane for i in range(half, WIDTH, 2) for lane in (i, WIDTH + i)]
        a, b, c, d = (mix(builder, *values[i : i + 2], *mask) for i in range(0, WIDTH, 2))
        for quarter, moved in enumerate((_EVEN, _ODD)):
            first, second = mix(builder, a, b, *moved), mix(builder, c, d, *moved)
            turned[half + 2 * quarter] = mix(builder, first, second, *_EVEN)
            turned[half + 2 * quarter + 4] = mix(builder, first, second, *_ODD)
    return turned


def _turned_singles(builder: Any, values: Any) -> list[Any]:
    """Turn eight rows of float32 into eight columns, by moves within 128 bits and one of 128 bits."""
    pairs = []
    for a, b in zip(values[::2], values[1::2], strict=True):
        pairs.append((mix(builder, a, b, 0, 8, 1, 9, 4, 12, 5, 13), mix(builder, a, b, 2, 10, 3, 11, 6, 14, 7, 15)))
    fours = []
    for a, b in zip(pairs[::2], pairs[1::2], strict=True):
        fours.append(
            [
                mix(builder, a[half], b[half], *mask)
                for half in range(2)
                for mask in ((0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15))
            ]
        )
    return [
        mix(builder, a, b, *mask)
        for mask in ((0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15))
        for a, b in zip(*fours, strict=True)
    ]


def _turned_pairs(builder: Any, values: Any) -> list[Any]:
    """Turn sixteen rows of float32, two in each vector, into eight columns."""
    fours = []
    for a, b in zip(values[::2], values[1::2], strict=True):
        masks = [[i + row for i in range(half, half + 4) for row in _ROWS] for half in (0, 4)]
        fours.append([mix(builder, a, b, *mask) for mask in masks])
    columns = []
    for a, b, c, d in zip(*fours, strict=True):
        for first in (0, 8):
            eight = [*range(first, first + 8), *range(first + 16, first + 24)]
            left, right = mix(builder, a, b, *eight), mix(builder, c, d, *eight)
            for quarter in (0, 4):
                columns.append(mix(builder, left, right, *(quarter + i + k for i in _ROWS for k in range(4))))
    return columns


def _turn(typing_context: Any, rows: Any) -> Any:
    """Return the columns of eight rows, or the rows of eight columns."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = [builder.extract_value(arguments[0], i) for i in range(WIDTH)]
        return context.make_tuple(builder, signature.return_type, _turned(builder, values))

    return EIGHT(EIGHT), generate


def _store_tile(typing_context: Any, target: Any, start: Any, columns: Any, tile: Any) -> Any:
    """Store eight columns of eight rows."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, start, columns, tile = arguments
        values = [builder.extract_value(tile, i) for i in range(WIDTH)]
        scalar = context.get_value_type(signature.args[0].dtype)
        stored = ir.VectorType(scalar, WIDTH)
        if scalar == ir.DoubleType():
            rows, align = _turned(builder, values), 8
        else:
            rows, align = _turned_singles(builder, [builder.fptrunc(value, stored) for value in values]), 4
        for i, row in enumerate(rows):
            index = builder.add(start, builder.mul(columns, columns.type(i)))
            builder.store(row, _place(builder, target, index, stored), align=align)
        return context.get_dummy_value()

    return types.void(target, types.int64, types.int64, EIGHT), generate


def _past(builder: Any) -> Any:
    """Return what marks a store that goes past the caches."""
    return builder.module.add_metadata([ir.IntType(32)(1)])


def _store_line(typing_context: Any, target: Any, to: Any, source: Any, start: Any) -> Any:
    """Copy 64 bytes to where a cache line begins, past the caches: what was there is not read before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, to, source, start = arguments
        value = builder.load(_place(builder, source, start, VECTOR), align=4)
        builder.store(value, _place(builder, target, to, VECTOR), align=64).set_metadata("nontemporal", _past(builder))
        return context.get_dummy_value()

    return types.void(target, types.int64, source, types.int64), generate


def _store_columns(typing_context: Any, target: Any, start: Any, tile: Any, first: Any) -> Any:
    """Store the columns of a tile, from column ``first`` on, one after the other."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, start, tile, _ = arguments
        stored = ir.VectorType(context.get_value_type(signature.args[0].dtype), WIDTH)
        for to, i in enumerate(range(first.literal_value, WIDTH)):
            value = builder.extract_value(tile, i)
            value = value if stored == VECTOR else builder.fptrunc(value, stored)
            place = builder.add(start, start.type(WIDTH * to))
            builder.store(value, _place(builder, target, place, stored), align=32)
        return context.get_dummy_value()

    return types.void(target, types.int64, EIGHT, first), generate


def _store_lines(typing_context: Any, target: Any, places: Any, to: Any, columns: Any, start: Any, past: Any) -> Any:
    """Store a cache line of the rows of each of eight tickers, whose columns stand one after the other.

    Lines that go ``past`` the caches must begin where those of the processor do; what was there is not read before.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, places, to, columns, start, _ = arguments
        scalar = context.get_value_type(signature.args[0].dtype)
        line, turned = (WIDTH, _turned) if scalar == ir.DoubleType() else (2 * WIDTH, _turned_pairs)
        stored = ir.VectorType(scalar, line)
        values = []
        for i in range(WIDTH):
            place = builder.add(start, start.type(line * i))
            values.append(builder.load(_place(builder, columns, place, stored), align=32))
        for i, row in enumerate(turned(builder, values)):
            place = builder.add(builder.load(builder.gep(places, [to.type(i)])), to)
            place = _place(builder, target, place, stored)
            if past.literal_value:
                builder.store(row, place, align=64).set_metadata("nontemporal", _past(builder))
            else:
                builder.store(row, place, align=4)
        return context.get_dummy_value()

    return types.void(target, places, types.int64, columns, types.int64, past), generate


def _fence(typing_context: Any) -> Any:
    """Finish what was stored past the caches before anything that follows."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


def _prefetch(typing_context: Any, pointer: Any, index: Any) -> Any:
    """Ask for a value that will be read; one that does not exist does no harm.

    It comes into the second of the caches: what is on its way to the first one waits beside the rows on theirs.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte, integer = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = ir.FunctionType(ir.VoidType(), [byte, *(integer,) * 3])
        place = builder.bitcast(builder.gep(arguments[0], [arguments[1]]), byte)
        read, keep, data = integer(0), integer(2), integer(1)
        builder.call(builder.module.declare_intrinsic("llvm.prefetch", (byte,), function), [place, read, keep, data])
        return context.get_dummy_value()

    return types.void(pointer, types.int64), generate


address: Any = intrinsic(_address)
doubles = pointer_to(types.float64)
singles = pointer_to(types.float32)
words = pointer_to(types.int64)
onward: Any = intrinsic(_onward)
load: Any = intrinsic(_load)
store: Any = intrinsic(_store)
turn: Any = intrinsic(_turn)
store_tile: Any = intrinsic(_store_tile)
store_line: Any = intrinsic(_store_line)
store_columns: Any = _literal(prefer_literal=True)(_store_columns)
store_lines: Any = _literal(prefer_literal=True)(_store_lines)
fence: Any = intrinsic(_fence)
prefetch: Any = intrinsic(_prefetch)

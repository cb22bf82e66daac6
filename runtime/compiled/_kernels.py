"""The kernels of a program: its steps over blocks of rows, compiled ahead of time from this one source.

Every function works on raw pointers (`_records` names the words behind them), allocates nothing and touches no object
of Python's, but for the built-in function that predicts one row. Whoever made the records has checked every index.
"""

import math
from typing import Any

import numpy as np

from features_fast._vectors import address, doubles, singles, words
from runtime.compiled import _records as at
from runtime.compiled._walk import DOUBLES, INT, SINGLES, VOID, WORDS, Floats, Words, part, score
from runtime.compiled.steps import Function, Norm, Operator, PairKind

_ADD, _SUBTRACT, _MULTIPLY = int(Operator.ADD), int(Operator.SUBTRACT), int(Operator.MULTIPLY)
_MAX, _L1, _L2 = int(Norm.MAX), int(Norm.L1), int(Norm.L2)
_LOGISTIC, _EXPONENTIAL = int(Function.LOGISTIC), int(Function.EXPONENTIAL)
_SOFTMAX_ZERO = int(Function.SOFTMAX_ZERO)
_COMPLEMENT = int(PairKind.COMPLEMENT)
_NEARLY_ZERO = float(np.float32(1e-7))
_LOWEST = np.finfo(np.float32).min

_SOURCE, _DATA = 3, 2
"""Words of CPython's objects: the first item of a tuple, the data of an array."""


@part(*(VOID(kind, kind, kind, INT, INT, INT) for kind in (SINGLES, DOUBLES)))
def _arithmetic(x: Floats, constants: Floats, out: Floats, rows: int, columns: int, operator: int) -> None:
    """Combine every column with its constant."""
    for index in range(rows):
        row = index * (columns + 1)
        if operator == _ADD or operator == _ADD + at.CONSTANT_FIRST:
            for i in range(columns):
                out[row + i] = x[row + i] + constants[i]
        elif operator == _SUBTRACT:
            for i in range(columns):
                out[row + i] = x[row + i] - constants[i]
        elif operator == _SUBTRACT + at.CONSTANT_FIRST:
            for i in range(columns):
                out[row + i] = constants[i] - x[row + i]
        elif operator == _MULTIPLY or operator == _MULTIPLY + at.CONSTANT_FIRST:
            for i in range(columns):
                out[row + i] = x[row + i] * constants[i]
        elif operator < at.CONSTANT_FIRST:
            for i in range(columns):
                out[row + i] = x[row + i] / constants[i]
        else:
            for i in range(columns):
                out[row + i] = constants[i] / x[row + i]


@part(*(VOID(kind, kind, kind, *(INT,) * 4) for kind in (SINGLES, DOUBLES)))
def _combine(x: Floats, y: Floats, out: Floats, rows: int, columns: int, right: int, operator: int) -> None:
    """Combine two registers; a right one of one column with every column."""
    step = 0 if right == 1 else 1
    for row in range(rows):
        begin, other = row * (columns + 1), row * (right + 1)
        for i in range(columns):
            a, b = x[begin + i], y[other + i * step]
            if operator == _ADD:
                out[begin + i] = a + b
            elif operator == _SUBTRACT:
                out[begin + i] = a - b
            elif operator == _MULTIPLY:
                out[begin + i] = a * b
            else:
                out[begin + i] = a / b


@part(VOID(SINGLES, DOUBLES, INT, INT), VOID(DOUBLES, SINGLES, INT, INT))
def _cast(x: Floats, out: Floats, rows: int, columns: int) -> None:
    for index in range(rows):
        row = index * (columns + 1)
        for i in range(columns):
            out[row + i] = x[row + i]


@part(VOID(SINGLES, SINGLES, SINGLES, INT, INT))
def _clip(x: Floats, bounds: Floats, out: Floats, rows: int, columns: int) -> None:
    lowest, highest = bounds[0], bounds[1]
    for index in range(rows):
        row = index * (columns + 1)
        for i in range(columns):
            value = x[row + i]
            if value < lowest:
                value = lowest
            if value > highest:
                value = highest
            out[row + i] = value


@part(VOID(SINGLES, SINGLES, SINGLES, SINGLES, INT, INT))
def _impute(x: Floats, replaced: Floats, values: Floats, out: Floats, rows: int, columns: int) -> None:
    missing = replaced[0]
    for index in range(rows):
        row = index * (columns + 1)
        for i in range(columns):
            value = x[row + i]
            same = (value == missing) | ((value != value) & (missing != missing))
            out[row + i] = values[i] if same else value


@part(VOID(SINGLES, SINGLES, INT, INT, INT))
def _normalize(x: Floats, out: Floats, rows: int, columns: int, norm: int) -> None:
    """Divide a row by its norm, in float32, first column first."""
    for index in range(rows):
        row = index * (columns + 1)
        total = np.float32(0.0)
        if norm == _MAX:
            total = _LOWEST
            for i in range(columns):
                if x[row + i] > total:
                    total = x[row + i]
        elif norm == _L1:
            for i in range(columns):
                total += abs(x[row + i])
        else:
            for i in range(columns):
                total += x[row + i] * x[row + i]
        for i in range(columns):
            value = x[row + i]
            if total == np.float32(0.0):
                out[row + i] = value
            elif norm != _L2:
                out[row + i] = value / total
            else:
                root = np.sqrt(value * value / total)
                out[row + i] = -root if value < np.float32(0.0) else root


@part(VOID(SINGLES, SINGLES, SINGLES, SINGLES, *(INT,) * 3))
def _linear(
    x: Floats, coefficients: Floats, intercepts: Floats, out: Floats, rows: int, columns: int, targets: int
) -> None:
    """Sum in float64, first column first; four rows at once, whose sums need not wait for each other."""
    stride, wide = columns + 1, targets + 1
    for target in range(targets):
        weights, intercept = target * columns, np.float64(intercepts[target])
        for row in range(0, rows - 3, 4):
            begin, place = row * stride, row * wide + target
            a = b = c = d = 0.0
            for i in range(columns):
                weight, at_first = np.float64(coefficients[weights + i]), begin + i
                a += np.float64(x[at_first]) * weight
                b += np.float64(x[at_first + stride]) * weight
                c += np.float64(x[at_first + 2 * stride]) * weight
                d += np.float64(x[at_first + 3 * stride]) * weight
            out[place] = np.float32(a + intercept)
            out[place + wide] = np.float32(b + intercept)
            out[place + 2 * wide] = np.float32(c + intercept)
            out[place + 3 * wide] = np.float32(d + intercept)
        for row in range(rows - rows % 4, rows):
            total = 0.0
            for i in range(columns):
                total += np.float64(x[row * stride + i]) * np.float64(coefficients[weights + i])
            out[row * wide + target] = np.float32(total + intercept)


@part(VOID(SINGLES, SINGLES, INT, INT, INT))
def _function(x: Floats, out: Floats, rows: int, columns: int, function: int) -> None:
    """Apply a function in float64, and round once."""
    for index in range(rows):
        row = index * (columns + 1)
        if function == _LOGISTIC:
            for i in range(columns):
                out[row + i] = np.float32(1.0 / (1.0 + math.exp(-np.float64(x[row + i]))))
        elif function == _EXPONENTIAL:
            for i in range(columns):
                out[row + i] = np.float32(math.exp(np.float64(x[row + i])))
        else:
            largest = np.float64(x[row])
            for i in range(1, columns):
                largest = max(largest, np.float64(x[row + i]))
            total = 0.0
            for i in range(columns):
                value = np.float64(x[row + i])
                if function != _SOFTMAX_ZERO or abs(value) > _NEARLY_ZERO:
                    total += math.exp(value - largest)
            for i in range(columns):
                value = np.float64(x[row + i])
                if function != _SOFTMAX_ZERO or abs(value) > _NEARLY_ZERO:
                    out[row + i] = np.float32(math.exp(value - largest) / total)
                else:
                    out[row + i] = np.float32(value * math.exp(-largest) / total)


@part(VOID(SINGLES, SINGLES, INT, INT))
def _pair(x: Floats, out: Floats, rows: int, kind: int) -> None:
    for row in range(rows):
        value = x[2 * row]
        out[3 * row] = np.float32(1.0) - value if kind == _COMPLEMENT else -value
        out[3 * row + 1] = value


@part(*(VOID(kind, WORDS, kind, *(INT,) * 3) for kind in (SINGLES, DOUBLES)))
def _columns_of(x: Floats, indices: Words, out: Floats, rows: int, columns: int, taken: int) -> None:
    for row in range(rows):
        for i in range(taken):
            out[row * (taken + 1) + i] = x[row * (columns + 1) + indices[i]]


@part(*(VOID(kind, kind, *(INT,) * 5) for kind in (SINGLES, DOUBLES)))
def _copy(x: Floats, out: Floats, rows: int, columns: int, stride: int, wide: int, place: int) -> None:
    """Copy columns of rows that stand `stride` apart into columns of others, from `place` on."""
    for row in range(rows):
        for i in range(columns):
            out[row * wide + place + i] = x[row * stride + i]


@part(VOID(WORDS, INT, INT))
def _double_step(step: Words, scratch: int, rows: int) -> None:
    """Take one of the few steps that know float64 registers."""
    x, out = scratch + step[at.SOURCE], scratch + step[at.TARGET]
    columns, kind, operation = step[at.COLUMNS], step[at.KIND], step[at.OPERATION]
    if operation == at.ARITHMETIC:
        _arithmetic(doubles(x), doubles(step[at.CONSTANTS]), doubles(out), rows, columns, kind)
    elif operation == at.COMBINE:
        right = doubles(scratch + step[at.RIGHT])
        _combine(doubles(x), right, doubles(out), rows, columns, step[at.RIGHT_COLUMNS], kind)
    elif operation == at.CAST:
        if kind != 0:
            _cast(singles(x), doubles(out), rows, columns)
        else:
            _cast(doubles(x), singles(out), rows, columns)
    elif operation == at.COLUMNS_OF:
        _columns_of(doubles(x), words(step[at.CONSTANTS]), doubles(out), rows, columns, step[at.TARGET_COLUMNS])
    else:
        _copy(doubles(x), doubles(out), rows, columns, columns + 1, step[at.TARGET_COLUMNS] + 1, kind)


@part(VOID(WORDS, INT, INT))
def _step(step: Words, scratch: int, rows: int) -> None:
    """Take one step over a block of rows."""
    if step[at.DOUBLE] != 0:
        _double_step(step, scratch, rows)
        return
    x, out = singles(scratch + step[at.SOURCE]), singles(scratch + step[at.TARGET])
    columns, width = step[at.COLUMNS], step[at.TARGET_COLUMNS]
    kind, operation, constants = step[at.KIND], step[at.OPERATION], step[at.CONSTANTS]
    if operation == at.TREES:
        sums, walks = doubles(scratch + step[at.SUMS]), words(scratch + step[at.WALKS])
        score(words(constants), x, columns + 1, rows, width, sums, walks, out)
    elif operation == at.ARITHMETIC:
        _arithmetic(x, singles(constants), out, rows, columns, kind)
    elif operation == at.PAIR:
        _pair(x, out, rows, kind)
    elif operation == at.LINEAR:
        _linear(x, singles(constants), singles(step[at.OTHERS]), out, rows, columns, width)
    elif operation == at.FUNCTION:
        _function(x, out, rows, columns, kind)
    elif operation == at.COMBINE:
        _combine(x, singles(scratch + step[at.RIGHT]), out, rows, columns, step[at.RIGHT_COLUMNS], kind)
    elif operation == at.CLIP:
        _clip(x, singles(constants), out, rows, columns)
    elif operation == at.IMPUTE:
        _impute(x, singles(step[at.OTHERS]), singles(constants), out, rows, columns)
    elif operation == at.NORMALIZE:
        _normalize(x, out, rows, columns, kind)
    elif operation == at.COLUMNS_OF:
        _columns_of(x, words(constants), out, rows, columns, width)
    else:
        _copy(x, out, rows, columns, columns + 1, width + 1, kind)


@part(VOID(WORDS, INT, INT))
def _run(context: Words, scratch: int, rows: int) -> None:
    step = context[at.STEPS]
    for _ in range(context[at.STEP_COUNT]):
        _step(words(step), scratch, rows)
        step += 8 * at.STEP_WORDS


def rows(context: Words, scratch: int, given: Floats, first: int, stop: int, out: Floats) -> int:
    """Predict rows ``first`` to ``stop``, block by block; ``scratch`` is memory of the caller's own."""
    features, classes, block = context[at.FEATURES], context[at.CLASSES], context[at.BLOCK_ROWS]
    begin = first
    while begin < stop:
        count = min(block, stop - begin)
        _copy(
            singles(address(given) + 4 * begin * features), singles(scratch), count, features, features, features + 1, 0
        )
        _run(context, scratch, count)
        result = singles(scratch + context[at.RESULT])
        _copy(result, singles(address(out) + 4 * begin * classes), count, classes, classes + 1, classes, 0)
        begin += count
    return 0


def row(bound: Words, arguments: Words, count: int) -> int:
    """Predict the row in the scratch memory of a context, as a built-in function of Python.

    ``bound`` is the tuple (context, answer), whose arrays are that memory's own; the answer is returned. The
    interpreter is held: the work takes less time than to release it and take it back.
    """
    context, result = words(words(bound[_SOURCE])[_DATA]), words(bound[_SOURCE + 1])
    _run(context, context[at.SCRATCH], 1)
    result[0] += 1
    returned: int = address(result)
    return returned


KERNELS: dict[str, tuple[Any, Any]] = {
    "rows": (rows, INT(WORDS, INT, SINGLES, INT, INT, SINGLES)),
    "row": (row, INT(WORDS, WORDS, INT)),
}
"""The functions that Python calls, with their signatures."""

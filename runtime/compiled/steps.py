"""The steps of a program. Each knows what it reads and what it writes, and checks itself against its registers."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from runtime.compiled.arrays import check_array, check_columns, check_finite, check_within
from runtime.compiled.forest import Forest


@dataclass(frozen=True, slots=True)
class Register:
    """The shape and type of a block: so many columns, float32 or float64."""

    columns: int
    double: bool = False

    @property
    def dtype(self) -> np.dtype[np.float32] | np.dtype[np.float64]:
        """NumPy's type of the block."""
        return np.dtype(np.float64) if self.double else np.dtype(np.float32)

    def __str__(self) -> str:
        return f"{self.dtype} of {self.columns} columns"


class Operator(IntEnum):
    """An operation on two numbers, rounded once in the type of the register."""

    ADD = 0
    SUBTRACT = 1
    MULTIPLY = 2
    DIVIDE = 3


class Norm(IntEnum):
    """What a row is divided by, as onnxruntime computes it: one float32 rounding after the other, first column first.

    A row whose norm is 0 stays as it is. `MAX` is the largest value itself, not its magnitude. `L2` is, column by
    column, the root of the square over the sum of squares, with the sign of the value.
    """

    MAX = 0
    L1 = 1
    L2 = 2


class Function(IntEnum):
    """A function of a row, computed in float64 from float32 values and rounded to float32 once.

    `LOGISTIC` 1 / (1 + exp(-x)) and `EXPONENTIAL` exp(x) take every value alone. `SOFTMAX` is
    exp(x - m) / sum(exp(x - m)), where m is the row's largest value; `SOFTMAX_ZERO` is the same, but a value of at most
    float32(1e-7) in magnitude becomes x * exp(-m), which is divided by the sum without being part of it.
    """

    LOGISTIC = 0
    EXPONENTIAL = 1
    SOFTMAX = 2
    SOFTMAX_ZERO = 3


class PairKind(IntEnum):
    """How one score s becomes two: `COMPLEMENT` [1 - s, s], `OPPOSITE` [-s, s]."""

    COMPLEMENT = 0
    OPPOSITE = 1


@dataclass(frozen=True, slots=True, eq=False)
class Arithmetic:
    """Every column with its constant, (columns,) of the register's type, which `constant_first` puts on the left."""

    source: int
    operator: Operator
    constant: NDArray[np.float32] | NDArray[np.float64]
    constant_first: bool = False

    def result(self, registers: Sequence[Register]) -> Register:
        """Return what the step writes; raise a `ValueError` where it does not fit what it reads."""
        source = _read(self.source, registers)
        check_array("constant", self.constant, source.dtype, (source.columns,))
        return source


@dataclass(frozen=True, slots=True)
class Combine:
    """Two registers of one type, column by column; a right one of a single column goes with every column."""

    left: int
    right: int
    operator: Operator

    def result(self, registers: Sequence[Register]) -> Register:
        """Return what the step writes; raise a `ValueError` where it does not fit what it reads."""
        left, right = _read(self.left, registers), _read(self.right, registers)
        if left.double != right.double or right.columns not in (1, left.columns):
            raise ValueError(f"expected two registers of one type and width, got {left} and {right}")
        return left


@dataclass(frozen=True, slots=True)
class Cast:
    """float32 to float64, or back with one rounding."""

    source: int
    double: bool

    def result(self, registers: Sequence[Register]) -> Register:
        """Return what the step writes; raise a `ValueError` where it does not fit what it reads."""
        return Register(_read(self.source, registers).columns, self.double)


@dataclass(frozen=True, slots=True)
class Clip:
    """Values below `lowest` become that, values above `highest` become that; NaN stays. Bounds may be infinite."""

    source: int
    lowest: float
    highest: float

    def result(self, registers: Sequence[Register]) -> Register:
        """Return what the step writes; raise a `ValueError` where it does not fit what it reads."""
        if not self.lowest <= self.highest:
            raise ValueError(f"expected bounds in order, got {self.lowest} and {self.highest}")
        return _read_float(self.source, registers)


@dataclass(frozen=True, slots=True, eq=False)
class Impute:
    """Values equal to `replaced` (NaN: those that are NaN) become `values`, float32 (columns,)."""

    source: int
    replaced: float
    values: NDArray[np.float32]

    def result(self, registers: Sequence[Register]) -> Register:
        """Return what the step writes; raise a `ValueError` where it does not fit what it reads."""
        source = _read_float(self.source, registers)
        check_array("values", self.values, np.float32, (source.columns,))
        return source


@dataclass(frozen=True, slots=True)
class Normalize:
    """A row divided by its norm."""

    source: int
    norm: Norm

    def result(self, registers: Sequence[Register]) -> Register:
        """Return what the step writes; raise a `ValueError` where it does not fit what it reads."""
        return _read_float(self.source, registers)


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """The scores that a forest gives a row: a register of its targets."""

    source: int
    forest: Forest

    def result(self, registers: Sequence[Register]) -> Register:
        """Return what the step writes; raise a `ValueError` where it does not fit what it reads."""
        source = _read_float(self.source, registers)
        if self.forest.columns > source.columns:
            raise ValueError(f"expected tests of columns below {source.columns}, got {self.forest.columns - 1}")
        return Register(self.forest.targets)


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """Sums of the columns times `coefficients`, float32 (targets, columns), and of `intercepts`, float32 (targets,).

    Products and sums are float64 and rounded to float32 once, the intercept included.
    """

    source: int
    coefficients: NDArray[np.float32]
    intercepts: NDArray[np.float32]

    def result(self, registers: Sequence[Register]) -> Register:
        """Return what the step writes; raise a `ValueError` where it does not fit what it reads."""
        source, targets = _read_float(self.source, registers), len(self.intercepts)
        check_array("coefficients", self.coefficients, np.float32, (targets, source.columns))
        check_array("intercepts", self.intercepts, np.float32, (targets,))
        check_finite("coefficients", self.coefficients)
        check_finite("intercepts", self.intercepts)
        return Register(targets)


@dataclass(frozen=True, slots=True)
class Apply:
    """A function of the row."""

    source: int
    function: Function

    def result(self, registers: Sequence[Register]) -> Register:
        """Return what the step writes; raise a `ValueError` where it does not fit what it reads."""
        return _read_float(self.source, registers)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two columns of one, in float32."""

    source: int
    kind: PairKind

    def result(self, registers: Sequence[Register]) -> Register:
        """Return what the step writes; raise a `ValueError` where it does not fit what it reads."""
        source = _read_float(self.source, registers)
        if source.columns != 1:
            raise ValueError(f"expected one column, got {source}")
        return Register(2)


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Some columns, int32, in this order; one may occur more than once."""

    source: int
    indices: NDArray[np.int32]

    def result(self, registers: Sequence[Register]) -> Register:
        """Return what the step writes; raise a `ValueError` where it does not fit what it reads."""
        source, count = _read(self.source, registers), len(self.indices)
        check_array("indices", self.indices, np.int32, (count,))
        check_within("indices", self.indices, source.columns)
        return Register(count, source.double)


@dataclass(frozen=True, slots=True)
class Concatenate:
    """The columns of several registers of one type, one after the other."""

    sources: tuple[int, ...]

    def result(self, registers: Sequence[Register]) -> Register:
        """Return what the step writes; raise a `ValueError` where it does not fit what it reads."""
        sources = [_read(source, registers) for source in self.sources]
        if len({source.double for source in sources}) != 1:
            raise ValueError("expected registers of one type")
        return Register(sum(source.columns for source in sources), sources[0].double)


Step = Arithmetic | Combine | Cast | Clip | Impute | Normalize | Trees | Linear | Apply | Pair | Columns | Concatenate
"""`Arithmetic`, `Combine`, `Cast`, `Columns` and `Concatenate` take both types of register, others float32 alone."""


def written(step: Step, registers: Sequence[Register]) -> Register:
    """Return the register that a step writes, of those before it; raise a `ValueError` where it does not fit them."""
    result = step.result(registers)
    check_columns("columns", result.columns)
    return result


def _read(source: int, registers: Sequence[Register]) -> Register:
    """Return the register that a step reads."""
    if not 0 <= source < len(registers):
        raise ValueError(f"expected a register below {len(registers)}, got {source}")
    return registers[source]


def _read_float(source: int, registers: Sequence[Register]) -> Register:
    """Return the register that a step reads, which must be float32."""
    register = _read(source, registers)
    if register.double:
        raise ValueError(f"expected float32, got {register}")
    return register

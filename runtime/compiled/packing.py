"""A program as the kernels read it: scalers folded into thresholds, steps as words, registers as offsets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from runtime.compiled import _records as at
from runtime.compiled.folding import fold
from runtime.compiled.forest_layout import ForestLayout, lay_out
from runtime.compiled.program import Program
from runtime.compiled.steps import (
    Apply,
    Arithmetic,
    Cast,
    Clip,
    Columns,
    Combine,
    Concatenate,
    Impute,
    Linear,
    Normalize,
    Pair,
    Step,
    Trees,
)

_CACHE_LINE = 64
_BLOCK_BYTES = 32 << 10
"""Registers of a block that stay in the nearest cache."""

_FEWEST_ROWS, _MOST_ROWS = 64, 256
"""Rows of a block: enough to walk a tree while it is in the cache, and no more than the registers' share of it."""

_MOST_BYTES = 8 << 20
"""Scratch memory of a thread, beyond which a block has as few rows as can be."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Registers and steps of a program for so many rows at once.

    Attributes
    ----------
    context : ndarray
        The words of `_records`' context; the address of scratch memory is the caller's to set.
    scratch_bytes : int
        The memory that the registers need.
    result : int
        Offset of the last register in it.
    """

    context: NDArray[np.int64]
    scratch_bytes: int
    result: int


class PackedProgram:
    """A program packed once, for blocks and for single rows; it keeps every array that the words point to.

    Parameters
    ----------
    program : Program
        Checked steps.

    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._kept: list[NDArray[np.generic]] = []
        self._steps = _used(_folded(program), program)
        self.layouts: dict[int, ForestLayout] = {
            target: lay_out(step.forest, program.registers[step.source].columns)
            for target, step in self._steps
            if isinstance(step, Trees)
        }
        self._constants = {target: self._keep_constants(target, step) for target, step in self._steps}
        fit = _BLOCK_BYTES * _MOST_ROWS // self._offsets(_MOST_ROWS)[1] // at.LANES * at.LANES
        rows = min(max(fit, _FEWEST_ROWS), _MOST_ROWS)
        self.block = self.plan(rows if self._offsets(rows)[1] <= _MOST_BYTES else at.LANES)

    @property
    def memory_bytes(self) -> int:
        """Bytes of all arrays that the kernels read."""
        return sum(array.nbytes for array in self._kept)

    def plan(self, rows: int) -> Plan:
        """Lay the registers out for so many rows at once."""
        offsets, size = self._offsets(rows)
        records = [record for target, step in self._steps for record in self._records(target, step, offsets, rows)]
        steps = self._keep(np.array(records, np.int64).reshape(-1, at.STEP_WORDS))
        context = np.zeros(at.CONTEXT_WORDS, np.int64)
        context[at.STEPS], context[at.STEP_COUNT] = steps.ctypes.data, len(steps)
        context[at.FEATURES], context[at.CLASSES] = self.program.features, self.program.classes
        context[at.RESULT], context[at.BLOCK_ROWS] = offsets[len(self.program.steps)], rows
        return Plan(context, size, int(context[at.RESULT]))

    def _offsets(self, rows: int) -> tuple[dict[int, int], int]:
        """Return where each used register begins, a forest's own memory behind its scores, and the end of all."""
        offsets, end = {}, 0
        for index in [0, *(target for target, _ in self._steps)]:
            register = self.program.registers[index]
            offsets[index] = end
            end += _lines(rows * (register.columns + 1) * register.dtype.itemsize)
            if index in self.layouts:
                end += _lines(rows * register.columns * 8) + _lines((at.WALK_WORDS + rows) * 8)
        return offsets, end

    def _keep(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        kept = np.ascontiguousarray(array)
        self._kept.append(kept)
        return kept

    def _address(self, array: NDArray[np.generic]) -> int:
        return self._keep(array).ctypes.data if array.size else 0

    def _keep_constants(self, target: int, step: Step) -> tuple[int, int]:
        """Return the addresses of a step's constants."""
        match step:
            case Trees():
                return self._address(self._forest_words(self.layouts[target])), 0
            case Arithmetic():
                return self._address(step.constant), 0
            case Linear():
                return self._address(step.coefficients), self._address(step.intercepts)
            case Clip():
                return self._address(np.array([step.lowest, step.highest], np.float32)), 0
            case Impute():
                return self._address(step.values), self._address(np.array([step.replaced], np.float32))
            case Columns():
                return self._address(step.indices.astype(np.int64)), 0
        return 0, 0

    def _forest_words(self, layout: ForestLayout) -> NDArray[np.int64]:
        words = np.zeros(at.FOREST_WORDS, np.int64)
        for word, array in (
            (at.NODES, layout.nodes),
            (at.NAN_LOWER, layout.nan_lower),
            (at.ROOTS, layout.roots),
            (at.DEPTHS, layout.depths),
            (at.SURE, layout.sure),
            (at.GROUP_DEPTHS, layout.group_depths),
            (at.GROUP_SURE, layout.group_sure),
            (at.TREE_TARGETS, layout.tree_targets),
            (at.WEIGHTS, layout.weights),
            (at.STARTS, layout.starts),
            (at.TARGETS, layout.targets),
            (at.BASE, layout.base),
        ):
            words[word] = self._address(array)
        words[at.SHIFT], words[at.WIDE], words[at.TREE_COUNT] = layout.shift, layout.wide, len(layout.depths)
        words[at.PAYLOAD], words[at.AGGREGATE] = layout.payload, layout.aggregate
        return words

    def _records(self, target: int, step: Step, offsets: dict[int, int], rows: int) -> list[list[int]]:
        """Return the words of a step: of one kernel's call, and where registers are put together of several."""
        if isinstance(step, Concatenate):
            records, place = [], 0
            for source in step.sources:
                records.append(self._record(target, step, offsets, rows, source, at.COPY, place))
                place += self.program.registers[source].columns
            return records
        operation, kind = _operation(step, self.program)
        source = step.left if isinstance(step, Combine) else step.source
        return [self._record(target, step, offsets, rows, source, operation, kind)]

    def _record(
        self, target: int, step: Step, offsets: dict[int, int], rows: int, source: int, operation: int, kind: int
    ) -> list[int]:
        registers, record = self.program.registers, [0] * at.STEP_WORDS
        read, write = registers[source], registers[target]
        record[at.OPERATION], record[at.KIND] = operation, kind
        record[at.SOURCE], record[at.TARGET] = offsets[source], offsets[target]
        record[at.COLUMNS], record[at.TARGET_COLUMNS] = read.columns, write.columns
        record[at.DOUBLE] = read.double or write.double
        record[at.CONSTANTS], record[at.OTHERS] = self._constants[target]
        if isinstance(step, Combine):
            record[at.RIGHT], record[at.RIGHT_COLUMNS] = offsets[step.right], registers[step.right].columns
        elif isinstance(step, Trees):
            record[at.SUMS] = offsets[target] + _lines(rows * (write.columns + 1) * write.dtype.itemsize)
            record[at.WALKS] = record[at.SUMS] + _lines(rows * write.columns * 8)
        return record


def _lines(size: int) -> int:
    """Round bytes up to whole cache lines."""
    return -(-size // _CACHE_LINE) * _CACHE_LINE


def _operation(step: Step, program: Program) -> tuple[int, int]:
    """Return the operation and the kind of a step."""
    match step:
        case Arithmetic():
            return at.ARITHMETIC, step.operator + at.CONSTANT_FIRST * step.constant_first
        case Combine():
            return at.COMBINE, step.operator
        case Cast():
            changes = program.registers[step.source].double != step.double
            return (at.CAST, step.double) if changes else (at.COPY, 0)
        case Clip():
            return at.CLIP, 0
        case Impute():
            return at.IMPUTE, 0
        case Normalize():
            return at.NORMALIZE, step.norm
        case Trees():
            return at.TREES, 0
        case Linear():
            return at.LINEAR, 0
        case Apply():
            return at.FUNCTION, step.function
        case Pair():
            return at.PAIR, step.kind
        case Columns():
            return at.COLUMNS_OF, 0
    raise TypeError(f"expected a step of one source, got {type(step).__name__}")


def _folded(program: Program) -> list[Step]:
    """Return the steps with the chains in front of forests folded into their thresholds."""
    steps = list(program.steps)
    for index, step in enumerate(steps):
        if not isinstance(step, Trees):
            continue
        chain: list[Step] = []
        source = step.source
        while source and isinstance(before := steps[source - 1], Arithmetic | Cast):
            chain.insert(0, before)
            source = before.source
        if chain and not program.registers[source].double and (forest := fold(step.forest, chain)) is not None:
            steps[index] = replace(step, source=source, forest=forest)
    return steps


def _used(steps: Sequence[Step], program: Program) -> list[tuple[int, Step]]:
    """Return the steps that the result needs, each with its register."""
    needed = {len(steps)}
    for index in range(len(steps), 0, -1):
        if index in needed:
            needed.update(_sources(steps[index - 1]))
    return [(index, steps[index - 1]) for index in range(1, len(steps) + 1) if index in needed]


def _sources(step: Step) -> tuple[int, ...]:
    match step:
        case Combine():
            return step.left, step.right
        case Concatenate():
            return step.sources
    return (step.source,)

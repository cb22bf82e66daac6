"""Programs as words: nothing that is not needed is run, registers do not overlap, and memory is bounded."""

import numpy as np

from runtime.compiled import _records as at
from runtime.compiled.packing import PackedProgram
from runtime.compiled.program import Program
from runtime.compiled.steps import Arithmetic, Clip, Concatenate, Operator, Pair, PairKind, Step, Trees
from tests.runtime.compiled.forests import Shape, random_forest
from tests.runtime.compiled.programs import random_program, small_program


def operations(packed: PackedProgram) -> list[int]:
    """Return the operations that a single row goes through."""
    plan = packed.plan(1)
    records = packed._kept[-1].reshape(-1, at.STEP_WORDS)
    assert len(records) == plan.context[at.STEP_COUNT]
    return [int(operation) for operation in records[:, at.OPERATION]]


def test_a_folded_scaler_is_not_run() -> None:
    assert operations(PackedProgram(small_program(np.random.default_rng(0), Shape()))) == [at.TREES]


def test_a_scaler_that_cannot_be_folded_is_run() -> None:
    packed = PackedProgram(small_program(np.random.default_rng(0), Shape(trees=20, equal=True)))
    assert operations(packed) == [at.ARITHMETIC, at.ARITHMETIC, at.TREES]


def test_a_scaler_that_others_read_is_run_for_them() -> None:
    forest = random_forest(np.random.default_rng(0), Shape(features=3))
    steps: tuple[Step, ...] = (
        Arithmetic(0, Operator.ADD, np.ones(3, np.float32)),
        Trees(1, forest),
        Pair(2, PairKind.OPPOSITE),
        Concatenate((1, 3)),
    )
    assert operations(PackedProgram(Program(3, 5, steps))) == [at.ARITHMETIC, at.TREES, at.PAIR, at.COPY, at.COPY]


def test_registers_do_not_overlap() -> None:
    for seed in range(100):
        rng = np.random.default_rng(seed)
        packed = PackedProgram(random_program(rng, 5, 8))
        for rows in (1, 64):
            offsets, size = packed._offsets(rows)
            places = sorted(offsets.items(), key=lambda place: place[1])
            ends = [offset for _, offset in places[1:]] + [size]
            for (index, begin), end in zip(places, ends, strict=True):
                register = packed.program.registers[index]
                assert begin % 64 == 0
                assert end - begin >= rows * (register.columns + 1) * register.dtype.itemsize


def test_blocks_are_of_whole_eights_and_fit_the_nearest_cache() -> None:
    narrow = PackedProgram(small_program(np.random.default_rng(0), Shape(features=22))).block
    assert narrow.context[at.BLOCK_ROWS] % at.LANES == 0
    assert 200 <= narrow.context[at.BLOCK_ROWS] <= 256
    assert narrow.scratch_bytes <= 33 << 10
    wide = PackedProgram(small_program(np.random.default_rng(0), Shape(features=500))).block
    assert wide.context[at.BLOCK_ROWS] == 64


def test_a_block_of_huge_rows_has_as_few_as_can_be() -> None:
    columns = 1 << 16
    steps = tuple(Clip(index, 0.0, 1.0) for index in range(15))
    block = PackedProgram(Program(columns, columns, steps)).block
    assert block.context[at.BLOCK_ROWS] == at.LANES
    assert block.scratch_bytes < 68 << 20

"""The engine against its slow twin, bit for bit, alone and in any company, within the bounds of its memory."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features_fast.library import targets
from runtime.compiled.engine import CompiledEngine
from runtime.compiled.kernels import library_path, load
from runtime.compiled.program import Program
from runtime.compiled.steps import Apply, Function, Linear
from tests.runtime.compiled.forests import Shape, random_forest, rows_for, values
from tests.runtime.compiled.interpreter import run
from tests.runtime.compiled.programs import random_program, small_program

seeds = st.integers(0, 2**32 - 1)
shapes = st.builds(
    Shape,
    trees=st.sampled_from([1, 2, 7, 8, 9, 100, 1_000]),
    depth=st.integers(1, 40),
    features=st.sampled_from([1, 2, 22, 255, 256, 500]),
    targets=st.integers(1, 20),
    leaf=st.sampled_from(["one", "all", "some"]),
    nan=st.sampled_from(["never", "always", "some"]),
    equal=st.booleans(),
    aggregate=st.integers(0, 3),
    unbalanced=st.floats(0.0, 0.9),
)


def row_by_row(engine: CompiledEngine, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the engine says of each row alone."""
    answers = np.empty((len(rows), engine.classes), np.float32)
    for row, answer in zip(rows, answers, strict=True):
        engine.row[0] = row
        answer[:] = engine.predict_one()
    return answers


def same_bits(found: NDArray[np.float32], expected: NDArray[np.float32]) -> bool:
    """Tell whether two answers are the same bits; all NaN are alike."""
    nan = np.isnan(expected)
    return bool((np.isnan(found) == nan).all()) and found[~nan].tobytes() == expected[~nan].tobytes()


@settings(max_examples=400, derandomize=True, deadline=None)
@given(seed=seeds, shape=shapes, scaler=st.booleans(), nan=st.booleans())
def test_a_forest_gives_the_bits_of_its_slow_twin(seed: int, shape: Shape, scaler: bool, nan: bool) -> None:
    rng = np.random.default_rng(seed)
    program = small_program(rng, shape, scaler)
    rows = rows_for(rng, program.forests[0], 21, shape.features, nan)
    engine = CompiledEngine(program, {})
    expected = run(program, rows)
    assert same_bits(engine.predict(rows), expected)
    assert same_bits(row_by_row(engine, rows), expected)


@settings(max_examples=400, derandomize=True, deadline=None)
@given(seed=seeds, features=st.sampled_from([1, 2, 5, 22]), length=st.integers(0, 12))
def test_any_program_gives_the_numbers_of_its_slow_twin(seed: int, features: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    program = random_program(rng, features, length, exact=True)
    rows = values(rng, 21 * features).reshape(21, features)
    engine = CompiledEngine(program, {})
    expected = run(program, rows)
    assert same_bits(engine.predict(rows), expected)
    assert same_bits(row_by_row(engine, rows), expected)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(seed=seeds, columns=st.integers(1, 20), function=st.sampled_from(list(Function)))
def test_a_function_is_that_of_its_slow_twin_but_for_a_last_bit(seed: int, columns: int, function: Function) -> None:
    rng = np.random.default_rng(seed)
    program = Program(columns, columns, (Apply(0, function),))
    rows = np.where(rng.random((21, columns)) < 0.5, values(rng, 21 * columns).reshape(21, columns), np.float32(30.0))
    rows = (rows * rng.random((21, columns))).astype(np.float32)
    engine = CompiledEngine(program, {})
    found = engine.predict(rows)
    np.testing.assert_allclose(found, run(program, rows), rtol=1.3e-7, atol=1e-45)
    assert same_bits(row_by_row(engine, rows), found)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(seed=seeds, columns=st.integers(1, 500), targets=st.integers(1, 20))
def test_a_linear_model_rounds_once(seed: int, columns: int, targets: int) -> None:
    rng = np.random.default_rng(seed)
    coefficients = (rng.normal(size=(targets, columns)) * 10.0 ** rng.integers(-20, 20)).astype(np.float32)
    intercepts = rng.normal(size=targets).astype(np.float32)
    rows = (rng.normal(size=(21, columns)) * 10.0 ** rng.integers(-15, 15, columns)).astype(np.float32)
    engine = CompiledEngine(Program(columns, targets, (Linear(0, coefficients, intercepts),)), {})
    found = engine.predict(rows)
    exact = rows.astype(np.longdouble) @ coefficients.astype(np.longdouble).T + intercepts
    sizes = np.abs(rows).astype(np.float64) @ np.abs(coefficients).astype(np.float64).T
    assert (np.abs(found - exact) <= 2.0**-24 * np.abs(exact) + 2.0**-53 * columns * sizes + 1e-45).all()
    assert same_bits(row_by_row(engine, rows), found)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(seed=seeds, shape=shapes, threads=st.integers(1, 5))
def test_a_row_gives_the_same_bits_in_any_company(seed: int, shape: Shape, threads: int) -> None:
    rng = np.random.default_rng(seed)
    program = small_program(rng, shape)
    rows = rows_for(rng, program.forests[0], 2_600, shape.features, nan=True)
    engine = CompiledEngine(program, {}, threads)
    together = engine.predict(rows)
    ends = np.cumsum(rng.choice([1, 2, 3, 7, 8, 9, 64, 255, 257, 1_030], 40))
    parts = [engine.predict(part) for part in np.split(rows, ends[ends < len(rows)])]
    assert same_bits(np.concatenate(parts), together)
    order = rng.permutation(len(rows))
    assert same_bits(engine.predict(rows[order]), together[order])
    assert same_bits(row_by_row(engine, rows[:50]), together[:50])


def test_every_library_of_this_machine_gives_the_same_bits() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        program = random_program(rng, 22, 6)
        rows = values(rng, 50 * 22).reshape(50, 22)
        answers = [CompiledEngine(program, {}, 1, load(library_path(target))).predict(rows) for target in targets()]
        assert all(same_bits(answer, answers[0]) for answer in answers)


def test_threads_share_an_engine() -> None:
    rng = np.random.default_rng(0)
    program = small_program(rng, Shape(trees=30, depth=8))
    engine = CompiledEngine(program, {}, threads=2)
    blocks = [rows_for(rng, program.forests[0], 1_500, 22, nan=False) for _ in range(12)]
    expected = [engine.predict(block) for block in blocks]
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(engine.predict, block) for block in blocks]
        alone = [row_by_row(engine, block[:100]) for block in blocks]
        assert all(same_bits(answer.result(), right) for answer, right in zip(answers, expected, strict=True))
    assert all(same_bits(answer, right[:100]) for answer, right in zip(alone, expected, strict=True))


@pytest.mark.parametrize("side", ["behind", "before"])
def test_no_kernel_touches_what_is_not_its_own(side: str) -> None:
    command = [sys.executable, "-m", "tests.runtime.compiled.guarded", side, "300"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "in bounds"), done.stderr


def test_what_touches_more_is_caught() -> None:
    command = [sys.executable, "-m", "tests.runtime.compiled.guarded", "trap", "0"]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == -signal.SIGSEGV


def test_it_is_an_engine() -> None:
    program = small_program(np.random.default_rng(0), Shape(targets=3))
    engine = CompiledEngine(program, {"name": "n"})
    assert (engine.name, engine.features, engine.classes, engine.metadata) == ("compiled", 22, 3, {"name": "n"})
    row, answer = engine.row, engine.predict_one()
    assert (row.shape, row.dtype, row[0].data.cast("B").nbytes) == ((1, 22), np.dtype(np.float32), 88)
    assert (answer.shape, answer.dtype) == ((3,), np.dtype(np.float32))
    engine.bind(2)
    assert engine.row is row
    assert engine.predict_one() is answer


def test_rows_of_another_shape_are_refused_and_other_layouts_copied() -> None:
    engine = CompiledEngine(small_program(np.random.default_rng(0), Shape()), {})
    rows = np.random.default_rng(1).normal(size=(9, 22))
    expected = engine.predict(rows.astype(np.float32))
    assert same_bits(engine.predict(np.asfortranarray(rows.astype(np.float32))), expected)
    assert engine.predict(np.zeros((0, 22), np.float32)).shape == (0, 1)
    for shape in ((9, 21), (22,), (1, 9, 22)):
        with pytest.raises(ValueError, match=r"rows: expected shape \(n, 22\)"):
            engine.predict(np.zeros(shape, np.float32))


def test_memory_is_that_of_eight_bytes_a_node() -> None:
    forest = random_forest(np.random.default_rng(0), Shape(trees=100, depth=10, features=22))
    nodes = len(forest.features)
    engine = CompiledEngine(small_program(np.random.default_rng(0), Shape(trees=100, depth=10), scaler=False), {})
    assert isinstance(engine, CompiledEngine)
    assert nodes * 8 < engine.memory_bytes < nodes * 8 + 20_000


def test_a_program_without_steps_gives_its_rows() -> None:
    rows = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)
    engine = CompiledEngine(Program(3, 3, ()), {})
    assert same_bits(engine.predict(rows), rows)
    assert same_bits(row_by_row(engine, rows), rows)

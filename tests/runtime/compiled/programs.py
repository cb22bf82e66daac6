"""Programs of every step, made at random."""

import numpy as np
from numpy.typing import NDArray

from runtime.compiled.program import Program
from runtime.compiled.steps import (
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
    Pair,
    PairKind,
    Register,
    Step,
    Trees,
    written,
)
from tests.runtime.compiled.forests import Shape, random_forest, values

LEAVES, NANS = ("one", "all", "some"), ("never", "always", "some")


def random_shape(rng: np.random.Generator, features: int) -> Shape:
    """Return a shape of a forest, small ones and simple ones more often."""
    return Shape(
        trees=int(rng.choice([1, 2, 7, 8, 9, 30])),
        depth=int(rng.choice([0, 1, 3, 6, 10, 40])),
        features=features,
        targets=int(rng.choice([1, 1, 2, 3, 20])),
        leaf=LEAVES[int(rng.choice([0, 0, 1, 2]))],
        nan=NANS[int(rng.integers(3))],
        equal=bool(rng.random() < 0.25),
        aggregate=int(rng.choice([0, 0, 1, 2, 3])),
        unbalanced=float(rng.choice([0.0, 0.3, 0.7])),
    )


def small_program(rng: np.random.Generator, shape: Shape, scaler: bool = True) -> Program:
    """Return a forest behind a scaler."""
    features = shape.features
    steps: list[Step] = []
    if scaler:
        scale = (0.5 + rng.random(features)) * np.where(rng.random(features) < 0.2, -1, 1)
        steps.append(Arithmetic(0, Operator.SUBTRACT, rng.normal(size=features).astype(np.float32)))
        steps.append(Arithmetic(1, Operator.DIVIDE, scale.astype(np.float32)))
    steps.append(Trees(len(steps), random_forest(rng, shape)))
    return Program(features, shape.targets, tuple(steps))


def random_program(rng: np.random.Generator, features: int, length: int, exact: bool = False) -> Program:
    """Return steps that read any register in front of them, of which the last is float32.

    ``exact`` leaves out those whose last bit NumPy may give otherwise: exponentials, and sums in an order of its own.
    """
    registers, steps = [Register(features)], list[Step]()
    while len(steps) < length:
        source = len(registers) - 1 if rng.random() < 0.7 else int(rng.integers(len(registers)))
        step = _random_step(rng, registers, source)
        if step is not None and not (exact and isinstance(step, Apply | Linear)):
            steps.append(step)
            registers.append(written(step, registers))
    if registers[-1].double:
        steps.append(Cast(len(steps), False))
    return Program(features, registers[-1].columns, tuple(steps))


def _random_step(rng: np.random.Generator, registers: list[Register], source: int) -> Step | None:
    """Return a step that can read a register, or None where the one that was drawn cannot."""
    read = registers[source]
    alike = [index for index, other in enumerate(registers) if other.double == read.double]
    pick = int(rng.integers(12))
    if pick == 0:
        return Arithmetic(
            source, Operator(int(rng.integers(4))), _numbers(rng, read.columns, read.double), bool(rng.random() < 0.3)
        )
    if pick == 1:
        fitting = [index for index in alike if registers[index].columns in (1, read.columns)]
        return Combine(source, int(rng.choice(fitting)), Operator(int(rng.integers(4))))
    if pick == 2:
        return Cast(source, bool(rng.random() < 0.5))
    if pick == 3:
        return Columns(source, rng.integers(0, read.columns, int(rng.integers(1, 9))).astype(np.int32))
    if pick == 4:
        return Concatenate(tuple(int(index) for index in rng.choice(alike, int(rng.integers(1, 4)))))
    if read.double:
        return None
    if pick == 5:
        return Clip(source, float(np.float32(rng.normal() - 1)), float(np.float32(rng.normal() + 3)))
    if pick == 6:
        replaced = float(rng.choice([np.nan, 0.0, 1.0]))
        return Impute(source, replaced, _numbers(rng, read.columns, False).astype(np.float32))
    if pick == 7:
        return Normalize(source, Norm(int(rng.integers(3))))
    if pick == 8:
        targets = int(rng.integers(1, 5))
        return Linear(
            source,
            _numbers(rng, targets * read.columns, False).reshape(targets, -1).astype(np.float32),
            _numbers(rng, targets, False).astype(np.float32),
        )
    if pick == 9:
        return Apply(source, Function(int(rng.integers(4))))
    if pick == 10:
        return Pair(source, PairKind(int(rng.integers(2)))) if read.columns == 1 else None
    return Trees(source, random_forest(rng, random_shape(rng, read.columns)))


def _numbers(rng: np.random.Generator, count: int, double: bool) -> NDArray[np.float32] | NDArray[np.float64]:
    """Return finite numbers, among them awkward ones."""
    drawn = values(rng, count)
    drawn = np.where(np.isfinite(drawn) & (np.abs(drawn) < 1e30), drawn, np.float32(0.5))
    return drawn.astype(np.float64) * 1.1 if double else drawn

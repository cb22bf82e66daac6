"""A program that exists fits together: every step reads registers that are there, of the type and width it needs."""

from typing import Any

import numpy as np
import pytest

from runtime.compiled.program import (
    Apply,
    Arithmetic,
    Cast,
    Clip,
    Columns,
    Combine,
    Concatenate,
    Forest,
    Function,
    Impute,
    Linear,
    Norm,
    Normalize,
    Operator,
    Pair,
    PairKind,
    Program,
    Register,
    Step,
    Summary,
    Trees,
)
from tests.runtime.compiled.test_forest import STUMP


def floats(*values: float) -> Any:
    """Return a float32 array."""
    return np.array(values, np.float32)


def integers(*values: int) -> Any:
    """Return an int32 array."""
    return np.array(values, np.int32)


def test_registers_follow_from_the_steps() -> None:
    program = Program(
        4,
        6,
        (
            Arithmetic(0, Operator.ADD, floats(1, 2, 3, 4)),
            Cast(1, double=True),
            Columns(2, integers(3, 3, 0)),
            Cast(3, double=False),
            Trees(1, Forest(**STUMP)),
            Linear(4, np.ones((1, 3), np.float32), floats(0)),
            Pair(6, PairKind.COMPLEMENT),
            Concatenate((5, 7, 5)),
            Combine(8, 6, Operator.DIVIDE),
            Apply(9, Function.SOFTMAX),
        ),
    )
    assert program.registers == (
        *(Register(4), Register(4), Register(4, double=True), Register(3, double=True), Register(3)),
        *(Register(2), Register(1), Register(2), Register(6), Register(6), Register(6)),
    )
    assert program.summary() == Summary(steps=10, trees=1, nodes=3, leaves=2, depth=1)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (Normalize(1, Norm.L1), "expected a register below 1, got 1"),
        (Normalize(-1, Norm.L1), "expected a register below 1, got -1"),
        (Arithmetic(0, Operator.ADD, floats(1)), r"constant: expected float32 \(2,\), got float32 \(1,\)"),
        (Arithmetic(0, Operator.ADD, np.zeros(2)), r"constant: expected float32 \(2,\), got float64 \(2,\)"),
        (Combine(0, 3, Operator.ADD), "expected a register below 1, got 3"),
        (Clip(0, 1, 0), "expected bounds in order, got 1 and 0"),
        (Clip(0, np.nan, 0), "expected bounds in order, got nan and 0"),
        (Impute(0, np.nan, floats(1)), r"values: expected float32 \(2,\)"),
        (Trees(0, Forest(**STUMP)), "expected tests of columns below 2, got 3"),
        (Linear(0, np.ones((1, 3), np.float32), floats(0)), r"coefficients: expected float32 \(1, 2\)"),
        (Linear(0, np.full((1, 2), np.nan, np.float32), floats(0)), "coefficients: expected finite numbers"),
        (Linear(0, np.ones((1, 2), np.float32), floats(np.inf)), "intercepts: expected finite numbers"),
        (Pair(0, PairKind.OPPOSITE), "expected one column, got float32 of 2 columns"),
        (Columns(0, integers(2)), "indices: expected 0 to 1, got 2 to 2"),
        (Columns(0, integers()), "columns: expected 1 to 65536, got 0"),
        (Concatenate(()), "expected registers of one type"),
        (Concatenate((0,) * 40000), "columns: expected 1 to 65536, got 80000"),
    ],
)
def test_a_step_that_does_not_fit_is_refused(step: Step, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"steps\[0\] \({type(step).__name__}\): {reason}"):
        Program(2, 2, (step,))


@pytest.mark.parametrize(
    "step",
    [
        Clip(1, 0, 1),
        Impute(1, 0, floats(1, 2)),
        Normalize(1, Norm.L2),
        Trees(1, Forest(**STUMP)),
        Linear(1, np.ones((1, 2), np.float32), floats(0)),
        Apply(1, Function.LOGISTIC),
        Pair(1, PairKind.OPPOSITE),
        Combine(0, 1, Operator.ADD),
        Concatenate((0, 1)),
    ],
)
def test_float64_goes_into_arithmetic_alone(step: Step) -> None:
    with pytest.raises(ValueError, match=r"steps\[1\].*(expected float32|of one type)"):
        Program(2, 2, (Cast(0, double=True), step))


@pytest.mark.parametrize(
    ("features", "classes", "steps", "reason"),
    [
        (0, 0, (), "features: expected 1 to 65536, got 0"),
        (65537, 65537, (), "features: expected 1 to 65536, got 65537"),
        (2, 3, (), "result: expected float32 of 3 columns, got float32 of 2 columns"),
        (2, 2, (Cast(0, double=True),), "result: expected float32 of 2 columns, got float64 of 2 columns"),
        (2, 2, tuple(Normalize(n, Norm.L1) for n in range(4097)), "steps: expected at most 4096, got 4097"),
        (65536, 65536, tuple(Normalize(n, Norm.L1) for n in range(16)), "expected at most 1048576 columns together"),
    ],
)
def test_a_program_without_bounds_is_refused(features: int, classes: int, steps: tuple[Step, ...], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Program(features, classes, steps)

"""What a graph computes, stripped of ONNX: steps over a block of float32 rows, in the order in which they run.

A program is the contract between the reader of graphs, which writes it, and the kernels, which run it. Forests, steps
and programs check themselves when they are made, so that whoever runs them needs no checks: every index is within
bounds, every tree is a tree, every size is bounded. What is wrong is raised as a `ValueError`.

Step i reads some of the registers 0 to i and writes register i + 1. A register is a block, rows by columns, of float32
or float64. Register 0 holds the rows to predict, the last one holds the probabilities; both are float32.
"""

from dataclasses import dataclass, field

from runtime.compiled.arrays import MAX_COLUMNS, check_columns
from runtime.compiled.forest import AVERAGE, LEAF, MAX, MAX_DEPTH, MIN, SUM, Forest
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

__all__ = [
    "AVERAGE",
    "LEAF",
    "MAX",
    "MAX_COLUMNS",
    "MAX_DEPTH",
    "MAX_STEPS",
    "MAX_TOTAL_COLUMNS",
    "MIN",
    "SUM",
    "Apply",
    "Arithmetic",
    "Cast",
    "Clip",
    "Columns",
    "Combine",
    "Concatenate",
    "Forest",
    "Function",
    "Impute",
    "Linear",
    "Norm",
    "Normalize",
    "Operator",
    "Pair",
    "PairKind",
    "Program",
    "Register",
    "Step",
    "Summary",
    "Trees",
]

MAX_STEPS = 1 << 12
"""No program is longer."""

MAX_TOTAL_COLUMNS = 1 << 20
"""All registers together are no wider, so that a row in flight costs at most 8 MB, whatever the file says."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The size of a program, in numbers for people: steps, and trees, nodes, leaves and depth over all forests."""

    steps: int
    trees: int
    nodes: int
    leaves: int
    depth: int


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """Steps from rows to probabilities.

    Attributes
    ----------
    features, classes : int
        Columns of the first and of the last register.
    steps : tuple of Step
        Steps whose results are all used, but for a program without any, whose rows are its probabilities.
    registers : tuple of Register
        One more than steps; found when the program is made.
    """

    features: int
    classes: int
    steps: tuple[Step, ...]
    registers: tuple[Register, ...] = field(init=False)

    def __post_init__(self) -> None:
        check_columns("features", self.features)
        if len(self.steps) > MAX_STEPS:
            raise ValueError(f"steps: expected at most {MAX_STEPS}, got {len(self.steps)}")
        registers = [Register(self.features)]
        for index, step in enumerate(self.steps):
            try:
                registers.append(written(step, registers))
            except ValueError as error:
                raise ValueError(f"steps[{index}] ({type(step).__name__}): {error}") from None
        total = sum(register.columns for register in registers)
        if total > MAX_TOTAL_COLUMNS:
            raise ValueError(f"registers: expected at most {MAX_TOTAL_COLUMNS} columns together, got {total}")
        if registers[-1] != Register(self.classes):
            raise ValueError(f"result: expected {Register(self.classes)}, got {registers[-1]}")
        object.__setattr__(self, "registers", tuple(registers))

    @property
    def forests(self) -> list[Forest]:
        """The forests of all steps, in order."""
        return [step.forest for step in self.steps if isinstance(step, Trees)]

    def summary(self) -> Summary:
        """Return the size of the program."""
        forests = self.forests
        return Summary(
            steps=len(self.steps),
            trees=sum(len(forest.roots) for forest in forests),
            nodes=sum(len(forest.features) for forest in forests),
            leaves=sum(int((forest.features == LEAF).sum()) for forest in forests),
            depth=max((forest.depth for forest in forests), default=0),
        )

"""One node on its way into a program: what it reads, its attributes, and the steps that it becomes."""

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from runtime.compiled.errors import MalformedGraph, Unsupported
from runtime.compiled.graph import Array, Attribute, Node
from runtime.compiled.program import MAX_STEPS, Register, Step
from runtime.compiled.steps import written

Value = int | Array
"""What a name stands for while a program is made: a register, or a constant."""


class Steps:
    """The steps of a program that is being made, and their registers."""

    def __init__(self, features: int) -> None:
        self.steps: list[Step] = []
        self.registers = [Register(features)]

    def add(self, step: Step) -> int:
        """Append a step and return the register that it writes.

        Raises
        ------
        ValueError
            It does not fit the registers before it.
        Unsupported
            There are too many.
        """
        if len(self.steps) == MAX_STEPS:
            raise Unsupported(f"more than {MAX_STEPS} steps")
        self.registers.append(written(step, self.registers))
        self.steps.append(step)
        return len(self.steps)


class Operation:
    """A node, with the values of its inputs.

    Attributes
    ----------
    node : Node
        The node.
    version : int
        Version of the operator set that it is of.
    wanted : set of int
        The indices of its outputs that the result depends on.
    """

    def __init__(self, node: Node, version: int, values: list[Value | None], wanted: set[int], steps: Steps) -> None:
        self.node = node
        self.version = version
        self.wanted = wanted
        self._values = values
        self._steps = steps

    def fail(self, reason: str) -> NoReturn:
        """Raise a `MalformedGraph` that names the node."""
        raise MalformedGraph(f"{self.node.path}: {reason}")

    def add(self, step: Step) -> int:
        """Append a step to the program and return the register that it writes."""
        return self._steps.add(step)

    def expect(self, *attributes: str, inputs: tuple[int, int] = (1, 1), output: int = 0) -> None:
        """Say what a node may have: attributes by name, how many inputs, and which output it gives.

        Others than these may change what the node means, hence are not supported.
        """
        given = len(self.node.inputs)
        if not inputs[0] <= given <= inputs[1]:
            self.fail(f"expected {inputs[0]} to {inputs[1]} inputs, got {given}")
        others = sorted(set(self.node.attributes).difference(attributes))
        if others:
            raise Unsupported(f"attribute {', '.join(others)}")
        if self.wanted != {output}:
            raise Unsupported(f"output {min(self.wanted - {output})} is used")

    def value(self, index: int) -> Value | None:
        """Return an input: a register, a constant, or None where it is left out."""
        return self._values[index] if index < len(self._values) else None

    def register(self, index: int = 0) -> int:
        """Return the register of an input, which must not be a constant."""
        value = self.value(index)
        if value is None:
            self.fail(f"expected input {index}, got none")
        if not isinstance(value, int):
            raise Unsupported(f"input {index} is a constant")
        return value

    def block(self, index: int = 0) -> Register:
        """Return the shape and type of an input."""
        return self.register_at(self.register(index))

    def register_at(self, source: int) -> Register:
        """Return the shape and type of a register."""
        return self._steps.registers[source]

    def single(self, index: int = 0) -> Register:
        """Return the shape of a float32 input."""
        block = self.block(index)
        if block.double:
            raise Unsupported("its input is float64")
        return block

    def constant(self, index: int) -> Array | None:
        """Return an input that must be a constant, or None where it is left out."""
        value = self.value(index)
        if isinstance(value, int):
            raise Unsupported(f"input {index} is no constant")
        return value

    def attribute(self, name: str) -> Attribute | None:
        """Return an attribute, or None."""
        return self.node.attributes.get(name)

    def integer(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        attribute = self.attribute(name)
        return default if attribute is None else attribute.integer()

    def text(self, name: str, default: str) -> str:
        """Return a text attribute."""
        attribute = self.attribute(name)
        return default if attribute is None else attribute.text()

    def integers(self, name: str) -> NDArray[np.int64]:
        """Return an attribute of integers, empty where there is none."""
        attribute = self.attribute(name)
        return np.empty(0, np.int64) if attribute is None else attribute.integers()

    def floats(self, name: str) -> NDArray[np.float32]:
        """Return an attribute of float32 numbers, empty where there is none."""
        attribute = self.attribute(name)
        return np.empty(0, np.float32) if attribute is None else attribute.floats()

    def tensor_floats(self, name: str) -> NDArray[np.float32]:
        """Return a one-dimensional float32 tensor, empty where there is none."""
        attribute = self.attribute(name)
        array: NDArray[Any] = np.empty(0, np.float32) if attribute is None else attribute.tensor()
        if array.dtype != np.float32:
            raise Unsupported(f"{name} is {array.dtype}, not float32")
        return array.ravel()

    def columns(self, name: str, values: NDArray[np.float32], columns: int) -> NDArray[np.float32]:
        """Return one number a column, of as many or a single one."""
        if len(values) not in (1, columns):
            self.fail(f"{name}: expected 1 or {columns} numbers, got {len(values)}")
        return np.ascontiguousarray(np.broadcast_to(values, columns), np.float32)


Handler = Callable[[Operation], Value]
"""Turns a node into steps and returns what its one output stands for."""

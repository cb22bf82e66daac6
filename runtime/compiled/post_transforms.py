"""What trees and linear models do with their scores at the end: the attribute `post_transform`."""

from runtime.compiled.errors import Unsupported
from runtime.compiled.operation import Operation
from runtime.compiled.program import Apply, Function

NAMES = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
"""In the order of their numbers in `TreeEnsemble`."""

_FUNCTIONS = {
    "SOFTMAX": Function.SOFTMAX,
    "LOGISTIC": Function.LOGISTIC,
    "SOFTMAX_ZERO": Function.SOFTMAX_ZERO,
}


def post_transform(operation: Operation, by_number: bool = False) -> str:
    """Return the name of a node's post transform, which must be supported; `by_number`: it is given by its index."""
    if by_number:
        number = operation.integer("post_transform", 0)
        name = NAMES[number] if 0 <= number < len(NAMES) else str(number)
    else:
        name = operation.text("post_transform", "NONE")
    if name not in NAMES:
        operation.fail(f"post_transform: expected {', '.join(NAMES)}, got {name}")
    if name == "PROBIT":
        raise Unsupported("post_transform PROBIT")
    return name


def transformed(operation: Operation, source: int, name: str) -> int:
    """Add the step of a post transform, where there is one."""
    return source if name == "NONE" else operation.add(Apply(source, _FUNCTIONS[name]))

"""Pieces of work inside one process, each beside yardsticks that do the same in another way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """One piece of work.

    Attributes
    ----------
    name : str
        What is done, as `part, what`.
    ours : callable
        Does it once; calls in turn bring different data.
    yardsticks : mapping
        What else does it, by name. The regression gate divides by the first one.
    gated : bool
        Whether the regression gate looks at it: not where a yardstick waits for memory, and so for other processes.
    """

    name: str
    ours: Callable[[], object]
    yardsticks: Mapping[str, Callable[[], object]]
    gated: bool = True

    @property
    def yardstick(self) -> str:
        """The name of the first yardstick."""
        return next(iter(self.yardsticks))

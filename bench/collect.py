"""Work as cases of pytest-benchmark: a group for each piece, in which ours and the yardsticks stand together."""

import atexit
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.work import Work

OURS = "ours"


@dataclass(frozen=True, slots=True)
class Case:
    """One side of a piece of work.

    Attributes
    ----------
    work : str
        Its name.
    side : str
        `ours`, or the name of a yardstick.
    call : callable
        Does it once.
    """

    work: str
    side: str
    call: Callable[[], object]

    def run(self, benchmark: BenchmarkFixture) -> None:
        """Measure it, once what its first call prepares is there."""
        benchmark.group = self.work
        benchmark.extra_info["side"] = self.side
        self.call()
        benchmark(self.call)


@cache
def models() -> Path:
    """Return a folder for model files that lasts as long as the process."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return Path(folder.name)


def cases(works: Callable[[Path], Iterator[Work]]) -> Iterator[Case]:
    """Yield both sides of all work."""
    for work in works(models()):
        yield Case(work.name, OURS, work.ours)
        for name, call in work.yardsticks.items():
            yield Case(work.name, name, call)


def parametrize(works: Callable[[Path], Iterator[Work]]) -> pytest.MarkDecorator:
    """Return a decorator that gives a benchmark the parameter `case`."""
    found = list(cases(works))
    return pytest.mark.parametrize("case", found, ids=[f"{case.work}: {case.side}" for case in found])

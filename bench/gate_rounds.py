"""Rounds of the regression gate in a process of its own: ``python -m bench.gate_rounds PLAN``, called by `bench.gate`.

What a process measures depends on where its memory lies and in what order its objects were made. So the gate starts
several, and each gives one ratio for a piece of work: the quickest burst of the work over the quickest of its
yardstick. Other processes only ever make a burst longer, so the more of them there are, the nearer the quickest comes
to what the processor needs; bursts of both sides take turns, and rounds over all work spread them over the whole life
of the process, so that a disturbance of a second spoils some of each and all of none.
"""

import gc
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path

from bench.suites import all_work
from bench.work import Work

_BURST_SECONDS = 1e-3
_ROUND_BURSTS = 10
_FACTOR_ERROR = 0.01
_ROUND_SECONDS = 0.05
"""After which a round ends early, because its bursts are long."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a process is to measure.

    Attributes
    ----------
    folder : str
        Has the model files.
    parts : list of str
        Of `bench.suites.PARTS`.
    rounds : int
        How often each piece of work has its turn.
    only : list of str
        Names of the work to be measured; all if empty.
    slow : dict
        Work that is to be done more often than it counts, by name: 1.2 makes it 20 % slower.
    """

    folder: str
    parts: list[str]
    rounds: int
    only: list[str] = field(default_factory=list)
    slow: dict[str, float] = field(default_factory=dict)

    def wants(self, work: Work) -> bool:
        """Whether a piece of work is to be measured."""
        return work.gated and (not self.only or work.name in self.only)


class Race:
    """A piece of work against its first yardstick.

    Parameters
    ----------
    work : Work
        What is measured.
    factor : float
        By how much the work is made slower.
    """

    def __init__(self, work: Work, factor: float = 1.0) -> None:
        self._ours, self._theirs = work.ours, work.yardsticks[work.yardstick]
        self._own, self._made = slowed(calls_of(self._ours), factor)
        self._other = calls_of(self._theirs)
        self._best = self._other_best = float("inf")

    def run(self) -> None:
        """Time bursts of both in turn for a moment."""
        for burst in range(1, _ROUND_BURSTS + 1):
            self._best = min(self._best, timed(self._ours, self._made))
            self._other_best = min(self._other_best, timed(self._theirs, self._other))
            if burst * (self._best + self._other_best) > _ROUND_SECONDS:
                break

    @property
    def ratio(self) -> float:
        """The time of the work over that of its yardstick, by the quickest burst of each."""
        return self._best / self._own / (self._other_best / self._other)


def timed(call: Callable[[], object], calls: int) -> float:
    """Return the seconds of some calls."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return time.perf_counter() - start


def calls_of(call: Callable[[], object]) -> int:
    """Return how many calls take about a burst, found after a warm-up."""
    deadline, quickest = time.perf_counter() + 10 * _BURST_SECONDS, 1.0
    while time.perf_counter() < deadline or quickest == 1.0:
        quickest = min(quickest, timed(call, 1))
    return max(1, round(_BURST_SECONDS / max(quickest, 1e-7)))


def slowed(calls: int, factor: float) -> tuple[int, int]:
    """Return how many calls count, at least so many, and how many are made of work that is slower by a factor."""
    counted = next(number for number in count(calls) if abs(round(number * factor) / number - factor) < _FACTOR_ERROR)
    return counted, round(counted * factor)


def measure(order: Order) -> dict[str, float]:
    """Return the ratio by the name of the work."""
    races = {
        work.name: Race(work, order.slow.get(work.name, 1.0))
        for work in all_work(Path(order.folder), tuple(order.parts))
        if order.wants(work)
    }
    gc.collect()
    gc.freeze()  # a collection looks at nothing that was there before, and takes no time between rounds
    gc.disable()
    try:
        for _ in range(order.rounds):
            for race in races.values():
                race.run()
            gc.collect()
    finally:
        gc.enable()
        gc.unfreeze()
    return {name: race.ratio for name, race in races.items()}


def encode(order: Order) -> str:
    """Return an order as an argument of the command line."""
    return json.dumps(asdict(order))


def main(arguments: list[str]) -> int:
    """Print the ratios as JSON."""
    sys.stdout.write(json.dumps(measure(Order(**json.loads(arguments[0])))) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

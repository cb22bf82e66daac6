"""Rounds of the regression gate in a process of its own: ``python -m bench.gate_rounds PLAN``, called by `bench.gate`.

What a process measures depends a little on where its memory lies and in what order its objects were made. So the gate
starts several, and each times work and yardstick in turn, in bursts of about a millisecond: what disturbs one of them
disturbs the other. Of several bursts the quickest counts, because other processes only ever make one longer.
"""

import gc
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.suites import all_work
from bench.work import Work

_BURST_SECONDS = 1e-3
_BURSTS = 8


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
        Ratios for each piece of work.
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


def slowed(calls: int, factor: float) -> int:
    """Return how many calls count as so many of work that is slower by a factor."""
    return max(calls, round(calls * factor))


def ratios(work: Work, rounds: int, factor: float = 1.0) -> list[float]:
    """Return the time of the work over that of its first yardstick, a ratio a round."""
    yardstick = work.yardsticks[work.yardstick]
    # Enough calls for a factor to be met closely: 20 % more of 5 calls is one call more.
    own, theirs = max(calls_of(work.ours), 1 if factor == 1.0 else 5), calls_of(yardstick)
    made = slowed(own, factor)
    found = []
    for _ in range(rounds):
        pairs = [(timed(work.ours, made) / own, timed(yardstick, theirs) / theirs) for _ in range(_BURSTS)]
        found.append(min(pair[0] for pair in pairs) / min(pair[1] for pair in pairs))
    return found


def measure(order: Order) -> dict[str, list[float]]:
    """Return the ratios by the name of the work."""
    found = {}
    for work in all_work(Path(order.folder), tuple(order.parts)):
        if work.gated and (not order.only or work.name in order.only):
            gc.collect()
            gc.disable()
            found[work.name] = ratios(work, order.rounds, order.slow.get(work.name, 1.0))
            gc.enable()
    return found


def encode(order: Order) -> str:
    """Return an order as an argument of the command line."""
    return json.dumps(asdict(order))


def main(arguments: list[str]) -> int:
    """Print the ratios as JSON."""
    sys.stdout.write(json.dumps(measure(Order(**json.loads(arguments[0])))) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

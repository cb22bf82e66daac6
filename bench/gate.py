"""The regression gate: ratios of now against committed ones, and how sure their difference is.

Every figure is our time over that of a yardstick in the same process, so that the machine's own speed and most of its
noise cancel out. Each process gives one, and several give an interval for the change. Work has regressed where all of
the interval is beyond the tolerance, and has not where all of it is within; in between there is no evidence. What is
not well is measured a second time, by processes that know nothing of the first.
"""

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.gate_baseline import Baseline, Ratios
from bench.gate_ranks import shift
from bench.gate_rounds import Order, encode
from bench.models import NAMES, model_file
from bench.servers import MeasureError, clean_environ

TOLERANCE = 0.10
"""Slower by more than this is a regression."""
FOREIGN_TOLERANCE = 1.0
"""The same where the baseline is from another kind of machine: on two, the same kernels differed by up to 70 %."""

REGRESSED, UNCLEAR, SAME, IMPROVED, NEW = "regressed", "no evidence", "same", "improved", "new"

_PROCESS_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Change:
    """How work has changed against the baseline.

    Attributes
    ----------
    name : str
        Of the work.
    before, now : float
        Its time over the yardstick's, the median over processes; `before` is 0 where it is not known.
    change : float
        By how much the one is above the other: 1.2 is 20 % slower.
    low, high : float
        Between which the change lies, with 95 % confidence; both 0 where processes are too few to say.
    tolerance : float
        What is no regression.
    foreign : bool
        Whether the baseline is from another kind of machine, which can prove a regression, and nothing else.
    """

    name: str
    before: float
    now: float
    change: float
    low: float
    high: float
    tolerance: float
    foreign: bool = False

    @property
    def verdict(self) -> str:
        """What that means."""
        if not self.before:
            return NEW
        if self.low > 1.0 + self.tolerance:
            return REGRESSED
        if self.foreign or not self.high or self.high > 1.0 + self.tolerance:
            return UNCLEAR
        return IMPROVED if self.high < 1.0 / (1.0 + self.tolerance) else SAME


def compare(
    name: str, before: Sequence[float], now: Sequence[float], tolerance: float, foreign: bool = False
) -> Change:
    """Return how work has changed, from the ratios of both; `before` is empty where there are none."""
    if not before:
        return Change(name, 0.0, float(np.median(now)), 0.0, 0.0, 0.0, tolerance, foreign)
    middle, low, high = shift(np.log(before).tolist(), np.log(now).tolist())
    bounds = (math.exp(low), math.exp(high)) if math.isfinite(low) else (0.0, 0.0)
    return Change(name, float(np.median(before)), float(np.median(now)), math.exp(middle), *bounds, tolerance, foreign)


def compare_all(before: Ratios, now: Ratios, tolerance: float, foreign: bool = False) -> list[Change]:
    """Return the change of all work that is known now."""
    return [compare(name, before.get(name, []), now[name], tolerance, foreign) for name in now]


def check(
    before: Ratios, measure: Callable[[Sequence[str]], Ratios], tolerance: float, foreign: bool = False
) -> tuple[list[Change], Ratios]:
    """Measure and compare; what is not well is measured again by itself.

    What the second series clears is clear, as a disturbance of the first would explain it. Of the rest both decide
    together, whose processes are twice as many.

    Parameters
    ----------
    before : Ratios
        The baseline.
    measure : callable
        Measures the work of some names, all of it for an empty sequence.
    tolerance : float
        What is no regression.
    foreign : bool
        Whether the baseline is from another kind of machine.

    Returns
    -------
    changes : list of Change
        Of each piece of work.
    now : Ratios
        What was measured of it, and decided.
    """
    now = measure([])
    suspects = [
        change.name
        for change in compare_all(before, now, tolerance, foreign)
        if change.verdict == REGRESSED or (change.verdict == UNCLEAR and not foreign)
    ]
    if suspects:
        again = measure(suspects)
        for change in compare_all(before, again, tolerance, foreign):
            cleared = change.verdict in (SAME, IMPROVED)
            now[change.name] = again[change.name] if cleared else now[change.name] + again[change.name]
    return compare_all(before, now, tolerance, foreign), now


def measure(
    processes: int,
    rounds: int,
    parts: Sequence[str],
    only: Sequence[str] = (),
    slow: Mapping[str, float] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Ratios:
    """Measure in several processes, one after the other.

    Parameters
    ----------
    processes, rounds : int
        How many processes, and turns of each piece of work in each.
    parts : sequence of str
        Of `bench.suites.PARTS`.
    only : sequence of str
        Names of the work; all of the parts if empty.
    slow : mapping
        Work that is made slower on purpose, by name.
    progress : callable
        Is told what is measured next.

    Raises
    ------
    MeasureError
        Where a process fails, or no work has one of the names.
    """
    found: Ratios = {}
    with tempfile.TemporaryDirectory() as folder:
        progress("models")
        for name in NAMES:
            model_file(name, Path(folder))
        wanted = [part for part in parts if not only or part in {name.partition(",")[0] for name in only}]
        order = Order(folder, wanted, rounds, list(only), dict(slow or {}))
        for number in range(processes):
            progress(f"process {number + 1} of {processes}")
            for name, ratio in _run(order).items():
                found.setdefault(name, []).append(ratio)
            unknown = [name for name in only or order.slow if name not in found]
            if unknown:
                raise MeasureError(f"expected names of {', '.join(parts)} work, got {', '.join(map(repr, unknown))}")
    return found


def _run(order: Order) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.gate_rounds", encode(order)]
    environ = clean_environ()
    root = Path(__file__).parent.parent
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_PROCESS_SECONDS, env=environ, cwd=root, check=False
    )
    if done.returncode:
        raise MeasureError(f"a measuring process failed:\n{done.stderr[-2000:]}")
    ratios: dict[str, float] = json.loads(done.stdout)
    return ratios


def render(changes: Sequence[Change]) -> str:
    """Return the changes as a table, the worst last, so that a log ends with it."""
    rows = [
        (
            one.name,
            f"{one.before:.4g}" if one.before else "-",
            f"{one.now:.4g}",
            f"{one.change:.2f}" if one.change else "-",
            f"{one.low:.2f} to {one.high:.2f}" if one.high else "-",
            one.verdict,
        )
        for one in sorted(changes, key=lambda one: one.change)
    ]
    head = ("work", "before", "now", "change", "95 %", "")
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows))
    return "\n".join(line.rstrip() for line in lines)


def summary(changes: Sequence[Change], baseline: Baseline, here: Mapping[str, object], path: Path) -> str:
    """Return in words what was found, and what a reader has to know of the baseline.

    Parameters
    ----------
    changes : sequence of Change
        What was found.
    baseline : Baseline
        What it was compared with.
    here : mapping
        This machine and its versions, of `bench.machine.describe`.
    path : Path
        The baseline's file.
    """
    found = {verdict: [one.name for one in changes if one.verdict == verdict] for verdict in (REGRESSED, UNCLEAR)}
    tolerance = max((one.tolerance for one in changes), default=0.0)
    foreign = baseline.foreign(here)
    lines = [
        f"{len(names)} {verdict}" + ("" if foreign and verdict == UNCLEAR else f": {'; '.join(names)}")
        for verdict, names in found.items()
        if names
    ]
    lines = lines or [f"nothing is slower by more than {tolerance:.0%}, with 95 % confidence"]
    if foreign:
        lines += [
            f"another machine made the baseline, where work and yardstick differ in other ways: only more than "
            f"{1 + tolerance:g} times the time counts",
            f"  there: {baseline.made['identity']}",
            f"  here:  {here['identity']}",
            f"  to find less, run this of the commit before on this machine: tickline bench run --save {path}",
        ]
    lines += [f"the baseline's yardsticks were others: {one}" for one in baseline.differences(here)]
    return "\n".join(lines)

"""The regression gate: ratios of now against committed ones, and how sure their difference is.

Every figure is our time over that of a yardstick in the same round, so that the machine's own speed and most of its
noise cancel out. Rounds come from several processes. An interval by bootstrap over processes and rounds says between
which bounds the change lies; work has regressed where even the lower bound is beyond the tolerance, in two series of
rounds that know nothing of one another.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.gate_rounds import Order, encode
from bench.models import NAMES, model_file
from bench.servers import MeasureError, clean_environ

TOLERANCE = 0.10
"""Slower by more than this is a regression."""
FOREIGN_TOLERANCE = 0.30
"""The same where the baseline is from another processor, on which work and yardstick differ in other ways."""

Ratios = dict[str, list[list[float]]]
"""Ratios by the name of the work: one list a process, one ratio a round."""

_RESAMPLES = 2_000
_INTERVAL = (2.5, 97.5)
_PROCESS_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Change:
    """How work has changed against the baseline.

    Attributes
    ----------
    name : str
        Of the work.
    before, now : float
        Its time over the yardstick's; 0 where it is not known.
    change : float
        The one over the other: 1.2 is 20 % slower.
    low, high : float
        Between which the change lies, with 95 % confidence.
    tolerance : float
        What is no regression.
    """

    name: str
    before: float
    now: float
    change: float
    low: float
    high: float
    tolerance: float

    @property
    def verdict(self) -> str:
        """What that means: regressed, improved, same, new or gone."""
        if not self.before:
            return "new"
        if not self.now:
            return "gone"
        if self.low > 1.0 + self.tolerance:
            return "regressed"
        return "improved" if self.high < 1.0 / (1.0 + self.tolerance) else "same"


def middle(processes: Sequence[Sequence[float]]) -> float:
    """Return the median over processes of their medians over rounds."""
    return float(np.median([np.median(rounds) for rounds in processes]))


def resample(processes: Sequence[Sequence[float]], random: np.random.Generator) -> NDArray[np.float64]:
    """Return the middles of processes and rounds drawn anew with replacement, float64 (resamples,)."""
    table = np.array(processes)
    chosen = random.integers(len(table), size=(_RESAMPLES, len(table)))
    rounds = random.integers(table.shape[1], size=(_RESAMPLES, *table.shape))
    drawn = np.take_along_axis(table[chosen], rounds, axis=2)
    middles: NDArray[np.float64] = np.median(np.median(drawn, axis=2), axis=1)
    return middles


def compare(name: str, before: Sequence[Sequence[float]], now: Sequence[Sequence[float]], tolerance: float) -> Change:
    """Return how work has changed, from the ratios of both; an empty sequence where there are none."""
    if not before or not now:
        return Change(name, middle(before) if before else 0.0, middle(now) if now else 0.0, 0.0, 0.0, 0.0, tolerance)
    random = np.random.default_rng(0)
    low, high = np.percentile(resample(now, random) / resample(before, random), _INTERVAL).tolist()
    was, is_now = middle(before), middle(now)
    return Change(name, was, is_now, is_now / was, low, high, tolerance)


def compare_all(before: Ratios, now: Ratios, tolerance: float) -> list[Change]:
    """Return the change of all work that is known now."""
    return [compare(name, before.get(name, []), now[name], tolerance) for name in now]


def save(path: Path, made: Mapping[str, Any], ratios: Ratios) -> None:
    """Write a baseline; four digits of a ratio are more than its rounds agree on."""
    rounded = {
        name: [[float(f"{ratio:.4g}") for ratio in rounds] for rounds in processes]
        for name, processes in ratios.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(processes)}" for name, processes in rounded.items())
    facts = ",\n".join(f"  {json.dumps(name)}: {json.dumps(fact)}" for name, fact in made.items())
    path.write_text(f'{{"made": {{\n{facts}\n }},\n "ratios": {{\n{lines}\n }}}}\n')


def load(path: Path) -> tuple[dict[str, Any], Ratios]:
    """Return what made a baseline, and its ratios; raises MeasureError."""
    try:
        document = json.loads(path.read_text())
        return document["made"], document["ratios"]
    except OSError as error:
        raise MeasureError(f"{path}: {error.strerror}; make it with `tickline bench run --save {path}`") from None
    except (ValueError, KeyError, TypeError) as error:
        raise MeasureError(f"{path}: no baseline: {error!r}") from None


def check(before: Ratios, measure: Callable[[Sequence[str]], Ratios], tolerance: float) -> tuple[list[Change], Ratios]:
    """Measure and compare; what seems to have regressed is measured again by itself.

    Parameters
    ----------
    before : Ratios
        The baseline.
    measure : callable
        Measures the work of some names, all of it for an empty sequence.
    tolerance : float
        What is no regression.

    Returns
    -------
    changes : list of Change
        Of each piece of work, from the second series where there was one.
    now : Ratios
        What was measured.
    """
    now = measure([])
    changes = {change.name: change for change in compare_all(before, now, tolerance)}
    suspects = [name for name, change in changes.items() if change.verdict == "regressed"]
    if suspects:
        again = measure(suspects)
        changes |= {change.name: change for change in compare_all(before, again, tolerance)}
        now |= again
    return list(changes.values()), now


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
        How many processes, and ratios in each.
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
        order = Order(folder, list(parts), rounds, list(only), dict(slow or {}))
        for number in range(processes):
            progress(f"process {number + 1} of {processes}")
            for name, ratios in _run(order).items():
                found.setdefault(name, []).append(ratios)
            unknown = [name for name in only or order.slow if name not in found]
            if unknown:
                raise MeasureError(f"expected names of {', '.join(parts)} work, got {', '.join(map(repr, unknown))}")
    return found


def _run(order: Order) -> dict[str, list[float]]:
    command = [sys.executable, "-m", "bench.gate_rounds", encode(order)]
    environ = clean_environ()
    root = Path(__file__).parent.parent
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_PROCESS_SECONDS, env=environ, cwd=root, check=False
    )
    if done.returncode:
        raise MeasureError(f"a measuring process failed:\n{done.stderr[-2000:]}")
    ratios: dict[str, list[float]] = json.loads(done.stdout)
    return ratios


def render(changes: Sequence[Change]) -> str:
    """Return the changes as a table, the worst last, so that a log ends with it."""
    rows = [
        (
            one.name,
            f"{one.before:.4g}" if one.before else "-",
            f"{one.now:.4g}" if one.now else "-",
            f"{one.change:.2f}" if one.change else "-",
            f"{one.low:.2f} to {one.high:.2f}" if one.change else "-",
            one.verdict,
        )
        for one in sorted(changes, key=lambda one: one.change)
    ]
    head = ("work", "before", "now", "change", "95 %", "")
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows))
    return "\n".join(line.rstrip() for line in lines)

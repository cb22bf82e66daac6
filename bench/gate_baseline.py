"""Committed ratios of the regression gate, one set for each kind of machine that made one.

A file has them by `bench.machine.identity`: machines of one name differ in caches and clocks, and which of them a job
gets is chance. A machine that made none is compared with the newest of the others.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.outputs import expect_output, write_output
from bench.servers import MeasureError

Ratios = dict[str, list[float]]
"""Ratios by the name of the work, one a process."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What one machine measured before.

    Attributes
    ----------
    made : dict
        By which machine, versions and command, and when: of `bench.machine.describe`.
    ratios : dict
        What it measured.
    """

    made: Mapping[str, Any]
    ratios: Ratios

    def foreign(self, here: Mapping[str, Any]) -> bool:
        """Whether another kind of machine made it than this one, described in the same way."""
        return bool(self.made["identity"] != here["identity"])

    def differences(self, here: Mapping[str, Any]) -> list[str]:
        """Return which versions have changed since, a phrase each: yardsticks may be quicker or slower."""
        known, now = ({"Python": one["python"], **one["versions"]} for one in (self.made, here))
        return [
            f"{name} {known.get(name, '-')} there, {now[name]} here" for name in now if known.get(name) != now[name]
        ]


def load(path: Path, identity: str) -> Baseline:
    """Return what this kind of machine measured before, or else the newest of what others did; raises MeasureError."""
    found = _read(path)
    return found.get(identity) or max(found.values(), key=lambda baseline: str(baseline.made["date"]))


def check(path: Path) -> None:
    """Raise the MeasureError that `save` would, before minutes of measuring."""
    expect_output(path)
    if path.exists():
        _read(path)


def save(path: Path, baseline: Baseline) -> None:
    """Write what a machine measured in the place of what it did before; that of other machines stays.

    Four digits of a ratio are more than processes agree on.
    """
    known = _read(path) if path.exists() else {}
    rounded = {name: [float(f"{ratio:.4g}") for ratio in processes] for name, processes in baseline.ratios.items()}
    known[baseline.made["identity"]] = Baseline(baseline.made, rounded)
    machines = ",\n".join(f"{json.dumps(identity)}: {_text(one)}" for identity, one in sorted(known.items()))
    write_output(path, f"{{\n{machines}\n}}\n")


def _text(baseline: Baseline) -> str:
    """Return a line a fact and a line a piece of work, so that a difference can be read."""
    made, ratios = (
        ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in facts.items())
        for facts in (baseline.made, baseline.ratios)
    )
    return f'{{"made": {{\n{made}\n }},\n "ratios": {{\n{ratios}\n }}}}'


def _read(path: Path) -> dict[str, Baseline]:
    try:
        document = json.loads(path.read_text())
        found = {identity: Baseline(one["made"], one["ratios"]) for identity, one in document.items()}
        if not found:
            raise ValueError("of no machine")
        return found
    except OSError as error:
        raise MeasureError(f"{path}: {error.strerror}; make it with `tickline bench run --save {path}`") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MeasureError(f"{path}: no baseline: {error!r}") from None

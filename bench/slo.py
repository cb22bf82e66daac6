"""Service level objectives on a command line: `p99=1ms`, `errors=0`, `rate=9000`."""

import re
from dataclasses import dataclass
from typing import Any

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_TIME = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s)")
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(%?)")
_LATENCIES = ("mean", "p50", "p90", "p95", "p99", "p99.9", "p99.99", "max")


@dataclass(frozen=True, slots=True)
class Objective:
    """What must hold for every step of a load.

    Attributes
    ----------
    text : str
        As it was asked for.
    name : str
        A latency of `mean`, `p50` ... `max`, or `errors`, or `rate`.
    value : float
        Seconds, requests, or requests a second.
    share : bool
        Whether the value is a share of the requests due, or of the rate at which they were.
    """

    text: str
    name: str
    value: float
    share: bool = False

    def found(self, step: dict[str, Any]) -> float:
        """Return what a step of a report found, in the value's unit."""
        if self.name == "errors":
            return float(step["errors"]) / (step["requests"] if self.share else 1)
        if self.name == "rate":
            return float(step["rate"]) / (step["due"] if self.share else 1.0)
        return float(step["latency"][self.name])

    def holds(self, step: dict[str, Any]) -> bool:
        """Tell whether a step of a report keeps it."""
        found = self.found(step)
        return found >= self.value if self.name == "rate" else found <= self.value


def parse_objective(text: str) -> Objective:
    """Read an objective.

    Parameters
    ----------
    text : str
        `NAME=VALUE`: a latency with a unit (`p99=1ms`, `max=0.5s`), `errors=0` or `errors=0.1%`, the least
        `rate=9000` or `rate=99%` of what is offered.

    Raises
    ------
    ValueError
        Where it is none; the message says what is expected.
    """
    name, _, value = text.partition("=")
    if name in ("errors", "rate"):
        match = _NUMBER.fullmatch(value)
        if match is None:
            raise ValueError(f"{name}: expected a number or a percentage, got {value!r}")
        return Objective(text, name, float(match[1]) / (100 if match[2] else 1), bool(match[2]))
    if name not in _LATENCIES:
        raise ValueError(f"expected one of {', '.join(_LATENCIES)}, errors or rate, got {name!r}")
    match = _TIME.fullmatch(value)
    if match is None:
        raise ValueError(f"{name}: expected a time such as 500us, 1ms or 2s, got {value!r}")
    return Objective(text, name, float(match[1]) * _UNITS[match[2]])

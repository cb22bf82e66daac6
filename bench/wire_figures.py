"""The figures of the server on the wire: what each compares, and what is asked for."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from bench import contenders
from bench.contenders import NGINX
from bench.wire_inputs import FOREST, LOGISTIC

SHORT = {LOGISTIC: "logistic", FOREST: "forest"}
FASTAPI, GRANIAN, FLASK = contenders.FASTAPI.name, contenders.GRANIAN.name, contenders.FLASK.name
ENGINE = "onnxruntime alone"
POLL_MICROSECONDS, POLL_RATE = 2000, 1000
"""How long a server stays awake that is measured beside one that sleeps, and how many requests a second it gets."""


class Sense(Enum):
    """How the two sides of a figure make its ratio, and which ratios are good."""

    TIMES_LESS = "peer / ours, at least"
    SHARE = "ours / peer, at least"
    AT_MOST = "ours / peer, at most"
    VALUE = "ours, at most"


class Unit(Enum):
    """What a side of a figure is given in."""

    MICROSECONDS = "us"
    MILLISECONDS = "ms"
    SECONDS = "s"
    PER_SECOND = "/s"
    MEBIBYTES = "MiB"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes
    ----------
    key : str
        Its name in the results.
    what : str
        What is measured.
    peer : str
        What it is measured against.
    unit : Unit
        Of both sides.
    sense : Sense
        What its ratio is.
    reach, beyond : float
        What is asked for and hoped for; 0 where nothing is.
    """

    key: str
    what: str
    peer: str
    unit: Unit
    sense: Sense
    reach: float = 0.0
    beyond: float = 0.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """The medians of a figure over all rounds.

    Attributes
    ----------
    ours, peer : float
        Medians of both sides; the peer's is 0 where there is none.
    ratio : float
        Median of the ratios of the rounds; the figure itself where there is no peer.
    low, high : float
        Between which the middle half of the ratios lies.
    """

    ours: float
    peer: float
    ratio: float
    low: float
    high: float


def compare(sense: Sense, ours: Sequence[float], peer: Sequence[float]) -> Comparison:
    """Return the medians of what was measured in rounds, seconds or whatever the figure is in.

    Parameters
    ----------
    sense : Sense
        What is divided by what.
    ours, peer : sequence of float
        One value a round; without a peer its values are not looked at.
    """
    if sense is Sense.VALUE:
        ratios = list(ours)
    elif sense is Sense.TIMES_LESS:
        ratios = [theirs / own for own, theirs in zip(ours, peer, strict=True)]
    else:
        ratios = [own / theirs for own, theirs in zip(ours, peer, strict=True)]
    low, high = quartiles(ratios)
    other = 0.0 if sense is Sense.VALUE else statistics.median(peer)
    return Comparison(statistics.median(ours), other, statistics.median(ratios), low, high)


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """Return the lower and the upper quartile, by linear interpolation, of one value or more."""
    if len(values) == 1:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def all_figures() -> Iterator[Figure]:
    """Yield the figures in the order of the table."""
    yield from _cpu(LOGISTIC, FASTAPI, 15, 20)
    yield from _cpu(FOREST, FASTAPI, 16, 25)
    yield from _cpu(LOGISTIC, GRANIAN)
    yield from _cpu(FOREST, GRANIAN, 1.6, 2)
    yield from _cpu(FOREST, FLASK, 350, 400)
    for model, reach, beyond in ((LOGISTIC, 0.30, 0.45), (FOREST, 0.35, 0.50)):
        what = f"`/predict` {SHORT[model]}, requests/s"
        yield Figure(f"rate/{model}", what, NGINX, Unit.PER_SECOND, Sense.SHARE, reach, beyond)
    for model in SHORT:
        what = f"`/predict` {SHORT[model]}, CPU beyond {ENGINE}"
        yield Figure(f"beyond/{model}", what, NGINX, Unit.MICROSECONDS, Sense.AT_MOST, 22 / 8.5, 15 / 8.5)
    for model in SHORT:
        what = f"`/predict` {SHORT[model]}, open loop at half of capacity, p99"
        yield Figure(f"open/{model}", what, "its p50", Unit.MICROSECONDS, Sense.AT_MOST, 5, 3)
        what = f"`/predict` {SHORT[model]}, that p99"
        yield Figure(f"floor/{model}", what, f"{NGINX}, at the same rate", Unit.MICROSECONDS, Sense.AT_MOST)
        yield Figure(f"stops/{model}", f"{NGINX}, at that rate, p99", "its p50", Unit.MICROSECONDS, Sense.AT_MOST)
    yield from _batch(FOREST, "engine", ENGINE, Sense.AT_MOST, json=(1.5, 1.3), npy=(1.10, 1.05), raw=(1.10, 1.05))
    yield from _batch(LOGISTIC, "engine", ENGINE, Sense.AT_MOST)
    yield from _batch(LOGISTIC, "fastapi", f"{FASTAPI}, JSON", Sense.TIMES_LESS, json=(10, 15), raw=(100, 200))
    yield from _batch(FOREST, "fastapi", f"{FASTAPI}, JSON", Sense.TIMES_LESS)
    for model in SHORT:
        yield from _batch(model, "fastapi", f"{FASTAPI}, JSON", Sense.TIMES_LESS, size="small")
    for key, what in (("bars", "`/predict/bars` forest, 60 bars, CPU"), ("inference", "`/v2` forest, one row, CPU")):
        yield Figure(f"lane/{key}", what, "Tickline, LANE=asgi", Unit.MICROSECONDS, Sense.TIMES_LESS)
    what = "`/predict` forest, p99 beside batches of 100,000 rows"
    yield Figure("isolation", what, "p99 without them", Unit.MICROSECONDS, Sense.AT_MOST, 2, 1.5)
    what = "`/predict` forest, that p99"
    yield Figure("machine", what, "p99 beside the same batches of another server", Unit.MICROSECONDS, Sense.AT_MOST)
    for key, how in (("low", f"{POLL_RATE:,} requests/s"), ("half", "half of capacity")):
        for percent in (50, 99):
            what = f"`/predict` forest, {how}, p{percent} with BUSY_POLL_US={POLL_MICROSECONDS}"
            yield Figure(f"awake/{key}/p{percent}", what, "without", Unit.MICROSECONDS, Sense.TIMES_LESS)
    yield Figure("ready", "start of the process to ready, forest", "", Unit.SECONDS, Sense.VALUE, 0.5, 0.3)
    what = "resident memory of a worker after 1,000 predictions, forest"
    yield Figure("resident", what, "", Unit.MEBIBYTES, Sense.VALUE, 100, 80)


def _cpu(model: str, peer: str, reach: float = 0.0, beyond: float = 0.0) -> Iterator[Figure]:
    what = f"`/predict` {SHORT[model]}, CPU a request"
    key = f"cpu/{model}/{peer}"
    yield Figure(key, what, peer, Unit.MICROSECONDS, Sense.TIMES_LESS, reach, beyond)


def _batch(
    model: str, key: str, peer: str, sense: Sense, size: str = "batch", **asked: tuple[float, float]
) -> Iterator[Figure]:
    rows, unit = {"batch": ("10,000", Unit.MILLISECONDS), "small": ("32", Unit.MICROSECONDS)}[size]
    for form in ("json", "npy", "raw"):
        what = f"{rows} rows, {SHORT[model]}, {form if form == 'raw' else '.npy' if form == 'npy' else 'JSON'}, CPU"
        reach, beyond = asked.get(form, (0.0, 0.0))
        yield Figure(f"{size}/{model}/{form}/{key}", what, peer, unit, sense, reach, beyond)


FIGURES = tuple(all_figures())

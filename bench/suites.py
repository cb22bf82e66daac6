"""All work that is measured inside one process, by the part of the server that it belongs to."""

from collections.abc import Callable, Iterator
from pathlib import Path

from bench.batches import batch_work
from bench.codec_work import codec_work
from bench.kernel_work import kernel_work
from bench.lane_work import lane_work
from bench.predictor_work import predictor_work
from bench.startup_work import startup_work
from bench.work import Work

PARTS: dict[str, Callable[[Path], Iterator[Work]]] = {
    "features": kernel_work,
    "predictor": predictor_work,
    "codec": codec_work,
    "/predict": lane_work,
    "batch": batch_work,
    "start": startup_work,
}

GATED = ("features", "predictor", "codec", "/predict", "batch")
"""Parts that the regression gate compares; a start takes too long to be repeated often enough."""

SMOKE = ("features", "predictor", "codec", "/predict")
"""Parts of the short form."""


def all_work(folder: Path, parts: tuple[str, ...] = tuple(PARTS)) -> Iterator[Work]:
    """Yield the work of some parts, with model files in a folder."""
    for part in parts:
        yield from PARTS[part](folder)

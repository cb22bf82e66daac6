"""Latencies as an HDR histogram: every percentile within 0.1 % of its value, in the format that other tools read."""

import io
from typing import Any

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)

_DIGITS = 3
_HIGHEST_SECONDS = 3600
_NANOSECONDS = 1e9
_TICKS_A_HALF = 5


class Latencies:
    """A histogram of seconds, from 1 ns to an hour.

    Parameters
    ----------
    seconds : ndarray
        float64 (requests,).
    """

    def __init__(self, seconds: NDArray[np.float64]) -> None:
        self._histogram = HdrHistogram(1, _HIGHEST_SECONDS * 10**9, _DIGITS)
        nanoseconds = np.clip(np.rint(seconds * _NANOSECONDS), 1, _HIGHEST_SECONDS * 10**9).astype(np.int64)
        values, counts = np.unique(nanoseconds, return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            self._histogram.record_value(value, count)

    def percentile(self, percent: float) -> float:
        """Return a percentile in seconds."""
        return float(self._histogram.get_value_at_percentile(percent)) / _NANOSECONDS

    def summary(self) -> dict[str, float]:
        """Return mean, percentiles and the largest latency, in seconds."""
        named = {f"p{percent:g}": self.percentile(percent) for percent in PERCENTILES}
        mean, largest = self._histogram.get_mean_value(), self._histogram.get_max_value()
        return {"mean": float(mean) / _NANOSECONDS, **named, "max": float(largest) / _NANOSECONDS}

    def curve(self) -> list[tuple[float, float]]:
        """Return percentiles and their seconds, ever denser towards 100, as far as the number of requests proves."""
        steps = self._histogram.get_percentile_iterator(_TICKS_A_HALF)
        return [(step.percentile_level_iterated_to, step.value_iterated_to / _NANOSECONDS) for step in steps]

    def encoded(self) -> str:
        """Return the histogram of nanoseconds in HDR's own compressed format, base64."""
        text: bytes = self._histogram.encode()
        return text.decode()

    def distribution(self) -> str:
        """Return the percentile distribution in milliseconds, as HDR histogram plotters read it."""
        out = io.BytesIO()
        self._histogram.output_percentile_distribution(out, 1e6, _TICKS_A_HALF)
        return out.getvalue().decode()


def describe_step(latencies: NDArray[np.float64]) -> dict[str, Any]:
    """Return what a report says of latencies in seconds, float64 (requests,)."""
    histogram = Latencies(latencies)
    return {"latency": histogram.summary(), "percentiles": histogram.curve(), "histogram": histogram.encoded()}

"""Drift as Prometheus families, over all workers."""

import time
from collections.abc import Iterable

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runtime.artifact import ModelCard
from runtime.board import Board
from runtime.drift import LEAST_ROWS, collect, stability_index, watched
from runtime.metrics import drift_words


class DriftCollector(Collector):
    """Compares the rows of the window with those of the training.

    Parameters
    ----------
    board : Board
        The server's board.
    card : ModelCard
        The served model's.
    window_seconds : float
        How far back the counts reach.
    """

    def __init__(self, board: Board, card: ModelCard, window_seconds: float) -> None:
        self._board = board
        self._card = card
        self._window = window_seconds

    def collect(self) -> Iterable[Metric]:
        """Yield all families; without a baseline, or before enough rows have come, none that compares."""
        baseline = self._card.baseline
        if baseline is None or not self._window:
            return
        slots = map(drift_words, self._board.live().values())
        counts = collect(slots, baseline, self._window, time.monotonic())
        rows = int(counts[-1].sum())
        summary = "Rows that are compared with the training rows: those of the window, or some of them."
        yield GaugeMetricFamily("drift_rows", summary, value=rows)
        if rows < LEAST_ROWS:
            return
        *features, score = stability_index(counts, baseline).tolist()
        family = GaugeMetricFamily(
            "feature_drift_psi", "Population stability index of a feature over the window.", labels=["feature"]
        )
        for name, value in zip(watched(self._card.feature_names), features, strict=True):
            family.add_metric([name], value)
        yield family
        summary = "Population stability index of the last class's probability over the window."
        yield GaugeMetricFamily("score_drift_psi", summary, value=score)

"""What the last reload changed, as Prometheus families."""

from collections.abc import Iterable

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runtime.board import GOLDEN, RECENT, Board
from runtime.comparison import CHANGE_WORDS, read_change

_FAMILIES = {
    "model_reload_compared_rows": ("rows", "Rows on which the last reload compared the models."),
    "model_reload_label_flips": ("flips", "Of these rows, those whose label the new model changes."),
    "model_reload_max_probability_change": ("max_probability_change", "Largest change of a probability over them."),
    "model_reload_mean_probability_change": ("mean_probability_change", "Mean over them of each row's largest change."),
}


class ReloadCollector(Collector):
    """Renders the comparison of the last reload that came as far, refused or not; nothing before the first.

    Parameters
    ----------
    board : Board
        The server's board.
    """

    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterable[Metric]:
        """Yield all families."""
        header = self._board.header
        changes = {
            name: read_change(header[start : start + CHANGE_WORDS])
            for name, start in (("golden", GOLDEN), ("recent", RECENT))
        }
        if not changes["golden"].rows:
            return
        for family, (attribute, summary) in _FAMILIES.items():
            gauge = GaugeMetricFamily(family, summary, labels=["sample"])
            for name, change in changes.items():
                gauge.add_metric([name], getattr(change, attribute))
            yield gauge

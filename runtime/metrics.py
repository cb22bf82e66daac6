"""Counters in plain shared memory, rendered as Prometheus families when they are scraped."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from struct import Struct

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from runtime.board import ENGINE, PID, SERVING, SLOT_HEADER_WORDS, Board
from runtime.drift import WORDS as DRIFT_WORDS
from runtime.engines import CHOICES
from runtime.stages import STAGES

ROUTES = (
    "/",
    "/health",
    "/health/live",
    "/health/ready",
    "/model/info",
    "/predict",
    "/predict/demo",
    "/predict/batch",
    "/predict/bars",
    "/symbols/{ticker}",
    "/symbols/{ticker}/bars",
    "/reload",
    "/metrics",
    "/docs",
    "/openapi.json",
    "/v2",
    "/v2/",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/{model_name}",
    "/v2/models/{model_name}/ready",
    "/v2/models/{model_name}/infer",
    "/v2/models/{model_name}/versions/{model_version}",
    "/v2/models/{model_name}/versions/{model_version}/ready",
    "/v2/models/{model_name}/versions/{model_version}/infer",
    "unmatched",
)
"""Values of the label `route`, which are the path templates of our routes; what is none of them is `unmatched`."""

PREDICTING = {
    "/predict": "POST",
    "/predict/demo": "GET",
    "/predict/batch": "POST",
    "/predict/bars": "POST",
    "/symbols/{ticker}": "GET",
    "/symbols/{ticker}/bars": "POST",
    "/v2/models/{model_name}/infer": "POST",
    "/v2/models/{model_name}/versions/{model_version}/infer": "POST",
}
"""Routes that answer with predictions, which the autoscaler and the alerts count, and their methods."""

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "other")
STATUSES = tuple(status.value for status in HTTPStatus)
LABELS = 64
"""Classes that are counted one by one; the last counter also takes all further ones."""

EXPECTED_STATUSES = (200, 500, 503, 504)
"""Statuses that `PREDICTING` routes are told of before the first one: the rate of a counter that begins with the burst
which an alert is about leaves that burst out."""

BUCKETS = tuple(
    microseconds * 1000
    for microseconds in (
        *(25, 50, 100, 250, 500),
        *(1_000, 2_500, 5_000, 10_000, 25_000, 50_000),
        *(100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000),
    )
)
"""Upper bounds of the latency histogram, in nanoseconds: 25 us to 10 s."""

_FIRST_STAGE_BUCKET = 8  # what takes less than 256 ns need not be told apart

RELOAD_RESULTS = ("success", "failure")
REJECTIONS = ("in_flight", "queued_rows", "queued_time", "deadline", "connections", "slow", "malformed")
"""Why a request or a connection was not served."""

_ROUTE_INDEX = {route: index for index, route in enumerate(ROUTES)}
_METHOD_INDEX = {method: index for index, method in enumerate(METHODS)}
_STATUS_INDEX = {status: index for index, status in enumerate(STATUSES)}
_EXPECTED = tuple(
    np.array(
        [
            (_ROUTE_INDEX[route], _METHOD_INDEX[method], _STATUS_INDEX[status])
            for route, method in PREDICTING.items()
            for status in EXPECTED_STATUSES
        ]
    ).T
)
_UNMATCHED, _OTHER_METHOD = _ROUTE_INDEX["unmatched"], _METHOD_INDEX["other"]

# A slot's words: requests, then histograms (buckets, the overflow and the sum in nanoseconds), and so on.
_REQUESTS = SLOT_HEADER_WORDS
_METHOD_STRIDE = len(STATUSES)
_ROUTE_STRIDE = len(METHODS) * _METHOD_STRIDE
_DURATIONS = _REQUESTS + len(ROUTES) * _ROUTE_STRIDE
_DURATION_STRIDE = len(BUCKETS) + 2
_PREDICTIONS = _DURATIONS + len(ROUTES) * _DURATION_STRIDE
_RELOADS = _PREDICTIONS + LABELS
_IN_FLIGHT = _RELOADS + len(RELOAD_RESULTS)
_COMPILATIONS = _IN_FLIGHT + 1
_SYMBOLS_HELD = _COMPILATIONS + 1
_SYMBOLS_EVICTED = _SYMBOLS_HELD + 1
_FAST = _SYMBOLS_EVICTED + 1  # per class a histogram of the requests that the fast lane answered
_FAST_STRIDE = len(BUCKETS) + 1
_FAST_SUM = _FAST + LABELS * _FAST_STRIDE
_STAGES = _FAST_SUM + 1  # per stage a histogram by powers of two, and the sum
_STAGE_BUCKETS = 35  # up to 2**34 ns, 17 s
_STAGE_STRIDE = _STAGE_BUCKETS + 1
_REJECTIONS = _STAGES + len(STAGES) * _STAGE_STRIDE
_END = _REJECTIONS + len(REJECTIONS)

_NOTE = Struct("5q")  # predictions, and the nanoseconds of four stages
_MOST_NOTES = 256  # requests of the fast lane that are noted before they are counted
_NOTED_STAGES = np.array([STAGES.index(stage) for stage in ("parse", "wait", "infer", "encode")]) * _STAGE_STRIDE

_PREDICT = _ROUTE_INDEX["/predict"]
_PREDICT_OK = _REQUESTS + _PREDICT * _ROUTE_STRIDE + _METHOD_INDEX["POST"] * _METHOD_STRIDE + _STATUS_INDEX[200]
_PREDICT_DURATIONS = _DURATIONS + _PREDICT * _DURATION_STRIDE

WORDS = _END - SLOT_HEADER_WORDS + DRIFT_WORDS
"""Words that a worker counts in."""


def drift_words(slot: memoryview) -> memoryview:
    """Return the words of a slot in which drift is counted."""
    return slot[_END : _END + DRIFT_WORDS]


class Metrics:
    """The counters of one worker.

    Parameters
    ----------
    slot : memoryview
        The worker's slot on the board.
    """

    def __init__(self, slot: memoryview) -> None:
        self._slot = slot
        self._compilations = 0
        self._notes = bytearray(_MOST_NOTES * _NOTE.size)
        self._noted = 0
        slot[_IN_FLIGHT] = slot[_SYMBOLS_HELD] = 0  # what a predecessor had when it died is gone with it

    def begin(self) -> None:
        """Count a request that begins."""
        self._slot[_IN_FLIGHT] += 1

    def end(self, route: str, method: str, status: int, nanoseconds: int) -> None:
        """Count a request that has been answered."""
        slot = self._slot
        index = _ROUTE_INDEX.get(route, _UNMATCHED)
        column = _METHOD_INDEX.get(method, _OTHER_METHOD) * _METHOD_STRIDE + _STATUS_INDEX[status]
        slot[_REQUESTS + index * _ROUTE_STRIDE + column] += 1
        histogram = _DURATIONS + index * _DURATION_STRIDE
        slot[histogram + bisect_left(BUCKETS, nanoseconds)] += 1
        slot[histogram + _DURATION_STRIDE - 1] += nanoseconds
        slot[_IN_FLIGHT] -= 1

    def predicted(self, label: int, count: int = 1) -> None:
        """Count predictions of a class."""
        self._slot[_PREDICTIONS + min(label, LABELS - 1)] += count

    def predicted_row(self, label: int, nanoseconds: int) -> None:
        """Count a prediction on the fast lane: label, request and duration by one counter, which a scrape unfolds."""
        slot = self._slot
        slot[_FAST + min(label, LABELS - 1) * _FAST_STRIDE + bisect_left(BUCKETS, nanoseconds)] += 1
        slot[_FAST_SUM] += nanoseconds

    def staged(self, count: int, parse: int, wait: int, infer: int, encode: int) -> bool:
        """Note the stages of predictions that were answered together; `fold` counts them, many at once.

        Parameters
        ----------
        count : int
            How many predictions.
        parse, wait, infer, encode : int
            Nanoseconds that they took together.

        Returns
        -------
        bool
            Whether nothing else is noted, so that a call of `fold` should be arranged.
        """
        noted = self._noted
        _NOTE.pack_into(self._notes, noted * _NOTE.size, count, parse, wait, infer, encode)
        self._noted = noted + 1
        if self._noted == _MOST_NOTES:
            self.fold()
        return not noted

    def fold(self) -> None:
        """Count the stages that are noted, each by the mean over its predictions."""
        notes = np.frombuffer(self._notes, np.int64).reshape(_MOST_NOTES, -1)[: self._noted]
        self._noted = 0
        counts, sums = notes[:, :1], notes[:, 1:]
        bits = np.frexp(sums // np.maximum(counts, 1))[1]  # a number's length in bits
        words = _NOTED_STAGES + np.minimum(bits, _STAGE_BUCKETS - 1)
        histograms = np.bincount(
            words.ravel(), np.broadcast_to(counts, sums.shape).ravel(), len(STAGES) * _STAGE_STRIDE
        )
        histograms[_NOTED_STAGES + _STAGE_BUCKETS] = sums.sum(axis=0)
        for word in np.flatnonzero(histograms).tolist():
            self._slot[_STAGES + word] += int(histograms[word])

    def timed(self, durations: Mapping[str, int]) -> None:
        """Count all stages of one prediction, in nanoseconds."""
        slot = self._slot
        for stage, nanoseconds in durations.items():
            base = _STAGES + STAGES.index(stage) * _STAGE_STRIDE
            slot[base + min(nanoseconds.bit_length(), _STAGE_BUCKETS - 1)] += 1
            slot[base + _STAGE_BUCKETS] += nanoseconds

    def refused_row(self, status: int, nanoseconds: int) -> None:
        """Count a request on the fast lane that got a problem."""
        self.begin()
        self.end("/predict", "POST", status, nanoseconds)

    def rejected(self, reason: str) -> None:
        """Count what was not served by its reason, one of `REJECTIONS`."""
        self._slot[_REJECTIONS + REJECTIONS.index(reason)] += 1

    def reloaded(self, result: str) -> None:
        """Count a reload by its result, one of `RELOAD_RESULTS`."""
        self._slot[_RELOADS + RELOAD_RESULTS.index(result)] += 1

    def compiled(self, kernels: int) -> None:
        """Count the kernels that this process has compiled so far."""
        self._slot[_COMPILATIONS] += kernels - self._compilations
        self._compilations = kernels

    def hold_symbols(self, count: int) -> None:
        """Set the number of symbols that are held."""
        self._slot[_SYMBOLS_HELD] = count

    def evicted_symbol(self) -> None:
        """Count a symbol that made room for another."""
        self._slot[_SYMBOLS_EVICTED] += 1


class BoardCollector(Collector):
    """Renders the board of a server, summed over its workers.

    Parameters
    ----------
    board : Board
        The server's board.
    labels : sequence of str
        The model's classes.
    model : dict
        Labels of `model_info`.
    created : float, optional
        When the model was exported, in seconds since 1970.
    """

    def __init__(
        self, board: Board, labels: Sequence[str], model: dict[str, str], created: float | None = None
    ) -> None:
        self._board = board
        self._labels = labels
        self._model = model
        self._created = created

    def collect(self) -> Iterable[Metric]:
        """Yield all families."""
        words = np.concatenate([np.zeros(SLOT_HEADER_WORDS, np.uint64), self._board.counts()])
        _unfold(words)
        yield from _request_families(words)
        yield _stage_family(words)
        predictions = CounterMetricFamily("predictions_total", "Predictions by class.", labels=["label"])
        for index, label in enumerate(self._labels[:LABELS]):
            predictions.add_metric([label], int(words[_PREDICTIONS + index]))
        yield predictions
        live = self._board.live()
        in_flight = sum(slot[_IN_FLIGHT] for slot in live.values())
        yield GaugeMetricFamily("requests_in_flight", "Requests that are being answered.", value=in_flight)
        held = sum(slot[_SYMBOLS_HELD] for slot in live.values())
        yield GaugeMetricFamily("symbols_held", "Symbols whose bars arrive one by one.", value=held)
        for name, word, summary in (
            ("symbols_evicted_total", _SYMBOLS_EVICTED, "Symbols that made room for others."),
            ("kernel_compilations_total", _COMPILATIONS, "Kernels that were compiled just in time."),
        ):
            yield CounterMetricFamily(name, summary, value=int(words[word]))
        model = GaugeMetricFamily("model_info", "The model that is served.", labels=list(self._model))
        model.add_metric(list(self._model.values()), 1)
        yield model
        if self._created is not None:
            summary = "When the served model was exported."
            yield GaugeMetricFamily("model_created_timestamp_seconds", summary, value=self._created)
        yield _engine_family(live)
        rejections = CounterMetricFamily(
            "requests_rejected_total", "Requests and connections that were not served, by reason.", labels=["reason"]
        )
        for index, reason in enumerate(REJECTIONS):
            rejections.add_metric([reason], int(words[_REJECTIONS + index]))
        yield rejections
        reloads = CounterMetricFamily("model_reloads_total", "Reloads by result.", labels=["result"])
        for index, result in enumerate(RELOAD_RESULTS):
            reloads.add_metric([result], int(words[_RELOADS + index]))
        yield reloads
        ready = sum(bool(slot[SERVING]) for slot in live.values())
        yield GaugeMetricFamily("workers_ready", "Worker processes that serve a verified model.", value=ready)
        yield from _process_families(live)


def _unfold(words: NDArray[np.uint64]) -> None:
    """Add the fast lane's counts to those of all lanes."""
    fast = words[_FAST:_FAST_SUM].reshape(LABELS, _FAST_STRIDE)
    words[_PREDICT_OK] += fast.sum()
    words[_PREDICT_DURATIONS : _PREDICT_DURATIONS + _FAST_STRIDE] += fast.sum(axis=0)
    words[_PREDICT_DURATIONS + _FAST_STRIDE] += words[_FAST_SUM]
    words[_PREDICTIONS : _PREDICTIONS + LABELS] += fast.sum(axis=1)


def _request_families(words: NDArray[np.uint64]) -> Iterable[Metric]:
    """Yield the families of requests and their durations."""
    requests = CounterMetricFamily(
        "http_requests_total", "Requests by route, method and status.", labels=["route", "method", "status"]
    )
    counts = words[_REQUESTS:_DURATIONS].reshape(len(ROUTES), len(METHODS), len(STATUSES))
    told = counts > 0
    told[_EXPECTED] = True
    for route, method, status in np.argwhere(told):
        labels = [ROUTES[route], METHODS[method], str(STATUSES[status])]
        requests.add_metric(labels, int(counts[route, method, status]))
    yield requests
    durations = HistogramMetricFamily(
        "http_request_duration_seconds", "Time from a request's first byte to its reply's last.", labels=["route"]
    )
    histograms = words[_DURATIONS:_PREDICTIONS].reshape(len(ROUTES), _DURATION_STRIDE)
    bounds = [str(bound / 1e9) for bound in BUCKETS] + ["+Inf"]
    for name, histogram in zip(ROUTES, histograms, strict=True):
        if histogram.any():
            cumulative = np.cumsum(histogram[:-1]).tolist()
            durations.add_metric([name], list(zip(bounds, cumulative, strict=True)), sum_value=int(histogram[-1]) / 1e9)
    yield durations


def _stage_family(words: NDArray[np.uint64]) -> Metric:
    """Return the histograms of the stages of a prediction, whose bounds are powers of two of a nanosecond."""
    family = HistogramMetricFamily("prediction_stage_seconds", "Time of a prediction by stage.", labels=["stage"])
    histograms = words[_STAGES:_REJECTIONS].reshape(len(STAGES), _STAGE_STRIDE)
    bounds = [str(2**exponent / 1e9) for exponent in range(_STAGE_BUCKETS - 1)] + ["+Inf"]
    for stage, histogram in zip(STAGES, histograms, strict=True):
        if histogram.any():
            cumulative = np.cumsum(histogram[:-1]).tolist()
            buckets = list(zip(bounds, cumulative, strict=True))[_FIRST_STAGE_BUCKET:]
            family.add_metric([stage], buckets, sum_value=int(histogram[-1]) / 1e9)
    return family


def _engine_family(live: Mapping[int, memoryview]) -> Metric:
    """Return how many workers run each engine, and why."""
    family = GaugeMetricFamily("workers_by_engine", "Workers by engine and why.", labels=["engine", "reason"])
    serving = [slot[ENGINE] for slot in live.values() if slot[SERVING]]
    for number, choice in enumerate(CHOICES):
        if number in serving:
            family.add_metric(choice, serving.count(number))
    return family


def _process_families(live: Mapping[int, memoryview]) -> Iterable[Metric]:
    """Yield prometheus-client's process metrics of every worker, told apart by the label `worker`."""
    families: dict[str, Metric] = {}
    for index, slot in live.items():
        for family in ProcessCollector(pid=partial(int, slot[PID]), registry=None).collect():
            merged = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                merged.add_sample(sample.name, {**sample.labels, "worker": str(index)}, sample.value)
    yield from families.values()


def parse_time(text: str) -> float | None:
    """Return an ISO 8601 time, in UTC unless it says otherwise, as seconds since 1970; None where it is none."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def render(collector: Collector, accept: str, *more: Collector) -> tuple[bytes, str]:
    """Render collectors in the format that a scraper accepts; return the text and its media type."""
    registry = CollectorRegistry(auto_describe=False)
    for each in (collector, *more):
        registry.register(each)
    encode, media_type = choose_encoder(accept)
    return encode(registry), media_type

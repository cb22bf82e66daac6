"""Metrics: equal to a plain twin, summed over workers, and kept when a worker is replaced."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from runtime.board import ENGINE, PID, SERVING, Board
from runtime.engines import CHOICES
from runtime.metrics import (
    BUCKETS,
    LABELS,
    METHODS,
    PREDICTING,
    ROUTES,
    STATUSES,
    WORDS,
    BoardCollector,
    Metrics,
    parse_time,
    render,
)

MODEL = {"name": "m", "version": "1", "engine": "onnxruntime"}


def scrape(board: Board) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every sample that a scraper would read, by name and labels."""
    text, media_type = render(BoardCollector(board, ("DOWN", "UP"), MODEL), "")
    assert media_type.startswith("text/plain")
    families = text_string_to_metric_families(text.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def dead_pid() -> int:
    """Return the identity of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_counts_and_histograms_equal_a_twin(tmp_path: Path) -> None:
    board = Board(tmp_path, WORDS)
    metrics = Metrics(board.claim())
    generator = np.random.default_rng(0)
    requests: Counter[tuple[str, str, str]] = Counter()
    durations: dict[str, list[int]] = {}
    for _ in range(2000):
        route, method = ROUTES[generator.integers(len(ROUTES))], METHODS[generator.integers(len(METHODS))]
        status = STATUSES[generator.integers(len(STATUSES))]
        nanoseconds = int(10 ** generator.uniform(3, 11))
        metrics.begin()
        metrics.end(route, method, status, nanoseconds)
        requests[route, method, str(status)] += 1
        durations.setdefault(route, []).append(nanoseconds)
    samples = scrape(board)
    for (route, method, answered), count in requests.items():
        assert samples["http_requests_total", (("method", method), ("route", route), ("status", answered))] == count
    for route, values in durations.items():
        name = "http_request_duration_seconds"
        assert samples[f"{name}_count", (("route", route),)] == len(values)
        assert samples[f"{name}_sum", (("route", route),)] == pytest.approx(sum(values) / 1e9)
        for bound in BUCKETS:
            bucket = samples[f"{name}_bucket", (("le", str(bound / 1e9)), ("route", route))]
            assert bucket == sum(value <= bound for value in values)
    assert samples["requests_in_flight", ()] == 0


def test_requests_that_alerts_watch_are_told_of_before_the_first_one(tmp_path: Path) -> None:
    samples = scrape(Board(tmp_path, WORDS))
    told = {dict(labels)["route"] for name, labels in samples if name == "http_requests_total"}
    assert told == PREDICTING.keys()
    for route, method in PREDICTING.items():
        for status in ("200", "500", "503", "504"):
            name = ("method", method), ("route", route), ("status", status)
            assert samples["http_requests_total", name] == 0


def test_nothing_that_a_client_sends_becomes_a_label(tmp_path: Path) -> None:
    board = Board(tmp_path, WORDS)
    metrics = Metrics(board.claim())
    metrics.begin()
    metrics.end("/secret\n", "BREW", 404, 1)
    text, _ = render(BoardCollector(board, ("DOWN", "UP"), MODEL), "")
    assert b'method="other",route="unmatched",status="404"' in text
    assert b"secret" not in text
    assert b"BREW" not in text


def test_predictions_are_counted_by_class(tmp_path: Path) -> None:
    board = Board(tmp_path, WORDS)
    metrics = Metrics(board.claim())
    metrics.predicted(1)
    metrics.predicted(0, 41)
    metrics.predicted(LABELS + 7)  # more classes than counters: the last counter takes the rest
    samples = scrape(board)
    assert samples["predictions_total", (("label", "DOWN"),)] == 41
    assert samples["predictions_total", (("label", "UP"),)] == 1


@pytest.mark.parametrize("turns", [1, 255, 256, 257, 1000])
def test_stages_of_turns_equal_a_twin(tmp_path: Path, turns: int) -> None:
    board = Board(tmp_path, WORDS)
    metrics = Metrics(board.claim())
    generator = np.random.default_rng(turns)
    rows, sums, means = 0, Counter[str](), Counter[tuple[str, int]]()
    arranged = 0
    for _ in range(turns):
        count = int(generator.integers(1, 65))
        took = {stage: int(10 ** generator.uniform(0, 11)) - 1 for stage in ("parse", "wait", "infer", "encode")}
        arranged += metrics.staged(count, **took)
        rows += count
        for stage, nanoseconds in took.items():
            sums[stage] += nanoseconds
            means[stage, nanoseconds // count] += count
    metrics.fold()
    assert arranged == -(-turns // 256)
    samples = scrape(board)
    for stage in sums:
        name = "prediction_stage_seconds"
        assert samples[f"{name}_count", (("stage", stage),)] == rows
        assert samples[f"{name}_sum", (("stage", stage),)] == pytest.approx(sums[stage] / 1e9)
        for exponent in range(8, 34):
            bucket = samples[f"{name}_bucket", (("le", str(2**exponent / 1e9)), ("stage", stage))]
            assert bucket == sum(n for (of, mean), n in means.items() if of == stage and mean < 2**exponent)
    metrics.fold()
    assert scrape(board)["prediction_stage_seconds_count", (("stage", "wait"),)] == rows


def test_a_scrape_shows_all_workers_and_a_replaced_one_loses_nothing(tmp_path: Path) -> None:
    board = Board(tmp_path, WORDS)
    first = board.claim()
    Metrics(first).predicted(1, 5)
    Metrics(first).begin()
    first[PID] = dead_pid()
    other_view = Board(tmp_path, WORDS)  # as another process would map it
    successor = other_view.claim()
    metrics = Metrics(successor)
    metrics.predicted(1, 2)
    samples = scrape(board)
    assert samples["predictions_total", (("label", "UP"),)] == 7
    assert samples["requests_in_flight", ()] == 0  # the dead worker's requests are gone with it
    assert first[PID] == successor[PID]


def test_a_worker_that_has_ended_is_none_also_before_its_parent_has_seen_that(tmp_path: Path) -> None:
    board = Board(tmp_path, WORDS)
    slot = board.claim()
    slot[SERVING] = 1
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        slot[PID] = process.pid
        assert Path(f"/proc/{process.pid}").exists()
        assert not board.live()
        assert scrape(board)["workers_ready", ()] == 0


def test_two_live_workers_have_two_slots(tmp_path: Path) -> None:
    board = Board(tmp_path, WORDS)
    one, two = board.claim(), board.claim()
    Metrics(one).predicted(0)
    Metrics(two).predicted(0)
    assert list(board.live()) == [0, 1]
    samples = scrape(board)
    assert samples["predictions_total", (("label", "DOWN"),)] == 2
    assert samples["model_info", tuple(sorted(MODEL.items()))] == 1
    assert {labels for name, labels in samples if name == "process_resident_memory_bytes"} == {
        (("worker", "0"),),
        (("worker", "1"),),
    }


def test_workers_are_counted_by_their_engine_and_why(tmp_path: Path) -> None:
    board = Board(tmp_path, WORDS)
    slots = [board.claim() for _ in range(4)]
    for slot, choice in zip(slots[:3], (CHOICES[0], CHOICES[2], CHOICES[2]), strict=True):
        slot[SERVING], slot[ENGINE] = 1, CHOICES.index(choice)  # the fourth has no model yet
    samples = {labels: value for (name, labels), value in scrape(board).items() if name == "workers_by_engine"}
    assert samples == {
        (("engine", "compiled"), ("reason", "proven")): 1,
        (("engine", "onnxruntime"), ("reason", "unsupported")): 2,
    }
    slots[2][PID] = dead_pid()
    assert scrape(board)["workers_by_engine", (("engine", "onnxruntime"), ("reason", "unsupported"))] == 1


def test_only_one_reload_at_a_time(tmp_path: Path) -> None:
    with Board(tmp_path, WORDS).reloading(), pytest.raises(BlockingIOError), Board(tmp_path, WORDS).reloading():
        pass
    with Board(tmp_path, WORDS).reloading():
        pass


def test_the_age_of_a_model_can_be_told_where_its_file_says_when_it_was_made(tmp_path: Path) -> None:
    board = Board(tmp_path, WORDS)
    board.claim()
    text, _ = render(BoardCollector(board, ("DOWN", "UP"), MODEL, parse_time("2026-01-15T10:30:00Z")), "")
    assert b"\nmodel_created_timestamp_seconds 1.768473e+09\n" in text
    text, _ = render(BoardCollector(board, ("DOWN", "UP"), MODEL, parse_time("some day")), "")
    assert b"model_created_timestamp_seconds" not in text
    assert parse_time("2026-01-15T10:30:00") == parse_time("2026-01-15T11:30:00+01:00") == 1768473000

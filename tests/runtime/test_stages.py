"""Stages: they sum to the total, they are counted on both lanes, and a client sees them when it asks."""

import re
from pathlib import Path

import pytest

from runtime.stages import STAGES, Stopwatch
from tests.runtime.conftest import random_rows
from tests.serving import RunningServer, running_server

ROWS = random_rows(30, 22, seed=8).tolist()


def parts(header: str) -> dict[str, float]:
    """Return the entries of a Server-Timing header, in nanoseconds."""
    return {name: round(float(value) * 1e6) for name, value in re.findall(r"(\w+);dur=([\d.]+)", header)}


def test_laps_follow_one_another_and_sum_to_the_total() -> None:
    watch = Stopwatch(0)
    for stage in STAGES:
        watch.lap(stage)
    shown = parts(watch.header())
    assert shown.pop("total") == sum(shown.values())
    assert tuple(shown) == STAGES
    assert all(duration >= 0 for duration in shown.values())


def test_a_client_that_asks_sees_where_the_time_went(server: RunningServer) -> None:
    for path, document, stages in (
        ("/predict", {"features": ROWS[0]}, ["parse", "infer", "encode"]),
        ("/predict/bars", {"bars": [[1, 2, 1, 2, 5]] * 50}, ["parse", "features", "infer", "encode"]),
    ):
        asked = server.request("POST", path, document, **{"Server-Timing": "1"})
        assert asked.status == 200, asked.body
        shown = parts(asked.headers["server-timing"])
        assert shown.pop("total") == sum(shown.values())
        assert list(shown) == stages
        assert "server-timing" not in server.request("POST", path, document).headers


@pytest.mark.parametrize("lane", ["fast", "asgi"])
def test_every_prediction_is_counted_in_its_stages(lane: str, forest_path: Path) -> None:
    with running_server(forest_path, LANE=lane) as server, server.connection() as connection:
        for row in ROWS:
            assert connection.post("/predict", {"features": row}).status == 200
        text = server.request("GET", "/metrics").body.decode()
    counts = dict(re.findall(r'^prediction_stage_seconds_count\{stage="(\w+)"\} (\S+)$', text, re.MULTILINE))
    expected = {"parse", "infer", "encode"} | ({"wait"} if lane == "fast" else set())
    assert counts == dict.fromkeys(expected, f"{len(ROWS)}.0")
    sums = dict(re.findall(r'^prediction_stage_seconds_sum\{stage="(\w+)"\} (\S+)$', text, re.MULTILINE))
    total = re.search(r'^http_request_duration_seconds_sum\{route="/predict"\} (\S+)$', text, re.MULTILINE)
    assert total
    assert 0 < sum(map(float, sums.values())) <= float(total[1]) + 1e-9

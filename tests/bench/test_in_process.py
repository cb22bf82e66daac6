"""Both lanes answer inside one process as on the wire, and the other parts do what they are compared for."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from bench.gate_rounds import Order, Race, measure
from bench.models import LOGISTIC, model_file
from bench.reference import Reference
from bench.suites import PARTS
from bench.verification import Prediction
from bench.work import Work


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def lanes(folder: Path) -> list[Work]:
    return list(islice(PARTS["/predict"](folder), 2))  # those of the logistic model


def body_of(reply: object) -> Prediction:
    assert isinstance(reply, bytes)
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert f"content-length: {len(body)}".encode() in head
    document = json.loads(body)
    return Prediction(*(document[name] for name in Prediction.__struct_fields__))


def test_both_lanes_and_the_plain_application_give_the_same_answers(lanes: list[Work]) -> None:
    fast, asgi = lanes
    for _ in range(60):
        answers = [body_of(call()) for call in (fast.ours, asgi.ours, fast.yardsticks[fast.yardstick])]
        assert answers[0] == answers[1]
        assert answers[0].prediction_label == answers[2].prediction_label
        assert answers[0].probability == pytest.approx(answers[2].probability, abs=1e-5)


def test_rows_come_in_turn(lanes: list[Work]) -> None:
    seen = {body_of(lanes[0].ours()).probability for _ in range(40)}
    assert len(seen) > 30


@pytest.mark.parametrize("part", ["predictor", "codec", "features"])
def test_all_sides_of_the_other_parts_work(part: str, folder: Path) -> None:
    names = []
    for work in PARTS[part](folder):
        names.append(work.name)
        assert work.name.startswith(part)
        for call in (work.ours, *work.yardsticks.values()):
            call()
    assert len(set(names)) == len(names) >= 3


def test_model_files_are_made_once(folder: Path) -> None:
    path = model_file(LOGISTIC, folder)
    before = path.stat().st_mtime_ns
    assert model_file(LOGISTIC, folder).stat().st_mtime_ns == before
    assert np.isfinite(Reference(path).golden).all()


def test_a_process_measures_what_it_is_told(folder: Path) -> None:
    order = Order(str(folder), ["codec"], rounds=2, only=["codec, reply"])
    (found,) = measure(order).items()
    assert found[0] == "codec, reply"
    assert found[1] > 0


class Clock:
    """A clock that the measured work turns; half of the time something disturbs, and all takes nine times as long."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls = 0

    def take(self, seconds: float) -> None:
        self.calls += 1
        self.now += seconds * (9 if self.calls // 30 % 2 else 1)


@pytest.mark.parametrize("factor", [1.0, 1.2])
def test_the_quickest_bursts_count(factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("bench.gate_rounds.time.perf_counter", lambda: clock.now)
    race = Race(Work("x", lambda: clock.take(1e-3), {"y": lambda: clock.take(4e-3)}), factor)
    for _ in range(20):
        race.run()
    assert race.ratio == pytest.approx(factor / 4)

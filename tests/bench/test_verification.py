"""Replies that are right pass, and every way to be wrong is told apart."""

import io
import json
from typing import Any

import numpy as np
import pytest

from bench.connections import LOST, MALFORMED, Reply
from bench.verification import LABEL, PROBABILITY, SHAPE, Checker, Inbox

LABELS = ["DOWN", "UP"]
RIGHT = {"prediction": 1, "prediction_label": "UP", "probability": 0.75, "probabilities": {"DOWN": 0.25, "UP": 0.75}}
EXPECTED = np.array([[[0.25, 0.75]], [[0.9, 0.1]]])


def single(**changes: Any) -> Reply:
    return Reply(200, json.dumps({**RIGHT, **changes}).encode())


def probabilities(down: float, up: float) -> dict[str, Any]:
    return {"probabilities": {"DOWN": down, "UP": up}, "probability": max(down, up), "prediction": int(up > down)}


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (single(), ""),
        (single(model_version="1", timestamp="now"), ""),
        (single(**probabilities(0.5, 0.5), prediction_label="DOWN"), ""),
        (Reply(503, b"busy"), "status 503"),
        (Reply(0, b"reset", LOST), LOST),
        (Reply(200, b"{"), SHAPE),
        (Reply(200, b"[]"), SHAPE),
        (Reply(200, b"\xff"), SHAPE),
        (single(prediction="1"), SHAPE),
        (single(probabilities={"UP": 0.75, "DOWN": 0.25}), SHAPE),
        (single(probabilities={"UP": 1.0}), SHAPE),
        (single(probabilities={}), SHAPE),
        (single(prediction=0), LABEL),
        (single(prediction=2), LABEL),
        (single(prediction=-1), LABEL),
        (single(prediction_label="DOWN"), LABEL),
        (single(probability=0.25), LABEL),
        (single(**probabilities(0.25, 0.8)), PROBABILITY),
        (single(**probabilities(-0.25, 1.25)), PROBABILITY),
    ],
)
def test_single_predictions(reply: Reply, fault: str) -> None:
    assert Checker(LABELS).fault(0, reply)[0] == fault


def test_probabilities_are_those_of_the_model_file() -> None:
    checker = Checker(LABELS, expected=EXPECTED)
    down = single(**probabilities(0.9, 0.1), prediction_label="DOWN")
    assert [checker.fault(number, single())[0] for number in range(4)] == ["", PROBABILITY, "", PROBABILITY]
    assert [checker.fault(number, down)[0] for number in range(4)] == [PROBABILITY, "", PROBABILITY, ""]
    near = single(**probabilities(0.25 + 2e-5, 0.75 - 2e-5))
    assert checker.fault(0, near)[0] == PROBABILITY
    assert Checker(LABELS, expected=EXPECTED, tolerance=1e-4).fault(0, near)[0] == ""


def test_a_batch_is_checked_row_by_row() -> None:
    checker = Checker(LABELS, rows=2, batch=True)
    wrong = {**RIGHT, "prediction_label": "DOWN"}
    for rows, fault in (([RIGHT, RIGHT], ""), ([RIGHT], SHAPE), ([RIGHT, wrong], LABEL)):
        found, detail = checker.fault(0, Reply(200, json.dumps({"predictions": rows}).encode()))
        assert found == fault
    assert detail.startswith("row 1: ")
    assert checker.fault(0, single())[0] == SHAPE


def array(values: Any, dtype: str = "f4") -> Reply:
    stream = io.BytesIO()
    np.save(stream, np.array(values, dtype))
    return Reply(200, stream.getvalue())


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (array([[0.25, 0.75], [0.9, 0.1]]), ""),
        (array([[0.25, 0.75]]), SHAPE),
        (array([[0, 1], [1, 0]], "i4"), SHAPE),
        (Reply(200, b"junk"), SHAPE),
        (Reply(200, b""), SHAPE),
        (array([[0.25, 0.75], [0.8, 0.1]]), PROBABILITY),
        (array([[np.nan, 0.75], [0.9, 0.1]]), PROBABILITY),
        (array([[0.9, 0.1], [0.25, 0.75]]), PROBABILITY),
    ],
)
def test_arrays_of_probabilities(reply: Reply, fault: str) -> None:
    checker = Checker(LABELS, rows=2, batch=True, binary=True, expected=EXPECTED.reshape(1, 2, 2))
    assert checker.fault(0, reply)[0] == fault


def test_replies_are_checked_when_there_is_time_or_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    quick, slow = Inbox(Checker(LABELS)), Inbox(Checker(LABELS, rows=10_000, batch=True))
    for inbox in (quick, slow):
        assert not inbox.idle(1.0)
        inbox.take(0, single())
    assert quick.idle(0.0)
    assert not slow.idle(0.001)
    assert slow.idle(1.0)
    slow.take(0, Reply(200, b"x" * (1 << 26)))
    assert slow.idle(0.0)


def test_faults_are_counted_with_an_example_each() -> None:
    inbox = Inbox(Checker(LABELS))
    for reply in (
        single(),
        single(prediction=0),
        single(prediction=2),
        Reply(0, b"x", LOST),
        Reply(0, b"y", MALFORMED),
    ):
        inbox.take(0, reply)
    inbox.close()
    assert inbox.faults == {LABEL: 2, LOST: 1, MALFORMED: 1}
    assert (inbox.checked, inbox.errors, inbox.wrong) == (5, 4, 3)
    assert '"prediction":0' in inbox.examples[LABEL]
    assert inbox.examples[LOST] == "x"

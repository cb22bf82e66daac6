"""Replies: templates against json, floats against float32, the clock against itself."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from runtime.artifact import ModelCard
from runtime.codec import CODEC
from runtime.problems import Problem
from runtime.replies import ReplyWriter, Template, timestamp

LABELS = ("DOWN", 'U"P', "100%s")
CARD = ModelCard(name="m", version='1.0.0-"b"%d', feature_names=("a",), labels=LABELS, created="")
WRITER = ReplyWriter(CARD)

probabilities = st.lists(st.floats(0, 1, width=32), min_size=3, max_size=3)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(probabilities)
def test_a_reply_is_valid_json_that_reads_back_as_the_same_float32(values: list[float]) -> None:
    row = np.array(values, np.float32)
    index, reply = WRITER.one(row)
    document = json.loads(reply)
    assert np.array(list(document["probabilities"].values()), np.float32).tobytes() == row.tobytes()
    assert tuple(document["probabilities"]) == LABELS
    assert index == document["prediction"] == int(np.argmax(row))
    assert document["prediction_label"] == LABELS[index]
    assert document["probability"] == document["probabilities"][LABELS[index]]
    assert document["model_version"] == CARD.version


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_non_finite_probability_never_leaves(value: float) -> None:
    row = np.array([0.5, value, 0.5], np.float32)
    with pytest.raises(Problem):
        WRITER.one(row)


def test_a_tie_is_the_first_class_as_in_scikit_learn() -> None:
    assert WRITER.one(np.array([0.2, 0.4, 0.4], np.float32))[0] == 1


CASES = {
    "probabilities": np.random.default_rng(0).dirichlet([1, 1, 1], 64),
    "edges": [[0, 1, 0], [1, 0, 0], [0.5, 0.5, 0], [1e-4, 1e-5, 0.1], [0.1, 0.2, 0.7], [1e-12, 0.3, 0.9]],
    "beyond the kernel": [[1e-30, 1, 0], [0.5, 0.5, 0], [np.nan, 0, 1], [0, -0.25, 1], [3e10, 0, 0]],
}


@pytest.mark.parametrize("values", CASES.values(), ids=CASES.keys())
def test_the_kernel_writes_what_python_writes(values: ArrayLike, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.replies.timestamp", lambda: b"2026-01-15T10:30:00.000Z")
    matrix = np.array(values, np.float32)
    fast, slow = ReplyWriter(CARD), ReplyWriter(CARD, codec=None)
    assert [str(reply) for reply in fast.rows(matrix)] == [str(reply) for reply in slow.rows(matrix)]
    for row in matrix[:5][np.isfinite(matrix[:5]).all(axis=1)]:
        assert fast.one(row) == slow.one(row)
    assert [str(reply) for reply in fast.rows(matrix[::2])] == [str(reply) for reply in slow.rows(matrix[::2])]


def test_the_kernel_takes_nothing_but_the_matrix_that_it_expects() -> None:
    assert CODEC is not None
    template = Template(LABELS, b"}")
    out, told = np.zeros(2 * template.longest, np.uint8), np.zeros((2, 2), np.int64)
    answer = CODEC.answer((np.ndarray, np.dtype(np.float32), template.pieces, template.ends, out, told))
    good = np.full((2, 3), 0.25, np.float32)
    assert answer(good) is good
    assert told.tolist() == [[0, told[1, 1] // 2], [0, told[1, 1]]]
    for wrong in (
        good[0],
        good.astype(np.float64),
        good[:, :2].copy(),
        np.asfortranarray(good),
        np.zeros((3, 3), "f4"),
    ):
        assert answer(wrong) is not wrong
    assert answer() is not good
    assert answer(good, good) is not good


def test_the_time_of_a_reply_is_that_of_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = ReplyWriter(CARD)
    row = np.array([0.2, 0.3, 0.5], np.float32)
    for text in (b"2026-01-15T10:30:00.000Z", b"2026-01-15T10:30:00.001Z"):
        monkeypatch.setattr("runtime.replies.timestamp", lambda text=text: text)
        assert json.loads(writer.one(row)[1])["timestamp"] == text.decode()


def test_the_timestamp_is_now_in_utc_with_milliseconds() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    text = timestamp().decode()
    assert len(text) == len("2026-01-15T10:30:00.000Z")
    assert before <= datetime.fromisoformat(text) <= datetime.now(UTC)

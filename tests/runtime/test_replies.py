"""Replies: templates against json, floats against float32, the clock against itself."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.artifact import ModelCard
from runtime.problems import Problem
from runtime.replies import ReplyWriter, timestamp

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


def test_the_timestamp_is_now_in_utc_with_milliseconds() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    text = timestamp().decode()
    assert len(text) == len("2026-01-15T10:30:00.000Z")
    assert before <= datetime.fromisoformat(text) <= datetime.now(UTC)

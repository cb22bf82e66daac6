"""Replies to batches: every format says what the reply to a single prediction says, with kernels and without."""

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.artifact import ModelCard
from runtime.batch_replies import BatchReply, JsonColumns, JsonRows, NpyReply, segments
from runtime.codec import Codec
from runtime.problems import Problem
from runtime.replies import ReplyWriter

LABELS = ("DOWN", 'U"P', "100%s")
CARD = ModelCard(name="m", version='1.0.0-"b"%d', feature_names=("a",), labels=LABELS, created="")
WRITER = ReplyWriter(CARD)
BAD = Problem(422, "expected number, got null", field="features[7]")
ENTRY = {"field": "features[7]", "detail": "features[7]: expected number, got null"}

shares = st.floats(0, 1, width=32) | st.sampled_from([0.0, 1e-5, 1e-20, 1e-38, 0.25, 1.0])
rows_of_three = st.lists(st.lists(shares, min_size=3, max_size=3), min_size=1, max_size=8)


def written(reply: BatchReply, values: list[list[float]], bad: list[int], chunk: int) -> bytes:
    """Return the reply for some probabilities, added in chunks, some of their rows bad."""
    probabilities = np.array(values, np.float32)
    for start in range(0, len(probabilities), chunk):
        part = probabilities[start : start + chunk]
        reply.add(part, [(row - start, BAD) for row in bad if start <= row < start + len(part)])
    return b"".join(reply.finish(len(probabilities), len(bad)))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(values=rows_of_three, chunk=st.integers(1, 5), data=st.data())
def test_rows_and_columns_are_single_predictions(
    codec: Codec, values: list[list[float]], chunk: int, data: st.DataObject
) -> None:
    bad = sorted(data.draw(st.sets(st.integers(0, len(values) - 1))))
    replies: list[dict[str, Any]] = []
    for kind in (JsonRows, JsonColumns):
        texts = [written(kind(WRITER, kernels), values, bad, chunk) for kernels in (codec, None)]
        with_kernels, without = (json.loads(text) for text in texts)
        assert {**with_kernels, "timestamp": ""} == {**without, "timestamp": ""}
        assert texts[0].partition(b'"timestamp"')[0] == texts[1].partition(b'"timestamp"')[0]
        replies.append(with_kernels)
    in_rows, in_columns = replies
    for reply in replies:
        assert (reply["count"], reply["errors"]) == (len(values), len(bad))
        assert reply["model_version"] == CARD.version
    assert in_columns["bad_rows"] == [{"index": row, "error": ENTRY} for row in bad]
    for row, (value, prediction) in enumerate(zip(values, in_rows["predictions"], strict=True)):
        column = {name: in_columns[name][row] for name in ("prediction", "prediction_label", "probability")}
        column["probabilities"] = {label: in_columns["probabilities"][label][row] for label in LABELS}
        if row in bad:
            assert prediction == {"error": ENTRY}
            assert column == {**dict.fromkeys(column), "probabilities": dict.fromkeys(LABELS)}
        else:
            single = json.loads(WRITER.one(np.array(value, np.float32))[1])
            assert prediction == column == {name: single[name] for name in column}


@settings(max_examples=50, derandomize=True, deadline=None)
@given(values=rows_of_three, chunk=st.integers(1, 5))
def test_a_npy_reply_is_the_probabilities(values: list[list[float]], chunk: int) -> None:
    found = np.load(io.BytesIO(written(NpyReply(), values, [], chunk)))
    assert found.dtype == np.float32
    assert found.tobytes() == np.array(values, np.float32).tobytes()


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ([], [(0, 5, False)]),
        ([0], [(0, 1, True), (1, 5, False)]),
        ([2, 3], [(0, 2, False), (2, 3, True), (3, 4, True), (4, 5, False)]),
        ([4], [(0, 4, False), (4, 5, True)]),
    ],
)
def test_segments_part_good_rows_from_bad_ones(bad: list[int], expected: list[tuple[int, int, bool]]) -> None:
    found = [(first, stop, problem is not None) for first, stop, problem in segments(5, [(row, BAD) for row in bad])]
    assert found == expected

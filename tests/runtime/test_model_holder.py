"""What a worker does with proposals, step by step, in one process; `test_rollout.py` has it on the wire."""

import argparse
import asyncio
import logging
import os
import time
import weakref
from pathlib import Path

import pytest

from runtime.artifact import ArtifactError
from runtime.batch_arrays import RawBatch
from runtime.batch_replies import NpyReply
from runtime.batches import Batch
from runtime.board import COMMITTED, LEADER, PREPARED, PROPOSED, REFUSED, SERVING, WITHDRAWN, Board
from runtime.drift import MOST_ROWS, collect
from runtime.metrics import WORDS, drift_words
from runtime.model import Model
from runtime.model_holder import ModelHolder
from runtime.settings import read_settings
from tests.runtime.conftest import export_forest, random_rows
from tests.runtime.test_metrics import dead_pid


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("second") / "model.onnx"
    export_forest(path, "2.0.0", seed=9)
    return path.read_bytes()


@pytest.fixture
def board(tmp_path: Path, forest_path: Path) -> Board:
    board = Board(tmp_path, WORDS)
    board.header[PROPOSED] = board.header[COMMITTED] = board.store_model(forest_path.read_bytes())
    board.header[LEADER] = os.getpid()
    return board


class Follower:
    """A worker that follows."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.slot = board.claim()
        self.holder = ModelHolder(board, self.slot, read_settings(argparse.Namespace(), {}))

    def step(self) -> str:
        """Take a step and return the version that is served."""
        asyncio.run(self.holder.step())
        return self.holder.model.card.version

    def propose(self, content: bytes) -> int:
        number = self.board.store_model(content)
        self.board.header[PROPOSED] = number
        return number


def prepared(follower: Follower) -> bool:
    return follower.holder._standby is not None


def test_what_is_proposed_is_prepared_and_what_is_committed_is_served(board: Board, second: bytes) -> None:
    follower = Follower(board)
    assert (follower.step(), follower.slot[SERVING], follower.holder.under_way) == ("1.0.0", 1, False)
    number = follower.propose(second)
    assert (follower.step(), follower.slot[PREPARED], follower.holder.under_way) == ("1.0.0", number, True)
    board.header[COMMITTED] = number
    assert follower.holder.under_way
    assert (follower.step(), follower.slot[SERVING], follower.holder.under_way) == ("2.0.0", number, False)


def test_nothing_stays_of_a_model_that_is_served_no_more(board: Board, second: bytes) -> None:
    follower = Follower(board)
    first = follower.holder.model
    left = [weakref.ref(thing) for thing in (first, first.predictor, first.predictor.engine, first.decoder.body_type)]
    del first
    board.header[COMMITTED] = follower.propose(second)
    assert follower.step() == "2.0.0"
    assert [reference() for reference in left] == [None] * 4


def test_drift_counts_no_row_by_the_bins_of_a_model_that_is_served_no_more(board: Board, second: bytes) -> None:
    follower = Follower(board)
    before, rows = follower.holder.model, random_rows(5 * MOST_ROWS, 22, seed=1)
    body = RawBatch(22)
    under_way = Batch(before.predictor, body, NpyReply(), True, len(rows))
    body.feed(rows.tobytes())
    under_way.advance()
    board.header[COMMITTED] = follower.propose(second)
    assert follower.step() == "2.0.0"
    body.close()
    assert under_way.conclude()

    def counted(model: Model) -> int:
        assert model.card.baseline is not None
        words, window = drift_words(follower.slot), follower.holder._settings.drift_window_seconds
        return int(collect([words], model.card.baseline, window, time.monotonic())[-1].sum())

    after = follower.holder.model
    assert (counted(before), counted(after)) == (0, 0)
    after.predictor.tell(rows[:3], after.predictor.predict(rows[:3]))
    assert (counted(before), counted(after)) == (0, 3)


def test_what_is_withdrawn_is_let_go(board: Board, second: bytes) -> None:
    follower = Follower(board)
    number = follower.propose(second)
    follower.step()
    assert prepared(follower)
    board.header[WITHDRAWN] = number
    assert not follower.holder.under_way
    board.model_path(number).unlink()
    assert (follower.step(), prepared(follower)) == ("1.0.0", False)
    follower.propose(second)
    follower.step()
    assert follower.slot[PREPARED] == number + 1


def test_what_a_leader_that_has_ended_proposed_is_withdrawn(
    board: Board, second: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    follower = Follower(board)
    number = follower.propose(second)
    board.header[LEADER] = dead_pid()
    with caplog.at_level(logging.ERROR, "tickline"):
        assert (follower.step(), board.header[WITHDRAWN]) == ("1.0.0", number)
    assert [record.getMessage() for record in caplog.records] == [
        f"the worker that led a reload has ended; model {number} is withdrawn"
    ]
    assert (follower.step(), follower.slot[PREPARED]) == ("1.0.0", 0)


def test_a_refusal_says_why(board: Board, second: bytes) -> None:
    follower = Follower(board)
    number = follower.propose(second[:-100])
    assert (follower.step(), follower.slot[REFUSED], follower.slot[PREPARED]) == ("1.0.0", number, 0)
    assert board.take_refusal(follower.slot).startswith("no seal at the end of the file")
    assert board.take_refusal(follower.slot) == "it refuses the model, and its log says why"


def test_a_worker_that_came_up_while_a_model_was_committed_catches_up(board: Board, second: bytes) -> None:
    follower = Follower(board)  # its model is that of a moment ago
    number = follower.propose(second)
    board.header[COMMITTED] = number
    assert (follower.step(), follower.slot[SERVING]) == ("2.0.0", number)


def test_a_worker_whose_model_is_gone_while_it_starts_takes_the_next_one(
    board: Board, second: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = board.model_path(1)
    number = board.store_model(second)
    locate = board.model_path

    def commit_meanwhile(asked: int) -> Path:
        first.unlink(missing_ok=True)
        board.header[PROPOSED] = board.header[COMMITTED] = number
        return locate(asked)

    monkeypatch.setattr(board, "model_path", commit_meanwhile)
    assert Follower(board).holder.model.card.version == "2.0.0"


def test_a_worker_that_starts_while_a_model_is_committed_serves_nothing_else(
    board: Board, second: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, make = board.store_model(second), ModelHolder.make

    def commit_meanwhile(holder: ModelHolder, content: bytes) -> Model:
        made = make(holder, content)
        board.header[PROPOSED] = board.header[COMMITTED] = number
        return made

    monkeypatch.setattr(ModelHolder, "make", commit_meanwhile)
    follower = Follower(board)
    assert (follower.holder.model.card.version, follower.slot[SERVING]) == ("2.0.0", number)


def test_a_worker_without_a_model_does_not_start(board: Board) -> None:
    board.model_path(1).unlink()
    with pytest.raises(ArtifactError, match="no model file"):
        Follower(board)

"""Symbols: equal to the whole history at every bar, bounded, and untouched by what is refused."""

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features_fast import FEATURE_NAMES, WARM_UP, compute, seed_weight
from runtime.bars import Series, decode_bar, decode_history
from runtime.board import Board
from runtime.metrics import WORDS, BoardCollector, Metrics, render
from runtime.problems import Problem
from runtime.symbols import Symbols, seed
from tests.bars import arrays, rows

BARS = 400
FEATURES = compute(*arrays(0, BARS))


def history(stop: int) -> Series:
    return decode_history(json.dumps({"bars": rows(0, stop)}).encode())


def bar(index: int, **other: Any) -> Series:
    return decode_bar(json.dumps({"bar": {**rows(index, index + 1)[0], **other}}).encode())


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path, WORDS)


def rendered(board: Board) -> str:
    return render(BoardCollector(board, ("DOWN", "UP"), {"name": "m"}), "")[0].decode()


@pytest.mark.parametrize("seeded", [0, 1, WARM_UP, WARM_UP + 1, 200])
def test_every_bar_has_the_features_of_the_whole_history(seeded: int, board: Board) -> None:
    symbols = Symbols(2, Metrics(board.claim()))
    symbols["X"], row = seed(history(seeded))
    for index in range(seeded, BARS):
        assert symbols["X"].bars == index
        if index <= WARM_UP:
            assert row is None
        else:
            assert row is not None
            assert row.dtype == np.float32
            assert row.tobytes() == FEATURES[index - 1].tobytes()
        symbols["X"], row = symbols.advance("X", bar(index))


REFUSED = {
    "a repeated day": ({"date": rows(99, 100)[0]["date"]}, 409, "bar.date"),
    "an earlier day": ({"date": rows(3, 4)[0]["date"]}, 409, "bar.date"),
    "a date with an offset": ({"date": "2030-01-01T00:00Z"}, 422, "bar.date"),
    "an impossible high": ({"high": -1.0}, 422, "bar.high"),
    "high below low": ({"high": 1.0}, 422, "bar.high"),
    "a volume beyond the features": ({"volume": 1e31}, 422, "bar.volume"),
}


@pytest.mark.parametrize(("other", "status", "field"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refused_bar_changes_nothing(other: dict[str, Any], status: int, field: str, board: Board) -> None:
    symbols = Symbols(1, Metrics(board.claim()))
    symbols["X"], _ = seed(history(100))
    before = symbols["X"]
    with pytest.raises(Problem) as caught:
        symbols.advance("X", bar(100, **other))
    assert (caught.value.status, caught.value.members["field"]) == (status, field)
    assert symbols["X"] is before
    symbols["X"], row = symbols.advance("X", bar(100))
    assert row is not None
    assert row.tobytes() == FEATURES[100].tobytes()


def test_an_advance_that_is_not_kept_did_not_happen(board: Board) -> None:
    symbols = Symbols(1, Metrics(board.claim()))
    symbols["X"], _ = seed(history(100))
    symbols.advance("X", bar(100))
    _, row = symbols.advance("X", bar(100))
    assert row is not None
    assert row.tobytes() == FEATURES[100].tobytes()


def test_symbols_that_take_turns_do_not_mix(board: Board) -> None:
    symbols = Symbols(2, Metrics(board.claim()))
    symbols["X"], _ = seed(history(100))
    symbols["Y"], _ = seed(history(200))
    for step, ticker in enumerate("XYXXYYYX"):
        index = symbols[ticker].bars
        with pytest.raises(Problem):
            symbols.advance("XY"[step % 2], bar(399, high=-1.0))
        symbols[ticker], row = symbols.advance(ticker, bar(index))
        assert row is not None
        assert row.tobytes() == FEATURES[index].tobytes()


def test_a_bar_without_a_date_leaves_the_last_one(board: Board) -> None:
    symbols = Symbols(1, Metrics(board.claim()))
    symbols["X"], _ = seed(history(100))
    last = symbols["X"].last_date
    symbols["X"], _ = symbols.advance("X", bar(100, date=None))
    assert symbols["X"].last_date == last


def test_an_impossible_bar_of_a_history_is_named() -> None:
    bars = rows(0, 60)
    bars[17] = {**bars[17], "volume": -1}
    with pytest.raises(Problem) as caught:
        seed(decode_history(json.dumps({"bars": bars}).encode()))
    assert caught.value.members["field"] == "bars[17].volume"


def test_a_symbol_describes_itself(board: Board) -> None:
    symbol, _ = seed(history(60))
    described = symbol.describe()
    assert described["bars"] == 60
    assert described["missing_bars"] == 0
    assert described["last_date"] == rows(59, 60)[0]["date"]
    assert described["seed_weight"] == {
        name: seed_weight(name, 60) for name in FEATURE_NAMES if seed_weight(name, 60) > 0
    }
    assert seed(history(0))[0].describe()["last_date"] is None


tickers = st.sampled_from("ABCDE")
steps = st.lists(st.tuples(st.sampled_from(["seed", "advance", "forget", "look"]), tickers), max_size=40)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(steps, st.integers(1, 4))
def test_the_symbol_updated_longest_ago_makes_room(
    tmp_path_factory: pytest.TempPathFactory, taken: list[tuple[str, str]], bound: int
) -> None:
    board = Board(tmp_path_factory.mktemp("board"), WORDS)
    symbols = Symbols(bound, Metrics(board.claim()))
    twin: OrderedDict[str, int] = OrderedDict()
    evicted = 0
    for step, ticker in taken:
        if step == "seed":
            symbols[ticker], _ = seed(history(2))
            twin[ticker] = 2
            twin.move_to_end(ticker)
            if len(twin) > bound:
                twin.popitem(last=False)
                evicted += 1
        elif ticker not in twin:
            assert ticker not in symbols
            with pytest.raises(Problem) as caught:
                {"advance": lambda t: symbols.advance(t, bar(9)), "forget": symbols.__delitem__}.get(
                    step, symbols.__getitem__
                )(ticker)
            assert caught.value.status == 404
        elif step == "advance":
            twin[ticker] += 1
            twin.move_to_end(ticker)
            symbols[ticker], _ = symbols.advance(ticker, bar(twin[ticker]))
        elif step == "forget":
            del twin[ticker], symbols[ticker]
        assert {name: symbols[name].bars for name in twin} == twin
    metrics = rendered(board).splitlines()
    assert f"symbols_held {float(len(twin))}" in metrics
    assert f"symbols_evicted_total {float(evicted)}" in metrics

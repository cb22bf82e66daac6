"""Forecasts without HTTP: the features of training, and the same bits alone and in company."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from export import export_classifier
from features_fast import FEATURE_NAMES, WARM_UP, compute, specification_hash
from runtime.bars import Series, decode_body
from runtime.engines import COMPILED, ONNXRUNTIME
from runtime.forecast import answer_newest, answer_series, answer_symbol, answer_tickers, check_ticker
from runtime.model import Model, load_model
from runtime.problems import Problem
from tests.bars import arrays, columns, rows


@pytest.fixture(scope="module")
def logistic_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A logistic model, of which onnxruntime may compute one row by another kernel than several."""
    path = tmp_path_factory.mktemp("logistic") / "model.onnx"
    training = compute(*arrays(0, 600))[WARM_UP:]
    target = (training[:, 13] > 0).astype(np.int64)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(training, target)
    export_classifier(
        pipeline,
        path,
        rows=training,
        test_rows=training,
        name="logistic",
        version="1.0.0",
        feature_names=FEATURE_NAMES,
        labels=("DOWN", "UP"),
        feature_specification=specification_hash(),
    )
    return path


@pytest.fixture(scope="module", params=["compiled", "forest", "logistic", "row by row"])
def model(request: pytest.FixtureRequest, forest_path: Path, logistic_path: Path) -> Model:
    """A forest by both engines, a logistic model, and one whose rows must never be put together."""
    wish = COMPILED if request.param == "compiled" else ONNXRUNTIME
    loaded = load_model(logistic_path if request.param == "logistic" else forest_path, threads=1, wish=wish)
    if request.param == "row by row":
        loaded.predictor.steady = False
    return loaded


def decoded(document: Any) -> Any:
    return decode_body(json.dumps(document).encode())


def series(stop: int) -> Series:
    found = decoded({"bars": columns(0, stop)})
    assert isinstance(found, Series)
    return found


def probabilities(prediction: dict[str, Any]) -> bytes:
    return np.array(list(prediction["probabilities"].values()), np.float32).tobytes()


def test_newest_and_every_bar_are_the_model_on_the_features_of_training(model: Model) -> None:
    counts, content = answer_series(model, series(200), every_bar=True, max_bars=200)
    every = json.loads(content)
    assert every["count"] == len(every["predictions"]) == 200 - WARM_UP
    assert counts == Counter(prediction["prediction"] for prediction in every["predictions"])
    features = compute(*arrays(0, 200))
    for index, prediction in enumerate(every["predictions"], WARM_UP):
        assert prediction["bar"] == {"index": index, "date": columns(index, index + 1)["date"][0]}
        model.predictor.row[:] = features[index]
        assert probabilities(prediction) == model.predictor.predict_row().tobytes()
    for stop in (WARM_UP + 1, 120, 200):
        label, content = answer_newest(model, series(stop))
        newest = json.loads(content)
        expected = every["predictions"][stop - WARM_UP - 1]
        assert {name: newest[name] for name in expected} == expected
        assert label == expected["prediction"]
        counts, content = answer_series(model, series(stop), every_bar=False, max_bars=200)
        assert {**json.loads(content), "timestamp": ""} == {**newest, "timestamp": ""}
        assert counts == {label: 1}


@pytest.mark.parametrize("received", [0, 1, WARM_UP])
def test_too_few_bars_say_how_many_are_missing(model: Model, received: int) -> None:
    for answer in (
        lambda: answer_newest(model, series(received)),
        lambda: answer_series(model, series(received), every_bar=True, max_bars=10_000),
    ):
        with pytest.raises(Problem) as caught:
            answer()
        assert caught.value.status == 422
        assert caught.value.members["missing_bars"] == WARM_UP + 1 - received
        assert caught.value.members["field"] == "bars"


def test_too_many_bars_are_refused(model: Model) -> None:
    tickers = decoded({"tickers": {"A": columns(0, 60), "B": columns(0, 60)}})
    with pytest.raises(Problem) as caught:
        answer_series(model, series(101), every_bar=True, max_bars=100)
    assert caught.value.status == 413
    for max_bars in (1, 119):
        with pytest.raises(Problem) as caught:
            answer_tickers(model, tickers, every_bar=False, max_bars=max_bars)
        assert caught.value.status == 413


@pytest.mark.parametrize("every_bar", [False, True])
def test_a_ticker_that_fails_does_not_lose_the_others(model: Model, every_bar: bool) -> None:
    bad = rows(0, 60)
    bad[17] = {**bad[17], "high": -1}
    tickers = {"A": rows(0, 60), "BAD": bad, "SHORT": rows(0, 3), "ODD": [1], "^B.C": columns(0, 80)}
    counts, content = answer_tickers(model, decoded({"tickers": tickers}), every_bar, max_bars=1000)
    answer = json.loads(content)
    assert (answer["count"], answer["failed"]) == (2, 3)
    assert list(answer["tickers"]) == list(tickers)
    fields = {name: found["error"]["field"] for name, found in answer["tickers"].items() if "error" in found}
    assert fields == {"BAD": "tickers.BAD[17].high", "SHORT": "tickers.SHORT", "ODD": "tickers.ODD[0]"}
    expected: Counter[int] = Counter()
    for name, stop in (("A", 60), ("^B.C", 80)):
        alone_counts, alone = answer_series(model, series(stop), every_bar, max_bars=1000)
        expected += alone_counts
        found = answer["tickers"][name]
        if every_bar:
            assert found["predictions"] == json.loads(alone)["predictions"]
        else:
            undated = {**json.loads(alone), "timestamp": "", "model_version": ""}
            assert {**found, "timestamp": "", "model_version": ""} == undated
    assert counts == expected


def test_all_tickers_failing_is_a_failure(model: Model) -> None:
    with pytest.raises(Problem) as caught:
        answer_tickers(model, decoded({"tickers": {"A": [], "B": [1]}}), every_bar=False, max_bars=10)
    assert caught.value.status == 422
    assert list(caught.value.members["errors"]) == ["A", "B"]
    assert caught.value.members["errors"]["A"]["missing_bars"] == WARM_UP + 1


def test_a_symbol_without_enough_bars_has_the_same_members_all_null(model: Model) -> None:
    label, content = answer_symbol(model, 30, "2026-01-15", None)
    waiting = json.loads(content)
    assert label is None
    assert waiting["prediction"] is waiting["probabilities"] is None
    assert waiting["bar"] == {"index": 29, "date": "2026-01-15"}
    assert waiting["missing_bars"] == 20
    label, content = answer_symbol(model, 51, None, compute(*arrays(0, 51))[-1])
    answered = json.loads(content)
    assert list(answered) == list(waiting)
    assert answered["prediction"] == label
    assert answered["bar"] == {"index": 50}
    assert json.loads(answer_symbol(model, 0, None, None)[1])["bar"] is None


@pytest.mark.parametrize(
    "ticker", ["AAPL", "^GSPC", "BRK.B", "EURUSD=X", "BTC-USD", "NASDAQ:AAPL", "005930.KS", "A" * 32]
)
def test_tickers(ticker: str) -> None:
    check_ticker(ticker, "ticker")


@pytest.mark.parametrize("ticker", ["", ".", "..", "A" * 33, "A B", "A/B", 'A"', "A\n", "Ä", "%41"])
def test_names_that_are_no_tickers(ticker: str) -> None:
    with pytest.raises(Problem) as caught:
        check_ticker(ticker, "ticker")
    assert (caught.value.status, caught.value.members["field"]) == (422, "ticker")

"""The report as a page: self-contained, well-formed, with every figure that the metadata has."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from export import report as of_export
from training import report_page
from training.dataset import Dataset
from training.defaults import MODEL_TYPES
from training.predictor import LABELS, StockPredictor
from training.workflow import train_model

METRICS = ("accuracy", "precision", "recall", "f1", "roc_auc")

_VOID = {"meta", "br", "line", "circle", "rect", "polyline"}


class Reader(HTMLParser):
    """Reads a page: its text, its links, and whether every element is closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.elements: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(path: Path) -> Reader:
    """Return a page that was read."""
    reader = Reader()
    reader.feed(path.read_text())
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def trained(bars: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A model directory and its metadata."""
    folder = tmp_path_factory.mktemp("model")
    return folder, train_model(bars, folder, source="<synthetic>", model_type="logistic", version="2.0")


def test_it_is_one_page_that_fetches_nothing(trained: tuple[Path, dict[str, Any]]) -> None:
    page = read(trained[0] / "report" / "index.html")
    assert page.fetched == []
    assert not {"script", "link", "img", "iframe"} & set(page.elements)
    assert "url(" not in report_page.STYLE
    assert "@import" not in report_page.STYLE
    assert page.elements.count("svg") == 5


def test_it_says_what_the_metadata_say(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, facts = trained
    text = read(folder / "report" / "index.html").text
    assert "logistic 2.0" in text
    assert "600 daily bars from <synthetic>" in text
    assert facts["data"]["sha256"] in text
    for part in ("train", "validation", "test"):
        assert f"{facts['split'][part]['rows']:,}" in text
        assert facts["split"][part]["first_date"] in text
    for part in ("validation", "test"):
        for metrics in (facts["metrics"][part], *facts["baselines"][part].values()):
            for value in metrics.values():
                assert ("-" if value is None else f"{value:.3f}") in text
    assert "Nothing here promises a profit." in text
    assert "What it is not for" in text


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_verdict_follows_from_the_interval(model_type: str, dataset: Dataset, tmp_path: Path) -> None:
    """A model that knows the answers shows skill; one that was trained on noise shows none."""
    rng = np.random.default_rng(0)
    facts = {
        "data": {"source": "x", "tickers": ["X"], "bars": 1, "first_date": "a", "last_date": "b", "sha256": "0"},
        "split": {part: {"rows": 1, "first_date": "a", "last_date": "b"} for part in ("train", "validation", "test")},
        "baselines": dict.fromkeys(
            ("validation", "test"), dict.fromkeys(("majority_class", "persistence"), dict.fromkeys(METRICS))
        ),
    }
    params = {} if model_type == "logistic" else {"n_estimators": 10}
    for knows in (True, False):
        parts = {}
        for name in ("train", "validation", "test"):
            part = getattr(dataset, name)
            X = rng.normal(size=part.X.shape).astype(np.float32)
            y = (X[:, 5] > 0) if knows else (rng.random(len(X)) > 0.5)
            parts[name] = replace(part, X=X, y=y.astype(np.int64))
        given = Dataset(**parts)
        predictor = StockPredictor(model_type, params).train(given.train.X, given.train.y)
        report_page.write_page(tmp_path / "page.html", predictor, given, "1", facts)
        text = read(tmp_path / "page.html").text
        assert ("more accurate than both baselines" in text) == knows
        assert ("shows no skill" in text) != knows


def test_a_test_part_of_one_class_can_be_told(
    dataset: Dataset, trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    flat = replace(dataset, test=replace(dataset.test, y=np.zeros_like(dataset.test.y)))
    predictor = StockPredictor("logistic").train(dataset.train.X, dataset.train.y)
    report_page.write_page(tmp_path / "page.html", predictor, flat, "1", trained[1])
    text = read(tmp_path / "page.html").text
    assert re.search(rf"{LABELS[1]}\s*0 \(0\.0%\)", text)


def test_the_export_knows_where_the_certificate_stands() -> None:
    assert (of_export._BEGIN, of_export._END) == (report_page.CERTIFICATE_BEGIN, report_page.CERTIFICATE_END)

"""Tables of bars, and what their scores must be: row by row, slowly and obviously."""

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features_fast import WARM_UP, compute
from runtime.artifact import model_file
from runtime.model import load_model
from runtime.predictor import Predictor

FIELDS = ("Open", "High", "Low", "Close", "Volume")


def bars(tickers: int, length: int, seed: int = 0) -> pd.DataFrame:
    """Return bars of tickers, one after the other; the last one is shorter than a warm-up."""
    random = np.random.default_rng(seed)
    tables = []
    for number in range(tickers):
        count = length if number < tickers - 1 else WARM_UP - 1
        close = 100 * np.exp(np.cumsum(0.01 * random.standard_normal(count)))
        table = pd.DataFrame({"Date": pd.bdate_range("2015-01-01", periods=count).astype("datetime64[us]")})
        table["Ticker"] = f"T{number:03d}"
        table["Open"] = close * (1 + 0.004 * random.standard_normal(count))
        table["High"] = np.maximum(close, table["Open"]) * 1.01
        table["Low"] = np.minimum(close, table["Open"]) * 0.99
        table["Close"] = close
        table["Volume"] = np.floor(1e6 * random.random(count))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def predictor(path: Path) -> Predictor:
    """Return the model in a file."""
    return load_model(model_file(path), threads=1).predictor


def possible(bar: tuple[float, ...]) -> bool:
    """Tell whether a market can produce a bar."""
    *prices, volume = bar
    return all(1e-18 <= price <= 1e18 for price in prices) and 0 <= volume <= 1e30 and bar[1] >= bar[2]


def expected(table: pd.DataFrame, model: Predictor) -> tuple[dict[int, list[float]], set[int], set[int]]:
    """Return the probabilities of rows by their place in a table, and which rows are warm-up and which are bad."""
    series: dict[str, list[tuple[int, datetime, tuple[float, ...]]]] = {}
    bad = set()
    for place, row in enumerate(table.to_dict("records")):
        bar = tuple(float(row[name]) for name in FIELDS)
        ticker, date = row["Ticker"], row["Date"]
        if not isinstance(ticker, str) or pd.isna(date) or any(map(math.isnan, bar)) or not possible(bar):
            bad.add(place)
            continue
        known = series.setdefault(ticker, [])
        if known and date <= known[-1][1]:
            bad.add(place)
        else:
            known.append((place, date, bar))
    scores = {}
    warm_up = set()
    for known in series.values():
        warm_up |= {place for place, _, _ in known[:WARM_UP]}
        if len(known) > WARM_UP:
            fields = np.array([bar for _, _, bar in known]).T
            rows = compute(*fields)[WARM_UP:].astype(np.float32)
            for (place, _, _), probabilities in zip(known[WARM_UP:], model.predict(rows).tolist(), strict=True):
                scores[place] = probabilities
    return scores, warm_up, bad


def read_scores(folder: Path) -> dict[tuple[str, int], list[float]]:
    """Return the probabilities in a folder of scores by file and row; every row must be there once."""
    found: dict[tuple[str, int], list[float]] = {}
    for path in sorted((folder / "scores").glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            key = (row["file"], row["row"])
            assert key not in found
            probabilities = [value for name, value in row.items() if name.startswith("probability_")]
            best = max(probabilities)
            assert row["probability"] == best
            assert row["prediction"] == probabilities.index(best)
            found[key] = probabilities
    return found


def write_parquet(table: pd.DataFrame, path: Path, group: int) -> None:
    """Write a table in row groups of a size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path, row_group_size=group)


def command(*arguments: Any) -> list[str]:
    """Return the arguments of the command."""
    return ["score", *map(str, arguments)]

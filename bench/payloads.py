"""What a load sends: different rows from a file, or made from what the model says of itself, as bodies of requests."""

import csv
import http.client
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.servers import MeasureError

BODIES = 1_000

_NUDGE = 0.01
_SPREAD = 0.05
_TRIES_SECONDS = 10.0
_ARRAYS = ("X_test", "rows", "features")


@dataclass(frozen=True, slots=True)
class Described:
    """What a server says of its model.

    Attributes
    ----------
    features : list of str
        Names in the order of a row.
    labels : list of str
        In the order of the classes.
    version : str
        Of the model.
    """

    features: list[str]
    labels: list[str]
    version: str


def fetch(url: SplitResult, path: str, token: str = "") -> Any:
    """Return the JSON that a server answers a GET with; raises MeasureError."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=_TRIES_SECONDS)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise MeasureError(f"{url.netloc}: no answer: {error}") from None
    finally:
        connection.close()
    if response.status != 200:
        raise MeasureError(f"{url.netloc}: {path}: expected status 200, got {response.status}")
    try:
        return json.loads(content)
    except ValueError:
        raise MeasureError(f"{url.netloc}: {path}: expected JSON, got {content[:80]!r}") from None


def describe(url: SplitResult, token: str = "") -> Described:
    """Ask `/model/info` for the features and labels of the served model; raises MeasureError."""
    info = fetch(url, "/model/info", token)
    try:
        return msgspec.convert(
            {"features": info["feature_names"], "labels": info["labels"], "version": info["version"]}, Described
        )
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise MeasureError(f"{url.netloc}: /model/info lacks features, labels or version: {error}") from None


def example_rows(url: SplitResult, token: str = "") -> NDArray[np.float32]:
    """Return the one row that `/openapi.json` shows, float32 (1, features); raises MeasureError."""
    document = fetch(url, "/openapi.json", token)
    try:
        body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
        shown = [example["value"]["features"] for example in body["examples"].values()]
        return np.array([next(row for row in shown if isinstance(row, list))], np.float32)
    except (KeyError, TypeError, ValueError, StopIteration):
        raise MeasureError(f"{url.netloc}: /openapi.json shows no example of a row; give rows by --data") from None


def spread(rows: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float32]:
    """Return rows that are all different, float32 (count, features), made from a few.

    Parameters
    ----------
    rows : ndarray
        float32 (n, features). Of several rows each value is nudged by about 1 %; around a single one by about 5 %.
    """
    random = np.random.default_rng(seed)
    width = _NUDGE if len(rows) > 1 else _SPREAD
    chosen = rows[random.permutation(np.arange(count) % len(rows))]
    made: NDArray[np.float32] = np.float32(1.0 + width * random.standard_normal(chosen.shape)) * chosen
    return made


def read_rows(path: Path, names: Sequence[str]) -> NDArray[np.float32]:
    """Read rows from a file, float32 (rows, features).

    Parameters
    ----------
    path : Path
        `.csv` with a header that has the features' names, in any order and among others; `.npy` or `.npz`, with an
        array (rows, features), named X_test, rows or features where there are several; `.jsonl` with a list, an
        object of names or `{"features": ...}` a line. Rows with a value that is not finite are left out.
    names : sequence of str
        The model's features in their order.

    Raises
    ------
    MeasureError
        Where it cannot be read, or does not fit the model.
    """
    try:
        rows: NDArray[np.float32] = np.asarray(_READERS[path.suffix](path, names), np.float32)
    except KeyError as error:
        known = ", ".join(_READERS)
        what = f"no {error.args[0]}" if path.suffix in _READERS else f"expected one of {known}"
        raise MeasureError(f"{path}: {what}") from None
    except OSError as error:
        raise MeasureError(f"{path}: {error.strerror or error}") from None
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        # Of a file that is no array NumPy says that it must be a pickle, which none should load.
        why = f"not a {path.suffix} file without objects" if "pickle" in str(error) else error
        raise MeasureError(f"{path}: {why}") from None
    if rows.ndim != 2 or rows.shape[1] != len(names):
        raise MeasureError(f"{path}: expected rows of {len(names)} features, got an array {rows.shape}")
    finite = np.unique(rows[np.isfinite(rows).all(axis=1)], axis=0)
    if not len(finite):
        raise MeasureError(f"{path}: no row with finite values")
    return finite


def _read_csv(path: Path, names: Sequence[str]) -> list[list[float]]:
    with path.open(newline="") as lines:
        return [[float(line[name] or "nan") for name in names] for line in csv.DictReader(lines)]


def _read_npy(path: Path, names: Sequence[str]) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, allow_pickle=False)
    return array


def _read_npz(path: Path, names: Sequence[str]) -> NDArray[Any]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        name = next((name for name in _ARRAYS if name in arrays), None)
        if name is None and len(arrays.files) == 1:
            name = arrays.files[0]
        if name is None:
            raise KeyError(f"array {' or '.join(_ARRAYS)}")
        array: NDArray[Any] = arrays[name]
        return array


def _read_jsonl(path: Path, names: Sequence[str]) -> list[list[float]]:
    rows = []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if isinstance(row, dict) and "features" in row:
            row = row["features"]
        rows.append([row[name] for name in names] if isinstance(row, dict) else row)
    return rows


_READERS = {".csv": _read_csv, ".npy": _read_npy, ".npz": _read_npz, ".jsonl": _read_jsonl}


def choose(rows: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float32]:
    """Return as many rows as asked for, float32 (count, features): rows of a file, nudged only where there are few."""
    if len(rows) < count:
        return spread(rows, count, seed)
    return rows[np.random.default_rng(seed).permutation(len(rows))[:count]]


def json_body(rows: NDArray[np.float32]) -> bytes:
    """Return rows, float32 (features,) or (rows, features), as `/predict` and `/predict/batch` take them."""
    # The shortest text of a float32 is what a caller with float32 rows sends, and half as long as that of a float64.
    return b'{"features":' + _list(rows) + b"}"


def _list(rows: NDArray[np.float32]) -> bytes:
    if rows.ndim == 2:
        return b"[" + b",".join(map(_list, rows)) + b"]"
    return ("[" + ",".join(map(str, rows)) + "]").encode()


def npy_body(rows: NDArray[np.float32]) -> bytes:
    """Return rows, float32 (rows, features), as a `.npy` file."""
    stream = io.BytesIO()
    np.save(stream, rows)
    return stream.getvalue()

"""The files of a job, and which of their columns are read."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from features_fast.columns import BAR_COLUMNS, REQUIRED, match_bar_columns, plain_name
from features_fast.errors import TicklineError
from features_fast.foreign_text import Head, read_bar_head
from runtime.scoring.form import Form, find_form, open_head

BARS, FEATURES = "bars", "features"
"""What the rows of a job are."""

FORMATS = (".parquet", ".csv")
LABELS = ("Date", "Ticker")
"""Columns that are carried along from features, where they are there."""

PRICES = BAR_COLUMNS[2:6]
"""Columns that tell how numbers are written; a volume may look like either."""

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


class Source(msgspec.Struct, frozen=True):
    """One file.

    Attributes
    ----------
    path : str
        Its place below the job's input; of a single file its name.
    size, modified : int
        Bytes, and nanoseconds of its last change: by both a resumed job knows it again.
    header : list of str
        Names of all its columns.
    columns : dict of str
        Names of the columns that are read, by what they are.
    constants : dict of str
        Columns that have one value in the whole file, which its path or its head tells.
    form : Form
        How a CSV file is written.
    """

    path: str
    size: int
    modified: int
    header: list[str]
    columns: dict[str, str]
    constants: dict[str, str | None]
    form: Form = Form()


def find_files(root: Path) -> list[Path]:
    """Return the files of an input, those of a folder in the natural order of their paths.

    Names that begin with a dot or an underscore are left out, as writers of partitioned folders expect.

    Raises
    ------
    TicklineError
        If there are none, or one is neither Parquet nor CSV: to pass it over would lose its rows.
    """
    if root.is_file():
        files = [root]
    elif root.is_dir():
        below = sorted((path.relative_to(root) for path in root.rglob("*") if path.is_file()), key=_natural)
        files = [root / path for path in below if not any(part.startswith((".", "_")) for part in path.parts)]
    else:
        raise TicklineError(f"{root}: expected a file or a folder, found neither")
    for path in files:
        if path.suffix not in FORMATS:
            raise TicklineError(f"{path}: expected a file that ends in {' or '.join(FORMATS)}")
    if not files:
        raise TicklineError(f"{root}: expected files that end in {' or '.join(FORMATS)}, found none")
    return files


def read_sources(root: Path, feature_names: Sequence[str]) -> tuple[str, list[Source]]:
    """Return what the rows of an input are, and its files.

    Parameters
    ----------
    root : Path
        A file, or a folder whose paths may hold values (`ticker=AAPL/year=2024/part-0.parquet`).
    feature_names : sequence of str
        The features of the model.

    Returns
    -------
    str, list of Source
        `FEATURES` where the first file has a column for each of them, else `BARS`.

    Raises
    ------
    TicklineError
        If a file cannot be read, lacks a column, or may mean two things; the message names both.
    """
    kind = ""
    sources = []
    for path in find_files(root):
        below = path.relative_to(root) if path != root else Path(path.name)
        try:
            head = _parquet_head(path) if path.suffix == ".parquet" else open_head(path)
            kind = kind or _kind(head.header, feature_names)
            if kind == BARS and path.suffix == ".csv":
                head = open_head(path, read_bar_head)
            columns, constants = _match(kind, head, feature_names, below)
            form = Form()
            if path.suffix == ".csv":
                form = find_form(path, head, columns, PRICES if kind == BARS else feature_names, series=kind == BARS)
        except TicklineError as error:
            raise TicklineError(f"{path}: {error}") from None
        found = path.stat()
        sources.append(
            Source(below.as_posix(), found.st_size, found.st_mtime_ns, head.header, columns, constants, form)
        )
    return kind, sources


def open_parquet(path: Path, **options: Any) -> Any:
    """Open a Parquet file; raises TicklineError, which does not name it."""
    try:
        return pq.ParquetFile(path, **options)
    except (OSError, pa.ArrowException) as error:
        raise TicklineError(f"expected a Parquet file: {_line(error)}") from None


def _parquet_head(path: Path) -> Head:
    with open_parquet(path) as file:
        return Head(list(file.schema_arrow.names))


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _natural(path: Path) -> list[list[tuple[bool, int, str]]]:
    """Return a key by which month=2 comes before month=10."""
    return [
        [(piece.isdigit(), int(piece) if piece.isdigit() else 0, piece) for piece in re.split(r"([0-9]+)", part)]
        for part in path.parts
    ]


def _kind(header: Sequence[str], feature_names: Sequence[str]) -> str:
    plain = {plain_name(name) for name in header}
    missing = [name for name in feature_names if plain_name(name) not in plain]
    if not missing:
        return FEATURES
    if len(missing) < len(feature_names) / 2:
        raise TicklineError(f"expected a column for each of {len(feature_names)} features, got none for {missing[0]!r}")
    return BARS


def _match(
    kind: str, head: Head, feature_names: Sequence[str], below: Path
) -> tuple[dict[str, str], dict[str, str | None]]:
    """Return the columns that are read, and those that are constant."""
    told = _values(below)
    if head.ticker is not None:
        told["Ticker"] = head.ticker
    header = head.header
    # What is told stands in for columns that the file lacks.
    if kind == FEATURES:
        columns = _match_features(header, feature_names)
        rest = [name for name in header if name not in columns.values()]
        columns |= match_bar_columns(rest, (), LABELS)
    else:
        columns = match_bar_columns(header, [name for name in REQUIRED if name not in told], BAR_COLUMNS)
    constants = {name: value for name, value in told.items() if name not in columns}
    if kind == BARS and "Ticker" not in columns:
        constants.setdefault("Ticker", below.stem)
    return columns, constants


def _match_features(header: Sequence[str], feature_names: Sequence[str]) -> dict[str, str]:
    columns = {}
    for feature in feature_names:
        found = [name for name in header if plain_name(name) == plain_name(feature)]
        exact = [name for name in found if name == feature]
        if len(exact or found) != 1:
            raise TicklineError(f"expected one column for {feature!r}, got {', '.join(map(repr, found)) or 'none'}")
        columns[feature] = (exact or found)[0]
    return columns


def _values(below: Path) -> dict[str, str | None]:
    """Return the values that a path holds, of columns that are carried along."""
    pairs = [part.partition("=") for part in below.parts[:-1] if "=" in part]
    matched = match_bar_columns([name for name, _, _ in pairs], (), LABELS)
    values = {name: unquote(value) for name, _, value in pairs}
    return {column: None if values[name] == _NO_VALUE else values[name] for column, name in matched.items()}

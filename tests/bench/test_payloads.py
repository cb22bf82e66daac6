"""Rows from files and from what a server says of its model, and bodies made of them."""

import json
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from bench.payloads import choose, describe, example_rows, json_body, npy_body, read_rows
from bench.servers import MeasureError
from tests.bench.loopback import loopback, reply

NAMES = ["a", "b"]
ROWS = [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("named.csv", "x,b,a\n9,2,1\n9,4,3\n9,,5\n"),
        ("lists.jsonl", "[1, 2]\n[3, 4]\n"),
        ("named.jsonl", '{"b": 2, "a": 1}\n{"features": {"a": 3, "b": 4}}\n'),
        ("bodies.jsonl", '{"features": [1, 2]}\n{"features": [3, 4]}\n'),
    ],
)
def test_text_files_are_read(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert read_rows(tmp_path / name, NAMES).tolist() == ROWS


def test_arrays_are_read(tmp_path: Path) -> None:
    rows = np.array([*ROWS, ROWS[0], [np.nan, 1.0]])
    np.save(tmp_path / "rows.npy", rows)
    np.savez(tmp_path / "one.npz", anything=rows)
    np.savez(tmp_path / "many.npz", X_train=rows + 1, X_test=rows, y=rows[:, 0])
    for name in ("rows.npy", "one.npz", "many.npz"):
        # Rows that come twice or are not finite are left out.
        assert read_rows(tmp_path / name, NAMES).tolist() == ROWS


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("no.csv", None, "No such file"),
        ("a.txt", "", r"expected one of \.csv, \.npy, \.npz, \.jsonl"),
        ("a.csv", "a,c\n1,2\n", "no b"),
        ("a.jsonl", "[1]\n", "expected rows of 2 features"),
        ("a.jsonl", "[1, 2\n", "Expecting"),
        ("a.jsonl", '["x", "y"]\n', "could not convert"),
        ("a.csv", "a,b\n", "expected rows of 2 features"),
        ("a.csv", "a,b\n,1\n", "no row with finite values"),
        ("a.npz", "junk", "not a .npz file without objects"),
        ("a.npz", "PK\3\4junk", "not a zip file"),
        ("a.npy", "", "No data left"),
        ("a.npy", "junk", "not a .npy file without objects"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(MeasureError, match=message):
        read_rows(tmp_path / name, NAMES)


def test_few_rows_become_many_that_are_all_different_and_near() -> None:
    rows = np.array(ROWS, np.float32)
    many = choose(rows, 700, seed=1)
    assert len(np.unique(many, axis=0)) == 700
    nearest = np.abs(many[:, None] / rows - 1).max(axis=2).min(axis=1)
    assert nearest.max() < 0.1
    assert choose(rows, 700, seed=1).tobytes() == many.tobytes()


def test_rows_of_a_file_are_sent_as_they_are() -> None:
    rows = np.arange(200, dtype=np.float32).reshape(100, 2)
    chosen = choose(rows, 50, seed=0)
    assert len(np.unique(chosen, axis=0)) == 50
    assert {tuple(row) for row in chosen} <= {tuple(row) for row in rows}


def test_bodies_carry_every_float32_exactly() -> None:
    random = np.random.default_rng(0)
    rows = random.integers(0, 2**32, 4000, np.uint32).view(np.float32)
    rows = rows[np.isfinite(rows)][:3000].reshape(-1, 2)
    for found in (json.loads(json_body(rows))["features"], [json.loads(json_body(row))["features"] for row in rows]):
        assert np.array(found, np.float32).tobytes() == rows.tobytes()
    assert npy_body(rows).endswith(rows.tobytes())


INFO = {"feature_names": NAMES, "labels": ["DOWN", "UP"], "version": "1.0.0", "more": 1}
DESCRIPTION = {
    "paths": {
        "/predict": {
            "post": {
                "requestBody": {
                    "content": {
                        "application/json": {
                            "examples": {
                                "named": {"value": {"features": {"a": 1.0}}},
                                "listed": {"value": {"features": [1.5, 2.5]}},
                            }
                        }
                    }
                }
            }
        }
    }
}


def test_a_server_says_what_it_serves() -> None:
    documents = {b"GET /model/info HTTP/1.1": INFO, b"GET /openapi.json HTTP/1.1": DESCRIPTION}
    with loopback(lambda line, body: reply(json.dumps(documents[line]).encode())) as port:
        url = urlsplit(f"http://127.0.0.1:{port}")
        described = describe(url)
        assert (described.features, described.labels, described.version) == (NAMES, ["DOWN", "UP"], "1.0.0")
        assert example_rows(url).tolist() == [[1.5, 2.5]]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (reply(b"{}"), "/model/info lacks features, labels or version"),
        (reply(b"[]"), "/model/info lacks features, labels or version"),
        (reply(b"<html>"), "expected JSON"),
        (reply(b"", b"404 Not Found"), "expected status 200, got 404"),
        (None, "no answer"),
    ],
)
def test_a_server_that_does_not_say_is_named(answer: bytes | None, message: str) -> None:
    with (
        loopback(lambda line, body: answer) as port,
        pytest.raises(MeasureError, match=rf"127\.0\.0\.1:{port}: .*{message}"),
    ):
        describe(urlsplit(f"http://127.0.0.1:{port}"))


def test_a_server_without_an_example_asks_for_rows() -> None:
    with (
        loopback(lambda line, body: reply(b'{"paths": {}}')) as port,
        pytest.raises(MeasureError, match="give rows by --data"),
    ):
        example_rows(urlsplit(f"http://127.0.0.1:{port}"))

"""Every dialect against a real server that speaks it, and against what the model file says."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bench import agreement, dialects
from bench.dialects import Dialect, Form, Rows
from bench.reference import Reference
from bench.servers import MeasureError
from tests.serving import RunningServer, running_server

ROWS = 7


@pytest.fixture(scope="module")
def model(sp500_model: Callable[[str], Path]) -> Path:
    return sp500_model("random_forest")


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[RunningServer]:
    with running_server(model) as running:
        yield running


def answered(server: RunningServer, form: Form, rows: Rows) -> dialects.Probabilities:
    request = form.request(rows)
    with server.connection() as connection:
        reply = connection.request("POST", request.path, request.body, request.headers)
    assert reply.status == 200, reply.body
    return form.read(reply.body, len(rows))


@pytest.mark.parametrize(
    "dialect", [dialects.own(binary=True), dialects.inference("random_forest", binary=True)], ids=["own", "inference"]
)
def test_replies_are_those_of_the_model(dialect: Dialect, server: RunningServer, model: Path) -> None:
    reference = Reference(model)
    rows = reference.golden[:ROWS]
    expected = reference.predict(rows).astype(float)
    for row, probabilities in zip(rows, expected, strict=True):
        found = answered(server, dialect.single, row[None])
        agreement.check_probabilities(probabilities[None], found, "single")
    assert len(dialect.batches) > 1
    for form in dialect.batches:
        agreement.check_probabilities(expected, answered(server, form, rows), form.name)


def test_mlflow_is_asked_in_its_own_words() -> None:
    # What `mlflow models serve` 3.17 answers for an ONNX model.
    reply = b'{"predictions": {"label": [1], "probabilities": [[0.25, 0.75]]}}'
    dialect = dialects.invocations()
    request = dialect.single.request(np.array([[1.5, 2.0]], np.float32))
    assert (request.path, json.loads(request.body)) == ("/invocations", {"inputs": [[1.5, 2.0]]})
    assert dialect.single.read(reply, 1).tolist() == [[0.25, 0.75]]


def test_another_answer_stops_the_measurement() -> None:
    right = np.array([[0.25, 0.75]])
    agreement.check_probabilities(right, right + 9e-6, "peer")
    for wrong in (right + 2e-5, right[:, :1], np.vstack([right, right]), right * np.nan):
        with pytest.raises(MeasureError, match="peer answers otherwise than expected"):
            agreement.check_probabilities(right, wrong, "peer")

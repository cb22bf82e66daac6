"""The protocol's routes on the wire: asked by Triton's client, and held against the published description."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import numpy as np
import pytest
import tritonclient.http as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from tests.runtime.conftest import THREE_CLASSES, random_rows
from tests.serving import Connection, Reply, RunningServer, running_server

MODEL = "/v2/models/random_forest"
INFER = MODEL + "/infer"
LENGTH = "Inference-Header-Content-Length"
ROWS = random_rows(3, 22, seed=21)
DESCRIPTION = json.loads(Path(__file__).with_name("open_inference_rest.json").read_text())


@pytest.fixture(scope="module")
def served(forest_path: Path) -> Iterator[RunningServer]:
    with running_server(forest_path, MAX_BATCH_ROWS="3000", MAX_BODY_BYTES="1500000") as running:
        yield running


@pytest.fixture
def connection(served: RunningServer) -> Iterator[Connection]:
    with served.connection() as opened:
        yield opened


@pytest.fixture(scope="module")
def client(served: RunningServer) -> Iterator[Any]:
    opened = triton.InferenceServerClient(f"127.0.0.1:{served.port}")
    yield opened
    opened.close()


def tensor(rows: NDArray[Any], binary: bool, datatype: str = "FP32") -> Any:
    """Return a tensor as the client sends it."""
    given = triton.InferInput("features", rows.shape, datatype)
    given.set_data_from_numpy(rows, binary_data=binary)
    return given


def document(rows: NDArray[Any] = ROWS, nested: bool = False, **members: Any) -> dict[str, Any]:
    """Return a request with JSON data."""
    data = rows.tolist() if nested else rows.ravel().tolist()
    return {"inputs": [{"name": "features", "datatype": "FP32", "shape": rows.shape, "data": data}], **members}


def validate(instance: Any, schema: Any) -> None:
    """Check an instance against a schema of the published description."""
    jsonschema_rs.validator_for({**schema, "components": DESCRIPTION["components"]}).validate(instance)


def check_error(reply: Reply, status: int, said: str) -> None:
    """Check that a reply is an error object that says something."""
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/json"
    error = reply.json()
    validate(error, {"$ref": "#/components/schemas/inference_error_response"})
    assert list(error) == ["error"]
    assert said in error["error"]
    assert "Traceback" not in error["error"]


def test_health_and_metadata_as_the_client_sees_them(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("random_forest")
    assert client.is_model_ready("random_forest", "1.0.0")
    assert not client.is_model_ready("random_forest", "1.0.1")
    assert not client.is_model_ready("forest")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    assert client.get_model_metadata("random_forest", "1.0.0") == {
        "name": "random_forest",
        "versions": ["1.0.0"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "features", "datatype": "FP32", "shape": [-1, 22]}],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "prediction", "datatype": "INT64", "shape": [-1]},
        ],
    }


@pytest.mark.parametrize("path", DESCRIPTION["paths"])
def test_every_published_path_answers_as_described(connection: Connection, path: str) -> None:
    ((method, operation),) = DESCRIPTION["paths"][path].items()
    url = path.replace("${MODEL_NAME}", "random_forest").replace("${MODEL_VERSION}", "1.0.0")
    short = url.replace("/versions/1.0.0", "").removesuffix("/")
    for reached in (url, short):
        request = document(id="a")
        if method == "post":
            validate(request, operation["requestBody"])
        reply = connection.post(reached, request) if method == "post" else connection.request("GET", reached)
        assert reply.status == 200, reply.body
        assert reply.headers["content-type"] == "application/json"
        validate(reply.json(), operation["responses"]["200"])


@pytest.mark.parametrize("output_binary", [False, True])
@pytest.mark.parametrize("input_binary", [False, True])
@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_every_way_equals_predict(
    client: Any, connection: Connection, input_binary: bool, output_binary: bool, datatype: str
) -> None:
    rows = ROWS.astype({"FP32": np.float32, "FP64": np.float64}[datatype])
    outputs = [
        triton.InferRequestedOutput(name, binary_data=output_binary)
        for name in ("label", "probabilities", "prediction")
    ]
    result = client.infer("random_forest", [tensor(rows, input_binary, datatype)], request_id="42 é", outputs=outputs)
    response = result.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("42 é", "random_forest", "1.0.0")
    assert [output["name"] for output in response["outputs"]] == ["label", "probabilities", "prediction"]
    assert all(("data" in output) is not output_binary for output in response["outputs"])
    for index, row in enumerate(rows):
        single = connection.post("/predict", {"features": row.tolist()}).json()
        expected = np.array(list(single["probabilities"].values()), np.float32)
        assert result.as_numpy("probabilities")[index].tobytes() == expected.tobytes()
        assert result.as_numpy("prediction")[index] == single["prediction"]
        label = result.as_numpy("label")[index]
        assert (label.decode() if output_binary else label) == single["prediction_label"]


@pytest.mark.parametrize("count", [1, 2, 3000])
def test_any_number_of_rows_equals_the_batch_route(client: Any, connection: Connection, count: int) -> None:
    rows = random_rows(count, 22, seed=22)
    batch = connection.post("/predict/batch", {"features": rows.tolist()}).json()["predictions"]
    expected = np.array([list(prediction["probabilities"].values()) for prediction in batch], np.float32)
    for binary in (False, True):
        result = client.infer("random_forest", [tensor(rows, binary)])
        assert result.as_numpy("probabilities").tobytes() == expected.tobytes()
    for nested in (False, True):
        reply = connection.post(INFER, document(rows, nested)).json()
        assert np.array(reply["outputs"][0]["data"], np.float32).tobytes() == expected.tobytes()


def test_integers_are_taken(client: Any, connection: Connection) -> None:
    rows = np.arange(44, dtype=np.int64).reshape(2, 22)
    expected = connection.post(INFER, document(rows.astype(np.float32))).json()["outputs"]
    for datatype, dtype in (("INT32", np.int32), ("INT64", np.int64)):
        for binary in (False, True):
            result = client.infer("random_forest", [tensor(rows.astype(dtype), binary, datatype)])
            assert result.as_numpy("probabilities").ravel().tolist() == expected[0]["data"]


def test_a_reply_has_an_id_only_where_the_request_has_one(connection: Connection) -> None:
    assert "id" not in connection.post(INFER, document()).json()
    assert connection.post(INFER, document(id="")).json()["id"] == ""


def test_predictions_and_routes_are_counted(served: RunningServer) -> None:
    assert served.request("POST", INFER, document(random_rows(9, 22, seed=23))).status == 200
    before = counted(served)
    for rows in (1, 700):
        assert served.request("POST", INFER, document(random_rows(rows, 22, seed=23))).status == 200
    assert served.request("GET", MODEL + "/versions/9").status == 404
    after = counted(served)
    infer = 'http_requests_total{method="POST",route="/v2/models/{model_name}/infer",status="200"}'
    assert after[infer] == before[infer] + 2
    version = 'http_requests_total{method="GET",route="/v2/models/{model_name}/versions/{model_version}",status="404"}'
    assert after[version] == before.get(version, 0) + 1
    predictions = ('predictions_total{label="DOWN"}', 'predictions_total{label="UP"}')
    assert sum(after[name] for name in predictions) == sum(before[name] for name in predictions) + 701


def counted(served: RunningServer) -> dict[str, float]:
    """Return the counters that a scrape shows, by their name with sorted labels."""
    found = {}
    for line in served.request("GET", "/metrics").body.decode().splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith(("http_requests_total{", "predictions_total{")):
            family, _, labels = name[:-1].partition("{")
            found[f"{family}{{{','.join(sorted(split_labels(labels)))}}}"] = float(value)
    return found


def split_labels(text: str) -> list[str]:
    """Return the labels of a sample."""
    return [f'{label}"' for label in text.removesuffix('"').split('",')]


def with_value(value: float) -> NDArray[np.float32]:
    rows = ROWS.copy()
    rows[1, 7] = value
    return rows


def post(body: bytes | dict[str, Any], path: str = INFER, **headers: str) -> Callable[[Connection], Reply]:
    return lambda connection: connection.post(path, body, **headers)


def post_binary(raw: bytes, size: int | None = None, length: str | None = None) -> Callable[[Connection], Reply]:
    request = document()
    del request["inputs"][0]["data"]
    request["inputs"][0]["parameters"] = {"binary_data_size": len(raw) if size is None else size}
    head = json.dumps(request).encode()
    return post(head + raw, **{LENGTH: str(len(head)) if length is None else length})


REFUSED: dict[str, tuple[Callable[[Connection], Reply], int, str]] = {
    "another model": (post(document(), "/v2/models/forest/infer"), 404, "model_name: expected random_forest"),
    "another version": (post(document(), MODEL + "/versions/2/infer"), 404, "model_version: expected 1.0.0"),
    "metadata of another model": (lambda c: c.request("GET", "/v2/models/x"), 404, "model_name: "),
    "another model is ready": (lambda c: c.request("GET", "/v2/models/x/ready"), 404, "model_name: "),
    "no such route": (lambda c: c.request("GET", "/v2/repository/index"), 404, "/v2/repository/index"),
    "another method": (lambda c: c.request("GET", INFER), 405, "GET is not allowed"),
    "empty": (post(b""), 400, "the body is empty"),
    "no JSON": (post(b"{"), 400, "not valid JSON"),
    "no inputs": (post({}), 400, "inputs: this field is required and missing"),
    "CSV": (post(document(), **{"Content-Type": "text/csv"}), 415, "expected application/json or application/octet-"),
    "compressed": (post(document(), **{"Content-Encoding": "gzip"}), 415, "Content-Encoding: expected none, got gzip"),
    "NaN": (post(document(with_value(np.nan))), 400, "inputs[0].data[29]: expected a finite number"),
    "binary NaN": (post_binary(with_value(np.nan).tobytes()), 400, "features[1][7]: expected a finite number"),
    "binary infinity": (post_binary(with_value(np.inf).tobytes()), 400, "features[1][7]: expected a finite number"),
    "zero rows": (post(document(ROWS[:0])), 400, "inputs[0].shape: expected at least 1 row, got 0"),
    "header inside the JSON": (post_binary(b"", length="9"), 400, "not valid JSON"),
    "too many rows": (
        post(document(np.zeros((3001, 22)))),
        413,
        "inputs[0].shape: expected at most 3000 rows, got 3001",
    ),
    "too many bytes": (post(b" " * 1_500_001), 413, "body: expected at most 1500000 bytes"),
    "narrow": (post(document(ROWS[:, :21])), 400, "inputs[0].shape: expected [rows, 22], got [3, 21]"),
    "flat shape": (post(document(ROWS[0])), 400, "one row has the shape [1, 22]"),
    "short data": (
        post({"inputs": [{**document()["inputs"][0], "data": [1]}]}),
        400,
        "inputs[0].data: expected 66 numbers, flat or in 3 arrays of 22, got 1 numbers",
    ),
    "short binary data": (post_binary(ROWS[:2].tobytes()), 400, "expected 264 bytes of FP32 [3, 22], got 176"),
    "size that lies": (post_binary(ROWS.tobytes(), 8), 400, "inputs[0].parameters.binary_data_size: expected 264"),
    "header beyond the body": (post_binary(ROWS.tobytes(), length="99999"), 400, f"{LENGTH}: expected at most"),
    "negative header": (post_binary(ROWS.tobytes(), length="-1"), 400, f"{LENGTH}: expected a number of bytes"),
    "header that is no number": (post_binary(ROWS.tobytes(), length="1e2"), 400, f"{LENGTH}: expected a number"),
    "enormous header": (post_binary(ROWS.tobytes(), length="9" * 5000), 400, f"{LENGTH}: expected a number"),
    "unknown output": (post(document(outputs=[{"name": "x"}])), 400, "outputs[0].name: expected one of probabilities"),
}


@pytest.mark.parametrize(("ask", "status", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_answered_is_an_error_object_and_the_connection_goes_on(
    connection: Connection, ask: Callable[[Connection], Reply], status: int, said: str
) -> None:
    check_error(ask(connection), status, said)
    assert connection.post(INFER, document()).status == 200


def test_the_client_reads_the_error(client: Any) -> None:
    with pytest.raises(InferenceServerException, match=r"features\[1\]\[7\]: expected a finite number") as caught:
        client.infer("random_forest", [tensor(with_value(np.nan), True)])
    assert caught.value.status() == "400"


def test_labels_are_texts_whatever_they_hold(three_class_path: Path) -> None:
    rows = random_rows(60, 5, seed=24)
    with running_server(three_class_path) as running:
        opened = triton.InferenceServerClient(f"127.0.0.1:{running.port}")
        result = opened.infer("three", [tensor(rows, True)])
        indices = result.as_numpy("prediction").tolist()
        assert set(indices) == {0, 1, 2}
        assert [text.decode() for text in result.as_numpy("label")] == [THREE_CLASSES[index] for index in indices]
        reply = running.request("POST", "/v2/models/three/versions/3.2.1/infer", document(rows)).json()
        assert reply["outputs"][1]["data"] == [THREE_CLASSES[index] for index in indices]
        assert reply["outputs"][2]["data"] == indices
        opened.close()

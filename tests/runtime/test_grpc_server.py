"""The gRPC port on the wire, asked by Triton's client, and its messages against those of that client.

Client and server each bring messages of the same names, of which a process can hold one set: this process holds the
client's, and the server runs in its own.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as messages
from tritonclient.utils import InferenceServerException

from tests.runtime.conftest import THREE_CLASSES, export_forest, random_rows
from tests.runtime.test_server import start_and_fail
from tests.serving import RunningServer, free_port, running_server

ROOT = Path(__file__).parents[2]
MESSAGES = ROOT / "runtime" / "_messages"
ROWS = random_rows(4, 22, seed=11)


class Served:
    """A server with a gRPC port."""

    def __init__(self, server: RunningServer, port: int) -> None:
        self.server = server
        self.address = f"127.0.0.1:{port}"
        self.client = triton.InferenceServerClient(self.address)
        self._channel = grpc.insecure_channel(self.address)

    def call(self, method: str, content: bytes, metadata: Sequence[tuple[str, str]] = ()) -> bytes:
        """Call a method with bytes."""
        ask = self._channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        reply: bytes = ask(content, metadata=metadata)
        return reply

    def infer(self, request: Any) -> Any:
        """Call ModelInfer with a message."""
        return messages.ModelInferResponse.FromString(self.call("ModelInfer", request.SerializeToString()))

    def close(self) -> None:
        """Close both channels."""
        self.client.close()
        self._channel.close()


@pytest.fixture(scope="module")
def served(forest_path: Path) -> Iterator[Served]:
    port = free_port()
    with running_server(forest_path, GRPC_PORT=str(port), MAX_BATCH_ROWS="3000", MAX_BODY_BYTES="600000") as running:
        opened = Served(running, port)
        yield opened
        opened.close()


def raw_input(rows: NDArray[Any], datatype: str = "FP32") -> Any:
    """Return a tensor as the client sends it."""
    tensor = triton.InferInput("features", rows.shape, datatype)
    tensor.set_data_from_numpy(rows)
    return tensor


def typed_request(rows: NDArray[Any], datatype: str, field: str, **members: Any) -> Any:
    """Return a request with typed contents."""
    request = messages.ModelInferRequest(model_name="random_forest", **members)
    tensor = request.inputs.add(name="features", datatype=datatype, shape=rows.shape)
    getattr(tensor.contents, field).extend(rows.ravel().tolist())
    return request


def predicted(served: Served, rows: NDArray[Any]) -> list[dict[str, Any]]:
    """Return what `/predict` says to each row."""
    return [served.server.request("POST", "/predict", {"features": row.tolist()}).json() for row in rows]


def test_health_and_metadata(served: Served) -> None:
    client = served.client
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("random_forest")
    assert client.is_model_ready("random_forest", "1.0.0")
    assert list(client.get_server_metadata().extensions) == ["binary_tensor_data"]
    model = client.get_model_metadata("random_forest", as_json=True)
    assert model == served.server.request("GET", "/v2/models/random_forest").json() | {
        "inputs": [{"name": "features", "datatype": "FP32", "shape": ["-1", "22"]}],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": ["-1", "2"]},
            {"name": "label", "datatype": "BYTES", "shape": ["-1"]},
            {"name": "prediction", "datatype": "INT64", "shape": ["-1"]},
        ],
    }


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_raw_tensors_equal_predict(served: Served, datatype: str) -> None:
    rows = ROWS.astype({"FP32": np.float32, "FP64": np.float64}[datatype])
    result = served.client.infer("random_forest", [raw_input(rows, datatype)], request_id="a 1")
    assert result.get_response().id == "a 1"
    assert (result.get_response().model_name, result.get_response().model_version) == ("random_forest", "1.0.0")
    for index, single in enumerate(predicted(served, rows)):
        expected = np.array(list(single["probabilities"].values()), np.float32)
        assert result.as_numpy("probabilities")[index].tobytes() == expected.tobytes()
        assert result.as_numpy("prediction")[index] == single["prediction"]
        assert result.as_numpy("label")[index].decode() == single["prediction_label"]


@pytest.mark.parametrize(
    ("datatype", "dtype", "field"),
    [
        ("FP32", np.float32, "fp32_contents"),
        ("FP64", np.float64, "fp64_contents"),
        ("INT32", np.int32, "int_contents"),
        ("INT64", np.int64, "int64_contents"),
    ],
)
@pytest.mark.parametrize("count", [1, 3, 900])
def test_typed_contents_equal_raw_ones(served: Served, datatype: str, dtype: Any, field: str, count: int) -> None:
    rows = random_rows(count, 22, seed=12).astype(dtype)
    raw = served.client.infer("random_forest", [raw_input(rows, datatype)])
    typed = served.infer(typed_request(rows, datatype, field, id="7"))
    assert typed.id == "7"
    assert not typed.raw_output_contents
    assert [output.name for output in typed.outputs] == ["probabilities", "label", "prediction"]
    assert [list(output.shape) for output in typed.outputs] == [[count, 2], [count], [count]]
    contents = [output.contents for output in typed.outputs]
    assert np.array(contents[0].fp32_contents, np.float32).tobytes() == raw.as_numpy("probabilities").tobytes()
    assert list(contents[1].bytes_contents) == raw.as_numpy("label").tolist()
    assert list(contents[2].int64_contents) == raw.as_numpy("prediction").tolist()


def test_outputs_are_selected_in_order(served: Served) -> None:
    names = ["prediction", "probabilities"]
    outputs = [triton.InferRequestedOutput(name) for name in names]
    result = served.client.infer("random_forest", [raw_input(ROWS)], model_version="1.0.0", outputs=outputs)
    assert [output.name for output in result.get_response().outputs] == names
    assert result.as_numpy("label") is None
    assert result.as_numpy("prediction").shape == (4,)


def test_predictions_are_counted(served: Served) -> None:
    before = counted(served)
    served.client.infer("random_forest", [raw_input(random_rows(700, 22, seed=13))])
    assert counted(served) == before + 700


def counted(served: Served) -> float:
    """Return the number of predictions that a scrape shows."""
    lines = served.server.request("GET", "/metrics").body.decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("predictions_total{"))


def both(rows: NDArray[Any]) -> Any:
    """Return a request with raw and with typed contents."""
    return typed_request(rows, "FP32", "fp32_contents", raw_input_contents=[rows.tobytes()])


def with_value(value: float) -> NDArray[np.float32]:
    rows = ROWS.copy()
    rows[2, 5] = value
    return rows


def classified(rows: NDArray[Any]) -> Any:
    """Return a request that asks for a foreign extension."""
    request = typed_request(rows, "FP32", "fp32_contents")
    request.outputs.add(name="label").parameters["classification"].int64_param = 2
    return request


REFUSED: dict[str, tuple[Callable[[Served], Any], str, str]] = {
    "another model": (lambda s: s.client.infer("other", [raw_input(ROWS)]), "NOT_FOUND", "model_name: "),
    "another version": (
        lambda s: s.client.infer("random_forest", [raw_input(ROWS)], model_version="2"),
        "NOT_FOUND",
        "model_version: expected 1.0.0",
    ),
    "metadata of another": (lambda s: s.client.get_model_metadata("other"), "NOT_FOUND", "model_name: "),
    "ready, another": (lambda s: s.client.is_model_ready("other"), "NOT_FOUND", "model_name: "),
    "no input": (lambda s: s.client.infer("random_forest", []), "INVALID_ARGUMENT", "inputs: expected 1 tensor"),
    "NaN": (
        lambda s: s.client.infer("random_forest", [raw_input(with_value(np.nan))]),
        "INVALID_ARGUMENT",
        "features[2][5]: expected a finite number of float32's range, got nan",
    ),
    "typed infinity": (
        lambda s: s.infer(typed_request(with_value(np.inf), "FP32", "fp32_contents")),
        "INVALID_ARGUMENT",
        "features[2][5]: expected a finite number",
    ),
    "beyond float32": (
        lambda s: s.infer(typed_request(np.full((1, 22), 1e39), "FP64", "fp64_contents")),
        "INVALID_ARGUMENT",
        "features[0][0]: expected a finite number",
    ),
    "narrow": (
        lambda s: s.client.infer("random_forest", [raw_input(ROWS[:, :21].copy())]),
        "INVALID_ARGUMENT",
        "inputs[0].shape: expected [rows, 22], got [4, 21]",
    ),
    "flat": (
        lambda s: s.client.infer("random_forest", [raw_input(ROWS[0])]),
        "INVALID_ARGUMENT",
        "one row has the shape [1, 22]",
    ),
    "UINT8": (
        lambda s: s.client.infer("random_forest", [raw_input(ROWS.astype(np.uint8), "UINT8")]),
        "INVALID_ARGUMENT",
        "inputs[0].datatype: expected one of FP32, FP64, INT32, INT64, got UINT8",
    ),
    "too many rows": (
        lambda s: s.client.infer("random_forest", [raw_input(random_rows(3001, 22, seed=1))]),
        "RESOURCE_EXHAUSTED",
        "expected at most 3000 rows, got 3001",
    ),
    "too many bytes": (lambda s: s.call("ModelInfer", bytes(600_001)), "RESOURCE_EXHAUSTED", ""),
    "no contents": (
        lambda s: s.infer(typed_request(ROWS, "FP32", "fp64_contents")),
        "INVALID_ARGUMENT",
        "inputs[0].contents.fp32_contents: expected 88 elements, got 0",
    ),
    "contents twice": (lambda s: s.infer(both(ROWS)), "INVALID_ARGUMENT", "raw_input_contents: expected "),
    "short raw contents": (
        lambda s: s.infer(
            messages.ModelInferRequest(
                model_name="random_forest",
                inputs=[messages.ModelInferRequest.InferInputTensor(name="features", datatype="FP32", shape=[1, 22])],
                raw_input_contents=[bytes(87)],
            )
        ),
        "INVALID_ARGUMENT",
        "raw_input_contents[0]: expected 88 bytes of FP32 [1, 22], got 87",
    ),
    "unknown output": (
        lambda s: s.client.infer("random_forest", [raw_input(ROWS)], outputs=[triton.InferRequestedOutput("x")]),
        "INVALID_ARGUMENT",
        "outputs[0].name: expected one of probabilities, label, prediction, got x",
    ),
    "foreign extension": (
        lambda s: s.infer(classified(ROWS)),
        "INVALID_ARGUMENT",
        "outputs[0].parameters.classification: ",
    ),
    "no message": (lambda s: s.call("ModelInfer", b"\xff\xff"), "INVALID_ARGUMENT", "no message of this method"),
    "unknown method": (lambda s: s.call("ModelLoad", b""), "UNIMPLEMENTED", ""),
}


@pytest.mark.parametrize(("ask", "code", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_answered_is_a_status(
    served: Served, ask: Callable[[Served], Any], code: str, said: str
) -> None:
    with pytest.raises((InferenceServerException, grpc.RpcError)) as caught:
        ask(served)
    found, detail = status(caught.value)
    assert found == code
    assert said in detail
    assert served.client.is_server_live()


def status(error: Any) -> tuple[str, str]:
    """Return code and detail of a refused call, however it was made."""
    if isinstance(error, InferenceServerException):
        return error.status().removeprefix("StatusCode."), error.message()
    return error.code().name, error.details()


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    st.binary(max_size=60)
    | st.builds(
        lambda head, tail: head + tail,
        st.sampled_from([typed_request(ROWS, "FP32", "fp32_contents").SerializeToString()[:cut] for cut in (20, 60)]),
        st.binary(max_size=30),
    )
)
def test_no_bytes_are_more_than_an_invalid_argument(served: Served, content: bytes) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        served.call("ModelInfer", content)
    assert status(caught.value)[0] in ("INVALID_ARGUMENT", "NOT_FOUND")


def test_labels_are_utf8(three_class_path: Path) -> None:
    port = free_port()
    rows = random_rows(60, 5, seed=14)
    with running_server(three_class_path, GRPC_PORT=str(port)) as running:
        opened = Served(running, port)
        result = opened.client.infer("three", [raw_input(rows)])
        assert {text.decode() for text in result.as_numpy("label")} == set(THREE_CLASSES)
        assert result.as_numpy("label").tolist() == [
            THREE_CLASSES[index].encode() for index in result.as_numpy("prediction")
        ]
        opened.close()


def test_all_workers_listen_follow_a_reload_and_end_in_order(tmp_path: Path) -> None:
    path, port = tmp_path / "model.onnx", free_port()
    export_forest(path, "1.0.0")
    with running_server(path, GRPC_PORT=str(port), WORKERS="2") as running:
        for version in ("1.0.0", "2.0.0"):
            export_forest(path, version)
            assert running.request("POST", "/reload", b"").status == 200
            for _ in range(8):
                opened = Served(running, port)
                assert opened.client.infer("random_forest", [raw_input(ROWS)]).get_response().model_version == version
                opened.close()
        last = Served(running, port)
        assert last.client.is_server_ready()
        assert running.stop() == 0
        with pytest.raises(InferenceServerException, match="UNAVAILABLE"):
            last.client.is_server_live()
        last.close()


def test_a_taken_port_is_one_clear_line(served: Served, forest_path: Path) -> None:
    port = served.address.rpartition(":")[2]
    ended = start_and_fail(MODEL_PATH=str(forest_path), GRPC_PORT=port)
    assert ended == (1, f"tickline: HOST 127.0.0.1, GRPC_PORT {port}: cannot listen there: Address already in use\n")


def test_without_the_extra_the_start_stops_with_one_clear_line(forest_path: Path) -> None:
    code = "import sys; sys.modules['grpc'] = None; import tickline; sys.exit(tickline.main())"
    command = [sys.executable, "-c", code, "serve", "--grpc-port=1", f"--model-path={forest_path}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "tickline: GRPC_PORT 1: grpcio is not installed: pip install 'tickline[grpc]'\n"


def compile_messages(*options: str) -> None:
    """Run the compiler on our messages."""
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={MESSAGES}", *options, "inference.proto"]
    subprocess.run(command, check=True)


def test_the_generated_messages_are_current(tmp_path: Path) -> None:
    compile_messages(f"--python_out={tmp_path}", f"--pyi_out={tmp_path}")
    generated = sorted(tmp_path.iterdir())
    assert [path.name for path in generated] == ["inference_pb2.py", "inference_pb2.pyi"]
    for path in generated:
        assert path.read_text() == (MESSAGES / path.name).read_text()


def fields(message: DescriptorProto, prefix: str = "") -> set[tuple[object, ...]]:
    """Return what the wire sees of a message: name, number, type and label of each field, also of nested ones."""
    path = f"{prefix}.{message.name}"
    found: set[tuple[object, ...]] = {
        (path, field.name, field.number, field.type, field.type_name, field.label) for field in message.field
    }
    return found.union(*(fields(nested, path) for nested in message.nested_type))


def test_the_messages_are_those_of_the_client(tmp_path: Path) -> None:
    compile_messages(f"--descriptor_set_out={tmp_path / 'ours'}")
    ours = FileDescriptorSet.FromString((tmp_path / "ours").read_bytes()).file[0]
    theirs = FileDescriptorProto()
    messages.DESCRIPTOR.CopyToProto(theirs)
    assert ours.package == theirs.package
    known = {message.name: message for message in theirs.message_type}
    assert len(ours.message_type) == 14
    for message in ours.message_type:
        assert fields(message) <= fields(known[message.name])
    methods = {(method.name, method.input_type, method.output_type) for method in ours.service[0].method}
    assert len(methods) == 6
    assert methods <= {(method.name, method.input_type, method.output_type) for method in theirs.service[0].method}


def test_predictions_ask_for_a_token_and_probes_do_not(forest_path: Path) -> None:
    port = free_port()
    with running_server(forest_path, GRPC_PORT=str(port), PREDICT_TOKENS="secret-token") as running:
        opened = Served(running, port)
        client = opened.client
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("random_forest")
        for headers in ({}, {"authorization": "Bearer other"}, {"authorization": "secret-token"}):
            with pytest.raises(InferenceServerException, match="expected a bearer token") as caught:
                client.infer("random_forest", [raw_input(ROWS)], headers=headers)
            assert caught.value.status() == "StatusCode.UNAUTHENTICATED"
            with pytest.raises(InferenceServerException, match="expected a bearer token"):
                client.get_model_metadata("random_forest", headers=headers)
        twice = [("authorization", "Bearer secret-token")] * 2
        for method in ("ServerLive", "ServerMetadata"):
            with pytest.raises(grpc.RpcError, match="Authorization: expected 1 header, got 2") as refused:
                opened.call(method, b"", twice)
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        good = {"authorization": "Bearer secret-token"}
        assert len(client.infer("random_forest", [raw_input(ROWS)], headers=good).as_numpy("prediction")) == len(ROWS)
        opened.close()

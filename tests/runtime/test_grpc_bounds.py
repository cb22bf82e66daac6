"""Who is let in over gRPC, how much at once, and for how long: as over HTTP, by the same settings."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.runtime.conftest import random_rows
from tests.runtime.conversations import post, replies
from tests.runtime.guarded import BATCH, WAITING, rejected
from tests.runtime.guarded import status as http_status
from tests.runtime.test_grpc_server import ROWS, Served, counted, raw_input, status, typed_request
from tests.serving import free_port, running_server, self_signed, wait_until

CALLS, SECONDS = 80, 0.1
MOST_IN_FLIGHT = 2 * CALLS
MOST_METADATA = 8192
PATIENT = {"MAX_QUEUED_MS": "60000", "MAX_QUEUED_ROWS": "10000000"}


def refused(ask: Any) -> tuple[str, str]:
    """Return code and detail of a call that is refused."""
    with pytest.raises((InferenceServerException, grpc.RpcError)) as caught:
        ask()
    return status(caught.value)


def test_tokens_and_tls_are_those_of_http(forest_path: Path, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    tokens, port = tmp_path / "tokens", free_port()
    tokens.write_text("first-token\n")
    files = {"TLS_CERT_FILE": str(certificate), "TLS_KEY_FILE": str(key), "PREDICT_TOKEN_FILE": str(tokens)}
    with ExitStack() as stack:
        server = stack.enter_context(running_server(forest_path, GRPC_PORT=str(port), **files))
        address = f"127.0.0.1:{port}"
        client = triton.InferenceServerClient(address, ssl=True, root_certificates=str(certificate))
        stack.callback(client.close)

        def infer(token: str | None) -> Any:
            headers = {"authorization": f"Bearer {token}"} if token else None
            return client.infer("random_forest", [raw_input(ROWS)], headers=headers)

        assert infer("first-token").as_numpy("prediction").shape == (4,)
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("random_forest")
        for token in (None, "first-toke", "first-token2", ""):
            assert refused(lambda token=token: infer(token)) == (
                "UNAUTHENTICATED",
                "authorization: expected a bearer token",
            )
        for describe in (client.get_server_metadata, lambda: client.get_model_metadata("random_forest")):
            assert refused(describe)[0] == "UNAUTHENTICATED"
        tokens.write_text("second-token\n")
        wait_until(lambda: server.request("GET", "/", Authorization="Bearer second-token").status == 200, "it is read")
        assert refused(lambda: infer("first-token"))[0] == "UNAUTHENTICATED"
        assert infer("second-token").as_numpy("label").shape == (4,)
        plain = triton.InferenceServerClient(address)
        stack.callback(plain.close)
        assert refused(plain.is_server_live)[0] == "UNAVAILABLE"


@pytest.fixture(scope="module")
def bounded(forest_path: Path) -> Iterator[Served]:
    port = free_port()
    bounds = {"MAX_IN_FLIGHT": str(MOST_IN_FLIGHT), "MAX_HEADER_BYTES": str(MOST_METADATA), **PATIENT}
    with running_server(forest_path, GRPC_PORT=str(port), **bounds) as running:
        opened = Served(running, port)
        yield opened
        opened.close()


def test_excess_is_unavailable_at_once_and_says_when_to_come_back(bounded: Served) -> None:
    server, small = bounded.server, post(BATCH, path=WAITING)
    before = rejected(server, "in_flight")
    with ExitStack() as stack:
        held = [stack.enter_context(server.raw()) for _ in range(MOST_IN_FLIGHT // 2)]
        for stream in held:
            stream.sendall(small[:-1])
        line = b"requests_in_flight %d.0" % (len(held) + 1)
        wait_until(lambda: line in server.request("GET", "/metrics").body, "half is taken")
        with pytest.raises(grpc.RpcError) as caught:
            bounded.infer(typed_request(ROWS, "FP32", "fp32_contents"))
        assert status(caught.value) == ("UNAVAILABLE", "too many requests are under way")
        assert dict(caught.value.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
        assert rejected(server, "in_flight") == before + 1
        assert bounded.client.is_server_ready()
        for stream in held:
            stream.sendall(small[-1:])
            assert http_status(replies(stream, 1)) == 200
    assert len(bounded.infer(typed_request(ROWS, "FP32", "fp32_contents")).outputs) == 3


def test_metadata_is_bounded(bounded: Served) -> None:
    ask = bounded.client.is_server_live
    assert ask(headers={"x-some": "a" * (MOST_METADATA // 2)})
    assert refused(lambda: ask(headers={"x-some": "a" * (2 * MOST_METADATA)}))[0] == "RESOURCE_EXHAUSTED"


def test_a_deadline_that_passes_costs_no_inference(bounded: Served) -> None:
    """Calls that take longer together than each of them has: the first ones are answered, the others in no way."""
    rows = np.repeat(random_rows(50, 22, seed=15), 80, axis=0)
    content = typed_request(rows, "FP32", "fp32_contents").SerializeToString()
    late, before = rejected(bounded.server, "deadline"), counted(bounded)
    with grpc.insecure_channel(bounded.address) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        calls = [infer.future(content, timeout=SECONDS) for _ in range(CALLS)]
        ended = Counter(call.code().name for call in calls)
    assert set(ended) <= {"OK", "DEADLINE_EXCEEDED"}
    assert ended["DEADLINE_EXCEEDED"] > 0
    wait_until(lambda: rejected(bounded.server, "deadline") > late, "some were late at the server too")
    assert bounded.infer(typed_request(ROWS, "FP32", "fp32_contents")).outputs  # all before it have left the queue
    assert counted(bounded) - before - len(ROWS) < len(rows) * CALLS

"""Doors on the wire, alike on both lanes: tokens, TLS, a port for metrics alone."""

import json
from pathlib import Path

import pytest

from tests.runtime.conftest import LANES, TOKENS
from tests.runtime.conversations import ROW, ROWS, post, replies
from tests.runtime.guarded import BATCH, BEARER, WAITING, ask, status
from tests.runtime.test_server import start_and_fail
from tests.serving import DEADLINE_SECONDS, RunningServer, free_port, running_server, self_signed


def test_predictions_are_for_those_who_have_a_token(guarded: RunningServer) -> None:
    for scheme in (b"Bearer first-token", b"bearer second.token~=="):
        for _ in range(3):  # the second and third time the head is known
            assert status(ask(guarded, post(ROW, b"Authorization: " + scheme))) == 200
    for wrong in (b"Bearer", b"Bearer first", b"Bearer first-token1", b"Basic first-token", b"first-token", b""):
        reply = ask(guarded, post(ROW, b"Authorization: " + wrong))
        assert status(reply) == 401
        assert b"\r\nwww-authenticate: Bearer\r\n" in reply
        assert b"first" not in reply
    for path in ("/", "/predict/demo", "/model/info", "/openapi.json", "/v2", "/v2/models/random_forest"):
        assert guarded.request("GET", path).status == 401
        assert guarded.request("GET", path).headers["www-authenticate"] == "Bearer"
    for bulk in (b"/predict/batch", b"/predict/bars", b"/v2/models/random_forest/infer"):
        assert status(ask(guarded, post(BATCH, path=bulk))) == 401
    for path in ("/health", "/health/live", "/health/ready", "/v2/health/ready", "/metrics"):
        assert guarded.request("GET", path).status == 200
    assert status(ask(guarded, post(BATCH, BEARER, path=b"/predict/batch"))) == 200


def test_a_token_for_predictions_is_none_for_reloads(guarded: RunningServer) -> None:
    assert guarded.request("POST", "/reload", b"", Authorization="Bearer first-token").status == 401
    assert guarded.request("POST", "/reload", b"", Authorization="Bearer admin").status == 200
    assert status(ask(guarded, post(ROW, b"Authorization: Bearer admin"))) == 401


@pytest.mark.parametrize("path", [b"/predict", b"/predict/batch", WAITING, b"/reload", b"/health/live", b"/nowhere"])
def test_several_authorization_headers_are_refused_on_every_route(guarded: RunningServer, path: bytes) -> None:
    other, none, body = b"Authorization: Bearer other", b"Authorization: ", ROW if path == b"/predict" else BATCH
    for headers in ((BEARER, BEARER), (BEARER, other), (other, BEARER), (none, BEARER), (BEARER, none), (none,) * 3):
        with guarded.raw() as stream:
            for _ in range(2):
                stream.sendall(post(body, *headers, path=path))
                reply = replies(stream, 1)
                assert status(reply) == 400
                assert f"Authorization: expected 1 header, got {len(headers)}".encode() in reply
                assert b"Bearer" not in reply
            stream.sendall(post(ROW, BEARER))
            assert status(replies(stream, 1)) == 200


def test_several_authorization_headers_are_refused_without_tokens_too(server: RunningServer) -> None:
    for path in (b"/predict", b"/predict/batch", b"/reload"):
        assert status(ask(server, post(ROW, BEARER, BEARER, path=path))) == 400


def test_no_token_and_no_payload_is_logged(forest_path: Path) -> None:
    with running_server(
        forest_path, PREDICT_TOKENS=TOKENS, RELOAD_TOKEN="admin", ACCESS_LOG="1", LOG_LEVEL="DEBUG", LOG_FORMAT="json"
    ) as server:
        secret = b'{"features":[12345.678]}'
        assert status(ask(server, post(ROW, BEARER, b"X-Request-ID: good-1"))) == 200
        assert status(ask(server, post(secret, BEARER, path=b"/predict?key=query-secret"))) == 422
        assert status(ask(server, post(secret, b"Authorization: Bearer wrong-token"))) == 401
        assert server.stop() == 0
    lines = [json.loads(line) for line in server.log]
    logged = [line for line in lines if line["logger"] == "tickline.access" and line["path"] == "/predict"]
    assert [line["status"] for line in logged] == [200, 422, 401]
    assert logged[0]["request_id"] == "good-1"
    assert len({line["request_id"] for line in logged}) == 3
    whole = "".join(server.log)
    for word in ("first-token", "wrong-token", "admin", "12345.678", "query-secret"):
        assert word not in whole


@pytest.mark.parametrize("lane", LANES)
def test_tokens_are_read_again_when_their_file_changes(lane: str, forest_path: Path, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# who may ask\nold-token\n\n")
    with running_server(forest_path, LANE=lane, PREDICT_TOKEN_FILE=str(file)) as server:
        old, new = (post(ROW, b"Authorization: Bearer " + token) for token in (b"old-token", b"new-token"))
        with server.raw() as stream:
            for _ in range(3):
                stream.sendall(old)
                assert status(replies(stream, 1)) == 200
            assert status(ask(server, new)) == 401
            file.write_text("new-token\n")
            assert server.request("POST", "/reload", b"").status == 200
            stream.sendall(old)
            assert status(replies(stream, 1)) == 401
        assert status(ask(server, new)) == 200
        file.write_text("no token at all\n")
        server.wait_for_line("the tokens that were read before hold on")
        assert status(ask(server, new)) == 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"PREDICT_TOKENS": "has space"}, "PREDICT_TOKENS: token 1 is none"),
        ({"PREDICT_TOKEN_FILE": "/nowhere"}, "PREDICT_TOKEN_FILE /nowhere: cannot be read: No such file"),
        ({"RELOAD_TOKEN_FILE": "/dev/null"}, "RELOAD_TOKEN_FILE /dev/null: cannot be read: expected a file of"),
        ({"PREDICT_TOKEN_FILE": "/dev/zero"}, "PREDICT_TOKEN_FILE /dev/zero: cannot be read: expected a file of bytes"),
        ({"RELOAD_TOKEN_FILE": "/dev"}, "RELOAD_TOKEN_FILE /dev: cannot be read: Is a directory"),
        ({"TLS_CERT_FILE": "/nowhere"}, "TLS_KEY_FILE: expected a path, because TLS_CERT_FILE is set"),
        ({"TLS_CERT_FILE": "/nowhere", "TLS_KEY_FILE": "/nowhere"}, "TLS_CERT_FILE /nowhere: cannot be read: No such"),
        ({"TLS_CERT_FILE": __file__, "TLS_KEY_FILE": "/dev/zero"}, "TLS_KEY_FILE /dev/zero: cannot be read: expected"),
        ({"TLS_CERT_FILE": __file__, "TLS_KEY_FILE": __file__}, f"TLS_CERT_FILE {__file__}, TLS_KEY_FILE {__file__}:"),
    ],
)
def test_it_does_not_start_with_secrets_that_cannot_be_used(
    settings: dict[str, str], message: str, forest_path: Path
) -> None:
    code, error = start_and_fail(MODEL_PATH=str(forest_path), **settings)
    assert code == 1
    assert error.startswith(f"tickline: {message}")
    assert error.count("\n") == 1
    assert "has space" not in error


def test_metrics_have_a_port_of_their_own(forest_path: Path) -> None:
    port = free_port()
    with running_server(forest_path, METRICS_PORT=str(port)) as server:
        assert status(ask(server, post(ROW))) == 200
        assert server.request("GET", "/metrics").status == 404
        server.port, port = port, server.port
        assert server.request("GET", "/metrics").status == 200
        assert server.request("GET", "/health/ready").status == 200
        for _ in range(2):
            assert status(ask(server, post(ROW))) == 404


@pytest.mark.parametrize("lane", LANES)
def test_all_is_served_over_tls(lane: str, forest_path: Path, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    files = {"TLS_CERT_FILE": str(certificate), "TLS_KEY_FILE": str(key)}
    with running_server(forest_path, LANE=lane, **files) as server:
        with server.connection() as client:
            for row in ROWS * 3:
                assert client.post("/predict", row).json()["prediction_label"] in ("DOWN", "UP")
        assert ask(server, post(ROW)) == b""  # no word without TLS
        assert server.stop() == 0


def test_a_client_that_stops_in_its_handshake_loses_its_connection(forest_path: Path, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    files = {"TLS_CERT_FILE": str(certificate), "TLS_KEY_FILE": str(key)}
    with running_server(forest_path, HEADER_SECONDS="1", **files) as server:
        for beginning in (b"", b"\x16\x03\x01\x02"):
            with server.raw() as stream:
                stream.sendall(beginning)
                stream.settimeout(DEADLINE_SECONDS / 2)  # uvloop's own patience is a minute
                assert stream.recv(1) == b""
        assert server.request("GET", "/health/live").status == 200
        assert "Traceback" not in "".join(server.log)

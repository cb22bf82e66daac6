"""What can go wrong between a registry and a model file; tests/system/test_mlflow.py has a real MLflow server.

A stand-in speaks the server's part here, because a real one does not fail on request.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import tickline
from runtime import registry
from runtime.artifact import ArtifactError, read_sealed
from runtime.registry import (
    SHA256_TAG,
    NotRegisteredError,
    Reference,
    RegistryError,
    Server,
    fetch,
    parse_reference,
    write_model,
)

CHAMPION = Reference("tickline", "champion", None)


class StandIn:
    """Answers like an MLflow server with one version of one model; what it says may be changed."""

    def __init__(self, content: bytes, sha256: str) -> None:
        self.content = content
        self.version: Any = {"version": "3", "tags": [{"key": SHA256_TAG, "value": sha256}]}
        self.source = "mlflow-artifacts:/1/models/m-1/artifacts"
        self.failures: list[int] = []
        self.asked: list[str] = []
        self.authorization: str | None = None
        self.uri = ""

    def answer(self, path: str) -> tuple[int, bytes]:
        """Return status and body for a path."""
        self.asked.append(path)
        if self.failures:
            return self.failures.pop(0), b"<html>not now</html>"
        if path.startswith("/api/2.0/mlflow-artifacts/artifacts/1/models/m-1/artifacts/model.onnx"):
            return 200, self.content
        replies: dict[str, Any] = {
            "/api/2.0/mlflow/registered-models/get?name=tickline": {
                "registered_model": {"aliases": [{"alias": "champion", "version": "3"}]}
            },
            "/api/2.0/mlflow/model-versions/get?name=tickline&version=3": {"model_version": self.version},
            "/api/2.0/mlflow/model-versions/get-download-uri?name=tickline&version=3": {"artifact_uri": self.source},
        }
        if path in replies:
            return 200, json.dumps(replies[path]).encode()
        return 404, json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "not\nfound"}).encode()


@pytest.fixture
def stand_in(forest_path: Path) -> Iterator[StandIn]:
    """Return a running stand-in with a model that holds its certificate."""
    content, sha256 = read_sealed(forest_path)
    with answering(StandIn(content, sha256)) as running:
        yield running


@contextmanager
def answering(stand_in: StandIn) -> Iterator[StandIn]:
    """Run a stand-in on a port of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            stand_in.authorization = self.headers.get("Authorization")
            status, body = stand_in.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        stand_in.uri = f"http://127.0.0.1:{http.server_address[1]}"
        try:
            yield stand_in
        finally:
            http.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once, and know no credentials."""
    monkeypatch.setattr(registry, "_PAUSE_SECONDS", 0)
    for name in ("TOKEN", "USERNAME", "PASSWORD", "URI"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)


@pytest.mark.parametrize(
    ("text", "reference"),
    [("models:/tickline@champion", CHAMPION), ("models:/my model/12", Reference("my model", None, "12"))],
)
def test_a_reference_is_read_and_written(text: str, reference: Reference) -> None:
    assert parse_reference(text) == reference
    assert str(reference) == text


@pytest.mark.parametrize(
    "text", ["tickline@champion", "models:/tickline", "models:/a/b", "models:/a@", "models:/a/1/2"]
)
def test_any_other_reference_is_refused(text: str) -> None:
    with pytest.raises(RegistryError, match="model: expected models:/NAME@ALIAS or models:/NAME/VERSION, got"):
        parse_reference(text)


def test_a_version_is_fetched_and_verified(stand_in: StandIn, forest_path: Path) -> None:
    version = fetch(Server(stand_in.uri + "/"), CHAMPION)
    assert (version.name, version.number) == ("tickline", "3")
    assert version.content == forest_path.read_bytes()
    assert version.predictor.replay.label_flips == 0


def test_a_server_that_recovers_is_asked_again(stand_in: StandIn) -> None:
    stand_in.failures = [503, 500]
    assert fetch(Server(stand_in.uri), CHAMPION).number == "3"
    stand_in.failures = [503, 500, 502]
    with pytest.raises(RegistryError, match=r"MLflow at http://127\.0\.0\.1:\d+: 502: Bad Gateway"):
        fetch(Server(stand_in.uri), CHAMPION)


def test_what_is_not_there_is_named_and_not_asked_for_again(stand_in: StandIn) -> None:
    server = Server(stand_in.uri)
    with pytest.raises(NotRegisteredError, match=r"models:/tickline@challenger: no such alias .*: champion"):
        fetch(server, Reference("tickline", "challenger", None))
    stand_in.asked.clear()
    with pytest.raises(NotRegisteredError, match="404: not found"):
        fetch(server, Reference("tickline", None, "4"))
    assert len(stand_in.asked) == 1


def damage(content: bytes) -> bytes:
    return content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda it: setattr(it, "content", damage(it.content)), "models:/tickline/3: changed after export"),
        (lambda it: setattr(it, "content", it.content[:-9]), "models:/tickline/3: no seal at the end of the file"),
        (
            lambda it: it.version["tags"][0].update(value="other"),
            "models:/tickline/3: registered with sha256 other, got a file with",
        ),
        (lambda it: setattr(it, "source", "s3://bucket/1"), r"\(mlflow-artifacts:\), got s3://bucket/1: start it with"),
        (lambda it: setattr(it, "version", []), "model-versions/get: expected the answer of an MLflow server: "),
        (
            lambda it: it.version.update(version="../3\n"),
            "model-versions/get: expected the answer of an MLflow server: ",
        ),
        (lambda it: it.version.update(tags=[{}]), "model-versions/get: expected the answer of an MLflow server: "),
        (lambda it: setattr(it, "source", None), "get-download-uri: expected the answer of an MLflow server: "),
    ],
)
def test_a_file_that_is_not_what_it_should_be_leaves_the_old_one(
    stand_in: StandIn,
    change: Callable[[StandIn], None],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change(stand_in)
    with pytest.raises((ArtifactError, RegistryError), match=message):
        fetch(Server(stand_in.uri), CHAMPION)
    (tmp_path / "model.onnx").write_bytes(b"old")
    arguments = ["pull", str(CHAMPION), "--model-path", str(tmp_path), "--tracking-uri", stand_in.uri]
    assert tickline.main(arguments) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"model.onnx": b"old"}


def test_another_service_is_recognized(stand_in: StandIn) -> None:
    stand_in.answer = lambda path: (200, b"<html>welcome</html>")  # type: ignore[method-assign]
    with pytest.raises(RegistryError, match="expected the JSON of an MLflow server, got b'<html>welcome</html>'"):
        fetch(Server(stand_in.uri), CHAMPION)


@pytest.mark.parametrize(
    "model", [[], {"aliases": None}, {"aliases": [None]}, {"aliases": [{"alias": "champion"}]}], ids=repr
)
def test_an_answer_of_another_shape_is_one_line(stand_in: StandIn, model: object) -> None:
    body = json.dumps({"registered_model": model}).encode()
    stand_in.answer = lambda path: (200, body)  # type: ignore[method-assign]
    with pytest.raises(RegistryError, match="registered-models/get: expected the answer of an MLflow server: "):
        fetch(Server(stand_in.uri), CHAMPION)


@pytest.mark.parametrize("body", [b'{"x":' + b"[" * 100_000, b"\xff", b""], ids=len)
def test_what_is_no_json_is_one_line(stand_in: StandIn, body: bytes) -> None:
    stand_in.answer = lambda path: (200, body)  # type: ignore[method-assign]
    with pytest.raises(RegistryError, match="expected the JSON of an MLflow server, got b'"):
        fetch(Server(stand_in.uri), CHAMPION)


@pytest.mark.parametrize("uri", ["http://", "http://[", "http://a\nb"])
def test_an_address_that_is_none_is_one_line(uri: str) -> None:
    with pytest.raises(RegistryError, match="MLFLOW_TRACKING_URI: expected the address of a server, got 'http://"):
        Server(uri)


def test_no_message_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        RegistryError, match="MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD take them"
    ) as refused:
        Server("http://me:secret@127.0.0.1:5001")
    assert "secret" not in str(refused.value)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret\n")
    with pytest.raises(RegistryError, match="MLFLOW_TRACKING_TOKEN: expected one line of ASCII") as refused:
        fetch(Server("http://127.0.0.1:1"), CHAMPION)
    assert "secret" not in str(refused.value)


def test_pull_writes_once(stand_in: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["pull", str(CHAMPION), "--model-path", str(tmp_path / "deep"), "--tracking-uri", stand_in.uri]
    assert tickline.main(arguments) == 0
    path = tmp_path / "deep" / "model.onnx"
    assert capsys.readouterr().out.startswith(f"wrote {path}: version 3 of tickline, ")
    written = path.stat()
    assert written.st_mode & 0o777 == 0o644
    assert tickline.main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["written"], report["registry_version"], report["path"]) == (False, "3", str(path))
    assert hashlib.sha256(stand_in.content).digest() == hashlib.sha256(path.read_bytes()).digest()
    assert path.stat().st_mtime_ns == written.st_mtime_ns
    assert [entry.name for entry in path.parent.iterdir()] == ["model.onnx"]


def test_a_link_stays_and_the_file_that_it_leads_to_is_the_new_one(tmp_path: Path) -> None:
    path, kept = tmp_path / "model.onnx", tmp_path / "kept.onnx"
    path.symlink_to(kept)
    assert [write_model(content, path) for content in (b"old", b"new", b"new")] == [True, True, False]
    assert path.is_symlink()
    assert kept.read_bytes() == b"new"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RegistryError, match=r"file/model\.onnx: cannot be written: Not a directory"):
        write_model(b"new", tmp_path / "file" / "model.onnx")


@pytest.mark.parametrize(
    ("environment", "header"),
    [
        ({}, None),
        ({"TOKEN": "secret"}, "Bearer secret"),
        ({"USERNAME": "me", "PASSWORD": "it", "TOKEN": "secret"}, "Basic bWU6aXQ="),
    ],
)
def test_credentials_are_those_of_mlflows_own_client(
    environment: dict[str, str], header: str | None, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    fetch(Server(stand_in.uri), CHAMPION)
    assert stand_in.authorization == header


def test_a_server_that_does_not_answer_is_one_line(
    closed_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"http://127.0.0.1:{closed_port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for command in (["pull", "models:/tickline@champion"], ["promote"]):
        assert tickline.main(command) == 1
        expected = f"tickline: MLflow at {uri}: no answer: [Errno 111] Connection refused\n"
        assert capsys.readouterr() == ("", expected)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert tickline.main(["pull", "models:/tickline@champion"]) == 1
    assert "MLFLOW_TRACKING_URI: expected http:// or https://, got 'sqlite:///mlflow.db'" in capsys.readouterr().err

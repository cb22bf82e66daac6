"""Commands that are shown: each is run by a shell, as a reader would."""

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runtime.address import ADDRESS
from runtime.artifact import CARD_KEY
from runtime.curl import write_commands
from tests.runtime.conftest import edited
from tests.serving import RunningServer, running_server

HOSTILE = "it's; $(touch stolen) `touch stolen` \" <b> \\ 100% é {x} #?"
NAME = HOSTILE.replace("%", "")  # of a model: it has none


def run(command: str, folder: Path, **variables: str) -> tuple[int, bytes]:
    """Run a command as it stands and return the status and the body of its reply."""
    with_status = command.replace("curl -s ", "curl -s -w '%{stderr}%{http_code}' ", 1)
    done = subprocess.run(
        ["sh", "-c", with_status],
        cwd=folder,
        capture_output=True,
        check=True,
        timeout=60,
        env={**os.environ, **variables},
    )
    return int(done.stderr), done.stdout


def routes(server: RunningServer, **headers: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.request("GET", "/", **headers).json()["routes"]
    return found


def test_every_command_works_in_the_order_in_which_it_is_shown(server: RunningServer, tmp_path: Path) -> None:
    seen = set()
    for route in routes(server):
        status, body = run(route["example"], tmp_path)
        assert 200 <= status < 300, (route, body)
        seen.add((route["method"], route["path"]))
    document = server.request("GET", "/openapi.json").json()
    assert seen == {(method.upper(), path) for path, item in document["paths"].items() for method in item}


def test_bars_are_sent_as_a_file_too(server: RunningServer, tmp_path: Path) -> None:
    path = "/predict/bars"
    document = server.request("GET", "/openapi.json").json()
    commands = dict(write_commands("POST", path, document["paths"][path]["post"]))
    address = f"http://127.0.0.1:{server.port}"
    status, body = run(commands["file"].replace(ADDRESS, address), tmp_path)
    _, expected = run(commands["rows"].replace(ADDRESS, address), tmp_path)
    assert status == 200, body
    assert json.loads(body)["probability"] == json.loads(expected)["probability"]
    assert json.loads(body)["bar"] == {"index": 49, "date": "2026-02-19"}


def test_no_name_of_a_model_reaches_the_shell(forest_path: Path, tmp_path: Path) -> None:
    def rename(card: str) -> str:
        return json.dumps({**json.loads(card), "name": NAME, "version": HOSTILE})

    path = tmp_path / "model.onnx"
    path.write_bytes(edited(forest_path.read_bytes(), CARD_KEY, rename))
    with running_server(path) as server:
        named = [route for route in routes(server) if "{model_name}" in route["path"]]
        assert len(named) == 6
        for route in named:
            status, body = run(route["example"], tmp_path)
            assert status == 200, (route, body)
            reply = json.loads(body)
            assert NAME in (reply.get("name"), reply.get("model_name"))
    assert not (tmp_path / "stolen").exists()


def test_tokens_come_from_the_shell(forest_path: Path, tmp_path: Path) -> None:
    with running_server(forest_path, PREDICT_TOKENS="first-token", RELOAD_TOKEN="second") as server:
        for route in routes(server, Authorization="Bearer first-token"):
            if route["path"] in ("/predict", "/model/info", "/reload"):
                status, body = run(route["example"], tmp_path, PREDICT_TOKEN="first-token", RELOAD_TOKEN="second")
                assert status == 200, (route, body)
                status, body = run(route["example"], tmp_path, PREDICT_TOKEN="wrong", RELOAD_TOKEN="wrong")
                assert status == 401, (route, body)


@pytest.mark.parametrize(("port", "shown"), [(0, False), (9100, True)])
def test_the_metrics_may_have_a_port_of_their_own(port: int, shown: bool) -> None:
    ((_, command),) = write_commands("GET", "/metrics", {}, port)
    assert command.endswith(":9100/metrics") == shown


def test_each_example_of_a_body_is_a_command() -> None:
    examples = {"one": {"value": {"a": "it's"}}, "two": {"value": [1]}}
    operation = {"requestBody": {"content": {"application/json": {"examples": examples}}}}
    commands = dict(write_commands("PUT", "/x", operation))
    assert list(commands) == ["one", "two"]
    words = shlex.split(commands["one"])
    assert words[:4] == ["curl", "-s", "-X", "PUT"]
    assert words[-1] == '{"a":"it\'s"}'

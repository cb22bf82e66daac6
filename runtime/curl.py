"""Operations as commands of curl that work as they stand."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from runtime.address import ADDRESS, HOST
from runtime.bodies import JSON
from runtime.operations import PREDICT_TOKEN, TOKEN

_TOKENS = {TOKEN: "RELOAD_TOKEN", PREDICT_TOKEN: "PREDICT_TOKEN"}
"""Variables of the reader's shell in which commands look for a token."""


def write_commands(
    method: str, path: str, operation: Mapping[str, Any], metrics_port: int = 0
) -> Iterator[tuple[str, str]]:
    """Yield a command for each example of an operation's body, with the example's name; one where there is no body.

    Parameters
    ----------
    method, path : str
        The operation's place in an OpenAPI document.
    operation : mapping
        The operation.
    metrics_port : int
        Port of `/metrics` where it has one of its own, else 0.
    """
    values = {
        parameter["name"]: quote(parameter["example"], safe="")
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "path"
    }
    address = f"{HOST}:{metrics_port}" if metrics_port and path == "/metrics" else ADDRESS
    bodies = [
        (name, kind, example["value"])
        for kind, media in operation.get("requestBody", {}).get("content", {}).items()
        for name, example in media.get("examples", {}).items()
    ]
    usual = "POST" if bodies else "GET"
    words = ["curl", "-s", *(() if method == usual else ("-X", method)), shlex.quote(address + path.format(**values))]
    for requirement in operation.get("security", ()):
        words += [f'-H "Authorization: Bearer ${_TOKENS[name]}"' for name in requirement]
    command = " ".join(words)
    if not bodies:
        yield "", command
    for name, kind, value in bodies:
        flag, content = ("-d", msgspec.json.encode(value).decode()) if kind == JSON else ("--data-binary", value)
        yield name, f"{command} -H 'Content-Type: {kind}' {flag} {shlex.quote(content)}"

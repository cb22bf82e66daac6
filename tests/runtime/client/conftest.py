"""Clients of both kinds, and a server with the usual limits."""

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.client import (
    AsyncClient,
    Client,
)
from tests.serving import RunningServer, running_server


class Asked:
    """One kind of client behind the same blocking methods; every call keeps to one client."""

    def __init__(self, kind: type[Client] | type[AsyncClient], url: str, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = kind(url, **options)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if not inspect.iscoroutinefunction(method):
            return method
        return lambda *given, **named: self._runner.run(method(*given, **named))

    def end(self) -> None:
        """Close the client and its loop."""
        self.close()
        self._runner.close()


@pytest.fixture(params=[Client, AsyncClient])
def ask(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Make clients of either kind."""
    made: list[Asked] = []

    def make(url: str, **options: Any) -> Asked:
        made.append(Asked(request.param, url, **options))
        return made[-1]

    yield make
    for one in made:
        one.end()


@pytest.fixture(scope="module")
def roomy(forest_path: Path) -> Iterator[RunningServer]:
    """A server with the usual limits."""
    with running_server(forest_path) as running:
        yield running


def url(server: RunningServer) -> str:
    return f"http://127.0.0.1:{server.port}"

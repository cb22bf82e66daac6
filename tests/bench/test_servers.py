"""Servers that are measured: found ready, counted, and stopped whatever happens."""

import sys

import pytest

from bench.servers import Contender, MeasureError, Request, Server, find_program, started

STATIC = Contender("static", [sys.executable, "-m", "http.server", "{port}", "--bind", "127.0.0.1"], Request("/"))


def test_a_missing_program_names_its_package() -> None:
    with pytest.raises(MeasureError, match="Debian has it in the package nothing-load"):
        find_program("no-such-program", "nothing-load")


def test_a_server_is_measured_and_stopped_when_the_block_fails() -> None:
    seen: list[Server] = []

    def fail() -> None:
        with started(STATIC) as server:
            seen.append(server)
            assert server.ready_seconds > 0
            assert server.cpu_seconds() > 0
            assert server.resident_mebibytes() > 1
            assert server.ask(Request("/no-such-file"))[0] == 404
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen[0].process.poll() is not None
    assert seen[0].cpu_seconds() == 0


def test_a_server_that_ends_says_why() -> None:
    broken = Contender("broken", [sys.executable, "-c", "raise SystemExit('no model')"], Request("/"))
    with pytest.raises(MeasureError, match="broken does not serve:\nno model"), started(broken):
        pass

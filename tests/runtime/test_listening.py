"""The end of listening: who has come is served, in this worker where it is the last one, else in another."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any

import pytest
import uvloop

from runtime.listening import Listening, drop_beginnings

LOOPS = (uvloop.new_event_loop, asyncio.new_event_loop)
SYN_SENT = 2
COUNT = 50


class Echo(asyncio.Protocol):
    """Sends the first piece back, and ends the connection."""

    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert self.transport
        self.transport.write(data)
        self.transport.close()


def run(loop: Callable[[], asyncio.AbstractEventLoop], work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(work)


def state(stream: socket.socket) -> int:
    return stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


@pytest.mark.parametrize("loop", LOOPS)
def test_the_last_worker_serves_all_who_wait_to_be_accepted(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def work() -> None:
        listening = Listening(asyncio.get_running_loop(), lambda: True, None)
        server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, backlog=2 * COUNT)
        address = server.sockets[0].getsockname()
        with ExitStack() as opened:
            # The loop does not turn meanwhile, and so nobody accepts them.
            clients = [opened.enter_context(socket.create_connection(address)) for _ in range(COUNT)]
            for client in clients:
                client.sendall(b"asked")
            await listening.end()
            for client in clients:
                client.settimeout(10)
                assert await asyncio.to_thread(client.recv, 10) == b"asked"
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address)

    run(loop, work())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_worker_that_is_not_the_last_leaves_the_socket_to_the_others(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def work() -> None:
        listening = Listening(asyncio.get_running_loop(), lambda: False, None)
        with socket.create_server(("127.0.0.1", 0)) as shared:
            await asyncio.get_running_loop().create_server(Echo, sock=shared.dup())
            await listening.end()
            with socket.create_connection(shared.getsockname()) as client:
                accepted, _ = shared.accept()
                with accepted:
                    client.sendall(b"asked")
                    assert accepted.recv(10) == b"asked"

    run(loop, work())


def test_connections_that_begin_are_dropped_and_those_that_are_made_go_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as early:
        drop_beginnings(listener)
        with socket.socket() as late:
            late.setblocking(False)
            late.connect_ex(listener.getsockname())
            assert state(late) == SYN_SENT
        accepted, _ = listener.accept()
        with accepted:
            early.sendall(b"asked")
            assert accepted.recv(10) == b"asked"


def test_an_end_without_connections_waits_for_none_and_the_loop_is_given_back() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        before = loop.create_server
        listening = Listening(loop, lambda: False, None)
        begun = loop.time()
        await loop.create_server(Echo, "127.0.0.1", 0)
        ending = asyncio.ensure_future(listening.end())
        await asyncio.sleep(0)
        assert ending.done()
        assert loop.time() >= begun
        listening.close()
        assert loop.create_server == before

    run(uvloop.new_event_loop, work())

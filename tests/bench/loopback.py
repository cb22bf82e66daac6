"""A tiny server for tests, in a thread: it answers as a test says, right or wrong."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Answer = Callable[[bytes, bytes], bytes | None]
"""From request line and body to the bytes that are sent back; None closes the connection instead."""


def reply(body: bytes, status: bytes = b"200 OK", more: bytes = b"") -> bytes:
    """Return a whole reply."""
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), more, body)


def _serve(stream: socket.socket, answer: Answer) -> None:
    with stream:
        received = b""
        while piece := stream.recv(1 << 18):
            received += piece
            while b"\r\n\r\n" in received:
                head, _, rest = received.partition(b"\r\n\r\n")
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
                length = int(fields.get(b"content-length", 0))
                if len(rest) < length:
                    break
                received = rest[length:]
                answered = answer(head.split(b"\r\n")[0], rest[:length])
                if answered is None:
                    return
                stream.sendall(answered)


@contextmanager
def loopback(answer: Answer) -> Iterator[int]:
    """Serve on a free port until the block is left."""
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                stream, _ = listener.accept()
            except OSError:
                return
            streams.append(stream)
            thread = threading.Thread(target=_quietly, args=(stream, answer))
            thread.start()
            threads.append(thread)

    streams: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for stream in streams:
                try:
                    stream.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client has gone before
            for thread in threads:
                thread.join()


def _quietly(stream: socket.socket, answer: Answer) -> None:
    try:
        _serve(stream, answer)
    except OSError:
        return  # the client has gone

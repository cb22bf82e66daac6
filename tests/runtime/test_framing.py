"""Framing on the wire, alike on both lanes: what two readers could take for two things is refused."""

import re
import select
import socket
from contextlib import suppress

import pytest

from tests.runtime.conversations import ROW, chunked, post, replies
from tests.runtime.guarded import BATCH, BEARER, CHUNKS, HEAD, WAITING, ask, status
from tests.serving import RunningServer

HOSTS = (
    b"",
    b"a_b.c:5000",
    b"127.0.0.1:",
    b"[::1]:80",
    b"[::ffff:1.2.3.4]",
    b"[v1.a:b]",
    b"%41b",
    b"a,b;c=d!~",
    b":80",
)
NO_HOSTS = (
    *(b"a b", b"a/b", b"user@a", b"a?b", b"a#b", b"<a>", b'"a"', b"a\\b", b"a^b", b"\xe9", b"a\tb", b"%4", b"%zz"),
    *(b"::1", b"[::1", b"[]", b"[g]", b"[::1]x", b"a:b", b"a:80:80"),
)
HOSTILE = {
    "many headers": (post(ROW, BEARER, *(b"X: 1" for _ in range(100))), 431),
    "a large header": (post(ROW, BEARER, b"X: " + b"a" * 5000), 431),
    "a large header name": (post(ROW, BEARER, b"X" * 5000 + b": 1"), 431),
    "a large target": (post(ROW, BEARER, path=b"/predict?" + b"a" * 5000), 431),
    "headers without end": (HEAD + b"X: 1\r\n" * 100_000, 431),
    "one header without end": (HEAD + b"X: " + b"a" * 600_000, 431),
    "a long body": (HEAD + BEARER + b"\r\nContent-Length: 65537\r\n\r\n", 413),
    "no host": (post(ROW, BEARER).replace(b"Host: localhost\r\n", b""), 400),
    "two hosts": (post(ROW, BEARER, b"Host: other"), 400),
    **{f"the host {host!r}": (post(ROW, BEARER).replace(b"localhost", host), 400) for host in NO_HOSTS},
    "a host that is none, of a batch": (post(ROW, BEARER, path=b"/predict/batch").replace(b"localhost", b"a/b"), 400),
    "a host that is none, by HTTP/1.0": (b"GET /health HTTP/1.0\r\nHost: a b\r\n\r\n", 400),
    "a method that nobody knows": (post(ROW, BEARER).replace(b"POST", b"BREW-TEA"), 501),
    "a method that begins as one": (post(ROW, BEARER).replace(b"POST", b"POSTS"), 501),
    "a method in small letters": (post(ROW, BEARER).replace(b"POST", b"post"), 501),
    "a method that is no token": (post(ROW, BEARER).replace(b"POST", b"P(ST"), 400),
    "a method without a target": (b"BREW\r\n\r\n", 400),
    "two equal lengths": (post(ROW, BEARER, b"Content-Length: %d" % len(ROW)), 400),
    "a list of lengths": (post(b"", BEARER, b"Content-Length: 1, 1", length=False), 400),
    "a length with a sign": (post(b"", BEARER, b"Content-Length: +1", length=False), 400),
    "a length of many digits": (post(b"", BEARER, b"Content-Length: " + b"0" * 3000, length=False), 400),
    "a batch's length of many digits": (
        post(b"", BEARER, b"Content-Length: " + b"0" * 3000, length=False, path=b"/predict/batch"),
        400,
    ),
    "a length beyond 64 bits": (post(b"", BEARER, b"Content-Length: 18446744073709551617", length=False), 400),
    "length, then chunked": (post(ROW, BEARER, b"Transfer-Encoding: chunked"), 400),
    "chunked, then length": (CHUNKS.replace(b"chunked\r\n", b"chunked\r\nContent-Length: 3\r\n") + b"0\r\n\r\n", 400),
    "chunked twice": (CHUNKS.replace(b": chunked", b": chunked, chunked") + b"0\r\n\r\n", 400),
    "chunked, then another": (CHUNKS.replace(b": chunked", b": chunked, gzip") + b"0\r\n\r\n", 400),
    "gzip, then chunked": (CHUNKS.replace(b": chunked", b": gzip, chunked") + b"0\r\n\r\n", 501),
    "identity": (CHUNKS.replace(b": chunked", b": identity"), 501),
    "not quite chunked": (CHUNKS.replace(b": chunked", b": xchunked"), 501),
    "chunked by HTTP/1.0": (CHUNKS.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n", 400),
    "CONNECT": (post(ROW, BEARER).replace(b"POST", b"CONNECT"), 501),
    "a port beyond 16 bits": (post(ROW, BEARER, path=b"http://x:99999/"), 400),
    "HTTP/0.9": (b"GET /health\r\n\r\n", 505),
    "HTTP/1.2": (HEAD.replace(b"1.1", b"1.2") + b"\r\n", 400),
    "a folded length": (post(b"", BEARER, b"Content-Length:\r\n 1", length=False), 400),
    "a bare line feed": (HEAD.replace(b"\r\n", b"\n") + b"\n", 400),
    "a bare line feed after a header": (HEAD + b"X: 1\nContent-Length: 1\r\n\r\nx", 400),
    "a bare carriage return": (HEAD + b"X: 1\rY: 2\r\n\r\n", 400),
    "a tab before the colon": (HEAD + b"Content-Length\t: 1\r\n\r\nx", 400),
    "a NUL in a header": (HEAD + b"X: a\x00b\r\n\r\n", 400),
    "a chunk with a sign": (CHUNKS + b"-1\r\nx\r\n0\r\n\r\n", 400),
    "a chunk by 0x": (CHUNKS + b"0x1\r\nx\r\n0\r\n\r\n", 400),
    "a chunk with a space": (CHUNKS + b"1 \r\nx\r\n0\r\n\r\n", 400),
    "a chunk beyond 64 bits": (CHUNKS + b"1" + b"0" * 16 + b"\r\nx", 400),
    "a chunk ended by a line feed": (CHUNKS + b"1\nx\n0\n\n", 400),
    "a chunk with more than its size": (CHUNKS + b"1\r\nxy\r\n0\r\n\r\n", 400),
    "a length as a trailer": (CHUNKS + b"1\r\nx\r\n0\r\nContent-Length: 5\r\n\r\n", 400),
}


@pytest.mark.parametrize(("request_bytes", "expected"), HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_hostile_is_refused_and_its_connection_ends(
    guarded: RunningServer, request_bytes: bytes, expected: int
) -> None:
    with guarded.raw() as stream:
        for start in range(0, len(request_bytes), 8192):
            try:
                stream.sendall(request_bytes[start : start + 8192])
            except OSError:  # the server has answered and closed
                break
        reply = replies(stream, 1)
        assert status(reply) == expected
        if expected != 413:
            assert b"\r\nconnection: close\r\n" in reply
            assert stream.recv(1) == b""
    assert guarded.request("GET", "/health/live").status == 200


def test_a_method_that_nobody_knows_is_told_from_rubbish_behind_others_too(guarded: RunningServer) -> None:
    row, brew = post(ROW, BEARER), HOSTILE["a method that nobody knows"][0]
    others = (
        *(row, row * 3, CHUNKS + chunked(ROW, 9), post(brew, BEARER), post(BATCH, BEARER, path=WAITING)),
        b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
    )
    for before in others:
        for last, expected in (
            (brew, b"501"),
            (b"post / HTTP/1.1\r\n", b"501"),
            (b"\0", b"400"),
            (b"BREW\r\n", b"400"),
        ):
            with guarded.raw() as stream:
                stream.sendall(before + last)
                answers = replies(stream, 9)
            found = re.findall(rb"HTTP/1.1 (\d+)", answers)
            assert found[-1] == expected
            assert len(found) == before.count(b"Host") - before.count(b"BREW-TEA") + 1


BREW, BROKEN = b"BREW-TEA / HTTP/1.1\r\n", b"PRE(W / HTTP/1.1\r\n"


@pytest.mark.parametrize("before", [b"", post(ROW, BEARER), post(BATCH, BEARER, path=WAITING)])
@pytest.mark.parametrize(
    ("line", "expected"), [(BREW, b"501"), (b"PROPOSE / HTTP/1.1\r\n", b"501"), (BROKEN, b"400"), (b"Zap\r\n", b"400")]
)
def test_a_method_that_nobody_knows_may_come_in_pieces(
    guarded: RunningServer, before: bytes, line: bytes, expected: bytes
) -> None:
    cuts = [(cut,) for cut in range(1, len(line))] + [(2, 4), tuple(range(1, len(line)))]
    for together in (True, False) if before else (True,):
        for cut in cuts:
            with guarded.raw() as stream:
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if not together:
                    stream.sendall(before)
                    assert status(replies(stream, 1)) == 200
                send_apart(guarded, stream, (before if together else b"") + line[: cut[0]], line, cut)
                answers = re.findall(rb"HTTP/1.1 (\d+)", replies(stream, 3))
            assert answers == [b"200"] * (together and before != b"") + [expected], cut


@pytest.mark.parametrize("path", [b"/predict", b"/predict/batch", WAITING])
def test_a_request_may_be_cut_anywhere(guarded: RunningServer, path: bytes) -> None:
    whole = post(ROW if path == b"/predict" else BATCH, BEARER, path=path)
    head = whole.index(b"\r\n\r\n") + 6
    with guarded.raw() as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for cut in (*range(1, head), *range(head, len(whole), 97)):
            send_apart(guarded, stream, whole[:cut], whole, (cut,))
            assert status(replies(stream, 1)) == 200


def send_apart(server: RunningServer, stream: socket.socket, first: bytes, whole: bytes, cuts: tuple[int, ...]) -> None:
    """Send the first piece, then the others of the whole, each when the server has read the one before."""
    stream.sendall(first)
    for start, end in zip(cuts, (*cuts[1:], len(whole)), strict=True):
        server.request("GET", "/health/live")  # its worker has one loop, which turns to all that has come
        with suppress(OSError):  # the server has answered and closed
            stream.sendall(whole[start:end])


@pytest.mark.parametrize("host", HOSTS)
def test_any_host_that_may_be_one_is_served(guarded: RunningServer, host: bytes) -> None:
    for path, body in ((b"/predict", ROW), (b"/predict/batch", BATCH), (WAITING, BATCH)):
        assert status(ask(guarded, post(body, BEARER, path=path).replace(b"localhost", host))) == 200


def test_a_method_that_is_known_and_not_allowed_is_a_405(guarded: RunningServer) -> None:
    for method in (b"PROPFIND", b"TRACE", b"QUERY", b"M-SEARCH", b"GET"):
        reply = ask(guarded, post(ROW, BEARER).replace(b"POST", method))
        assert status(reply) == 405
        assert b"\r\nallow: POST\r\n" in reply


@pytest.mark.parametrize("flood", [b"1;" + b"a" * 4000 + b"\r\nx\r\n", b"0\r\n" + b"X: 1\r\n" * 1000])
def test_chunks_that_are_nearly_all_frame_are_refused(guarded: RunningServer, flood: bytes) -> None:
    # Each piece is sent when the server has read the one before: what is bounded is what it reads beside content.
    with guarded.raw() as stream:
        stream.sendall(CHUNKS)
        stream.sendall(b"1\r\n{\r\n")
        sent = 0
        while not select.select([stream], [], [], 0.01)[0]:
            assert sent < 2**21, "the server reads on"
            try:
                stream.sendall(flood if not sent or flood[:1] == b"1" else b"X: 1\r\n" * 1000)
            except OSError:
                return
            sent += len(flood)
        assert stream.recv(1 << 16)[9:12] == b"400"


def test_small_chunks_are_no_flood(guarded: RunningServer) -> None:
    whole = chunked(ROW, *(1 for _ in ROW))
    with guarded.raw() as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.sendall(CHUNKS)
        for start in range(0, len(whole), 6):
            stream.sendall(whole[start : start + 6])
        assert status(replies(stream, 1)) == 200

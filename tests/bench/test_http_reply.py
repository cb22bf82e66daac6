"""The reader of replies takes whole and well-formed ones, and says what is wrong with all others."""

import pytest

from bench.http_reply import Head, HeadReader, ReplyError, parse_head

REPLY = b"HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: 5\r\n\r\nhello"


def test_a_head_is_known_with_its_empty_line() -> None:
    reader = HeadReader()
    start = REPLY.index(b"hello")
    assert [reader.read(REPLY[:length]) is not None for length in range(len(REPLY) + 1)] == [False] * start + [True] * 6
    assert reader.read(REPLY) == Head(200, len(REPLY), start, True)
    assert reader.read(bytearray(REPLY)) == reader.read(REPLY)


@pytest.mark.parametrize(
    ("first", "more", "expected"),
    [
        (b"HTTP/1.1 200 OK", b"", True),
        (b"HTTP/1.1 200 OK", b"\r\nConnection: Close", False),
        (b"HTTP/1.0 200 OK", b"", False),
        (b"HTTP/1.0 200", b"\r\nconnection: keep-alive", True),
    ],
)
def test_whether_a_connection_stays(first: bytes, more: bytes, expected: bool) -> None:
    assert parse_head(first + b"\r\ncontent-length: 0" + more).keep_alive == expected


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"SSH-2.0-x",
        b"HTTP/2 200 OK\r\nContent-Length: 1",
        b"HTTP/1.1 20 OK\r\nContent-Length: 1",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 1",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nno colon",
        b"HTTP/1.1 200 OK\r\nContent-Length : 1",
    ],
)
def test_what_is_malformed_is_refused(head: bytes) -> None:
    with pytest.raises(ReplyError):
        parse_head(head)


def test_a_head_without_an_end_is_refused() -> None:
    with pytest.raises(ReplyError, match="a head of more than"):
        HeadReader().read(b"HTTP/1.1 200 OK\r\n" + b"a" * 70_000)


def test_many_different_heads_do_not_pile_up() -> None:
    reader = HeadReader()
    for number in range(3000):
        head = reader.read(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % number)
        assert head is not None
        assert head.length == head.start + number
    assert len(reader._known) <= 1024

"""Known heads: remembered as they came, and never more than a bounded number of bytes."""

from typing import Any

from runtime.known_heads import LONGEST_HEAD, MOST_HEADS, KnownHeads

REQUEST: Any = object()


def test_a_head_is_known_by_all_of_its_bytes() -> None:
    heads = KnownHeads()
    heads.learn(b"POST /predict HTTP/1.1\r\n\r\n", 7)
    assert heads.get(b"POST /predict HTTP/1.1\r\n\r\n") == 7
    assert heads.get(b"POST /predict HTTP/1.1\r\nA: 1\r\n\r\n") is None


def test_memory_is_bounded() -> None:
    heads = KnownHeads()
    for number in range(5 * MOST_HEADS):
        heads.learn(b"%d" % number, number)
        assert len(heads) <= MOST_HEADS
        assert heads[b"%d" % number] == number
        heads.learn_short(b"short %d" % number, REQUEST, number)
        assert len(heads) + len(heads.short) <= MOST_HEADS
        assert heads.short[b"short %d" % number] == (REQUEST, number)
    heads.learn(b"x" * (LONGEST_HEAD + 1), 1)
    heads.learn_short(b"x" * (LONGEST_HEAD + 1), REQUEST, 1)
    assert b"x" * (LONGEST_HEAD + 1) not in heads | heads.short
    heads.clear()
    assert not heads
    assert not heads.short

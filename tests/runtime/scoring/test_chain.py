"""Reading ahead: blocks come in the order of the file, whoever has read them, and few are in memory."""

from collections.abc import Iterator
from typing import Any

import pytest

from runtime.scoring import chain


def test_blocks_that_are_read_ahead_come_in_order() -> None:
    counts = [1, 0, 3, 1, 1, 0, 2]
    begun: list[int] = []

    def blocks(number: int) -> Iterator[Any]:
        yield from ((number, place) for place in range(counts[number]))

    def slices() -> Iterator[tuple[int, Iterator[Any]]]:
        for number in range(len(counts)):
            begun.append(number)
            yield number, blocks(number)

    found: list[Any] = []
    for source, block in chain._ahead(slices()):
        found.append((source, block))
        assert len(begun) <= source + chain._READERS + 1
    expected = [(number, (number, place)) for number, count in enumerate(counts) for place in range(count)]
    assert found == expected
    assert begun == list(range(len(counts)))


def test_an_error_comes_after_the_blocks_before_it() -> None:
    def blocks(number: int) -> Iterator[Any]:
        if number == 2:
            raise ValueError("row 3")
        yield number

    ahead: Iterator[Any] = chain._ahead((number, blocks(number)) for number in range(5))
    assert [next(ahead)[1] for _ in range(2)] == [0, 1]
    with pytest.raises(ValueError, match="row 3"):
        next(ahead)

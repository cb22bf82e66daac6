"""Heads of requests that need no second reading."""

MOST_HEADS = 1_000
"""Heads that are remembered; one more, and all are forgotten: clients that never repeat one cost only memory."""

LONGEST_HEAD = 2_048
"""Bytes of a head that is remembered."""


class KnownHeads(dict[bytes, int]):
    """The length of the body by the bytes of the head before it, blank line included.

    A client that keeps its connection sends the same head again and again, or one of a few hundred where lengths
    differ. What a parser at the start of a request makes of a head depends on its bytes alone; so the second time they
    can be compared instead. Only heads that a parser has read belong in here: of plain requests to one route,
    with a `Content-Length` and without a `Transfer-Encoding`, on connections that stay open.
    """

    def learn(self, head: bytes, length: int) -> None:
        """Remember a head."""
        if len(head) <= LONGEST_HEAD:
            if len(self) >= MOST_HEADS:
                self.clear()
            self[head] = length

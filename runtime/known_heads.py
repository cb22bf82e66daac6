"""Heads of requests that need no second reading."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.short_requests import ShortRequest

MOST_HEADS = 1_000
"""Heads that are remembered; one more, and all are forgotten: clients that never repeat one cost only memory."""

LONGEST_HEAD = 2_048
"""Bytes of a head that is remembered."""


class KnownHeads(dict[bytes, int]):
    """The length of a row's body by the bytes of the head before it, blank line included.

    A client that keeps its connection sends the same head again and again, or one of a few hundred where lengths
    differ. What a parser at the start of a request makes of a head depends on its bytes alone; so the second time they
    can be compared instead. Only heads that a parser has read belong in here: of plain requests to one route,
    with a `Content-Length` and without a `Transfer-Encoding`, on connections that stay open.

    Attributes
    ----------
    short : dict
        What other short requests ask for, by their heads in the same way, and the length of the body.
    """

    def __init__(self) -> None:
        super().__init__()
        self.short: dict[bytes, tuple[ShortRequest, int]] = {}

    def clear(self) -> None:
        """Forget all heads."""
        super().clear()
        self.short.clear()

    def learn(self, head: bytes, length: int) -> None:
        """Remember a head."""
        if self._has_room(head):
            self[head] = length

    def learn_short(self, head: bytes, request: "ShortRequest", length: int) -> None:
        """Remember the head of another short request."""
        if self._has_room(head):
            self.short[head] = request, length

    def _has_room(self, head: bytes) -> bool:
        if len(head) > LONGEST_HEAD:
            return False
        if len(self) + len(self.short) >= MOST_HEADS:
            self.clear()
        return True

"""Which media type of a reply its client likes best: `Accept`, RFC 9110, section 12.5.1."""

from collections.abc import Sequence
from typing import NamedTuple


class MediaRange(NamedTuple):
    """One member of an `Accept` header, in small letters: a pattern such as `text/*`, its parameters and its weight."""

    pattern: str
    parameters: dict[str, str]
    weight: float

    def covers(self, kind: str) -> int:
        """Return how closely the range names a media type: 0 where it does not cover it."""
        if self.pattern == kind:
            return 3
        if self.pattern.endswith("/*") and kind.startswith(self.pattern[:-1]):
            return 2
        return int(self.pattern == "*/*")


def prefer(accept: str, offered: Sequence[str]) -> tuple[str, dict[str, str]] | None:
    """Return what a client likes best of what is offered, and the parameters with which it names it; None for nothing.

    Parameters
    ----------
    accept : str
        Value of the header.
    offered : sequence of str
        Media types, the one first that is sent where a client likes several alike and names none before another.
    """
    ranges = [_read(member) for member in accept.split(",")]
    liked: list[tuple[float, int, int]] = []
    for index, kind in enumerate(offered):
        closest = max(found.covers(kind) for found in ranges)  # that range decides, whatever the wider ones say
        weight, place = max(
            (found.weight, -place) for place, found in enumerate(ranges) if found.covers(kind) == closest
        )
        if closest and weight:
            liked.append((weight, place, -index))
    if not liked:
        return None
    _, place, index = max(liked)
    return offered[-index], ranges[-place].parameters


def _read(member: str) -> MediaRange:
    pattern, *options = (text.strip().lower() for text in member.split(";"))
    parameters = {name: value.strip('"') for name, _, value in (option.partition("=") for option in options)}
    try:
        weight = float(parameters.get("q", "1"))
    except ValueError:
        weight = 0.0
    return MediaRange(pattern, parameters, weight if 0 <= weight <= 1 else 0.0)

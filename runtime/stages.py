"""Where the time of a prediction goes, stage by stage."""

from time import perf_counter_ns

from starlette.requests import Request
from starlette.responses import Response

STAGES = ("parse", "wait", "features", "infer", "encode")
"""`parse` takes a request to its float32 row or bars, validation included; `wait` is for the end of the loop's turn."""

STARTED = "tickline.started"
"""Member of an ASGI scope: when the request began, by `perf_counter_ns`."""

TIMING = "Server-Timing"
"""A request with this header, whatever its value, gets one back that says where its time went."""


def untimed(stage: str) -> None:
    """Take the end of a stage, and forget it."""


class Stopwatch:
    """Splits the time since a request began into stages that follow one another without a gap.

    Parameters
    ----------
    started : int
        When the request began, by `perf_counter_ns`.
    """

    def __init__(self, started: int) -> None:
        self._last = started
        self.durations: dict[str, int] = {}

    def lap(self, stage: str) -> None:
        """End a stage, one of `STAGES`."""
        now = perf_counter_ns()
        self.durations[stage] = now - self._last
        self._last = now

    def header(self) -> str:
        """Return the value of a `Server-Timing` header, in milliseconds; its parts sum to the total."""
        parts = {**self.durations, "total": sum(self.durations.values())}
        return ", ".join(f"{stage};dur={nanoseconds / 1e6:.6f}" for stage, nanoseconds in parts.items())

    def stamp(self, request: Request, response: Response) -> Response:
        """Say in a response where the time went, if the request asks for it."""
        if TIMING in request.headers:
            response.headers[TIMING] = self.header()
        return response

"""What a measured ratio means beside what was asked for and what was hoped for."""

from collections.abc import Callable


def judge(reach: float, beyond: float, holds: Callable[[float], bool], reason: str = "") -> str:
    """Say whether a figure is reached.

    Parameters
    ----------
    reach, beyond : float
        What is asked for and what is hoped for; without the first, 0, nothing is asked.
    holds : callable
        Tells whether what was measured is as good as a goal.
    reason : str
        Why it may not be.
    """
    if not reach:
        return "-"
    if holds(beyond):
        return "beyond"
    if holds(reach):
        return "reached"
    return f"not reached: {reason}" if reason else "not reached"

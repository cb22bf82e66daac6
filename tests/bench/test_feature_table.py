"""What the table of the feature kernels says of a ratio."""

import pytest

from bench.features import Work


def _nothing() -> None:
    pass


@pytest.mark.parametrize(
    ("ratio", "result"),
    [(4.99, "not reached: memory is slow"), (5.0, "reached"), (9.9, "reached"), (10.0, "beyond")],
)
def test_a_ratio_is_judged_by_what_is_asked_for(ratio: float, result: str) -> None:
    work = Work("panel", 1, "TA-Lib", _nothing, _nothing, reach=5, beyond=10, reason="memory is slow")
    assert work.result(ratio) == result


def test_a_ratio_of_which_nothing_is_asked_is_not_judged() -> None:
    assert Work("newest row", 0, "TA-Lib", _nothing, _nothing).result(0.5) == "-"

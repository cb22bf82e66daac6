"""What depends on a window of bars: sums and squared deviations, put together from those of shorter windows."""

from typing import Any

from features_fast import _layout as at
from features_fast._lanes import LANES, PAIRS
from features_fast._part import DOUBLE, DOUBLES, INT, VOID, Floats, part
from features_fast._vectors import load, store


@part(PAIRS(*(LANES,) * 5))
def spread(x: Any, x_1: Any, pivot: Any, x_3: Any, x_4: Any) -> Any:
    """Sum and sum of squares of 5 values about one of them: rounding costs a factor of 5 at most."""
    a, b, c, d = x - pivot, x_1 - pivot, x_3 - pivot, x_4 - pivot
    total = (a + b) + (c + d)
    return total, ((a * a + b * b) + (c * c + d * d)) - total * total * (1.0 / 5.0)


@part(PAIRS(*(LANES,) * 6, DOUBLE))
def merge(pivot: Any, sums: Any, squares: Any, old_pivot: Any, old_sums: Any, old_squares: Any, n: float) -> Any:
    """Merge two neighbouring windows of ``n`` (Chan, Golub and LeVeque 1983): only non-negative terms are added."""
    step = n * (pivot - old_pivot)
    apart = (sums - old_sums) + step
    return (sums + old_sums) - step, (squares + old_squares) + apart * apart * (0.5 / n)


@part(VOID(DOUBLES, INT, INT))
def derive(s: Floats, p: int, k: int) -> None:
    """Compute what windows are put together from, eight bars at once; what lies beyond the block is computed again.

    A loop reads nothing that it has stored just before: such a load would wait for the store.
    """
    for i in range(p, p + k, 8):
        c, c_1, c_2 = load(s, at.CLOSE + i), load(s, at.CLOSE + i - 1), load(s, at.CLOSE + i - 2)
        total, square = spread(c, c_1, c_2, load(s, at.CLOSE + i - 3), load(s, at.CLOSE + i - 4))
        store(s, at.INVERSE + i, 1.0 / c)
        store(s, at.SUM_5 + i, total)
        store(s, at.SQUARE_5 + i, square)
        v = (load(s, at.VOLUME + i) + load(s, at.VOLUME + i - 1)) + (
            load(s, at.VOLUME + i - 2) + load(s, at.VOLUME + i - 3)
        )
        store(s, at.VOLUME_5 + i, v + load(s, at.VOLUME + i - 4))
    for i in range(p, p + k, 8):
        total, square = merge(
            load(s, at.CLOSE + i - 2),
            load(s, at.SUM_5 + i),
            load(s, at.SQUARE_5 + i),
            load(s, at.CLOSE + i - 7),
            load(s, at.SUM_5 + i - 5),
            load(s, at.SQUARE_5 + i - 5),
            5.0,
        )
        store(s, at.SUM_10 + i, total)
        store(s, at.SQUARE_10 + i, square)
        store(s, at.VOLUME_10 + i, load(s, at.VOLUME_5 + i) + load(s, at.VOLUME_5 + i - 5))
        change = load(s, at.CLOSE + i) - load(s, at.CLOSE + i - 1)
        store(s, at.RETURN + i, change * load(s, at.INVERSE + i - 1))
    for i in range(p, p + k, 8):
        step = 10.0 * (load(s, at.CLOSE + i - 2) - load(s, at.CLOSE + i - 12))
        store(s, at.SUM_20 + i, (load(s, at.SUM_10 + i) + load(s, at.SUM_10 + i - 10)) - step)
        total, square = spread(
            load(s, at.RETURN + i),
            load(s, at.RETURN + i - 1),
            load(s, at.RETURN + i - 2),
            load(s, at.RETURN + i - 3),
            load(s, at.RETURN + i - 4),
        )
        store(s, at.RETURN_SUM_5 + i, total)
        store(s, at.RETURN_SQUARE_5 + i, square)
    for i in range(p, p + k, 8):
        total, square = merge(
            load(s, at.RETURN + i - 2),
            load(s, at.RETURN_SUM_5 + i),
            load(s, at.RETURN_SQUARE_5 + i),
            load(s, at.RETURN + i - 7),
            load(s, at.RETURN_SUM_5 + i - 5),
            load(s, at.RETURN_SQUARE_5 + i - 5),
            5.0,
        )
        store(s, at.RETURN_SUM_10 + i, total)
        store(s, at.RETURN_SQUARE_10 + i, square)


@part(VOID(DOUBLES, INT, INT))
def carry(s: Floats, array: int, places: int) -> None:
    """Move the last values of a full block into the halo of an array."""
    for i in range(array + at.HALO - places, array + at.HALO):
        s[i] = s[i + at.BLOCK]


@part(VOID(DOUBLES))
def shift(s: Floats) -> None:
    """Move what later bars look back to from the end of a full block into the halo."""
    carry(s, at.CLOSE, at.CARRIED_CLOSES)
    carry(s, at.SUM_10, at.CARRIED_SUMS)
    for array in range(at.VOLUME, at.OPEN, at.SERIES):
        carry(s, array, at.CARRIED)

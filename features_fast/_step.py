"""The step: bars into the state, everything in it advanced, and the rows of these bars out."""

from features_fast import _layout as at
from features_fast._lanes import ALL, between, lanes
from features_fast._part import BOOLEAN, DOUBLE, DOUBLES, INT, ROWS, VOID, Floats, part
from features_fast._rows import write
from features_fast._vectors import load, prefetch, store
from features_fast._windows import derive, shift


@part(BOOLEAN(*(DOUBLE,) * 5))
def possible(o: float, h: float, low: float, c: float, v: float) -> bool:
    """Return whether a market can produce a bar."""
    return (
        (o >= at.PRICE_MIN)
        & (o <= at.PRICE_MAX)
        & (h >= low)
        & (h <= at.PRICE_MAX)
        & (low >= at.PRICE_MIN)
        & (c >= at.PRICE_MIN)
        & (c <= at.PRICE_MAX)
        & (v >= 0.0)
        & (v <= at.VOLUME_MAX)
    )


@part(INT(DOUBLES, INT, *(DOUBLES,) * 5, INT, INT))
def take(
    s: Floats, p: int, opens: Floats, highs: Floats, lows: Floats, closes: Floats, volumes: Floats, start: int, k: int
) -> int:
    """Copy a block of bars into the state; return the index of the first impossible one, or ``k``."""
    good, inside, i = True, ALL, 0
    while i + 8 <= k:
        o, h, low = load(opens, start + i), load(highs, start + i), load(lows, start + i)
        c, v = load(closes, start + i), load(volumes, start + i)
        inside = (
            inside
            & between(at.PRICE_MIN, o, at.PRICE_MAX)
            & between(low, h, at.PRICE_MAX)
            & between(at.PRICE_MIN, low, at.PRICE_MAX)
            & between(at.PRICE_MIN, c, at.PRICE_MAX)
            & between(0.0, v, at.VOLUME_MAX)
        )
        store(s, at.OPEN + i, o)
        store(s, at.HIGH + i, h)
        store(s, at.LOW + i, low)
        store(s, at.CLOSE + p + i, c)
        store(s, at.VOLUME + p + i, v)
        # Bars of the block after the next one: they arrive while the rows of this one are computed.
        prefetch(opens, start + i + 2 * at.BLOCK)
        prefetch(highs, start + i + 2 * at.BLOCK)
        prefetch(lows, start + i + 2 * at.BLOCK)
        prefetch(closes, start + i + 2 * at.BLOCK)
        prefetch(volumes, start + i + 2 * at.BLOCK)
        i += 8
    while i < k:
        o, h, low, c, v = opens[start + i], highs[start + i], lows[start + i], closes[start + i], volumes[start + i]
        good = good & possible(o, h, low, c, v)
        s[at.OPEN + i] = o
        s[at.HIGH + i] = h
        s[at.LOW + i] = low
        s[at.CLOSE + p + i] = c
        s[at.VOLUME + p + i] = v
        i += 1
    if good and inside == ALL:
        return k
    i = 0
    while possible(opens[start + i], highs[start + i], lows[start + i], closes[start + i], volumes[start + i]):
        i += 1
    return i


@part(VOID(DOUBLES))
def begin(s: Floats) -> None:
    """Begin a series."""
    s[at.COUNT] = 0.0
    s[at.POSITION] = at.HALO
    store(s, at.AVERAGES, lanes((0.0,) * 8))


@part(VOID(DOUBLES))
def look_back(s: Floats) -> None:
    """Go on behind closes and volumes in the halo: compute what later windows are put together from."""
    s[at.POSITION] = at.HALO
    derive(s, at.HALO - at.WINDOW, at.WINDOW)


@part(VOID(DOUBLES))
def make_room(s: Floats) -> None:
    """Begin another block if one is full."""
    if s[at.POSITION] == at.CAPACITY:
        shift(s)
        s[at.POSITION] = at.HALO


@part(*(VOID(DOUBLES, *(INT,) * 3, kind, INT, kind, INT) for kind in ROWS))
def step(s: Floats, p: int, k: int, t: int, out: Floats, row: int, stage: Floats, line: int) -> None:
    """Advance by the ``k`` bars that stand at ``p``, bar ``t`` of the series first, and write their rows."""
    derive(s, p, k)
    write(s, p, k, t, out, row, stage, line)
    s[at.COUNT] = t + k
    s[at.POSITION] = p + k


@part(*(INT(*(DOUBLES,) * 6, INT, INT, kind, kind, INT) for kind in ROWS))
def run(
    s: Floats,
    opens: Floats,
    highs: Floats,
    lows: Floats,
    closes: Floats,
    volumes: Floats,
    start: int,
    stop: int,
    out: Floats,
    stage: Floats,
    line: int,
) -> int:
    """Advance by the bars ``start`` to ``stop`` of five arrays; return the index of an impossible one, or ``DONE``."""
    done = start
    while done < stop:
        make_room(s)
        p, t = int(s[at.POSITION]), int(s[at.COUNT])
        k = min(stop - done, at.CAPACITY - p)
        good = take(s, p, opens, highs, lows, closes, volumes, done, k)
        if good < k:
            return done + good
        step(s, p, k, t, out, done, stage, line)
        done += k
    return at.DONE

"""Where each quantity lives in the state: one float64 array that the kernels and Python share."""

from features_fast.specification import FEATURE_NAMES

BLOCK = 128
"""Bars in one step at most; the arrays of a block stay in the nearest caches."""

HALO = 64
"""Places in front of a block for earlier bars; windows reach back 49 bars."""

CAPACITY = HALO + BLOCK

_PAD = 8
# Arrays that lie a power of two apart would fall into the same few cache sets.
SERIES = CAPACITY + _PAD
LANE = BLOCK + _PAD

PRICE_MIN, PRICE_MAX = 1e-18, 1e18
"""Prices from which every feature, and every step on the way to it, is finite in float32 too."""

VOLUME_MAX = 1e30

STILL = 1e-60
"""Added to each rise and fall: RSI is 50, not 0 / 0, where nothing moved, and no average ever becomes subnormal."""

CARRIED_CLOSES, CARRIED_SUMS, CARRIED = 56, 40, 24
"""Values that one block leaves to the next: closes, sums of ten closes, all others."""

WINDOW = 50
"""Bars that determine everything but the recursive averages."""

AT_ONCE, ROWS_AT_ONCE = 4096, 1024
"""Bars for whose newest row, and for whose rows, the interpreter may be held: some 10 to 20 microseconds."""

# One number each: bars seen, place of the next bar, and the recursive averages (sums until their seed is complete), of
# 5, 10, 20, 12 and 26 closes, of MACD (the signal line), of rises and of falls.
COUNT, POSITION, AVERAGES, SIGNAL = 0, 1, 2, 7
SCALARS = 10

# One value a bar, with a halo. Sums are sums of differences from the close two bars before, squares are sums of
# squared deviations from the mean.
CLOSE = 16
(
    SUM_10,
    VOLUME,
    VOLUME_5,
    VOLUME_10,
    INVERSE,
    SUM_5,
    SQUARE_5,
    SQUARE_10,
    SUM_20,
    RETURN,
    RETURN_SUM_5,
    RETURN_SQUARE_5,
    RETURN_SUM_10,
    RETURN_SQUARE_10,
) = range(CLOSE + SERIES, CLOSE + 15 * SERIES, SERIES)
_BLOCKS = CLOSE + 15 * SERIES

# One value a bar of the block alone.
OPEN, HIGH, LOW = range(_BLOCKS, _BLOCKS + 3 * LANE, LANE)

# Up to eight bars that do not fill a tile: the eight averages of each, and their rows.
COLUMNS = len(FEATURE_NAMES)
LAST = _BLOCKS + 3 * LANE
ROWS = LAST + 8 * 8

SIZE = ROWS + 8 * COLUMNS
"""Float64 values in a state."""

# Behind the state of a workspace, of eight tickers side by side: the averages that they leave, row of the first bar of
# each, and the last values of each quantity in rings, the value of all eight tickers at one bar in one cache line.
LEFT = SIZE + -SIZE % 8
STARTS = LEFT + 8 * 8
LONG, MIDDLE, SHORT, SHORTEST = 64, 32, 16, 8
"""Bars in a ring: windows look back by 42 bars at most, by 20, by 12 and by 5; bars come in up to 15 bars early."""

CLOSES = STARTS + 8
SUMS_10, SUMS_20 = CLOSES + 8 * LONG, CLOSES + 16 * LONG
_SHORT_RINGS = SUMS_20 + 8 * MIDDLE
(
    VOLUMES,
    VOLUMES_10,
    INVERSES,
    SQUARES_10,
    RETURNS,
    RETURN_SUMS_10,
    RETURN_SQUARES_10,
    OPENS,
    HIGHS,
    LOWS,
) = range(_SHORT_RINGS, _SHORT_RINGS + 10 * 8 * SHORT, 8 * SHORT)
_SHORTEST_RINGS = _SHORT_RINGS + 10 * 8 * SHORT
(
    VOLUMES_5,
    SUMS_5,
    SQUARES_5,
    RETURN_SUMS_5,
    RETURN_SQUARES_5,
) = range(_SHORTEST_RINGS, _SHORTEST_RINGS + 5 * 8 * SHORTEST, 8 * SHORTEST)

PLACES = _SHORTEST_RINGS + 5 * 8 * SHORTEST
"""Where the rows of each of the eight tickers begin, as a number of values."""

STAGE = PLACES + 8
"""The rows of a block on their way out, or the columns of eight bars of eight tickers."""

STAGED, STAGE_PAD = 8 * COLUMNS, 16
"""Columns in the stage: those of eight bars, behind room for the last of the eight bars before."""

WORKSPACE = STAGE + max(BLOCK * COLUMNS, 8 * (STAGE_PAD + STAGED))
"""Float64 values in a workspace."""

PAGE, WORKSPACE_PLACE = 4096, 55 * 64
"""Bytes of a page, and from where in one a workspace begins: of the 64 places that are a cache line, that where a long
series takes least time. A row in the stage that lies across two pages takes longer to store than to compute."""

SIDE_BY_SIDE = 64
"""Bars from which eight tickers are computed side by side: more than one of them needs to go on alone."""

CACHED = 1 << 25
"""Bytes of rows that may stay in a processor's cache; more of them are written past it."""

CACHED_APART = 1 << 22
"""The same for eight tickers side by side: a processor does not foresee where eight series of rows go on."""

DONE, NOT_PLAIN = -1, -2
"""What a kernel returns besides the index of an impossible bar."""

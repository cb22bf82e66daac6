"""The reference of all features as a document: ``python -m features_fast.reference [FILE]`` writes docs/features.md."""

import sys
from pathlib import Path

from features_fast import _layout as at
from features_fast.seeds import seed_weight
from features_fast.specification import FEATURES, WARM_UP

PAGE = Path(__file__).parent.parent / "docs" / "features.md"

_WINDOWS = (60, 120, 250, 500, 1000)

_HEAD = """\
# The features

Made from `features_fast.FEATURES` by `python -m features_fast.reference`.

`O H L C V` are open, high, low, close and volume in float64, `t` is a bar's index; no feature reads a later bar. Rows
are float32 (or float64) in this order. The first row without NaN is bar {warm_up}, and no later row holds one; "first
bar" is where a feature alone would begin.

| # | name | formula | first bar | convention | TA-Lib |
|---|---|---|---|---|---|
"""

_MEMORY = """
## How much of the past a window forgets

A recursive average over a window differs from that over the whole history by its seed. This part of a difference of
seeds is left at the end of a window, `features_fast.seed_weight(name, bars)`; all other features have no memory.

"""

_NUMBERS = """
## Numbers

**Windows without drift and without cancellation.** Nothing is added to a running sum and later subtracted from it. A
window of 50, 20 or 10 bars is put together from sums over 5 bars that its bars share, always in the same order, so a
value is a function of its window alone and cannot drift, and the same bits come out however a series was cut. Mean and
deviation over 20 bars take 39 operations a bar, eight bars at once, where two passes over the window take 79. Sums are
sums of differences from a close in the window, which are exact where prices are close to each other; squared deviations
of two halves are merged with the squared difference of their means (Chan, Golub and LeVeque 1983), so that only
non-negative terms are added, and 10**8 added to all prices costs no digit of a volatility. The deviation of flat prices
is exactly 0.

**Divisions and bounds.** Returns, gap and range multiply by the reciprocal of a close, computed once a bar: their
relative error is two roundings instead of one. What has a bound is divided, so that RSI stays within 0 and 100, and a
close at its high gives exactly 1. Rises and falls carry an additional {still:g}: where nothing moved, RSI is 50
without a division by zero, and no average decays into the slow subnormal numbers; TA-Lib calls the RSI of such bars 0.
Prices from {price_min:g} to {price_max:g} and volumes up to {volume_max:g} are accepted: within them every intermediate
result, in float32 too, is finite.

## Kernels

`python -m features_fast.build` builds a library for each kind of processor; at import the best that fits is taken, and
`features_fast.backend()` names it. All give the same bits.

| library | lanes of a register | taken on |
|---|---|---|
| `x86-64-v4` | 8 | AVX-512 without a slower clock: it asks for VBMI2 too, as Ice Lake, Zen 4 and later have it |
| `x86-64-v3` | 4 | AVX2 |
| `x86-64` | 2 | every other x86-64 |
| `aarch64` | 2 | every aarch64 |

Eight bars are computed at once. A recursive average waits for that of the bar before, about 2 nanoseconds; so the
averages of the next eight bars are advanced between the windows and divisions of these. Of a panel, eight tickers are
computed side by side, one bar of each at once, as far as all eight have bars: those of like lengths together, so that
little is left over, and what is goes on alone. Then no average waits for another, and every window begins with a cache
line. The features of eight bars are kept as columns and leave as rows, a cache line of each ticker at once, before
those of the next eight take their place; eight tickers whose rows go past the caches begin at the same place of a line,
and eight rows are whole lines. Between two bars, one field of the next eight is put side by side, and bars that come
64 later are asked for: into the second cache, because the first one is busy with rows on their way out.
More than {cached} MB of rows, or {apart} MB of tickers side by side, are written past the caches, because a
processor reads a cache line before it writes to it otherwise: 88 bytes a bar.
Rows in new memory cost more than rows in the array of an earlier call: the system clears each page first. Whoever
computes again and again passes `out`.
"""


def page() -> str:
    """Return the document."""
    features = "".join(
        f"| {place} | `{feature.name}` | {feature.formula} | {feature.lookback} | {feature.convention} "
        f"| {feature.talib or 'none'} |\n"
        for place, feature in enumerate(FEATURES)
    )
    recursive = [feature.name for feature in FEATURES if seed_weight(feature.name, _WINDOWS[0])]
    weights = f"| name | {' | '.join(f'{bars} bars' for bars in _WINDOWS)} |\n|---|{'---|' * len(_WINDOWS)}\n"
    for name in recursive:
        weights += f"| `{name}` | {' | '.join(f'{seed_weight(name, bars):.1e}' for bars in _WINDOWS)} |\n"
    numbers = _NUMBERS.format(
        still=at.STILL,
        price_min=at.PRICE_MIN,
        price_max=at.PRICE_MAX,
        volume_max=at.VOLUME_MAX,
        cached=at.CACHED >> 20,
        apart=at.CACHED_APART >> 20,
    )
    return _HEAD.format(warm_up=WARM_UP) + features + _MEMORY + weights + numbers


def main(arguments: list[str]) -> None:
    """Write the document."""
    path = Path(arguments[0]) if arguments else PAGE
    path.write_text(page())


if __name__ == "__main__":
    main(sys.argv[1:])

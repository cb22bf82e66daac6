"""How much a recursive average still depends on where its window began."""

from features_fast.errors import TicklineError
from features_fast.specification import FEATURE_NAMES

# Feature: (weight of a new value, bar of the seed).
_RECURSIVE = {
    "EMA_5": (2.0 / 6.0, 4),
    "EMA_10": (2.0 / 11.0, 9),
    "EMA_20": (2.0 / 21.0, 19),
    "RSI": (1.0 / 14.0, 14),
    "MACD": (2.0 / 27.0, 25),
    "MACD_Signal": (2.0 / 27.0, 25),
    "MACD_Hist": (2.0 / 27.0, 25),
}
_SIGNAL, _SIGNAL_SEED = 2.0 / 10.0, 33


def seed_weight(feature: str, bars: int) -> float:
    """Return the weight that the seed of a recursive average still has at the end of a window.

    A feature of the last ``bars`` bars alone differs from that of the whole history by this weight times the
    difference of the seeds. Features without memory have weight 0.

    Parameters
    ----------
    feature : str
        A name from ``FEATURE_NAMES``. For RSI it is the weight in the averages of rises and falls; for the MACD
        features that of the seed of EMA_26, the slower one.
    bars : int
        Length of the window.

    Returns
    -------
    float
        ``(1 - alpha) ** (bars - 1 - s)`` for an average with smoothing ``alpha`` and its seed at bar ``s``; for the
        signal the exponential average of those weights, seeded as the signal is; 1 up to the seed.

    Raises
    ------
    TicklineError
        If there is no such feature.

    Examples
    --------
    >>> round(seed_weight("EMA_20", 250), 12)
    1e-10
    """
    if feature not in FEATURE_NAMES:
        raise TicklineError(f"feature: expected one of {', '.join(FEATURE_NAMES)}, not {feature}")
    if feature not in _RECURSIVE:
        return 0.0
    alpha, seed = _RECURSIVE[feature]
    line = float((1.0 - alpha) ** max(bars - 1 - seed, 0))
    if feature not in ("MACD_Signal", "MACD_Hist"):
        return line
    weights = [(1.0 - alpha) ** max(bar - seed, 0) for bar in range(seed, max(bars, _SIGNAL_SEED + 1))]
    signal = sum(weights[:9]) / 9.0
    for weight in weights[9:]:
        signal += _SIGNAL * (weight - signal)
    return signal if feature == "MACD_Signal" else abs(line - signal)

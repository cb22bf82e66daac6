"""The 22 features: what each one means, in the order in which they travel on the wire."""

import hashlib
import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Feature:
    """What one feature means.

    Attributes
    ----------
    name : str
        Its name on the wire and in the model file.
    formula : str
        Its definition at bar ``t``; ``O H L C V`` are float64 and only bars up to ``t`` are read.
    lookback : int
        Number of earlier bars that the first value needs, so that it is defined from bar ``lookback`` on.
    convention : str
        The choices that libraries differ in: seeds, degrees of freedom, what a division by zero gives.
    talib : str
        The TA-Lib function that defines it, with our deviation from it where there is one; empty where TA-Lib has none.
    """

    name: str
    formula: str
    lookback: int
    convention: str = ""
    talib: str = ""


def _sma(n: int) -> Feature:
    return Feature(f"SMA_{n}", f"mean(C[t-{n - 1}..t])", n - 1, talib=f"SMA({n})")


def _ema(n: int) -> Feature:
    return Feature(
        f"EMA_{n}",
        f"2/{n + 1} * C[t] + {n - 1}/{n + 1} * EMA_{n}[t-1]",
        n - 1,
        convention=f"seeded with SMA_{n} at bar {n - 1}",
        talib=f"EMA({n})",
    )


def _return(n: int) -> Feature:
    return Feature(f"Return_{n}d", f"C[t] / C[t-{n}] - 1", n, talib=f"ROCP({n})")


def _volatility(n: int) -> Feature:
    return Feature(
        f"Volatility_{n}d", f"std(Return_1d[t-{n - 1}..t])", n, convention="sample standard deviation (ddof 1)"
    )


_MACD_SEED = (
    "EMA_12 is seeded with the mean of closes 14..25, so that both averages start at bar 25; "
    "the signal with the mean of the first 9 values"
)

FEATURES: tuple[Feature, ...] = (
    _sma(5),
    _sma(10),
    _sma(20),
    _sma(50),
    _ema(5),
    _ema(10),
    _ema(20),
    Feature(
        "RSI",
        "100 * gain / (gain + loss), Wilder averages of 14 rises and falls of C",
        14,
        convention="seeded with the mean of the first 14 changes; no movement at all: 50",
        talib="RSI(14); it says 0 where nothing moved",
    ),
    Feature("MACD", "EMA_12(C) - EMA_26(C)", 33, convention=_MACD_SEED, talib="MACD(12, 26, 9), line"),
    Feature("MACD_Signal", "EMA_9(MACD)", 33, convention=_MACD_SEED, talib="MACD(12, 26, 9), signal"),
    Feature("MACD_Hist", "MACD - MACD_Signal", 33, convention=_MACD_SEED, talib="MACD(12, 26, 9), histogram"),
    Feature(
        "BB_Width",
        "(upper - lower) / middle, bands at SMA_20 +- 2 standard deviations",
        19,
        convention="population standard deviation (ddof 0)",
        talib="BBANDS(20, 2, 2)",
    ),
    Feature(
        "BB_Position",
        "(C - lower) / (upper - lower)",
        19,
        convention="population standard deviation (ddof 0); flat band: 0.5",
        talib="BBANDS(20, 2, 2)",
    ),
    _return(1),
    _return(5),
    _return(10),
    _volatility(10),
    _volatility(20),
    Feature("Volume_Ratio", "V / mean(V[t-19..t])", 19, convention="zero mean: 1", talib="SMA(V, 20)"),
    Feature("High_Low_Range", "(H - L) / C", 0),
    Feature("Close_Position", "(C - L) / (H - L)", 0, convention="H = L: 0.5"),
    Feature("Gap", "O[t] / C[t-1] - 1", 1),
)

FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)

WARM_UP: int = max(feature.lookback for feature in FEATURES)
"""Index of the first bar at which all features are defined; the rows before it are NaN."""


def specification_hash() -> str:
    """Return the SHA-256 of all definitions: two models with the same hash were trained on the same features."""
    canonical = json.dumps([asdict(feature) for feature in FEATURES], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()

"""What holds where nothing else is said; a module of its own, because the command line reads it without pandas."""

DATA_FILE = "data/raw/stock_data.csv"
"""The bars that `tickline train` reads, or makes and writes there."""

DAYS = 2500
"""Synthetic bars: ten years of business days, about."""

SEED = 42
TICKER = "SYNTH"
MODEL_VERSION = "1.0.0"

FOLDS = 5
"""Test windows of a walk-forward evaluation."""

EMBARGO = 5
"""Dates left out between training and test rows: a week of trading."""

TRADE_COST = 5.0
"""Basis points that a trade costs in a backtest."""

CONFIDENCE = 0.95
"""How often an interval is to hold the true value."""

LOSS_NAMES: tuple[str, ...] = ("log_loss", "brier", "error")
"""What forecasts may be compared by, see `training.forecasts.LOSSES`; the first is the default."""

BUNDLED_SOURCES: tuple[str, ...] = ("sp500", "nasdaq")
"""Real daily series that the package `arch` brings along."""

CLASSIFIER_PARAMS: dict[str, dict[str, object]] = {
    "random_forest": {"n_estimators": 100, "max_depth": 10},
    "gradient_boosting": {"n_estimators": 100, "max_depth": 3},
    "logistic": {"max_iter": 1000},
}
"""Each model type with the parameters of its classifier; the first is the default."""

MODEL_TYPES: tuple[str, ...] = tuple(CLASSIFIER_PARAMS)

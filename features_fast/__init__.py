"""The 22 features of a series of daily bars."""

from features_fast._layout import PRICE_MAX, PRICE_MIN, VOLUME_MAX
from features_fast.errors import BarError, TicklineError
from features_fast.library import backend, compilations
from features_fast.panel import compute_panel
from features_fast.seeds import seed_weight
from features_fast.series import compute, compute_last
from features_fast.specification import FEATURE_NAMES, FEATURES, WARM_UP, Feature, specification_hash
from features_fast.stream import Stream

__all__ = [
    "FEATURES",
    "FEATURE_NAMES",
    "PRICE_MAX",
    "PRICE_MIN",
    "VOLUME_MAX",
    "WARM_UP",
    "BarError",
    "Feature",
    "Stream",
    "TicklineError",
    "backend",
    "compilations",
    "compute",
    "compute_last",
    "compute_panel",
    "seed_weight",
    "specification_hash",
]

"""The 22 features of a series of daily bars."""

from features_fast.errors import BarError, TicklineError
from features_fast.series import compute
from features_fast.specification import FEATURE_NAMES, FEATURES, WARM_UP, Feature, specification_hash

__all__ = ["FEATURES", "FEATURE_NAMES", "WARM_UP", "BarError", "Feature", "TicklineError", "compute", "specification_hash"]

"""All features of a series, against obvious twins."""

import numpy as np

from features_fast import WARM_UP, compute


def test_rows_before_the_warm_up_are_nan_and_no_others() -> None:
    close = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 0.01, 300)))
    rows = compute(close, close * 1.01, close * 0.99, close, np.ones(300), dtype=np.float64)
    assert np.isnan(rows[:WARM_UP]).all()
    assert np.isfinite(rows[WARM_UP:]).all()
    np.testing.assert_allclose(rows[-1, 3], close[-50:].mean(), rtol=1e-12)

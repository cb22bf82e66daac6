"""What holds where nothing else is said; a module of its own, because `--help` reads it without scikit-learn."""

DEFAULT_TOLERANCE = 1e-5
"""Largest difference of a probability that passes.

Sound conversions differ by up to 3e-6: float32 sums where scikit-learn adds in float64. One row on the wrong side of
one split of a forest of 100 trees moves its probability by a thousandth.
"""

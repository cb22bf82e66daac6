"""What can go wrong between a fitted model and its file."""

from features_fast.errors import TicklineError


class ExportError(TicklineError):
    """A model that cannot be exported: of the wrong kind, not fitted, not convertible, or answered differently."""

"""What training refuses."""

from features_fast.errors import TicklineError


class DataError(TicklineError):
    """Bars that no model can be trained on; the message names the file, the row and the column where there is one."""


class ModelError(TicklineError):
    """A model that cannot be built, stored or opened; the message names the parameter or the file."""

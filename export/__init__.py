"""From a fitted scikit-learn classifier to one ONNX file that proves that it answers alike."""

from typing import TYPE_CHECKING

from export.defaults import DEFAULT_TOLERANCE
from export.errors import ExportError

if TYPE_CHECKING:
    from export.exporter import export_classifier

__all__ = ["DEFAULT_TOLERANCE", "ExportError", "export_classifier"]


def __getattr__(name: str) -> object:
    """Import the exporter, and with it scikit-learn and skl2onnx, only when it is asked for."""
    if name == "export_classifier":
        from export.exporter import export_classifier

        return export_classifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

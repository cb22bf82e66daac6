"""Ask a Tickline server: `Client` blocks, `AsyncClient` awaits; both speak the same way and give the same results.

NumPy, msgspec and httptools are all that they need.
"""

from runtime.client.asynchronous import AsyncClient
from runtime.client.blocking import Client
from runtime.client.errors import ClientError, DeadlineError, NoAnswerError, RefusedError
from runtime.client.results import (
    BadRow,
    BarPrediction,
    BarPredictions,
    Batch,
    ModelInfo,
    Prediction,
    Reload,
    Symbol,
    SymbolPrediction,
)

__all__ = [
    "AsyncClient",
    "BadRow",
    "BarPrediction",
    "BarPredictions",
    "Batch",
    "Client",
    "ClientError",
    "DeadlineError",
    "ModelInfo",
    "NoAnswerError",
    "Prediction",
    "RefusedError",
    "Reload",
    "Symbol",
    "SymbolPrediction",
]

"""Whether a peer answers as this server does: a peer that computes something else proves nothing."""

import json
from typing import Any

import numpy as np

from bench.dialects import Probabilities
from bench.servers import MeasureError, Request, Server

TOLERANCE = 1e-5
"""Largest difference of a probability, which is that of the model's certificate."""


def check(ours: Server, peer: Server, requests: list[Request]) -> None:
    """Send the same requests to both, and compare predictions, labels and probabilities.

    Raises
    ------
    MeasureError
        Where they differ; the message has both replies.
    """
    for request in requests:
        ours_status, ours_body = ours.ask(request)
        peer_status, peer_body = peer.ask(request)
        if (ours_status, peer_status) != (200, 200) or not same(json.loads(ours_body), json.loads(peer_body)):
            raise MeasureError(
                f"{peer.contender.name} answers {request.path} otherwise than {ours.contender.name}:\n"
                f"{peer_status} {peer_body[:400]!r}\n{ours_status} {ours_body[:400]!r}"
            )


def check_probabilities(ours: Probabilities, peer: Probabilities, name: str) -> None:
    """Compare what two servers answered to the same rows, float64 (n, classes); raises MeasureError."""
    if ours.shape != peer.shape or not np.allclose(ours, peer, rtol=0.0, atol=TOLERANCE):
        raise MeasureError(f"{name} answers otherwise than expected:\n{peer[:4]}, expected {ours[:4]}")


def same(ours: dict[str, Any], peer: dict[str, Any]) -> bool:
    """Tell whether two replies, to a row or to a batch, hold the same predictions."""
    if ("predictions" in ours) != ("predictions" in peer):
        return False
    ours_rows, peer_rows = ours.get("predictions", [ours]), peer.get("predictions", [peer])
    return len(ours_rows) == len(peer_rows) and all(map(_same_row, ours_rows, peer_rows))


def _same_row(ours: dict[str, Any], peer: dict[str, Any]) -> bool:
    one, other = ours["probabilities"], peer["probabilities"]
    if one.keys() != other.keys() or any(abs(one[label] - other[label]) > TOLERANCE for label in one):
        return False
    answers = [(row["prediction"], row["prediction_label"]) for row in (ours, peer)]
    tie = max(one.values()) - min(one.values()) <= 2 * TOLERANCE
    return tie or answers[0] == answers[1]

"""The body of a reload: which model, and how much it may change."""

from typing import Annotated

import msgspec

from runtime.decoding import DECODE_ERRORS, explain
from runtime.problems import Problem


class ReloadRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reload of the model file, or of one that is kept. A bound that the comparison exceeds refuses it.

    Attributes
    ----------
    version : str or None
        A kept version, or its SHA-256.
    rollback : bool
        Whether the version is meant that was served before this one.
    max_flips : int or None
        Most rows, golden and recent ones together, whose label may be another one.
    max_probability_change : float or None
        Most that any probability of any of these rows may change.
    """

    version: str | None = None
    rollback: bool = False
    max_flips: Annotated[int, msgspec.Meta(ge=0)] | None = None
    max_probability_change: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None


_REQUEST = msgspec.json.Decoder(ReloadRequest)


def decode_reload(body: bytes) -> ReloadRequest:
    """Decode the body of a reload, which may be empty; raises Problem."""
    try:
        request = _REQUEST.decode(body) if body else ReloadRequest()
    except DECODE_ERRORS as error:
        raise explain(body, error) from None
    if request.rollback and request.version is not None:
        raise Problem(422, "expected none beside rollback", field="version")
    return request
